// Batch norm with residual and ReLU, with gradients: by the kernels of norm.h, or by libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "layers.h"
#include "processor.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// The layout in which a row holds the channels of one position.
at::MemoryFormat row_format(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

// The values of one view in a map of several; null for an undefined map.
const void* part_of(const at::Tensor& map, const Rows& rows, int64_t view) {
  if (!map.defined()) return nullptr;
  return static_cast<const char*>(map.const_data_ptr()) + view * rows.count * rows.channels * map.element_size();
}

void* mutable_part_of(const at::Tensor& map, const Rows& rows, int64_t view) {
  return const_cast<void*>(part_of(map, rows, view));
}

std::vector<float> floats_of(const at::Tensor& tensor, int channels, float otherwise) {
  if (!tensor.defined()) return std::vector<float>(channels, otherwise);
  auto whole = tensor.contiguous();
  return std::vector<float>(whole.const_data_ptr<float>(), whole.const_data_ptr<float>() + channels);
}

// Statistics of one view's channels.
struct Moments {
  std::vector<double> mean, variance;

  explicit Moments(int channels) : mean(channels), variance(channels) {}
};

// What normalisation comes to for each channel: y = x * scale + shift.
struct Affine {
  std::vector<float> scale, shift;

  Affine(const Moments& moments, double epsilon, const std::vector<float>& weight, const std::vector<float>& bias)
      : scale(weight.size()), shift(weight.size()) {
    for (size_t c = 0; c < weight.size(); c++) {
      const double factor = weight[c] / std::sqrt(moments.variance[c] + epsilon);
      scale[c] = float(factor);
      shift[c] = float(bias[c] - moments.mean[c] * factor);
    }
  }
};

// In training, by the kernels.
struct Normalisation : Function<Normalisation> {
  // What backward needs besides tensors.
  struct State : torch::CustomClassHolder {
    std::vector<Moments> moments;
    Rows rows;
    double epsilon;
    bool relu, residual;
  };

  static variable_list forward(AutogradContext* context, const at::Tensor& given,
                               const std::optional<at::Tensor>& given_weight,
                               const std::optional<at::Tensor>& given_bias,
                               const std::optional<at::Tensor>& given_residual, const BatchNorm& norm) {
    const auto x = given.contiguous(row_format(given));
    const auto weight = given_weight.value_or(at::Tensor()), bias = given_bias.value_or(at::Tensor());
    const auto residual =
        given_residual ? given_residual->to(x.scalar_type()).contiguous(row_format(x)) : at::Tensor();
    auto state = c10::make_intrusive<State>();
    const int channels = int(x.size(1));
    const Rows rows = state->rows = {size_t(x.numel() / channels / norm.views), channels, at::get_num_threads()};
    TORCH_CHECK(rows.count > 1, "batch norm needs more than one value a channel to train");
    state->epsilon = norm.epsilon;
    state->relu = norm.relu;
    state->residual = residual.defined();

    const auto weights = floats_of(weight, channels, 1), biases = floats_of(bias, channels, 0);
    auto y = at::empty_like(x);
    const NormKernels& kernels = *norm_kernels(x);
    for (int64_t view = 0; view < norm.views; view++) {
      Moments& moments = state->moments.emplace_back(channels);
      kernels.moments(part_of(x, rows, view), rows, moments.mean.data(), moments.variance.data());
      move_running(norm, moments, rows.count);
      const Affine affine(moments, norm.epsilon, weights, biases);
      kernels.normalise(part_of(x, rows, view), part_of(residual, rows, view), affine.scale.data(),
                        affine.shift.data(), norm.relu, rows, mutable_part_of(y, rows, view));
    }
    // With a residual, where ReLU passes can only be told from its output.
    context->save_for_backward({x, weight, bias, residual.defined() && norm.relu ? y : at::Tensor()});
    context->saved_data["state"] = c10::IValue::make_capsule(state);
    context->set_materialize_grads(false);
    return {y, y.detach()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &bias = saved[2], &y = saved[3];
    const auto state = c10::static_intrusive_pointer_cast<State>(context->saved_data["state"].toCapsule());
    const Rows& rows = state->rows;
    auto as_x = [&](const at::Tensor& map) { return map.to(x.scalar_type()).contiguous(row_format(x)); };
    if (!gradients[0].defined()) std::swap(gradients[0], gradients[1]);
    const auto gradient = as_x(gradients[0]), second = gradients[1].defined() ? as_x(gradients[1]) : at::Tensor();

    // The gradient behind the sum and ReLU is the residual's; written once, the second sweep reads it.
    const bool differs = second.defined() || (state->relu && state->residual);
    const auto passed = differs ? at::empty_like(x) : at::Tensor();
    const auto of_x = context->needs_input_grad(0) ? at::empty_like(x) : at::Tensor();
    const auto weights = floats_of(weight, rows.channels, 1), biases = floats_of(bias, rows.channels, 0);
    std::vector<float> of_weights(rows.channels), of_biases(rows.channels);
    const NormKernels& kernels = *norm_kernels(x);
    for (size_t view = 0; view < state->moments.size(); view++) {
      const Moments& moments = state->moments[view];
      const Affine affine(moments, state->epsilon, weights, biases);
      const std::vector<float> centre(moments.mean.begin(), moments.mean.end());
      std::vector<double> sum(rows.channels), sum_centred(rows.channels);
      kernels.gradient_sums(part_of(gradient, rows, view), part_of(second, rows, view), part_of(x, rows, view),
                            part_of(y, rows, view), affine.scale.data(), affine.shift.data(), centre.data(),
                            state->relu, rows, mutable_part_of(passed, rows, view), sum.data(), sum_centred.data());
      std::vector<float> by_x(rows.channels), offset(rows.channels);
      for (int c = 0; c < rows.channels; c++) {
        const double variance = moments.variance[c] + state->epsilon;
        of_weights[c] += float(sum_centred[c] / std::sqrt(variance));
        of_biases[c] += float(sum[c]);
        const double slope = -double(affine.scale[c]) * sum_centred[c] / variance / rows.count;
        by_x[c] = float(slope);
        offset[c] = float(-double(affine.scale[c]) * sum[c] / rows.count - slope * moments.mean[c]);
      }
      if (!of_x.defined()) continue;
      kernels.input_gradient(part_of(differs ? passed : gradient, rows, view), part_of(x, rows, view),
                             affine.scale.data(), affine.shift.data(), state->relu && !differs, by_x.data(),
                             offset.data(), rows, mutable_part_of(of_x, rows, view));
    }
    auto like = [](const at::Tensor& parameter, const std::vector<float>& values) {
      if (!parameter.defined()) return at::Tensor();
      auto gradient = at::empty_like(parameter);
      std::copy(values.begin(), values.end(), gradient.mutable_data_ptr<float>());
      return gradient;
    };
    const auto of_residual = !state->residual ? at::Tensor() : differs ? passed : gradient;
    return {of_x, like(weight, of_weights), like(bias, of_biases), of_residual, {}};
  }

  static void move_running(const BatchNorm& norm, const Moments& moments, size_t count) {
    auto *mean = norm.running_mean.mutable_data_ptr<float>(), *variance = norm.running_var.mutable_data_ptr<float>();
    const double unbiased = double(count) / (count - 1), keep = 1 - norm.momentum;
    for (size_t c = 0; c < moments.mean.size(); c++) {
      mean[c] = float(keep * mean[c] + norm.momentum * moments.mean[c]);
      variance[c] = float(keep * variance[c] + norm.momentum * moments.variance[c] * unbiased);
    }
  }
};

// By libtorch.
at::Tensor plain(const at::Tensor& input, const at::Tensor& residual, const BatchNorm& norm) {
  auto y = at::batch_norm(input, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.views > 0,
                          norm.momentum, norm.epsilon, true);
  if (residual.defined()) y = y.add_(residual);
  return norm.relu ? y.relu_() : y;
}

}  // namespace

std::array<at::Tensor, 2> batch_norm(const at::Tensor& input, const BatchNorm& norm) {
  TORCH_CHECK(norm.views <= 1 || input.size(0) % norm.views == 0, "a batch of ", input.size(0), " does not hold ",
              norm.views, " equal views");
  const bool shape = (input.dim() == 2 || input.dim() == 4) && input.numel() > 0;
  const bool floats = norm.running_mean.is_cpu() && norm.running_mean.scalar_type() == at::kFloat;
  if (norm.views > 0 && norm_kernels(input) && floats && shape) {
    // Autograd takes no undefined tensor for an argument.
    auto optional = [](const at::Tensor& tensor) { return tensor.defined() ? std::optional(tensor) : std::nullopt; };
    auto outputs = Normalisation::apply(input, optional(norm.weight), optional(norm.bias), optional(norm.residual), norm);
    return {outputs[0], outputs[1]};
  }
  if (norm.views <= 1) {
    auto y = plain(input, norm.residual, norm);
    return {y, y};
  }
  std::vector<at::Tensor> parts;
  for (int64_t view = 0; view < norm.views; view++) {
    auto part = [&](const at::Tensor& map) { return map.defined() ? map.chunk(norm.views)[view] : map; };
    parts.push_back(plain(part(input), part(norm.residual), norm));
  }
  auto y = at::cat(parts);
  return {y, y};
}
