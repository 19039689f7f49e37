// Statistics and normalisation of maps on a CUDA device, by the kernels of cuda/batch_norm.cu.
#include <ATen/ATen.h>

#include "../cuda/cuda.h"
#include "../group/group.h"
#include "batch_norm.h"

namespace {

// The arrangement of a sweep's blocks over a map, and the shape of the map.
struct Sweep {
  int views, rows, channels, vectors;
  Extent blocks, threads;

  Sweep(const CudaKernels& kernels, const at::Tensor& x, int64_t of_views)
      : views(of_views),
        rows(x.numel() / x.size(1) / of_views),
        channels(x.size(1)),
        vectors(x.size(1) / vector_width(x)) {
    auto blocks_for = [](int count, int size) { return unsigned((count + size - 1) / size); };
    // If rows have few vectors, the other threads take more rows at once.
    threads.x = 1;
    while (threads.x < 32 && int(threads.x) < vectors) threads.x *= 2;
    threads.y = CudaKernels::THREADS / threads.x;
    blocks.x = blocks_for(vectors, threads.x);
    blocks.z = views;
    const unsigned fill = kernels.multiprocessors() * CudaKernels::BLOCKS / (blocks.x * blocks.z);
    blocks.y = std::max(1u, std::min(fill, blocks_for(rows, threads.y)));
  }

  // Blocks and threads of the kernels that take 32 channels per block, and of those that take one channel per thread.
  Extent channel_blocks() const { return {unsigned(channels + 31) / 32}; }
  static Extent channel_threads() { return {32, 32}; }
  Extent plain_blocks() const { return {unsigned(channels + CudaKernels::THREADS - 1) / CudaKernels::THREADS}; }
  static Extent plain_threads() { return {CudaKernels::THREADS}; }

  // Room for the sums of the sweep's blocks.
  at::Tensor partial_sums(const at::Tensor& x) const {
    return at::empty({views, blocks.y, 2, channels}, x.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous));
  }

  // Room for what the processes of a group add up: two sums of each view and channel, and one more number.
  at::Tensor sums_of_group(const at::Tensor& x) const {
    return at::zeros({2 * views * channels + 1}, x.options().dtype(at::kDouble).memory_format(at::MemoryFormat::Contiguous));
  }
};

const void* read(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; }
void* write(const at::Tensor& tensor) { return tensor.defined() ? tensor.mutable_data_ptr() : nullptr; }

struct CudaStatistics : BatchStatistics {
  // The number of arrays over all channels for each view, as in cuda/batch_norm.cu.
  static constexpr int COEFFICIENTS = 4, GRADIENT_COEFFICIENTS = 2;

  CudaStatistics(const CudaKernels& of_device, const at::Tensor& x, const BatchNorm& norm)
      : kernels(of_device),
        sweep(kernels, x, norm.views),
        relu(norm.relu),
        group(norm.group),
        coefficients(at::empty({sweep.views, COEFFICIENTS, sweep.channels}, norm.running_mean.options())) {
    const auto partial = sweep.partial_sums(x);
    if (group) sums = sweep.sums_of_group(x);
    kernels.launch(CudaKernel::batch_norm_moments, sweep.blocks, sweep.threads, read(x), sweep.rows, sweep.vectors,
                   write(partial));
    kernels.launch(CudaKernel::batch_norm_statistics, sweep.channel_blocks(), sweep.channel_threads(), read(partial),
                   int(sweep.blocks.y), int(sweep.threads.y), sweep.rows, sweep.channels, sweep.views, read(norm.weight),
                   read(norm.bias), write(norm.running_mean), write(norm.running_var), norm.momentum, norm.epsilon,
                   write(coefficients), write(sums));
    if (!group) return;
    group->sum(sums);
    kernels.launch(CudaKernel::batch_norm_of_sums, sweep.plain_blocks(), sweep.plain_threads(), read(sums), sweep.channels,
                   sweep.views, read(norm.weight), read(norm.bias), write(norm.running_mean), write(norm.running_var),
                   norm.momentum, norm.epsilon, write(coefficients));
  }

  at::Tensor normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor&,
                       const at::Tensor&) override {
    auto y = at::empty_like(x);
    if (residual.defined() && relu) passes = at::empty({vectors_of(x)}, x.options().dtype(at::kByte));
    kernels.launch(CudaKernel::batch_norm_normalise, sweep.blocks, sweep.threads, read(x), read(residual),
                   read(coefficients), relu, sweep.rows, sweep.vectors, write(y), write(passes));
    return y;
  }

  Gradients gradients(const at::Tensor& given, const at::Tensor& given_second, const at::Tensor& x, const at::Tensor&,
                      const at::Tensor& weight, const at::Tensor& bias, bool of_x) const override {
    const auto gradient = in_form_of(x, given), second = in_form_of(x, given_second);
    // The gradient before the sum and ReLU is the residual's; it is written once, and the second sweep reads it.
    const bool differs = second.defined() || passes.defined();
    const Gradients result{of_x ? at::empty_like(x) : at::Tensor(),
                           weight.defined() ? at::empty_like(weight) : weight,
                           bias.defined() ? at::empty_like(bias) : bias, differs ? at::empty_like(x) : gradient};
    const auto partial = sweep.partial_sums(x);
    kernels.launch(CudaKernel::batch_norm_gradient_sums, sweep.blocks, sweep.threads, read(gradient), read(second),
                   read(x), read(passes), read(coefficients), relu, sweep.rows, sweep.vectors,
                   differs ? write(result.residual) : nullptr, write(partial));
    const auto of_gradient = at::empty({sweep.views, GRADIENT_COEFFICIENTS, sweep.channels}, coefficients.options());
    const auto of_group = group ? sweep.sums_of_group(x) : at::Tensor();
    kernels.launch(CudaKernel::batch_norm_gradient_coefficients, sweep.channel_blocks(), sweep.channel_threads(),
                   read(partial), int(sweep.blocks.y), sweep.rows, sweep.channels, sweep.views, read(coefficients),
                   write(result.weight), write(result.bias), write(of_gradient), write(of_group));
    if (group) {
      // The gradients of weight and bias are of this process alone, and are summed with all other gradients.
      group->sum(of_group);
      kernels.launch(CudaKernel::batch_norm_gradient_of_sums, sweep.plain_blocks(), sweep.plain_threads(), read(of_group),
                     read(sums.slice(0, -1)), sweep.channels, sweep.views, read(coefficients), write(of_gradient));
    }
    if (of_x)
      kernels.launch(CudaKernel::batch_norm_input_gradient, sweep.blocks, sweep.threads, read(result.residual), read(x),
                     read(coefficients), read(of_gradient), relu && !differs, sweep.rows, sweep.vectors, write(result.x));
    return result;
  }

  const CudaKernels& kernels;
  const Sweep sweep;
  const bool relu;
  const Group* group;
  const at::Tensor coefficients;
  // Of all processes of the group, with the values of a channel in a view as the last number; they stay on the device.
  at::Tensor sums;
  // Where ReLU passed after a residual, which x alone does not tell; a bit for each value.
  at::Tensor passes;
};

}  // namespace

c10::intrusive_ptr<BatchStatistics> cuda_statistics(const CudaKernels& kernels, const at::Tensor& x, const BatchNorm& norm) {
  return c10::make_intrusive<CudaStatistics>(kernels, x, norm);
}
