// Sampling of maps with gradients, by the kernels of sampling.h or by libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "layers.h"
#include "processor.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// A map [B, C, h, w] at a grid [B, H, W, 2] of float32.
struct Sample : Function<Sample> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_map, const at::Tensor& given_grid) {
    const auto map = channels_last(given_map), grid = given_grid.contiguous();
    context->save_for_backward({grid});
    context->saved_data["size"] = map.sizes();
    auto out = at::empty({map.size(0), map.size(1), grid.size(1), grid.size(2)}, map.options(),
                         at::MemoryFormat::ChannelsLast);
    sampling_kernels(map)->forward(map.const_data_ptr(), grid.const_data_ptr<float>(), out.mutable_data_ptr(),
                                   shape_of(map.sizes(), grid), at::get_num_threads());
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto grid = context->get_saved_variables()[0];
    const auto size = context->saved_data["size"].toIntVector();
    const auto of_out = channels_last(gradients[0]);
    auto of_map = at::empty(size, of_out.options(), at::MemoryFormat::ChannelsLast);
    sampling_kernels(of_out)->map_gradient(of_out.const_data_ptr(), grid.const_data_ptr<float>(),
                                           of_map.mutable_data_ptr(), shape_of(size, grid), at::get_num_threads());
    return {of_map, {}};
  }

  static SamplingShape shape_of(at::IntArrayRef map, const at::Tensor& grid) {
    return {int(map[0]), int(map[1]), int(map[2]), int(map[3]), int(grid.size(1) * grid.size(2))};
  }
};

}  // namespace

at::Tensor sample(const at::Tensor& map, const at::Tensor& grid) {
  TORCH_CHECK(map.dim() == 4 && grid.dim() == 4 && grid.size(3) == 2 && map.size(0) == grid.size(0), "a map of ",
              map.sizes(), " cannot be read at a grid of ", grid.sizes());
  if (sampling_kernels(map) && grid.is_cpu() && grid.scalar_type() == at::kFloat && !grid.requires_grad() && map.numel() > 0)
    return Sample::apply(map, grid);
  const int64_t bilinear = 0, border = 1;
  return at::grid_sampler(map.to(grid.scalar_type()), grid, bilinear, border, false).to(map.scalar_type());
}
