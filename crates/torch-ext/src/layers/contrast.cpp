// The contrast of rows (DenseSiam's eq. 6) as one node of the graph. As separate operations, it would keep the rows in
// float32, their directions and all similarities from forward to backward, for 512 rows of 512 channels 5 MB per
// picture. Here only the original rows are kept, and the rest is recomputed: a few pictures at a time, or on a CUDA
// device all at once.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>

#include "../cuda/cuda.h"
#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

at::ScalarType exact_kind(const at::Tensor& rows) { return rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

// Rows divided by their lengths, with PyTorch's lower bound on the length.
struct Directions {
  static constexpr double FLOOR = 1e-12;
  at::Tensor lengths, units;

  explicit Directions(const at::Tensor& given) {
    const auto rows = given.to(exact_kind(given));
    lengths = at::linalg_vector_norm(rows, 2, -1, true);
    units = rows / lengths.clamp_min(FLOOR);
  }

  // The gradient of the rows from that of `units`. A length below the lower bound is constant.
  at::Tensor gradient(const at::Tensor& of_units) const {
    const auto along = (of_units * units).sum(-1, true).mul_(lengths >= FLOOR);
    return (of_units - units * along).div_(lengths.clamp_min(FLOOR));
  }
};

// The number of pictures to process at a time, so that none of their tensors is larger than 8 MB, which suits a
// processor's caches, or 1 GB on a device.
int64_t pictures_at_a_time(const at::Tensor& q) {
  const int64_t most = (q.is_cpu() ? int64_t(8) << 20 : int64_t(1) << 30) / sizeof(float);
  return std::max<int64_t>(1, most / std::max<int64_t>(1, q.size(1) * std::max(q.size(1), q.size(2))));
}

// The differentiated function: the loss, and the gradients of q and r, if they are needed, from `share`, the gradient
// of each row's loss over the temperature.
struct Contrast {
  at::Tensor q, r;
  double temperature;

  at::Tensor loss() const {
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

  std::array<at::Tensor, 2> gradients(const at::Tensor& share, std::array<bool, 2> wanted) const {
    std::array<at::Tensor, 2> of{wanted[0] ? at::empty_like(q) : q, wanted[1] ? at::empty_like(r) : r};
    const int64_t step = pictures_at_a_time(q);
    for (int64_t first = 0; first < q.size(0); first += step) {
      const int64_t count = std::min(step, q.size(0) - first);
      const Directions of_q(q.narrow(0, first, count)), of_r(r.narrow(0, first, count));
      auto of_logits = at::softmax(of_q.units.bmm(of_r.units.transpose(1, 2)).div_(temperature), 2);
      of_logits.diagonal(0, 1, 2).sub_(1);
      of_logits.mul_(share);
      if (wanted[0]) of[0].narrow(0, first, count).copy_(of_q.gradient(of_logits.bmm(of_r.units)));
      if (wanted[1]) of[1].narrow(0, first, count).copy_(of_r.gradient(of_logits.transpose(1, 2).bmm(of_q.units)));
    }
    return of;
  }
};

// The same by the kernels of cuda/contrast.cu. The inner products use the original rows, in bfloat16 exact and summed
// in float32; their gradients are rounded to the rows' kind.
struct CudaContrast {
  const CudaKernels& kernels;
  at::Tensor q, r;
  float temperature;
  int count, channels;
  at::Tensor q_inverse, r_inverse;

  // In the forward pass the lengths are undefined, and are computed.
  CudaContrast(const at::Tensor& of_q, const at::Tensor& of_r, double at_temperature, const at::Tensor& of_q_inverse = {},
               const at::Tensor& of_r_inverse = {})
      : kernels(*CudaKernels::of(of_q)),
        q(of_q.contiguous()),
        r(of_r.contiguous()),
        temperature(float(at_temperature)),
        count(q.size(1)),
        channels(q.size(2)),
        q_inverse(of_q_inverse.defined() ? of_q_inverse : inverse_lengths(q)),
        r_inverse(of_r_inverse.defined() ? of_r_inverse : inverse_lengths(r)) {}

  // One block for each row of all pictures.
  template <typename... Arguments>
  void launch(CudaKernel kernel, Arguments... arguments) const {
    const Extent blocks{unsigned(q.size(0) * q.size(1))}, threads{128};
    kernels.launch(kernel, blocks, threads, arguments...);
  }

  at::Tensor inverse_lengths(const at::Tensor& rows) const {
    const auto inverse = at::empty({rows.size(0), rows.size(1)}, rows.options().dtype(at::kFloat));
    const int all = inverse.numel(), warps = CudaKernels::THREADS / 32;
    kernels.launch(CudaKernel::contrast_inverse_lengths, {unsigned(all + warps - 1) / warps},
                   {CudaKernels::THREADS}, rows.const_data_ptr(), all, channels, inverse.mutable_data_ptr());
    return inverse;
  }

  // A matrix product for each picture, in float32.
  static at::Tensor product(const at::Tensor& left, const at::Tensor& right) {
    if (left.scalar_type() == at::kFloat) return left.bmm(right);
    // The processor, on which tests run the kernels, has no such product.
    return left.is_cpu() ? left.to(at::kFloat).bmm(right.to(at::kFloat)) : at::bmm(left, right, at::kFloat);
  }

  at::Tensor loss() const {
    const auto products = product(q, r.transpose(1, 2));
    const auto losses = at::empty_like(q_inverse);
    launch(CudaKernel::contrast_losses, products.const_data_ptr(), q_inverse.const_data_ptr(), r_inverse.const_data_ptr(),
           count, temperature, losses.mutable_data_ptr());
    return losses.mean();
  }

  std::array<at::Tensor, 2> gradients(const at::Tensor& share, std::array<bool, 2> wanted) const {
    const auto products = product(q, r.transpose(1, 2));
    const auto of_products = at::empty(products.sizes(), q.options());
    launch(CudaKernel::contrast_of_products, products.const_data_ptr(), q_inverse.const_data_ptr(),
           r_inverse.const_data_ptr(), count, temperature, share.const_data_ptr(), of_products.mutable_data_ptr());
    auto of_rows = [&](const at::Tensor& along, const at::Tensor& rows, const at::Tensor& inverse) {
      const auto of = at::empty_like(rows);
      launch(CudaKernel::contrast_of_rows, along.const_data_ptr(), rows.const_data_ptr(), inverse.const_data_ptr(),
             channels, of.mutable_data_ptr());
      return of;
    };
    std::array<at::Tensor, 2> of{q, r};
    if (wanted[0]) of[0] = of_rows(product(of_products, r), q, q_inverse);
    if (wanted[1]) of[1] = of_rows(product(of_products.transpose(1, 2), q), r, r_inverse);
    return of;
  }
};

struct Contrasting : Function<Contrasting> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& r, double temperature) {
    context->saved_data["temperature"] = temperature;
    if (suits_cuda(q)) {
      const CudaContrast contrast(q, r, temperature);
      context->save_for_backward({q, r, contrast.q_inverse, contrast.r_inverse});
      return contrast.loss();
    }
    context->save_for_backward({q, r});
    return Contrast{q, r, temperature}.loss();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &r = saved[1];
    const double temperature = context->saved_data["temperature"].toDouble();
    const auto share = gradients[0] / (temperature * double(q.size(0) * q.size(1)));
    const std::array<bool, 2> wanted{context->needs_input_grad(0), context->needs_input_grad(1)};
    const auto of = suits_cuda(q) ? CudaContrast(q, r, temperature, saved[2], saved[3]).gradients(share, wanted)
                                  : Contrast{q, r, temperature}.gradients(share, wanted);
    return {wanted[0] ? of[0] : at::Tensor(), wanted[1] ? of[1] : at::Tensor(), {}};
  }

  static bool suits_cuda(const at::Tensor& q) { return CudaKernels::of(q) && q.numel() > 0; }
};

}  // namespace

at::Tensor contrast(const at::Tensor& q, const at::Tensor& r, double temperature) {
  TORCH_CHECK(q.dim() == 3 && q.sizes() == r.sizes() && q.scalar_type() == r.scalar_type() && q.device() == r.device(),
              "the contrast of ", q.sizes(), " in ", q.scalar_type(), " on ", q.device(), " to ", r.sizes(), " in ",
              r.scalar_type(), " on ", r.device());
  return Contrasting::apply(q, r, temperature);
}
