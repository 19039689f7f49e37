// Batch norm with statistics of several processes, by libtorch's operations.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../group/group.h"
#include "batch_norm.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

double sum_over(const Group& group, const at::Tensor& sums, double count) {
  auto all = at::empty({sums.numel() + 1}, sums.options());
  all.narrow(0, 0, sums.numel()).copy_(sums.flatten());
  all.narrow(0, sums.numel(), 1).fill_(count);
  group.sum(all);
  sums.view({-1}).copy_(all.narrow(0, 0, sums.numel()));
  return all[sums.numel()].item<double>();
}

namespace {

// The values of each view and channel: [B, C, ...] to [V, B / V, C, positions].
at::Tensor by_view(const at::Tensor& map, int64_t views) {
  const int64_t rows = map.size(0) / views, channels = map.size(1);
  int64_t positions = 1;
  for (int64_t axis = 2; axis < map.dim(); axis++) positions *= map.size(axis);
  return map.contiguous().view({views, rows, channels, positions});
}

// Two sums over the rows and positions: [V, 2, C].
at::Tensor both_sums(const at::Tensor& one, const at::Tensor& two) {
  return at::stack({one.sum({1, 3}), two.sum({1, 3})}, 1);
}

// One number of each view and channel beside the values: [V, C] to [V, 1, C, 1].
at::Tensor beside(const at::Tensor& of_channels) { return of_channels.unsqueeze(1).unsqueeze(3); }

struct GroupNormalisation : Function<GroupNormalisation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const std::optional<at::Tensor>& weight,
                            const std::optional<at::Tensor>& bias, const BatchNorm& norm) {
    const auto x = by_view(input, norm.views).to(at::kDouble);
    const auto sums = both_sums(x, x * x);
    const double count = sum_over(*norm.group, sums, double(x.size(1) * x.size(3)));
    TORCH_CHECK(count > 1, MORE_THAN_ONE_VALUE);
    const auto mean = sums.select(1, 0) / count;
    const auto variance = (sums.select(1, 1) / count - mean * mean).clamp_min(0);
    const double keep = 1 - norm.momentum, unbiased = count / (count - 1);
    for (int64_t view = 0; view < norm.views; view++) {
      norm.running_mean.copy_(norm.running_mean.to(at::kDouble) * keep + mean[view] * norm.momentum);
      norm.running_var.copy_(norm.running_var.to(at::kDouble) * keep + variance[view] * (norm.momentum * unbiased));
    }
    const auto inverse = (variance + norm.epsilon).rsqrt();
    context->save_for_backward({input, weight.value_or(at::Tensor()), mean, inverse});
    context->saved_data["views"] = norm.views;
    context->saved_data["count"] = count;
    context->saved_data["group"] = int64_t(reinterpret_cast<intptr_t>(norm.group));
    auto y = (x - beside(mean)) * beside(inverse);
    if (weight.has_value()) {
      const auto of_channels = [](const at::Tensor& values) { return values.to(at::kDouble).view({1, 1, -1, 1}); };
      y = y * of_channels(*weight) + of_channels(*bias);
    }
    // Not a view, which a residual could not be added to in place.
    return y.to(input.scalar_type()).view(input.sizes()).clone();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &input = saved[0], &weight = saved[1], &mean = saved[2], &inverse = saved[3];
    auto& data = context->saved_data;
    const int64_t views = data["views"].toInt();
    const double count = data["count"].toDouble();
    const auto& group = *reinterpret_cast<const Group*>(intptr_t(data["group"].toInt()));
    const auto g = by_view(gradients[0], views).to(at::kDouble);
    const auto centred = by_view(input, views).to(at::kDouble) - beside(mean);
    const auto sums = both_sums(g, g * centred);
    at::Tensor of_weight, of_bias;
    if (weight.defined()) {
      of_weight = (sums.select(1, 1) * inverse).sum(0).to(weight.scalar_type());
      of_bias = sums.select(1, 0).sum(0).to(weight.scalar_type());
    }
    const auto of_all = sums.clone();
    sum_over(group, of_all, 0);
    auto of_x = g - beside(of_all.select(1, 0) / count) -
                centred * beside(inverse * inverse * of_all.select(1, 1) / count);
    auto scale = inverse;
    if (weight.defined()) scale = scale * weight.to(at::kDouble);
    of_x = of_x * beside(scale);
    return {of_x.to(input.scalar_type()).view(input.sizes()), of_weight, of_bias, {}};
  }
};

}  // namespace

at::Tensor group_norm(const at::Tensor& input, const BatchNorm& norm) {
  return GroupNormalisation::apply(input, optional(norm.weight), optional(norm.bias), norm);
}
