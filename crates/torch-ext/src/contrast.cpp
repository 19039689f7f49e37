// The contrast of rows (DenseSiam's eq. 6) as one node of the graph. As separate operations it keeps the rows in float32,
// their directions and all similarities from forward to backward, for 512 rows of 512 channels 5 MB a picture; here the rows
// as they came, and the rest is made again, a few pictures at a time.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

at::ScalarType exact_kind(const at::Tensor& rows) { return rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// Rows over their lengths, with PyTorch's floor under the length.
struct Directions {
  static constexpr double FLOOR = 1e-12;
  at::Tensor lengths, units;

  explicit Directions(const at::Tensor& given) {
    const auto rows = given.to(exact_kind(given));
    lengths = at::linalg_vector_norm(rows, 2, -1, true);
    units = rows / lengths.clamp_min(FLOOR);
  }

  // The gradient of the rows from that of `units`. A length under the floor does not grow with its row.
  at::Tensor gradient(const at::Tensor& of_units) const {
    const auto along = (of_units * units).sum(-1, true).mul_(lengths >= FLOOR);
    return (of_units - units * along).div_(lengths.clamp_min(FLOOR));
  }
};

// Pictures to take at a time: no tensor of theirs is larger than 8 MB, where a processor's caches are near, or 1 GB.
int64_t pictures_at_a_time(const at::Tensor& q) {
  const int64_t most = (q.is_cpu() ? int64_t(8) << 20 : int64_t(1) << 30) / sizeof(float);
  return std::max<int64_t>(1, most / std::max<int64_t>(1, q.size(1) * std::max(q.size(1), q.size(2))));
}

struct Contrast : Function<Contrast> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& r, double temperature) {
    context->save_for_backward({q, r});
    context->saved_data["temperature"] = temperature;
    auto sum = at::zeros({}, q.options().dtype(exact_kind(q)));
    const int64_t step = pictures_at_a_time(q);
    for (int64_t first = 0; first < q.size(0); first += step) {
      const int64_t count = std::min(step, q.size(0) - first);
      const Directions of_q(q.narrow(0, first, count)), of_r(r.narrow(0, first, count));
      const auto logits = of_q.units.bmm(of_r.units.transpose(1, 2)).div_(temperature);
      sum += (logits.logsumexp(2) - logits.diagonal(0, 1, 2)).sum();
    }
    return sum / double(q.size(0) * q.size(1));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &r = saved[1];
    const double temperature = context->saved_data["temperature"].toDouble();
    const auto share = gradients[0] / (temperature * double(q.size(0) * q.size(1)));
    const bool wants_q = context->needs_input_grad(0), wants_r = context->needs_input_grad(1);
    at::Tensor grad_q = wants_q ? at::empty_like(q) : at::Tensor(), grad_r = wants_r ? at::empty_like(r) : at::Tensor();
    const int64_t step = pictures_at_a_time(q);
    for (int64_t first = 0; first < q.size(0); first += step) {
      const int64_t count = std::min(step, q.size(0) - first);
      const Directions of_q(q.narrow(0, first, count)), of_r(r.narrow(0, first, count));
      auto of_logits = at::softmax(of_q.units.bmm(of_r.units.transpose(1, 2)).div_(temperature), 2);
      of_logits.diagonal(0, 1, 2).sub_(1);
      of_logits.mul_(share);
      if (wants_q) grad_q.narrow(0, first, count).copy_(of_q.gradient(of_logits.bmm(of_r.units)));
      if (wants_r) grad_r.narrow(0, first, count).copy_(of_r.gradient(of_logits.transpose(1, 2).bmm(of_q.units)));
    }
    return {grad_q, grad_r, {}};
  }
};

}  // namespace

at::Tensor contrast(const at::Tensor& q, const at::Tensor& r, double temperature) {
  TORCH_CHECK(q.dim() == 3 && q.sizes() == r.sizes() && q.scalar_type() == r.scalar_type(), "the contrast of ",
              q.sizes(), " to ", r.sizes());
  return Contrast::apply(q, r, temperature);
}
