// The stem's convolution on a CUDA device, with a gradient for the weight.
#pragma once

#include <ATen/core/Tensor.h>

// Whether this is the convolution of a ResNet's stem, and there are kernels for it.
bool suits_cuda_stem(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                     int64_t dilation);

// A 7x7 convolution of three colours, with even sides, at a stride of 2 with a border of 3.
at::Tensor cuda_stem(const at::Tensor& input, const at::Tensor& weight);
