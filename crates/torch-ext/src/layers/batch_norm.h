// Batch norm by kernels, without autograd; batch_norm.cpp and norm_convolution.cpp add the gradients.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <vector>

#include "layers.h"

class CudaKernels;

constexpr const char* MORE_THAN_ONE_VALUE = "batch norm needs more than one value a channel to train";

// Throws if shapes or devices do not fit together.
void check_norm(const at::Tensor& input, const BatchNorm& norm);

// Whether the kernels can compute this in training.
bool suits_batch_norm_kernels(const at::Tensor& input, const BatchNorm& norm);

// The layout in which a row holds the channels of one position.
at::MemoryFormat row_format(const at::Tensor& tensor);

// `map` in the kind of `x` and the layout of rows, as kernels read it; an undefined map stays undefined.
at::Tensor in_form_of(const at::Tensor& x, const at::Tensor& map);

// Statistics of each view of a batch, and normalisation by them.
struct BatchStatistics : torch::CustomClassHolder {
  // The statistics of `x`, which is in its row format. Updates the running statistics by those of each view, in order.
  static c10::intrusive_ptr<BatchStatistics> of(const at::Tensor& x, const BatchNorm& norm);

  // `x` normalised, plus the residual if it is defined, and ReLU if that is asked for.
  virtual at::Tensor normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                               const at::Tensor& bias) = 0;

  struct Gradients {
    at::Tensor x, weight, bias, residual;
  };

  // The gradients, from the gradient of the output, which is given in two parts if `second` is defined. `y` is the
  // output if there was a residual before ReLU, else undefined.
  virtual Gradients gradients(const at::Tensor& gradient, const at::Tensor& second, const at::Tensor& x,
                              const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias, bool of_x) const = 0;
};

// Sums over the processes of a group what is added up for each view and channel, float64 [V, 2, C], and the count of values of
// a channel in a view.
double sum_over(const Group& group, const at::Tensor& sums, double count);

// In training with a group, by libtorch's operations: for what the kernels do not compute, and for no value at all.
at::Tensor group_norm(const at::Tensor& input, const BatchNorm& norm);

// The statistics of a map on the processor, and of a map on a CUDA device.
c10::intrusive_ptr<BatchStatistics> processor_statistics(const at::Tensor& x, const BatchNorm& norm);
c10::intrusive_ptr<BatchStatistics> cuda_statistics(const CudaKernels& kernels, const at::Tensor& x, const BatchNorm& norm);
