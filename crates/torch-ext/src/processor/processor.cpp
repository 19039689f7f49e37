#include "processor.h"

#if defined(__x86_64__)
extern const WinogradKernels winograd_avx2, winograd_avx512;
extern const BatchNormKernels batch_norm_avx2_float, batch_norm_avx2_bfloat16, batch_norm_avx512_float,
    batch_norm_avx512_bfloat16;
extern const SampleKernels sample_avx2_float, sample_avx2_bfloat16, sample_avx512_float, sample_avx512_bfloat16;
extern const MaxPoolKernels max_pool_avx2_float, max_pool_avx2_bfloat16, max_pool_avx512_float,
    max_pool_avx512_bfloat16;
extern const RoiAlignKernels roi_align_avx2_float, roi_align_avx2_bfloat16, roi_align_avx512_float,
    roi_align_avx512_bfloat16;
extern const ClusterKernels clusters_avx2, clusters_avx512;
#endif

const Kernels& kernels() {
  static const Kernels chosen = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v4"))
      return Kernels{"avx512", &winograd_avx512, &batch_norm_avx512_float, &batch_norm_avx512_bfloat16,
                     &sample_avx512_float, &sample_avx512_bfloat16, &max_pool_avx512_float, &max_pool_avx512_bfloat16,
                     &roi_align_avx512_float, &roi_align_avx512_bfloat16, &clusters_avx512};
    if (__builtin_cpu_supports("x86-64-v3"))
      return Kernels{"avx2", &winograd_avx2, &batch_norm_avx2_float, &batch_norm_avx2_bfloat16,
                     &sample_avx2_float, &sample_avx2_bfloat16, &max_pool_avx2_float, &max_pool_avx2_bfloat16,
                     &roi_align_avx2_float, &roi_align_avx2_bfloat16, &clusters_avx2};
#endif
    return Kernels{};
  }();
  return chosen;
}

namespace {

template <typename T>
const T* of_kind(const at::Tensor& map, const T* of_float, const T* of_bfloat16) {
  if (!map.is_cpu()) return nullptr;
  return map.scalar_type() == at::kFloat ? of_float : map.scalar_type() == at::kBFloat16 ? of_bfloat16 : nullptr;
}

}  // namespace

const BatchNormKernels* batch_norm_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().batch_norm_float, kernels().batch_norm_bfloat16);
}

const SampleKernels* sample_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().sample_float, kernels().sample_bfloat16);
}

const MaxPoolKernels* max_pool_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().max_pool_float, kernels().max_pool_bfloat16);
}

const RoiAlignKernels* roi_align_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().roi_align_float, kernels().roi_align_bfloat16);
}

const ClusterKernels* cluster_kernels(const at::Tensor& rows) {
  return rows.is_cpu() && rows.scalar_type() == at::kFloat ? kernels().clusters : nullptr;
}

// Null if there are none.
extern "C" const char* torch_ext_processor_kernels() { return kernels().instructions; }
