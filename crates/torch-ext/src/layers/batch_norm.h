// Batch norm by kernels, without autograd: what batch_norm.cpp and norm_convolution.cpp differentiate.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <vector>

#include "layers.h"

class CudaKernels;

// Throws where shapes or devices do not fit together.
void check_norm(const at::Tensor& input, const BatchNorm& norm);

// Whether the kernels take this in training.
bool suits_batch_norm_kernels(const at::Tensor& input, const BatchNorm& norm);

// The layout in which a row holds the channels of one position.
at::MemoryFormat row_format(const at::Tensor& tensor);

// `map` in the kind of `x` and the layout of rows, as kernels read it; undefined stays so.
at::Tensor in_form_of(const at::Tensor& x, const at::Tensor& map);

// Statistics of each view of a batch, and normalisation by them.
struct BatchStatistics : torch::CustomClassHolder {
  // Those of `x`, which is in its row format. Moves the running ones by each view's, in order.
  static c10::intrusive_ptr<BatchStatistics> of(const at::Tensor& x, const BatchNorm& norm);

  // `x` normalised, + residual where it is defined, through ReLU where that is asked for.
  virtual at::Tensor normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                               const at::Tensor& bias) = 0;

  struct Gradients {
    at::Tensor x, weight, bias, residual;
  };

  // From the gradient of the output, given in two parts where `second` is defined. `y` is the output where there was a
  // residual before ReLU, else undefined.
  virtual Gradients gradients(const at::Tensor& gradient, const at::Tensor& second, const at::Tensor& x,
                              const at::Tensor& y, const at::Tensor& weight, const at::Tensor& bias, bool of_x) const = 0;
};

// Those of a map on the processor, and of one on a CUDA device.
c10::intrusive_ptr<BatchStatistics> processor_statistics(const at::Tensor& x, const BatchNorm& norm);
c10::intrusive_ptr<BatchStatistics> cuda_statistics(const CudaKernels& kernels, const at::Tensor& x, const BatchNorm& norm);
