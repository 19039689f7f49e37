// Sampling of maps with gradients, by the kernels of the processor, by those of CUDA, or by libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../cuda/cuda.h"
#include "../processor/processor.h"
#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// The shape in the form that cuda/sample.cu takes.
struct CudaShape {
  int batch, vectors, height, width, points;

  CudaShape(const at::Tensor& map, const SampleShape& shape)
      : batch(shape.batch),
        vectors(shape.channels / vector_width(map)),
        height(shape.height),
        width(shape.width),
        points(shape.points) {}
};

at::Tensor cuda_map_gradient(const CudaKernels& kernels, const at::Tensor& of_out, const at::Tensor& grid,
                             const SampleShape& shape, at::IntArrayRef size) {
  auto empty = [&](at::ScalarType kind) {
    return at::empty(size, of_out.options().dtype(kind), at::MemoryFormat::ChannelsLast);
  };
  const CudaShape cuda_shape(of_out, shape);
  const int cells = shape.height * shape.width;
  // Every cell reads every point; pictures are the second axis of a grid of blocks, whose limit is 65,535.
  if (int64_t(cells) * shape.points <= 1 << 16 && shape.batch <= 65535) {
    const auto of_map = empty(of_out.scalar_type());
    const Extent blocks{unsigned(cells), unsigned(shape.batch),
                        unsigned(cuda_shape.vectors + CudaKernels::THREADS - 1) / CudaKernels::THREADS};
    kernels.launch(CudaKernel::sample_gather_gradient, blocks, {CudaKernels::THREADS}, of_out.const_data_ptr(),
                   grid.const_data_ptr(), cuda_shape, of_map.mutable_data_ptr());
    return of_map;
  }
  const auto sums = empty(at::kFloat).zero_();
  kernels.launch(CudaKernel::sample_scatter_gradient, kernels.blocks_for(vectors_of(of_out)),
                 {CudaKernels::THREADS}, of_out.const_data_ptr(), grid.const_data_ptr(), cuda_shape,
                 sums.mutable_data_ptr());
  return sums.to(of_out.scalar_type());
}

// A map [B, C, h, w] at a grid [B, H, W, 2] of float32.
struct Sample : Function<Sample> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_map, const at::Tensor& given_grid) {
    const auto map = aligned(channels_last(given_map)), grid = aligned(given_grid.contiguous());
    context->save_for_backward({grid});
    context->saved_data["size"] = map.sizes();
    auto out = at::empty({map.size(0), map.size(1), grid.size(1), grid.size(2)}, map.options(),
                         at::MemoryFormat::ChannelsLast);
    const auto shape = shape_of(map.sizes(), grid);
    if (const auto* cuda = CudaKernels::of_vectors(map))
      cuda->launch(CudaKernel::sample_forward, cuda->blocks_for(vectors_of(out)), {CudaKernels::THREADS},
                   map.const_data_ptr(), grid.const_data_ptr(), CudaShape(map, shape), out.mutable_data_ptr());
    else
      sample_kernels(map)->forward(map.const_data_ptr(), grid.const_data_ptr<float>(), out.mutable_data_ptr(), shape,
                                   at::get_num_threads());
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto grid = context->get_saved_variables()[0];
    const auto size = context->saved_data["size"].toIntVector();
    const auto of_out = aligned(channels_last(gradients[0]));
    const auto shape = shape_of(size, grid);
    if (const auto* cuda = CudaKernels::of_vectors(of_out)) return {cuda_map_gradient(*cuda, of_out, grid, shape, size), {}};
    auto of_map = at::empty(size, of_out.options(), at::MemoryFormat::ChannelsLast);
    sample_kernels(of_out)->map_gradient(of_out.const_data_ptr(), grid.const_data_ptr<float>(),
                                         of_map.mutable_data_ptr(), shape, at::get_num_threads());
    return {of_map, {}};
  }

  static SampleShape shape_of(at::IntArrayRef map, const at::Tensor& grid) {
    return {int(map[0]), int(map[1]), int(map[2]), int(map[3]), int(grid.size(1) * grid.size(2))};
  }
};

}  // namespace

at::Tensor sample(const at::Tensor& map, const at::Tensor& grid) {
  TORCH_CHECK(map.dim() == 4 && grid.dim() == 4 && grid.size(3) == 2 && map.size(0) == grid.size(0), "a map of ",
              map.sizes(), " cannot be read at a grid of ", grid.sizes());
  const bool kernels = sample_kernels(map) || CudaKernels::of_vectors(map);
  if (kernels && grid.device() == map.device() && grid.scalar_type() == at::kFloat && !grid.requires_grad() && map.numel() > 0)
    return Sample::apply(map, grid);
  const int64_t bilinear = 0, border = 1;
  return at::grid_sampler(map.to(grid.scalar_type()), grid, bilinear, border, false).to(map.scalar_type());
}
