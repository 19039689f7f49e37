// The kernels as a CUDA device has them: compiled and started by NVIDIA's own libraries, found beside libtorch's.
#pragma once

#include <memory>

struct Extent;

// A kernel's name, and the most threads that its blocks have.
struct KernelName {
  const char* name;
  int threads;
};

struct CudaModule {
  virtual ~CudaModule() = default;

  // Starts the kernel of this place in the list of names; throws where that cannot be.
  virtual void start(size_t kernel, Extent blocks, Extent threads, void** arguments) const = 0;

  // Of the device.
  int multiprocessors = 0;
};

// Compiles and loads all kernels, for values in float32 or bfloat16. Throws where that cannot be, or the device cannot run a
// kernel with its number of threads.
std::unique_ptr<const CudaModule> load_cuda_module(int device_index, bool bfloat16, const KernelName* names, size_t count);
