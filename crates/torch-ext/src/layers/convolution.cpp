// Convolutions with gradients: by Winograd's products, by one matrix product, or by libtorch, if necessary in float32.
#include "convolution.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../processor/processor.h"
#include "layers.h"
#include "stem.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

enum class Way { winograd, lattices, rows, float32, libtorch };

bool are(at::ScalarType kind, const at::Tensor& input, const at::Tensor& weight) {
  return input.is_cpu() && input.scalar_type() == kind && weight.scalar_type() == kind;
}

// Whether Winograd's kernels can compute this and save work. Weights are transformed at every call, which does not pay
// off with few positions and many channels.
bool suits_winograd(const at::Tensor& input, const at::Tensor& weight) {
  auto whole = [&](int axis) { return weight.size(axis) % 16 == 0; };
  return kernels().winograd && are(at::kFloat, input, weight) && whole(0) && whole(1) && input.size(0) > 0 &&
         4 * input.size(0) * input.size(2) * input.size(3) >= weight.size(0);
}

// Whether a stride reduces the map to one column. In that case oneDNN's kernels for bfloat16 read beyond the map and
// return what they find there (libtorch 2.11.0, processors with AMX).
bool has_one_column(const Convolution& convolution, const at::Tensor& input, const at::Tensor& weight) {
  const int64_t reach = input.size(3) + 2 * convolution.padding(weight) - weight.size(3);
  return convolution.stride > 1 && weight.size(3) > 1 && reach < convolution.stride;
}

Way way_of(const Convolution& convolution, const at::Tensor& input, const at::Tensor& weight) {
  auto has_kernel = [&](int64_t size) { return weight.size(2) == size && weight.size(3) == size; };
  const bool in_place = convolution.stride == 1 && weight.size(2) % 2 == 1;
  if (in_place && has_kernel(3) && suits_winograd(input, weight)) {
    return convolution.dilation == 1 ? Way::winograd : Way::lattices;
  }
  // oneDNN's gradient of the weights is slow for 1x1 kernels; it is one matrix product.
  if (in_place && has_kernel(1) && are(at::kBFloat16, input, weight)) return Way::rows;
  if (are(at::kBFloat16, input, weight) && has_one_column(convolution, input, weight)) return Way::float32;
  return Way::libtorch;
}

ConvolutionShape shape_of(const at::Tensor& input, const at::Tensor& weight) {
  return {int(input.size(0)), int(input.size(2)), int(input.size(3)), int(weight.size(1)), int(weight.size(0))};
}

// The map as a matrix [positions, channels]; no copy if channels are contiguous.
at::Tensor rows_of(const at::Tensor& map) { return map.permute({0, 2, 3, 1}).reshape({-1, map.size(1)}); }

// gradient^T input. Each thread computes its own share of many rows; the few results are rounded before they are
// summed. In one product over all rows, the threads would share the few outputs.
at::Tensor product_of_rows(const at::Tensor& gradient, const at::Tensor& input) {
  const int64_t rows = input.size(0), threads = at::get_num_threads();
  if (rows % threads != 0 || rows / threads < 8192) return gradient.t().mm(input);
  auto shares = [&](const at::Tensor& matrix) { return matrix.view({threads, rows / threads, matrix.size(1)}); };
  return shares(gradient).transpose(1, 2).bmm(shares(input)).sum(0);
}

// A dilated convolution reads and writes each of `dilation` squared lattices of cells by itself. Here every lattice
// becomes a map of its own: [B, C, H, W] to [dilation * dilation * B, C, H / dilation, W / dilation], rounded up, with
// zeros beyond the map as the padding has them.
at::Tensor lattices_of(const at::Tensor& map, int64_t dilation) {
  const int64_t batch = map.size(0), channels = map.size(1);
  const auto cells = [&](int axis) { return (map.size(axis) + dilation - 1) / dilation; };
  const int64_t height = cells(2), width = cells(3);
  const auto whole = at::constant_pad_nd(map, {0, width * dilation - map.size(3), 0, height * dilation - map.size(2)});
  return channels_last(whole)
      .permute({0, 2, 3, 1})
      .reshape({batch, height, dilation, width, dilation, channels})
      .permute({2, 4, 0, 1, 3, 5})
      .reshape({-1, height, width, channels})
      .permute({0, 3, 1, 2});
}

// The map of `height` and `width` that these lattices make.
at::Tensor map_of(const at::Tensor& lattices, int64_t dilation, int64_t height, int64_t width) {
  const int64_t batch = lattices.size(0) / (dilation * dilation), channels = lattices.size(1);
  const int64_t rows = lattices.size(2), columns = lattices.size(3);
  return lattices.permute({0, 2, 3, 1})
      .reshape({dilation, dilation, batch, rows, columns, channels})
      .permute({2, 3, 0, 4, 1, 5})
      .reshape({batch, rows * dilation, columns * dilation, channels})
      .narrow(1, 0, height)
      .narrow(2, 0, width)
      .permute({0, 3, 1, 2});
}

}  // namespace

at::Tensor Convolution::forward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias) const {
  if (input.dim() == 2) return at::linear(input, weight, optional(bias));
  const Way way = way_of(*this, input, weight);
  if (way == Way::float32) {
    const auto wide = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.to(at::kFloat) : tensor; };
    return at::conv2d(wide(input), wide(weight), wide(bias), stride, padding(weight), dilation).to(input.scalar_type());
  }
  if (way == Way::lattices) {
    const auto output = Convolution{1, 1}.forward(lattices_of(input, dilation), weight, bias);
    return channels_last(map_of(output, dilation, input.size(2), input.size(3)));
  }
  if (way != Way::winograd) return at::conv2d(input, weight, bias, stride, padding(weight), dilation);
  const auto x = channels_last(input), w = channels_last(weight);
  const auto shape = shape_of(x, w);
  auto output =
      at::empty({shape.batch, shape.out, shape.height, shape.width}, x.options(), at::MemoryFormat::ChannelsLast);
  kernels().winograd->forward(x.const_data_ptr<float>(), w.const_data_ptr<float>(), output.mutable_data_ptr<float>(),
                              shape, at::get_num_threads());
  return bias.defined() ? output.add_(bias.view({1, -1, 1, 1})) : output;
}

std::array<at::Tensor, 3> Convolution::gradients(const at::Tensor& given, const at::Tensor& input,
                                                 const at::Tensor& weight, std::array<bool, 3> wanted) const {
  const auto [of_input_wanted, of_weight_wanted, of_bias_wanted] = wanted;
  if (input.dim() == 2) {
    return {of_input_wanted ? given.mm(weight) : at::Tensor(), of_weight_wanted ? given.t().mm(input) : at::Tensor(),
            of_bias_wanted ? given.sum(0) : at::Tensor()};
  }
  const auto gradient = channels_last(given);
  auto by_libtorch = [&](std::array<bool, 3> mask) {
    auto [of_input, of_weight, of_bias] = at::convolution_backward(
        gradient, input, weight, at::OptionalIntArrayRef({weight.size(0)}), {stride, stride},
        {padding(weight), padding(weight)}, {dilation, dilation}, false, {0, 0}, 1, mask);
    return std::array<at::Tensor, 3>{of_input, of_weight, of_bias};
  };
  const Way way = way_of(*this, input, weight);
  if (way == Way::float32) {
    auto found = gradients(given.to(at::kFloat), input.to(at::kFloat), weight.to(at::kFloat), wanted);
    for (auto& of : found) of = of.defined() ? of.to(input.scalar_type()) : of;
    return found;
  }
  if (way == Way::lattices) {
    auto found = Convolution{1, 1}.gradients(lattices_of(gradient, dilation), lattices_of(input, dilation), weight, wanted);
    if (of_input_wanted) found[0] = channels_last(map_of(found[0], dilation, input.size(2), input.size(3)));
    return found;
  }
  if (way == Way::libtorch) return by_libtorch(wanted);
  at::Tensor of_input, of_weight;
  if (way == Way::rows) {
    if (of_input_wanted) of_input = by_libtorch({true, false, false})[0];
    if (of_weight_wanted) of_weight = product_of_rows(rows_of(gradient), rows_of(input)).view_as(weight);
  } else {
    const auto x = channels_last(input), w = channels_last(weight);
    const auto shape = shape_of(x, w);
    const float* g = gradient.const_data_ptr<float>();
    const int threads = at::get_num_threads();
    if (of_input_wanted) {
      of_input = at::empty_like(x);
      kernels().winograd->input_gradient(g, w.const_data_ptr<float>(), of_input.mutable_data_ptr<float>(), shape,
                                         threads);
    }
    if (of_weight_wanted) {
      of_weight = at::empty_like(w);
      kernels().winograd->weight_gradient(x.const_data_ptr<float>(), g, of_weight.mutable_data_ptr<float>(), shape,
                                          threads);
    }
  }
  return {of_input, of_weight, of_bias_wanted ? gradient.sum({0, 2, 3}) : at::Tensor()};
}

namespace {

struct Convolving : Function<Convolving> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Convolution& convolution) {
    context->save_for_backward({input, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["stride"] = convolution.stride;
    context->saved_data["dilation"] = convolution.dilation;
    return convolution.forward(input, weight, bias.value_or(at::Tensor()));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    auto& data = context->saved_data;
    const Convolution convolution{data["stride"].toInt(), data["dilation"].toInt()};
    const std::array<bool, 3> wanted{context->needs_input_grad(0), context->needs_input_grad(1), data["bias"].toBool()};
    const auto [of_input, of_weight, of_bias] = convolution.gradients(gradients[0], saved[0], saved[1], wanted);
    return {of_input, of_weight, of_bias, {}};
  }
};

}  // namespace

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                       int64_t dilation) {
  TORCH_CHECK(input.dim() == 4 && weight.dim() == 4 && input.size(1) == weight.size(1), "a weight of ", weight.sizes(),
              " cannot convolve ", input.sizes());
  if (suits_cuda_stem(input, weight, bias, stride, dilation)) return cuda_stem(input, weight);
  const Convolution convolution{stride, dilation};
  if (way_of(convolution, input, weight) == Way::libtorch) return convolution.forward(input, weight, bias);
  return Convolving::apply(input, weight, optional(bias), convolution);
}
