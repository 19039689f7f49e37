// Sums of rows by their nearest centroid, by the kernel of the processor or by matrix products of libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "../processor/processor.h"
#include "layers.h"

namespace {

// Rows that are compared at once: what is computed for each cluster stays small.
constexpr int64_t BLOCK = 1 << 16;

void sums_by_products(const at::Tensor& rows, const at::Tensor& centroids, const at::Tensor& sums) {
  const int64_t clusters = centroids.size(0), dim = centroids.size(1);
  const auto offset = -(centroids * centroids).sum(1), doubled = (centroids * 2).t();
  const auto numbers = at::arange(clusters, centroids.options().dtype(at::kLong));
  auto of_clusters = sums.narrow(0, 0, clusters), of_all = sums[clusters][0];
  for (const auto& block : rows.split(BLOCK)) {
    const auto [near, labels] = at::addmm(offset, block, doubled).max(1);
    // A product with ones and zeros reads a block once, where index_add would add row after row.
    const auto members = labels.unsqueeze(1).eq(numbers).to(block.scalar_type());
    of_clusters.narrow(1, 0, dim) += members.t().matmul(block);
    of_clusters.select(1, dim) += members.sum(0, /*keepdim=*/false, at::kDouble);
    of_all += (block * block).sum(at::kDouble) - near.sum(at::kDouble);
  }
}

}  // namespace

at::Tensor cluster_sums(const at::Tensor& given_rows, const at::Tensor& given_centroids) {
  TORCH_CHECK(given_rows.dim() == 2 && given_centroids.dim() == 2 && given_rows.size(1) == given_centroids.size(1),
              "rows ", given_rows.sizes(), " of centroids ", given_centroids.sizes());
  at::NoGradGuard no_grad;
  const auto rows = given_rows.contiguous(), centroids = given_centroids.contiguous();
  const int64_t clusters = centroids.size(0), dim = centroids.size(1);
  const auto sums = at::zeros({clusters + 1, dim + 1}, rows.options().dtype(at::kDouble));
  const auto* kernels = cluster_kernels(rows);
  if (kernels)
    kernels->sums(rows.const_data_ptr<float>(), centroids.const_data_ptr<float>(), sums.mutable_data_ptr<double>(),
                  {rows.size(0), int(dim), int(clusters)}, at::get_num_threads());
  else
    sums_by_products(rows, centroids, sums);
  return sums;
}
