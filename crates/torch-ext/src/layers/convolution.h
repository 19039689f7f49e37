// Convolutions and linear layers without autograd, by the fastest way for each: what convolution.cpp and
// norm_convolution.cpp differentiate.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>

struct Convolution {
  int64_t stride, padding;

  // input [B, in, H, W], weight [out, in, k, k], bias [out] or undefined. With input [rows, in] and weight [out, in] a linear
  // layer.
  at::Tensor forward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) const;

  // The gradients of input, weight and bias that are asked for, from that of the output.
  std::array<at::Tensor, 3> gradients(const at::Tensor& gradient, const at::Tensor& input, const at::Tensor& weight,
                                      std::array<bool, 3> wanted) const;
};
