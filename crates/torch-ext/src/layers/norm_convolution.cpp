// Batch norm, ReLU and a convolution or linear layer as one node of the graph, which keeps only the map before the
// norm. The input of the convolution is recomputed for its gradient by one sweep, instead of being kept from forward to
// backward.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../cuda/cuda.h"
#include "batch_norm.h"
#include "convolution.h"
#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct NormConvolving : Function<NormConvolving> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const at::Tensor& norm_weight,
                            const at::Tensor& norm_bias, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const BatchNorm& norm,
                            const Convolution& convolution) {
    const auto x = given.contiguous(row_format(given));
    const auto statistics = BatchStatistics::of(x, norm);
    context->save_for_backward({x, norm_weight, norm_bias, weight});
    auto& data = context->saved_data;
    data["statistics"] = c10::IValue::make_capsule(statistics);
    data["bias"] = bias.has_value();
    data["stride"] = convolution.stride;
    data["dilation"] = convolution.dilation;
    return convolution.forward(statistics->normalise(x, at::Tensor(), norm_weight, norm_bias), weight,
                               bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2], &weight = saved[3];
    auto& data = context->saved_data;
    const auto statistics = c10::static_intrusive_pointer_cast<BatchStatistics>(data["statistics"].toCapsule());
    const Convolution convolution{data["stride"].toInt(), data["dilation"].toInt()};
    auto y = statistics->normalise(x, at::Tensor(), norm_weight, norm_bias);
    const auto [of_y, of_weight, of_bias] =
        convolution.gradients(gradients[0], y, weight, {true, true, data["bias"].toBool()});
    y.reset();
    const auto of = statistics->gradients(of_y, at::Tensor(), x, at::Tensor(), norm_weight, norm_bias, true);
    return {of.x, of.weight, of.bias, of_weight, of_bias, {}, {}};
  }
};

}  // namespace

at::Tensor norm_convolution(const at::Tensor& input, const BatchNorm& norm, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t stride, int64_t dilation) {
  TORCH_CHECK(!norm.residual.defined() && norm.weight.defined(), "a norm before a convolution is affine, without residual");
  check_norm(input, norm);
  // On a CUDA device memory is not scarce, and a sweep takes a tenth of the layer's time.
  if (CudaKernels::of(input) || !suits_batch_norm_kernels(input, norm)) {
    const auto y = batch_norm(input, norm)[0];
    return y.dim() == 2 ? at::linear(y, weight, optional(bias)) : convolution(y, weight, bias, stride, dilation);
  }
  TORCH_CHECK(weight.dim() == input.dim() && input.size(1) == weight.size(1), "a weight of ", weight.sizes(),
              " cannot be applied to ", input.sizes());
  return NormConvolving::apply(input, norm.weight, norm.bias, weight, optional(bias), norm,
                               Convolution{stride, dilation});
}
