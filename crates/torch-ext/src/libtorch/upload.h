// A tensor of the processor copied to a device.
#pragma once

#include <ATen/core/Tensor.h>

// On a CUDA device neither the host nor the current computation waits for the copy, which uses page-locked memory and runs beside
// the computation; what is queued next does wait. On the processor it is the tensor itself.
at::Tensor upload(const at::Tensor& tensor, at::Device device);
