#include "layers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "norm.h"
#include "winograd.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

#if defined(__x86_64__)
extern const WinogradKernels winograd_avx2, winograd_avx512;
extern const NormKernels norm_avx2, norm_avx512;
#endif

namespace {

struct Kernels {
  const WinogradKernels* winograd;
  const NormKernels* norm;
};

// The kernels for this processor, or nulls where there are none.
Kernels kernels() {
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("x86-64-v4"), avx2 = __builtin_cpu_supports("x86-64-v3");
  if (avx512) return {&winograd_avx512, &norm_avx512};
  if (avx2) return {&winograd_avx2, &norm_avx2};
#endif
  return {nullptr, nullptr};
}

bool is_float_on_processor(const at::Tensor& tensor) { return tensor.is_cpu() && tensor.scalar_type() == at::kFloat; }

at::Tensor channels_last(const at::Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); }

// ---- convolution

// Whether the kernels take these, and spare work: weights are transformed at every call, which few positions for many
// channels do not pay back.
bool suits_winograd(const at::Tensor& input, const at::Tensor& weight) {
  auto whole = [&](int axis) { return weight.size(axis) % 16 == 0; };
  return kernels().winograd && is_float_on_processor(input) && is_float_on_processor(weight) && whole(0) && whole(1) && input.size(0) > 0 &&
         4 * input.size(0) * input.size(2) * input.size(3) >= weight.size(0);
}

ConvolutionShape shape_of(const at::Tensor& input, const at::Tensor& weight) {
  return {int(input.size(0)), int(input.size(2)), int(input.size(3)), int(weight.size(1)), int(weight.size(0))};
}

// A 3x3 convolution of stride 1 and padding 1 by the kernels of winograd.h, with its gradients.
struct Convolution3x3 : Function<Convolution3x3> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_input,
                            const at::Tensor& given_weight) {
    auto input = channels_last(given_input), weight = channels_last(given_weight);
    context->save_for_backward({input, weight});
    auto shape = shape_of(input, weight);
    auto output = at::empty({shape.batch, shape.out, shape.height, shape.width}, input.options(),
                            at::MemoryFormat::ChannelsLast);
    kernels().winograd->forward(input.const_data_ptr<float>(), weight.const_data_ptr<float>(),
                                output.mutable_data_ptr<float>(), shape, at::get_num_threads());
    return output;
  }

  static variable_list backward(AutogradContext* context,
                                                 variable_list gradients) {
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

// ---- batch norm

// The layout in which a row holds the channels of one position.
at::MemoryFormat row_format(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

Rows rows_of(const at::Tensor& tensor) {
  return {size_t(tensor.numel() / tensor.size(1)), int(tensor.size(1)), at::get_num_threads()};
}

std::vector<float> floats_of(const at::Tensor& tensor, int channels, float otherwise) {
  if (!tensor.defined()) return std::vector<float>(channels, otherwise);
  auto whole = tensor.contiguous();
  return std::vector<float>(whole.const_data_ptr<float>(), whole.const_data_ptr<float>() + channels);
}

// What normalisation comes to for each channel: y = x * scale + shift.
struct Affine {
  std::vector<float> scale, shift;

  Affine(const std::vector<double>& mean, const std::vector<double>& variance, double epsilon,
         const std::vector<float>& weight, const std::vector<float>& bias)
      : scale(mean.size()), shift(mean.size()) {
    for (size_t c = 0; c < mean.size(); c++) {
      const double factor = weight[c] / std::sqrt(variance[c] + epsilon);
      scale[c] = float(factor);
      shift[c] = float(bias[c] - mean[c] * factor);
    }
  }
};

// In training: statistics of the batch.
struct BatchNorm : Function<BatchNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const std::optional<at::Tensor>& given_weight, const std::optional<at::Tensor>& given_bias,
                            const std::optional<at::Tensor>& given_residual, const at::Tensor& running_mean,
                            const at::Tensor& running_var, bool relu, double momentum, double epsilon) {
    const auto x = given.contiguous(row_format(given));
    const auto weight = given_weight.value_or(at::Tensor()), bias = given_bias.value_or(at::Tensor());
    const auto residual = given_residual ? given_residual->contiguous(row_format(x)) : at::Tensor();
    const Rows rows = rows_of(x);
    TORCH_CHECK(rows.count > 1, "batch norm needs more than one value a channel to train");
    std::vector<double> mean(rows.channels), variance(rows.channels);
    kernels().norm->moments(x.const_data_ptr<float>(), rows, mean.data(), variance.data());
    float *mean_so_far = running_mean.mutable_data_ptr<float>(), *var_so_far = running_var.mutable_data_ptr<float>();
    const double unbiased = double(rows.count) / (rows.count - 1);
    for (int c = 0; c < rows.channels; c++) {
      mean_so_far[c] = float((1 - momentum) * mean_so_far[c] + momentum * mean[c]);
      var_so_far[c] = float((1 - momentum) * var_so_far[c] + momentum * variance[c] * unbiased);
    }
    const Affine affine(mean, variance, epsilon, floats_of(weight, rows.channels, 1), floats_of(bias, rows.channels, 0));
    auto y = at::empty_like(x);
    kernels().norm->normalise(x.const_data_ptr<float>(), residual.defined() ? residual.const_data_ptr<float>() : nullptr,
                              affine.scale.data(), affine.shift.data(), relu, rows, y.mutable_data_ptr<float>());
    // With a residual, where ReLU passes can only be told from its output.
    context->save_for_backward({x, weight, bias, residual.defined() && relu ? y : at::Tensor()});
    context->saved_data["mean"] = mean;
    context->saved_data["variance"] = variance;
    context->saved_data["relu"] = relu;
    context->saved_data["residual"] = residual.defined();
    context->saved_data["epsilon"] = epsilon;
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &y = saved[3];
    const auto gradient = gradients[0].contiguous(row_format(x));
    const auto mean = context->saved_data["mean"].toDoubleVector();
    const auto variance = context->saved_data["variance"].toDoubleVector();
    const double epsilon = context->saved_data["epsilon"].toDouble();
    const bool relu = context->saved_data["relu"].toBool(), has_residual = context->saved_data["residual"].toBool();
    const Rows rows = rows_of(x);
    const Affine affine(mean, variance, epsilon, floats_of(weight, rows.channels, 1), floats_of(bias, rows.channels, 0));
    const std::vector<float> centre(mean.begin(), mean.end());

    // The gradient behind ReLU is the residual's; written once, the second sweep reads it.
    at::Tensor passed = relu && has_residual ? at::empty_like(x) : at::Tensor();
    std::vector<double> sum(rows.channels), sum_centred(rows.channels);
    kernels().norm->gradient_sums(gradient.const_data_ptr<float>(), x.const_data_ptr<float>(),
                                  y.defined() ? y.const_data_ptr<float>() : nullptr, affine.scale.data(),
                                  affine.shift.data(), centre.data(), relu, rows,
                                  passed.defined() ? passed.mutable_data_ptr<float>() : nullptr, sum.data(),
                                  sum_centred.data());
    at::Tensor of_x, of_weight, of_bias;
    if (weight.defined()) {
      of_weight = at::empty_like(weight);
      of_bias = at::empty_like(bias);
      for (int c = 0; c < rows.channels; c++) {
        of_weight.mutable_data_ptr<float>()[c] = float(sum_centred[c] / std::sqrt(variance[c] + epsilon));
        of_bias.mutable_data_ptr<float>()[c] = float(sum[c]);
      }
    }
    if (context->needs_input_grad(0)) {
      std::vector<float> by_x(rows.channels), offset(rows.channels);
      for (int c = 0; c < rows.channels; c++) {
        const double slope = -double(affine.scale[c]) * sum_centred[c] / (variance[c] + epsilon) / rows.count;
        by_x[c] = float(slope);
        offset[c] = float(-double(affine.scale[c]) * sum[c] / rows.count - slope * mean[c]);
      }
      of_x = at::empty_like(x);
      const auto& behind = passed.defined() ? passed : gradient;
      kernels().norm->input_gradient(behind.const_data_ptr<float>(), x.const_data_ptr<float>(), affine.scale.data(),
                                     affine.shift.data(), relu && !passed.defined(), by_x.data(), offset.data(), rows,
                                     of_x.mutable_data_ptr<float>());
    }
    const auto of_residual = !has_residual ? at::Tensor() : passed.defined() ? passed : gradient;
    return {of_x, of_weight, of_bias, of_residual, {}, {}, {}, {}, {}};
  }
};

}  // namespace

at::Tensor convolution_3x3(const at::Tensor& input, const at::Tensor& weight) {
  TORCH_CHECK(input.dim() == 4 && weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 &&
                  input.size(1) == weight.size(1),
              "a 3x3 weight for ", input.sizes(), " cannot be ", weight.sizes());
  return suits_winograd(input, weight) ? Convolution3x3::apply(input, weight) : at::conv2d(input, weight, {}, 1, 1);
}

at::Tensor batch_norm(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& running_mean, const at::Tensor& running_var, const at::Tensor& residual,
                      bool relu, bool train, double momentum, double epsilon) {
  const bool shape = (input.dim() == 2 || input.dim() == 4) && input.numel() > 0;
  if (train && kernels().norm && is_float_on_processor(input) && is_float_on_processor(running_mean) && shape) {
    // Autograd takes no undefined tensor for an argument.
    auto optional = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
    return BatchNorm::apply(input, optional(weight), optional(bias), optional(residual), running_mean, running_var, relu, momentum, epsilon);
  }
  auto y = at::batch_norm(input, weight, bias, running_mean, running_var, train, momentum, epsilon, true);
  if (residual.defined()) y = y.add_(residual);
  return relu ? y.relu_() : y;
}
