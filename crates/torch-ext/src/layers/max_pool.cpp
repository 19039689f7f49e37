// Max pooling with gradients, by the kernels of the processor, by those of CUDA, or by libtorch.
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

MaxPoolShape shape_of(at::IntArrayRef map) { return {int(map[0]), int(map[1]), int(map[2]), int(map[3])}; }

// The shape in the form that cuda/max_pool.cu takes.
struct CudaShape {
  int batch, vectors, height, width, out_height, out_width;

  CudaShape(const at::Tensor& map, const MaxPoolShape& shape)
      : batch(shape.batch),
        vectors(shape.channels / vector_width(map)),
        height(shape.height),
        width(shape.width),
        out_height(shape.out_height()),
        out_width(shape.out_width()) {}
};

struct MaxPool : Function<MaxPool> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given) {
    const auto map = aligned(channels_last(given));
    const auto shape = shape_of(map.sizes());
    auto out = at::empty({shape.batch, shape.channels, shape.out_height(), shape.out_width()}, map.options(),
                         at::MemoryFormat::ChannelsLast);
    auto places = at::empty(out.sizes(), out.options().dtype(at::kByte), at::MemoryFormat::ChannelsLast);
    if (const auto* cuda = CudaKernels::of_vectors(map))
      cuda->launch(CudaKernel::max_pool_forward, cuda->blocks_for(vectors_of(out)), {CudaKernels::THREADS},
                   map.const_data_ptr(), CudaShape(map, shape), out.mutable_data_ptr(), places.mutable_data_ptr());
    else
      max_pool_kernels(map)->forward(map.const_data_ptr(), out.mutable_data_ptr(), places.mutable_data_ptr<uint8_t>(),
                                     shape, at::get_num_threads());
    context->save_for_backward({places});
    context->saved_data["size"] = map.sizes();
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto places = context->get_saved_variables()[0];
    const auto size = context->saved_data["size"].toIntVector();
    const auto of_out = aligned(channels_last(gradients[0]));
    auto of_map = at::empty(size, of_out.options(), at::MemoryFormat::ChannelsLast);
    const auto shape = shape_of(size);
    if (const auto* cuda = CudaKernels::of_vectors(of_out))
      cuda->launch(CudaKernel::max_pool_gradient, cuda->blocks_for(vectors_of(of_map)), {CudaKernels::THREADS},
                   of_out.const_data_ptr(), places.const_data_ptr(), CudaShape(of_out, shape), of_map.mutable_data_ptr());
    else
      max_pool_kernels(of_out)->map_gradient(of_out.const_data_ptr(), places.const_data_ptr<uint8_t>(),
                                             of_map.mutable_data_ptr(), shape, at::get_num_threads());
    return {of_map};
  }
};

}  // namespace

at::Tensor max_pool(const at::Tensor& map) {
  TORCH_CHECK(map.dim() == 4, "max pooling of ", map.sizes());
  const bool kernels = max_pool_kernels(map) || CudaKernels::of_vectors(map);
  if (kernels && map.numel() > 0) return MaxPool::apply(map);
  return at::max_pool2d(map, 3, 2, 1);
}
