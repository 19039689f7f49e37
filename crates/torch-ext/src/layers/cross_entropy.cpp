// The cross-entropy of softmax outputs (DenseSiam's eq. 3): on a CUDA device as one node of the graph, which keeps only
// its two maps, else by libtorch.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "../cuda/cuda.h"
#include "batch_norm.h"
#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

constexpr unsigned WARPS = CudaKernels::THREADS / 32;

struct CudaCrossEntropy : Function<CudaCrossEntropy> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given_p, const at::Tensor& given_z) {
    const auto p = given_p.contiguous(row_format(given_p)), z = in_form_of(p, given_z);
    const int rows = rows_of(p), channels = p.size(1);
    const auto& kernels = *CudaKernels::of(p);
    const Extent blocks{std::min<unsigned>((rows + WARPS - 1) / WARPS, kernels.multiprocessors() * 8)};
    const auto partial = at::empty({blocks.x}, p.options().dtype(at::kFloat));
    kernels.launch(CudaKernel::cross_entropy_losses, blocks, {CudaKernels::THREADS}, p.const_data_ptr(),
                   z.const_data_ptr(), rows, channels, partial.mutable_data_ptr());
    context->save_for_backward({p, z});
    return partial.sum() / double(rows);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &p = saved[0], &z = saved[1];
    const int rows = rows_of(p), channels = p.size(1);
    const auto share = gradients[0] / double(rows);
    const auto of_p = at::empty_like(p);
    const auto& kernels = *CudaKernels::of(p);
    const Extent blocks{std::min<unsigned>((rows + WARPS - 1) / WARPS, kernels.multiprocessors() * 8)};
    kernels.launch(CudaKernel::cross_entropy_gradient, blocks, {CudaKernels::THREADS}, p.const_data_ptr(),
                   z.const_data_ptr(), rows, channels, share.const_data_ptr(), of_p.mutable_data_ptr());
    return {of_p, {}};
  }

  static int rows_of(const at::Tensor& map) { return map.numel() / map.size(1); }
};

}  // namespace

at::Tensor cross_entropy(const at::Tensor& p, const at::Tensor& z) {
  TORCH_CHECK(p.dim() >= 2 && p.sizes() == z.sizes() && p.device() == z.device(), "the cross-entropy of ", p.sizes(),
              " to ", z.sizes());
  const bool shape = (p.dim() == 2 || p.dim() == 4) && p.numel() > 0;
  if (shape && p.scalar_type() == z.scalar_type() && !z.requires_grad() && CudaKernels::of(p))
    return CudaCrossEntropy::apply(p, z);
  const auto kind = p.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return -(at::log_softmax(p.to(kind), 1) * at::softmax(z.to(kind), 1)).sum(1).mean();
}
