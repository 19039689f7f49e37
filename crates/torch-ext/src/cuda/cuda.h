// This folder: the kernels for CUDA devices. Each `.cu` is text within the program, which cuda_module.cpp compiles for
// the device in use when kernels are first needed. This file: finds the kernels for a tensor, and starts them.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

enum class CudaKernel {
  batch_norm_moments,
  batch_norm_statistics,
  batch_norm_of_sums,
  batch_norm_normalise,
  batch_norm_gradient_sums,
  batch_norm_gradient_coefficients,
  batch_norm_gradient_of_sums,
  batch_norm_input_gradient,
  max_pool_forward,
  max_pool_gradient,
  roi_align_forward,
  roi_align_map_gradient,
  sample_forward,
  sample_gather_gradient,
  sample_scatter_gradient,
  stem_unshuffle,
  contrast_inverse_lengths,
  contrast_losses,
  contrast_of_products,
  contrast_of_rows,
  cross_entropy_losses,
  cross_entropy_gradient,
  COUNT
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

struct CudaModule;

// The kernels for one kind of value on one device.
class CudaKernels {
 public:
  // The threads in each block of a kernel that goes through vectors, and how many such blocks fill a multiprocessor.
  static constexpr int THREADS = 256, BLOCKS = 3;

  // The kernels for this tensor. Null if libtorch's layers must be used, because the tensor is not on a CUDA device, is
  // neither float32 nor bfloat16, or because the kernels cannot be compiled, loaded and started there, which is printed
  // once.
  static const CudaKernels* of(const at::Tensor& tensor);

  // The kernels for a map whose channels, the second axis, fill whole vectors.
  static const CudaKernels* of_vectors(const at::Tensor& map);

  // Why there are no kernels for this tensor; empty if there are.
  static std::string why_none(const at::Tensor& tensor);

  // Starts a kernel on the device, in order with libtorch's own work. The arguments must have exactly the types that
  // the kernel takes.
  template <typename... Arguments>
  void launch(CudaKernel kernel, Extent blocks, Extent threads, Arguments... arguments) const {
    std::array<void*, sizeof...(Arguments)> pointers{&arguments...};
    start(kernel, blocks, threads, pointers.data());
  }

  // Blocks for a kernel whose threads take the vectors of a map in turn.
  Extent blocks_for(int64_t vectors) const;

  // The multiprocessors of the device.
  int multiprocessors() const;

  explicit CudaKernels(std::unique_ptr<const CudaModule> loaded);
  ~CudaKernels();

 private:
  void start(CudaKernel kernel, Extent blocks, Extent threads, void** arguments) const;

  std::unique_ptr<const CudaModule> module;
};

// Values of a tensor's kind in the 16 bytes that a kernel reads at a time.
inline int64_t vector_width(const at::Tensor& tensor) { return 16 / tensor.element_size(); }

// The tensor or, if kernels should read it by vectors and it does not begin at an address for vectors, a copy.
at::Tensor aligned(const at::Tensor& tensor);

// The number of vectors in a whole tensor.
inline int64_t vectors_of(const at::Tensor& tensor) { return tensor.numel() / vector_width(tensor); }
