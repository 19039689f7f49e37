// Convolutions and linear layers without autograd, by the fastest method for each; convolution.cpp and
// norm_convolution.cpp add the gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

struct Convolution {
  int64_t stride, dilation;

  // input [B, in, H, W], weight [out, in, k, k], bias [out] or undefined. With input [rows, in] and weight [out, in]
  // this is a linear layer.
  at::Tensor forward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) const;

  int64_t padding(const at::Tensor& weight) const { return dilation * (weight.size(2) / 2); }

  // The requested gradients of input, weight and bias, from the gradient of the output.
  std::array<at::Tensor, 3> gradients(const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight,
                                      std::array<bool, 3> wanted) const;
};
