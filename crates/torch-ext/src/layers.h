// Layers that the kernels of this folder compute where they can, and libtorch everywhere else; with gradients.
#pragma once

#include <ATen/core/Tensor.h>

// A 3x3 convolution of stride 1 and padding 1: input [B, in, H, W], weight [out, in, 3, 3].
at::Tensor convolution_3x3(const at::Tensor& input, const at::Tensor& weight);

// Batch norm over all axes but the second, + residual where it is defined, and ReLU with `relu`. In training the running
// statistics are moved by `momentum`. `weight` and `bias` are both defined or both not.
at::Tensor batch_norm(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& running_mean, const at::Tensor& running_var, const at::Tensor& residual,
                      bool relu, bool train, double momentum, double epsilon);
