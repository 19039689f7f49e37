// The kernels on a CUDA device: compiled and started by NVIDIA's own libraries, which are found beside libtorch's.
#pragma once

#include <memory>

struct Extent;

// A kernel's name, and the largest number of threads in its blocks.
struct KernelName {
  const char* name;
  int threads;
};

struct CudaModule {
  virtual ~CudaModule() = default;

  // Starts the kernel with this index in the list of names; throws if that is not possible.
  virtual void start(size_t kernel, Extent blocks, Extent threads, void** arguments) const = 0;

  // The multiprocessors of the device.
  int multiprocessors = 0;
};

// Compiles and loads all kernels, for values in float32 or bfloat16. Throws if that is not possible, or if the device
// cannot run a kernel with its number of threads.
std::unique_ptr<const CudaModule> load_cuda_module(int device_index, bool bfloat16, const KernelName* names, size_t count);
