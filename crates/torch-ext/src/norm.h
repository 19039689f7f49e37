// Batch norm, the sum with a residual and ReLU in one sweep each way. libtorch makes a sweep over memory for each of them,
// and memory is what they wait for.
//
// Maps are rows of `channels` float32 values: a channels-last map, or a matrix. `threads` threads share the rows in
// order, so results depend on their number alone.
#pragma once

#include <cstddef>

struct Rows {
  size_t count;
  int channels;
  int threads;
};

struct NormKernels {
  // Mean and (biased) variance of each channel.
  void (*moments)(const float* x, Rows rows, double* mean, double* variance);
  // y = x * scale + shift, + residual where there is one, and max(., 0) with `relu`.
  void (*normalise)(const float* x, const float* residual, const float* scale, const float* shift, bool relu, Rows rows,
                    float* y);
  // The sums over rows of the gradient behind ReLU, g, and of g * (x - centre). Where ReLU passes is where `y` is above 0, or
  // without `y` where x * scale + shift is. With `passed`, g is written to it.
  void (*gradient_sums)(const float* gradient, const float* x, const float* y, const float* scale, const float* shift,
                        const float* centre, bool relu, Rows rows, float* passed, double* sum, double* sum_x);
  // of_x = g * scale + x * by_x + offset, each channel its own; g as above, or `gradient` itself without `relu`.
  void (*input_gradient)(const float* gradient, const float* x, const float* scale, const float* shift, bool relu,
                         const float* by_x, const float* offset, Rows rows, float* of_x);
};
