// This folder: the kernels on the processor. They are loops over plain arrays and know neither tensors nor layers, so
// that build.rs can compile them once for each instruction set. This file: the choice of the kernels for this
// processor.
#pragma once

#include <ATen/core/Tensor.h>

#include "batch_norm.h"
#include "clusters.h"
#include "max_pool.h"
#include "roi_align.h"
#include "sample.h"
#include "winograd.h"

// The kernels for the instruction set of this processor; null pointers if there are none.
struct Kernels {
  // `avx2` or `avx512`.
  const char* instructions = nullptr;
  const WinogradKernels* winograd = nullptr;
  const BatchNormKernels *batch_norm_float = nullptr, *batch_norm_bfloat16 = nullptr;
  const SampleKernels *sample_float = nullptr, *sample_bfloat16 = nullptr;
  const MaxPoolKernels *max_pool_float = nullptr, *max_pool_bfloat16 = nullptr;
  const RoiAlignKernels *roi_align_float = nullptr, *roi_align_bfloat16 = nullptr;
  const ClusterKernels* clusters = nullptr;
};

const Kernels& kernels();

// The kernels for the kind of this map, or null if there are none.
const BatchNormKernels* batch_norm_kernels(const at::Tensor& map);
const SampleKernels* sample_kernels(const at::Tensor& map);
const MaxPoolKernels* max_pool_kernels(const at::Tensor& map);
const RoiAlignKernels* roi_align_kernels(const at::Tensor& map);
// Those for rows in float32, or null.
const ClusterKernels* cluster_kernels(const at::Tensor& rows);

inline at::Tensor channels_last(const at::Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); }
