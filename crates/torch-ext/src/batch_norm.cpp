// Batch norm with residual and ReLU, with gradients: by the kernels of norm.h, or by libtorch.
#include "batch_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "processor.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

size_t bytes_of_view(const at::Tensor& map, const Rows& rows) {
  return rows.count * rows.channels * map.element_size();
}

// The values of one view in a map of several; null for an undefined map.
const void* part_of(const at::Tensor& map, const Rows& rows, size_t view) {
  if (!map.defined()) return nullptr;
  return static_cast<const char*>(map.const_data_ptr()) + view * bytes_of_view(map, rows);
}

void* mutable_part_of(const at::Tensor& map, const Rows& rows, size_t view) {
  return static_cast<char*>(map.mutable_data_ptr()) + view * bytes_of_view(map, rows);
}

std::vector<float> floats_of(const at::Tensor& tensor, int channels, float otherwise) {
  if (!tensor.defined()) return std::vector<float>(channels, otherwise);
  auto whole = tensor.contiguous();
  return std::vector<float>(whole.const_data_ptr<float>(), whole.const_data_ptr<float>() + channels);
}

// What normalisation comes to for each channel: y = x * scale + shift.
struct Affine {
  std::vector<float> scale, shift;

  Affine(const BatchStatistics::Moments& moments, double epsilon, const std::vector<float>& weight,
         const std::vector<float>& bias)
      : scale(weight.size()), shift(weight.size()) {
    for (size_t c = 0; c < weight.size(); c++) {
      const double factor = weight[c] / std::sqrt(moments.variance[c] + epsilon);
      scale[c] = float(factor);
      shift[c] = float(bias[c] - moments.mean[c] * factor);
    }
  }
};

}  // namespace

at::MemoryFormat row_format(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

bool suits_norm_kernels(const at::Tensor& input, const BatchNorm& norm) {
  const bool shape = (input.dim() == 2 || input.dim() == 4) && input.numel() > 0;
  auto floats = [](const at::Tensor& values) { return !values.defined() || values.scalar_type() == at::kFloat; };
  return norm.views > 0 && norm_kernels(input) && shape && floats(norm.running_mean) && floats(norm.running_var) &&
         floats(norm.weight) && floats(norm.bias);
}

void check_norm(const at::Tensor& input, const BatchNorm& norm) {
  TORCH_CHECK(input.dim() >= 2 && (norm.views <= 1 || input.size(0) % norm.views == 0), "a batch of ", input.sizes(),
              " does not hold ", norm.views, " equal views");
  TORCH_CHECK(norm.weight.defined() == norm.bias.defined(), "a norm has weight and bias, or neither");
  for (const auto* values : {&norm.weight, &norm.bias, &norm.running_mean, &norm.running_var})
    TORCH_CHECK(!values->defined() || (values->numel() == input.size(1) && values->device() == input.device() &&
                                       values->is_contiguous()),
                "a norm of ", values->sizes(), " for ", input.sizes());
  TORCH_CHECK(!norm.residual.defined() ||
                  (norm.residual.sizes() == input.sizes() && norm.residual.device() == input.device()),
              "a residual of ", norm.residual.sizes(), " for ", input.sizes());
}

BatchStatistics::BatchStatistics(const at::Tensor& x, const BatchNorm& norm)
    : rows{size_t(x.numel() / x.size(1) / norm.views), int(x.size(1)), at::get_num_threads()},
      epsilon(norm.epsilon),
      relu(norm.relu),
      moments(norm.views, {std::vector<double>(x.size(1)), std::vector<double>(x.size(1))}) {
  TORCH_CHECK(rows.count > 1, "batch norm needs more than one value a channel to train");
  for (size_t view = 0; view < moments.size(); view++)
    norm_kernels(x)->moments(part_of(x, rows, view), rows, moments[view].mean.data(), moments[view].variance.data());
}

void BatchStatistics::move_running(const BatchNorm& norm) const {
  auto *means = norm.running_mean.mutable_data_ptr<float>(), *variances = norm.running_var.mutable_data_ptr<float>();
  const double unbiased = double(rows.count) / (rows.count - 1), keep = 1 - norm.momentum;
  for (const auto& [mean, variance] : moments) {
    for (int c = 0; c < rows.channels; c++) {
      means[c] = float(keep * means[c] + norm.momentum * mean[c]);
      variances[c] = float(keep * variances[c] + norm.momentum * variance[c] * unbiased);
    }
  }
}

at::Tensor BatchStatistics::normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                      const at::Tensor& bias) const {
  const auto weights = floats_of(weight, rows.channels, 1), biases = floats_of(bias, rows.channels, 0);
  auto y = at::empty_like(x);
  for (size_t view = 0; view < moments.size(); view++) {
    const Affine affine(moments[view], epsilon, weights, biases);
    norm_kernels(x)->normalise(part_of(x, rows, view), part_of(residual, rows, view), affine.scale.data(),
                               affine.shift.data(), relu, rows, mutable_part_of(y, rows, view));
  }
  return y;
}

BatchStatistics::Gradients BatchStatistics::gradients(const at::Tensor& given, const at::Tensor& given_second,
                                                      const at::Tensor& x, const at::Tensor& y,
                                                      const at::Tensor& weight, const at::Tensor& bias,
                                                      bool of_x) const {
  auto as_x = [&](const at::Tensor& map) {
    return map.defined() ? map.to(x.scalar_type()).contiguous(row_format(x)) : map;
  };
  const auto gradient = as_x(given), second = as_x(given_second);
  // The gradient behind the sum and ReLU is the residual's; written once, the second sweep reads it.
  const bool differs = second.defined() || y.defined();
  const auto passed = differs ? at::empty_like(x) : gradient;
  const Gradients result{of_x ? at::empty_like(x) : at::Tensor(), weight.defined() ? at::zeros_like(weight) : weight,
                         bias.defined() ? at::zeros_like(bias) : bias, passed};
  const auto weights = floats_of(weight, rows.channels, 1), biases = floats_of(bias, rows.channels, 0);
  const NormKernels& kernels = *norm_kernels(x);
  for (size_t view = 0; view < moments.size(); view++) {
    const auto& [mean, biased_variance] = moments[view];
    const Affine affine(moments[view], epsilon, weights, biases);
    const std::vector<float> centre(mean.begin(), mean.end());
    std::vector<double> sum(rows.channels), sum_centred(rows.channels);
    kernels.gradient_sums(part_of(gradient, rows, view), part_of(second, rows, view), part_of(x, rows, view),
                          part_of(y, rows, view), affine.scale.data(), affine.shift.data(), centre.data(), relu, rows,
                          differs ? mutable_part_of(passed, rows, view) : nullptr, sum.data(), sum_centred.data());
    std::vector<float> by_x(rows.channels), offset(rows.channels);
    for (int c = 0; c < rows.channels; c++) {
      const double variance = biased_variance[c] + epsilon;
      if (weight.defined()) {
        result.weight.mutable_data_ptr<float>()[c] += float(sum_centred[c] / std::sqrt(variance));
        result.bias.mutable_data_ptr<float>()[c] += float(sum[c]);
      }
      const double slope = -double(affine.scale[c]) * sum_centred[c] / variance / rows.count;
      by_x[c] = float(slope);
      offset[c] = float(-double(affine.scale[c]) * sum[c] / rows.count - slope * mean[c]);
    }
    if (!of_x) continue;
    kernels.input_gradient(part_of(passed, rows, view), part_of(x, rows, view), affine.scale.data(),
                           affine.shift.data(), relu && !differs, by_x.data(), offset.data(), rows,
                           mutable_part_of(result.x, rows, view));
  }
  return result;
}

namespace {

// In training, by the kernels.
struct Normalisation : Function<Normalisation> {
  static variable_list forward(AutogradContext* context, const at::Tensor& given,
                               const std::optional<at::Tensor>& given_weight,
                               const std::optional<at::Tensor>& given_bias,
                               const std::optional<at::Tensor>& given_residual, const BatchNorm& norm) {
    const auto x = given.contiguous(row_format(given));
    const auto weight = given_weight.value_or(at::Tensor()), bias = given_bias.value_or(at::Tensor());
    const auto residual =
        given_residual ? given_residual->to(x.scalar_type()).contiguous(row_format(x)) : at::Tensor();
    auto statistics = c10::make_intrusive<BatchStatistics>(x, norm);
    statistics->move_running(norm);
    auto y = statistics->normalise(x, residual, weight, bias);
    // With a residual, where ReLU passes can only be told from its output.
    context->save_for_backward({x, weight, bias, residual.defined() && norm.relu ? y : at::Tensor()});
    context->saved_data["statistics"] = c10::IValue::make_capsule(statistics);
    context->saved_data["residual"] = residual.defined();
    context->set_materialize_grads(false);
    return {y, y.detach()};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto statistics =
        c10::static_intrusive_pointer_cast<BatchStatistics>(context->saved_data["statistics"].toCapsule());
    if (!gradients[0].defined()) std::swap(gradients[0], gradients[1]);
    if (!gradients[0].defined()) return variable_list(5);
    const auto of = statistics->gradients(gradients[0], gradients[1], saved[0], saved[3], saved[1], saved[2],
                                          context->needs_input_grad(0));
    return {of.x, of.weight, of.bias, context->saved_data["residual"].toBool() ? of.residual : at::Tensor(), {}};
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
  check_norm(input, norm);
  if (suits_norm_kernels(input, norm)) {
    auto outputs =
        Normalisation::apply(input, optional(norm.weight), optional(norm.bias), optional(norm.residual), norm);
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
