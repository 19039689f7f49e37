// Batch norm with residual and ReLU, with gradients: by the kernels of the processor, by those of CUDA, or by libtorch.
#include "batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../cuda/cuda.h"
#include "../processor/processor.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

at::MemoryFormat row_format(const at::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

at::Tensor in_form_of(const at::Tensor& x, const at::Tensor& map) {
  return map.defined() ? aligned(map.to(x.scalar_type()).contiguous(row_format(x))) : map;
}

bool suits_batch_norm_kernels(const at::Tensor& input, const BatchNorm& norm) {
  const bool shape = (input.dim() == 2 || input.dim() == 4) && input.numel() > 0;
  auto floats = [](const at::Tensor& values) { return !values.defined() || values.scalar_type() == at::kFloat; };
  const bool kernels = batch_norm_kernels(input) || CudaKernels::of_vectors(input);
  return norm.views > 0 && shape && kernels && floats(norm.running_mean) && floats(norm.running_var) &&
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

c10::intrusive_ptr<BatchStatistics> BatchStatistics::of(const at::Tensor& x, const BatchNorm& norm) {
  TORCH_CHECK(norm.group || x.numel() / x.size(1) / norm.views > 1, MORE_THAN_ONE_VALUE);
  const auto* cuda = CudaKernels::of_vectors(x);
  return cuda ? cuda_statistics(*cuda, x, norm) : processor_statistics(x, norm);
}

namespace {

// In training, by the kernels.
struct Normalisation : Function<Normalisation> {
  static variable_list forward(AutogradContext* context, const at::Tensor& given,
                               const std::optional<at::Tensor>& given_weight,
                               const std::optional<at::Tensor>& given_bias,
                               const std::optional<at::Tensor>& given_residual, const BatchNorm& norm) {
    const auto x = in_form_of(given, given);
    const auto weight = given_weight.value_or(at::Tensor()), bias = given_bias.value_or(at::Tensor());
    const auto residual = in_form_of(x, given_residual.value_or(at::Tensor()));
    const auto statistics = BatchStatistics::of(x, norm);
    auto y = statistics->normalise(x, residual, weight, bias);
    // With a residual, only the output tells where ReLU passes.
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
  const bool grouped = norm.group && norm.views > 0;
  auto y = grouped ? group_norm(input, norm) : at::batch_norm(input, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.views > 0,
                          norm.momentum, norm.epsilon, true);
  if (residual.defined()) y = y.add_(residual);
  return norm.relu ? y.relu_() : y;
}

}  // namespace

std::array<at::Tensor, 2> batch_norm(const at::Tensor& input, const BatchNorm& norm) {
  check_norm(input, norm);
  if (suits_batch_norm_kernels(input, norm)) {
    auto outputs =
        Normalisation::apply(input, optional(norm.weight), optional(norm.bias), optional(norm.residual), norm);
    return {outputs[0], outputs[1]};
  }
  if (norm.views <= 1 || norm.group) {
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
