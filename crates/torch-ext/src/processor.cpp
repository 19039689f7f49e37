#include "processor.h"

#if defined(__x86_64__)
extern const WinogradKernels winograd_avx2, winograd_avx512;
extern const NormKernels norm_avx2_float, norm_avx2_bfloat16, norm_avx512_float, norm_avx512_bfloat16;
extern const SamplingKernels sampling_avx2_float, sampling_avx2_bfloat16, sampling_avx512_float,
    sampling_avx512_bfloat16;
extern const PoolingKernels pooling_avx2_float, pooling_avx2_bfloat16, pooling_avx512_float, pooling_avx512_bfloat16;
#endif

const Kernels& kernels() {
  static const Kernels chosen = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v4"))
      return Kernels{&winograd_avx512, &norm_avx512_float, &norm_avx512_bfloat16, &sampling_avx512_float,
                     &sampling_avx512_bfloat16, &pooling_avx512_float, &pooling_avx512_bfloat16};
    if (__builtin_cpu_supports("x86-64-v3"))
      return Kernels{&winograd_avx2, &norm_avx2_float, &norm_avx2_bfloat16, &sampling_avx2_float,
                     &sampling_avx2_bfloat16, &pooling_avx2_float, &pooling_avx2_bfloat16};
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

const NormKernels* norm_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().norm_float, kernels().norm_bfloat16);
}

const SamplingKernels* sampling_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().sampling_float, kernels().sampling_bfloat16);
}

const PoolingKernels* pooling_kernels(const at::Tensor& map) {
  return of_kind(map, kernels().pooling_float, kernels().pooling_bfloat16);
}
