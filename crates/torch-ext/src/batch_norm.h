// Batch norm by the kernels of norm.h, without autograd: what batch_norm.cpp and norm_convolution.cpp differentiate.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>

#include <vector>

#include "layers.h"
#include "norm.h"

// Throws where shapes or devices do not fit together.
void check_norm(const at::Tensor& input, const BatchNorm& norm);

// Whether the kernels take this in training.
bool suits_norm_kernels(const at::Tensor& input, const BatchNorm& norm);

// The layout in which a row holds the channels of one position.
at::MemoryFormat row_format(const at::Tensor& tensor);

// Statistics of each view of a batch, and normalisation by them.
struct BatchStatistics : torch::CustomClassHolder {
  struct Moments {
    std::vector<double> mean, variance;
  };

  // Those of `x`, which is in its row format.
  BatchStatistics(const at::Tensor& x, const BatchNorm& norm);

  // Moves the running ones by each view's, in order.
  void move_running(const BatchNorm& norm) const;

  // `x` normalised, + residual where it is defined, through ReLU where that is asked for.
  at::Tensor normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                       const at::Tensor& bias) const;

  struct Gradients {
    at::Tensor x, weight, bias, residual;
  };

  // From the gradient of the output, given in two parts where `second` is defined. `y` is the output where there was a
  // residual before ReLU, else undefined.
  Gradients gradients(const at::Tensor& gradient, const at::Tensor& second, const at::Tensor& x, const at::Tensor& y,
                      const at::Tensor& weight, const at::Tensor& bias, bool of_x) const;

  Rows rows;
  double epsilon;
  bool relu;
  std::vector<Moments> moments;
};
