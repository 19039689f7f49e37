// Which of this folder's kernels this processor runs.
#pragma once

#include <ATen/core/Tensor.h>

#include "norm.h"
#include "pooling.h"
#include "sampling.h"
#include "winograd.h"

// The kernels for the instruction set of this processor; nulls where there are none.
struct Kernels {
  const WinogradKernels* winograd = nullptr;
  const NormKernels *norm_float = nullptr, *norm_bfloat16 = nullptr;
  const SamplingKernels *sampling_float = nullptr, *sampling_bfloat16 = nullptr;
  const PoolingKernels *pooling_float = nullptr, *pooling_bfloat16 = nullptr;
};

const Kernels& kernels();

// Those for the kind of this map, or null where there are none.
const NormKernels* norm_kernels(const at::Tensor& map);
const SamplingKernels* sampling_kernels(const at::Tensor& map);
const PoolingKernels* pooling_kernels(const at::Tensor& map);

inline at::Tensor channels_last(const at::Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); }
