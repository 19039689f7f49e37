// The kernels for one kind of value; build.rs compiles this file once for each, with the function's name as KIND.
#include "emulator.h"

#include <utility>

#include "device.h"

namespace {

#include "vector.cu"
#include "sweep.cu"
#include "moments.cu"
#include "batch_norm.cu"
#include "max_pool.cu"
#include "roi_align.cu"
#include "sample.cu"
#include "stem.cu"
#include "contrast.cu"
#include "cross_entropy.cu"

template <auto KERNEL_FUNCTION>
struct Caller;

template <typename... Arguments, void (*KERNEL_FUNCTION)(Arguments...)>
struct Caller<KERNEL_FUNCTION> {
  template <size_t... PLACES>
  static void with(void** arguments, std::index_sequence<PLACES...>) {
    KERNEL_FUNCTION(*static_cast<Arguments*>(arguments[PLACES])...);
  }
  static void call(void** arguments) { with(arguments, std::index_sequence_for<Arguments...>()); }
};

#define NAMED(name) {#name, most_threads_of_##name, Caller<name>::call}

const Kernel ALL[] = {
    NAMED(batch_norm_moments),       NAMED(batch_norm_statistics),            NAMED(batch_norm_of_sums),
    NAMED(batch_norm_normalise),     NAMED(batch_norm_gradient_sums),         NAMED(batch_norm_gradient_coefficients),
    NAMED(batch_norm_input_gradient), NAMED(batch_norm_gradient_of_sums),     NAMED(max_pool_forward),
    NAMED(max_pool_gradient),        NAMED(sample_forward),                   NAMED(sample_gather_gradient),
    NAMED(sample_scatter_gradient),  NAMED(stem_unshuffle),                   NAMED(contrast_inverse_lengths),
    NAMED(contrast_losses),          NAMED(contrast_of_products),             NAMED(contrast_of_rows),
    NAMED(cross_entropy_losses),     NAMED(cross_entropy_gradient),           NAMED(roi_align_forward),
    NAMED(roi_align_map_gradient),
};

}  // namespace

const Kernel* KIND(const char* name) {
  for (const Kernel& kernel : ALL)
    if (!std::strcmp(kernel.name, name)) return &kernel;
  return nullptr;
}
