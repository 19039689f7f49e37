// The kernels of norm.h for one instruction set; build.rs compiles this file once for each, with its name as
// NORM_KERNELS.
#include "norm.h"

#include <algorithm>
#include <vector>

namespace {

// Rows that are summed in float32 before the sum goes on in float64.
constexpr size_t BLOCK = 64;

// Calls body(first row, past the last row, thread) for each thread's share of the rows.
template <typename Body>
void share(const Rows& rows, Body body) {
#pragma omp parallel for num_threads(rows.threads) schedule(static)
  for (int thread = 0; thread < rows.threads; thread++) {
    body(rows.count * thread / rows.threads, rows.count * (thread + 1) / rows.threads, thread);
  }
}

// Two sums for each channel over all rows: `add(row, channel begin, first sum, second sum)` adds one row in float32.
template <typename Add>
void sums(const Rows& rows, Add add, double* first, double* second) {
  const int channels = rows.channels;
  std::vector<double> partial(size_t(rows.threads) * 2 * channels, 0.0);
  share(rows, [&](size_t begin, size_t end, int thread) {
    double* own = &partial[size_t(thread) * 2 * channels];
    std::vector<float> block(2 * channels);
    for (size_t start = begin; start < end; start += BLOCK) {
      std::fill(block.begin(), block.end(), 0.0f);
      for (size_t row = start; row < std::min(start + BLOCK, end); row++) add(row, block.data(), block.data() + channels);
      for (int c = 0; c < 2 * channels; c++) own[c] += block[c];
    }
  });
  for (int c = 0; c < channels; c++) {
    first[c] = second[c] = 0;
    for (int thread = 0; thread < rows.threads; thread++) {
      first[c] += partial[size_t(thread) * 2 * channels + c];
      second[c] += partial[(size_t(thread) * 2 + 1) * channels + c];
    }
  }
}

void moments(const float* x, Rows rows, double* mean, double* variance) {
  const int channels = rows.channels;
  // Sums of differences from the first row: no cancellation where the mean is far from 0.
  auto add = [=](size_t row, float* __restrict sum, float* __restrict squares) {
    const float* __restrict values = x + row * channels;
    for (int c = 0; c < channels; c++) {
      float difference = values[c] - x[c];
      sum[c] += difference;
      squares[c] += difference * difference;
    }
  };
  sums(rows, add, mean, variance);
  for (int c = 0; c < channels; c++) {
    double from_first = mean[c] / rows.count;
    variance[c] = std::max(variance[c] / rows.count - from_first * from_first, 0.0);
    mean[c] = x[c] + from_first;
  }
}

template <bool RELU, bool RESIDUAL>
void normalise_rows(const float* x, const float* residual, const float* __restrict scale, const float* __restrict shift,
                    Rows rows, float* y) {
  share(rows, [=](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; row++) {
      const float* __restrict from = x + row * rows.channels;
      const float* __restrict with = RESIDUAL ? residual + row * rows.channels : nullptr;
      float* __restrict to = y + row * rows.channels;
      for (int c = 0; c < rows.channels; c++) {
        float value = from[c] * scale[c] + shift[c];
        if (RESIDUAL) value += with[c];
        to[c] = RELU ? (value > 0 ? value : 0) : value;
      }
    }
  });
}

void normalise(const float* x, const float* residual, const float* scale, const float* shift, bool relu, Rows rows,
               float* y) {
  auto kernel = relu ? (residual ? normalise_rows<true, true> : normalise_rows<true, false>)
                     : (residual ? normalise_rows<false, true> : normalise_rows<false, false>);
  kernel(x, residual, scale, shift, rows, y);
}

// How the gradient behind ReLU is told.
enum class Passes { always, where_y, where_normalised };

template <Passes PASSES>
inline float behind_relu(float gradient, float x, float y, float scale, float shift) {
  if (PASSES == Passes::where_y) return y > 0 ? gradient : 0;
  if (PASSES == Passes::where_normalised) return x * scale + shift > 0 ? gradient : 0;
  return gradient;
}

template <Passes PASSES, bool WRITE>
void sum_gradients(const float* gradient, const float* x, const float* y, const float* scale, const float* shift,
                   const float* centre, Rows rows, float* passed, double* sum, double* sum_x) {
  const int channels = rows.channels;
  auto add = [=](size_t row, float* __restrict by, float* __restrict by_x) {
    const float* __restrict g = gradient + row * channels;
    const float* __restrict values = x + row * channels;
    const float* __restrict outputs = PASSES == Passes::where_y ? y + row * channels : values;
    float* __restrict written = WRITE ? passed + row * channels : nullptr;
    for (int c = 0; c < channels; c++) {
      float own = behind_relu<PASSES>(g[c], values[c], outputs[c], scale[c], shift[c]);
      if (WRITE) written[c] = own;
      by[c] += own;
      by_x[c] += own * (values[c] - centre[c]);
    }
  };
  sums(rows, add, sum, sum_x);
}

void gradient_sums(const float* gradient, const float* x, const float* y, const float* scale, const float* shift,
                   const float* centre, bool relu, Rows rows, float* passed, double* sum, double* sum_x) {
  auto kernel = !relu ? sum_gradients<Passes::always, false>
                : y   ? (passed ? sum_gradients<Passes::where_y, true> : sum_gradients<Passes::where_y, false>)
                      : (passed ? sum_gradients<Passes::where_normalised, true>
                                : sum_gradients<Passes::where_normalised, false>);
  kernel(gradient, x, y, scale, shift, centre, rows, passed, sum, sum_x);
}

template <Passes PASSES>
void write_input_gradient(const float* gradient, const float* x, const float* __restrict scale,
                          const float* __restrict shift, const float* __restrict by_x, const float* __restrict offset,
                          Rows rows, float* of_x) {
  share(rows, [=](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; row++) {
      const float* __restrict g = gradient + row * rows.channels;
      const float* __restrict values = x + row * rows.channels;
      float* __restrict to = of_x + row * rows.channels;
      for (int c = 0; c < rows.channels; c++) {
        float own = behind_relu<PASSES>(g[c], values[c], 0, scale[c], shift[c]);
        to[c] = own * scale[c] + (values[c] * by_x[c] + offset[c]);
      }
    }
  });
}

void input_gradient(const float* gradient, const float* x, const float* scale, const float* shift, bool relu,
                    const float* by_x, const float* offset, Rows rows, float* of_x) {
  auto kernel = relu ? write_input_gradient<Passes::where_normalised> : write_input_gradient<Passes::always>;
  kernel(gradient, x, scale, shift, by_x, offset, rows, of_x);
}

}  // namespace

extern const NormKernels NORM_KERNELS;
const NormKernels NORM_KERNELS{moments, normalise, gradient_sums, input_gradient};
