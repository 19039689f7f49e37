// The stem's convolution on a CUDA device, with the help of cuda/stem.cu.
#include "stem.h"

#include <ATen/ATen.h>

#include "../cuda/cuda.h"
#include "../processor/processor.h"

bool suits_cuda_stem(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                     int64_t dilation) {
  const bool shape = weight.size(1) == 3 && weight.size(2) == 7 && weight.size(3) == 7 && stride == 2 && dilation == 1;
  const bool even = input.size(2) % 2 == 0 && input.size(3) % 2 == 0 && input.numel() > 0;
  return shape && even && !bias.defined() && !input.requires_grad() && CudaKernels::of(input);
}

at::Tensor cuda_stem(const at::Tensor& input, const at::Tensor& weight) {
  const auto x = channels_last(input);
  const int64_t channels = 16, height = x.size(2), width = x.size(3);
  auto blocks = at::empty({x.size(0), channels, height / 2 + 3, width / 2 + 3}, x.options(), at::MemoryFormat::ChannelsLast);
  const auto& kernels = *CudaKernels::of(x);
  kernels.launch(CudaKernel::stem_unshuffle, kernels.blocks_for(vectors_of(blocks)), {CudaKernels::THREADS},
                 x.const_data_ptr(), int(x.size(0)), int(height), int(width), blocks.mutable_data_ptr());
  // Row 2 a + b of the eight, of which the first is 0, is row b of the pixels in row a of the four; columns alike.
  const auto eight = at::constant_pad_nd(weight, {1, 0, 1, 0}).reshape({weight.size(0), 3, 4, 2, 4, 2});
  const auto four = eight.permute({0, 3, 5, 1, 2, 4}).reshape({weight.size(0), 12, 4, 4});
  return at::conv2d(blocks, at::constant_pad_nd(four, {0, 0, 0, 0, 0, channels - 12}));
}
