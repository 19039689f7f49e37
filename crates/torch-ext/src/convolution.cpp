// Convolutions with gradients: by Winograd's products, by one product of matrices, or by libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "layers.h"
#include "processor.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

bool are(at::ScalarType kind, const at::Tensor& input, const at::Tensor& weight) {
  return input.is_cpu() && input.scalar_type() == kind && weight.scalar_type() == kind;
}

// ---- 3x3, stride 1, float32

// Whether the kernels take these, and spare work: weights are transformed at every call, which few positions for many
// channels do not pay back.
bool suits_winograd(const at::Tensor& input, const at::Tensor& weight) {
  auto whole = [&](int axis) { return weight.size(axis) % 16 == 0; };
  return kernels().winograd && are(at::kFloat, input, weight) && whole(0) && whole(1) && input.size(0) > 0 &&
         4 * input.size(0) * input.size(2) * input.size(3) >= weight.size(0);
}

ConvolutionShape shape_of(const at::Tensor& input, const at::Tensor& weight) {
  return {int(input.size(0)), int(input.size(2)), int(input.size(3)), int(weight.size(1)), int(weight.size(0))};
}

// By the kernels of winograd.h; padding 1.
struct Convolution3x3 : Function<Convolution3x3> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_input, const at::Tensor& given_weight) {
    auto input = channels_last(given_input), weight = channels_last(given_weight);
    context->save_for_backward({input, weight});
    auto shape = shape_of(input, weight);
    auto output = at::empty({shape.batch, shape.out, shape.height, shape.width}, input.options(),
                            at::MemoryFormat::ChannelsLast);
    kernels().winograd->forward(input.const_data_ptr<float>(), weight.const_data_ptr<float>(),
                                output.mutable_data_ptr<float>(), shape, at::get_num_threads());
    return output;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto input = saved[0], weight = saved[1], gradient = channels_last(gradients[0]);
    auto shape = shape_of(input, weight);
    const float* g = gradient.const_data_ptr<float>();
    const int threads = at::get_num_threads();
    at::Tensor of_input, of_weight;
    if (context->needs_input_grad(0)) {
      of_input = at::empty_like(input);
      kernels().winograd->input_gradient(g, weight.const_data_ptr<float>(), of_input.mutable_data_ptr<float>(), shape,
                                         threads);
    }
    if (context->needs_input_grad(1)) {
      of_weight = at::empty_like(weight);
      kernels().winograd->weight_gradient(input.const_data_ptr<float>(), g, of_weight.mutable_data_ptr<float>(), shape,
                                          threads);
    }
    return {of_input, of_weight};
  }
};

// ---- 1x1, stride 1, bfloat16

// The map as a matrix [positions, channels]; no copy where channels lie side by side.
at::Tensor rows_of(const at::Tensor& map) { return map.permute({0, 2, 3, 1}).reshape({-1, map.size(1)}); }

// oneDNN's gradient of the weights is slow for 1x1 kernels; it is one product of matrices.
struct Convolution1x1 : Function<Convolution1x1> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias) {
    auto input = channels_last(given_input);
    context->save_for_backward({input, weight});
    context->saved_data["bias"] = bias.has_value();
    return at::conv2d(input, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto input = saved[0], weight = saved[1], gradient = channels_last(gradients[0]);
    at::Tensor of_input, of_weight, of_bias;
    if (context->needs_input_grad(0)) {
      of_input = std::get<0>(at::convolution_backward(gradient, input, weight, at::OptionalIntArrayRef(), {1, 1}, {0, 0},
                                                      {1, 1}, false, {0, 0}, 1, {true, false, false}));
    }
    if (context->needs_input_grad(1)) of_weight = product(rows_of(gradient), rows_of(input)).view_as(weight);
    if (context->saved_data["bias"].toBool()) of_bias = gradient.sum({0, 2, 3});
    return {of_input, of_weight, of_bias};
  }

  // gradient^T input. Each thread for its own share of many rows: one product over all would share the few outputs.
  static at::Tensor product(const at::Tensor& gradient, const at::Tensor& input) {
    const int64_t rows = input.size(0), threads = at::get_num_threads();
    if (rows % threads != 0 || rows / threads < 8192) return gradient.t().mm(input);
    auto shares = [&](const at::Tensor& matrix) { return matrix.view({threads, rows / threads, matrix.size(1)}); };
    return shares(gradient).transpose(1, 2).bmm(shares(input)).sum(0);
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                       int64_t padding) {
  TORCH_CHECK(input.dim() == 4 && weight.dim() == 4 && input.size(1) == weight.size(1), "a weight of ", weight.sizes(),
              " cannot convolve ", input.sizes());
  auto has_kernel = [&](int64_t size) { return weight.size(2) == size && weight.size(3) == size; };
  if (stride == 1 && padding == 1 && has_kernel(3) && !bias.defined() && suits_winograd(input, weight))
    return Convolution3x3::apply(input, weight);
  if (stride == 1 && padding == 0 && has_kernel(1) && are(at::kBFloat16, input, weight))
    return Convolution1x1::apply(input, weight, bias.defined() ? std::optional(bias) : std::nullopt);
  return at::conv2d(input, weight, bias, stride, padding);
}
