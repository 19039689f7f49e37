// Batch norm, the sum with a residual and ReLU in one sweep in each direction. libtorch makes a sweep over memory for
// each of them, and memory is their bottleneck.
//
// Maps (all `void*`) are rows of `channels` values of one kind, float32 or bfloat16: a channels-last map, or a matrix.
// Arithmetic is in float32 and rounds once, where a map is written. `threads` threads share the rows in order, so
// results depend only on their number.
#pragma once

#include <cstddef>

struct Rows {
  size_t count;
  int channels;
  int threads;
};

struct BatchNormKernels {
  // Mean and (biased) variance of each channel.
  void (*moments)(const void* x, Rows rows, double* mean, double* variance);
  // y = x * scale + shift, plus the residual if there is one, and max(., 0) with `relu`.
  void (*normalise)(const void* x, const void* residual, const float* scale, const float* shift, bool relu, Rows rows,
                    void* y);
  // The sums over rows of the gradient before ReLU, g, and of g * (x - centre). The gradient after ReLU is `gradient`,
  // plus `second` if there is one. ReLU passes where `y` is above 0 or, without `y`, where x * scale + shift is. g is
  // written to `passed` if it is given, which `second` and `y` require.
  void (*gradient_sums)(const void* gradient, const void* second, const void* x, const void* y, const float* scale, const float* shift,
                        const float* centre, bool relu, Rows rows, void* passed, double* sum, double* sum_x);
  // of_x = g * scale + x * by_x + offset, with separate coefficients for each channel; g as above, or `gradient` itself
  // without `relu`.
  void (*input_gradient)(const void* gradient, const void* x, const float* scale, const float* shift, bool relu,
                         const float* by_x, const float* offset, Rows rows, void* of_x);
};
