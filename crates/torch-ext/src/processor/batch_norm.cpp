// The kernels of batch_norm.h for one instruction set; build.rs compiles this file once for each, with its names as
// BATCH_NORM_KERNELS_FLOAT and BATCH_NORM_KERNELS_BFLOAT16.
#include "batch_norm.h"

#include <algorithm>
#include <vector>

#include "bfloat16.h"

namespace {

// The number of rows that are summed in float32 before they are added to a sum in float64.
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

template <typename T>
void moments(const void* map, Rows rows, double* mean, double* variance) {
  const T* x = static_cast<const T*>(map);
  const int channels = rows.channels;
  // Sums of differences from the first row: no cancellation if the mean is far from 0.
  auto add = [=](size_t row, float* __restrict sum, float* __restrict squares) {
    const T* __restrict values = x + row * channels;
    for (int c = 0; c < channels; c++) {
      float difference = float(values[c]) - float(x[c]);
      sum[c] += difference;
      squares[c] += difference * difference;
    }
  };
  sums(rows, add, mean, variance);
  for (int c = 0; c < channels; c++) {
    double from_first = mean[c] / rows.count;
    variance[c] = std::max(variance[c] / rows.count - from_first * from_first, 0.0);
    mean[c] = float(x[c]) + from_first;
  }
}

template <typename T, bool RELU, bool RESIDUAL>
void normalise_rows(const T* x, const T* residual, const float* __restrict scale, const float* __restrict shift,
                    Rows rows, T* y) {
  share(rows, [=](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; row++) {
      const T* __restrict from = x + row * rows.channels;
      const T* __restrict with = RESIDUAL ? residual + row * rows.channels : nullptr;
      T* __restrict to = y + row * rows.channels;
      for (int c = 0; c < rows.channels; c++) {
        float value = float(from[c]) * scale[c] + shift[c];
        if (RESIDUAL) value += float(with[c]);
        to[c] = RELU && value < 0 ? 0 : value;  // NaN passes, as in libtorch
      }
    }
  });
}

template <typename T>
void normalise(const void* x, const void* residual, const float* scale, const float* shift, bool relu, Rows rows,
               void* y) {
  auto kernel = relu ? (residual ? normalise_rows<T, true, true> : normalise_rows<T, true, false>)
                     : (residual ? normalise_rows<T, false, true> : normalise_rows<T, false, false>);
  kernel(static_cast<const T*>(x), static_cast<const T*>(residual), scale, shift, rows, static_cast<T*>(y));
}

// How the gradient before ReLU is determined.
enum class Passes { always, where_y, where_normalised };

template <Passes PASSES>
inline float behind_relu(float gradient, float x, float y, float scale, float shift) {
  if (PASSES == Passes::where_y) return y <= 0 ? 0 : gradient;
  if (PASSES == Passes::where_normalised) return x * scale + shift <= 0 ? 0 : gradient;
  return gradient;
}

// The maps that a sum of gradients reads and writes.
template <typename T>
struct GradientMaps {
  const T *gradient, *second, *x, *y;
  T* passed;
};

template <typename T, Passes PASSES, bool SECOND, bool WRITE>
void sum_gradients(GradientMaps<T> maps, const float* scale, const float* shift, const float* centre, Rows rows,
                   double* sum, double* sum_x) {
  const int channels = rows.channels;
  auto add = [=](size_t row, float* __restrict by, float* __restrict by_x) {
    const size_t start = row * channels;
    const T* __restrict first = maps.gradient + start;
    const T* __restrict second = SECOND ? maps.second + start : nullptr;
    const T* __restrict values = maps.x + start;
    const T* __restrict outputs = PASSES == Passes::where_y ? maps.y + start : values;
    T* __restrict written = WRITE ? maps.passed + start : nullptr;
    for (int c = 0; c < channels; c++) {
      const float arrives = SECOND ? float(first[c]) + float(second[c]) : float(first[c]);
      float own = behind_relu<PASSES>(arrives, values[c], outputs[c], scale[c], shift[c]);
      if (WRITE) written[c] = own;
      by[c] += own;
      by_x[c] += own * (float(values[c]) - centre[c]);
    }
  };
  sums(rows, add, sum, sum_x);
}

template <typename T>
void gradient_sums(const void* gradient, const void* second, const void* x, const void* y, const float* scale,
                   const float* shift, const float* centre, bool relu, Rows rows, void* passed, double* sum,
                   double* sum_x) {
  const GradientMaps<T> maps{static_cast<const T*>(gradient), static_cast<const T*>(second), static_cast<const T*>(x),
                             static_cast<const T*>(y), static_cast<T*>(passed)};
  constexpr auto always = Passes::always, where_y = Passes::where_y, where_normalised = Passes::where_normalised;
  auto kernel = !relu  ? (second ? sum_gradients<T, always, true, true> : sum_gradients<T, always, false, false>)
                : y    ? (second ? sum_gradients<T, where_y, true, true> : sum_gradients<T, where_y, false, true>)
                       : (second ? sum_gradients<T, where_normalised, true, true>
                                 : sum_gradients<T, where_normalised, false, false>);
  kernel(maps, scale, shift, centre, rows, sum, sum_x);
}

template <typename T, Passes PASSES>
void write_input_gradient(const T* gradient, const T* x, const float* __restrict scale, const float* __restrict shift,
                          const float* __restrict by_x, const float* __restrict offset, Rows rows, T* of_x) {
  share(rows, [=](size_t begin, size_t end, int) {
    for (size_t row = begin; row < end; row++) {
      const T* __restrict g = gradient + row * rows.channels;
      const T* __restrict values = x + row * rows.channels;
      T* __restrict to = of_x + row * rows.channels;
      for (int c = 0; c < rows.channels; c++) {
        float own = behind_relu<PASSES>(g[c], values[c], 0, scale[c], shift[c]);
        to[c] = own * scale[c] + (float(values[c]) * by_x[c] + offset[c]);
      }
    }
  });
}

template <typename T>
void input_gradient(const void* gradient, const void* x, const float* scale, const float* shift, bool relu,
                    const float* by_x, const float* offset, Rows rows, void* of_x) {
  auto kernel = relu ? write_input_gradient<T, Passes::where_normalised> : write_input_gradient<T, Passes::always>;
  kernel(static_cast<const T*>(gradient), static_cast<const T*>(x), scale, shift, by_x, offset, rows,
         static_cast<T*>(of_x));
}

}  // namespace

extern const BatchNormKernels BATCH_NORM_KERNELS_FLOAT, BATCH_NORM_KERNELS_BFLOAT16;
const BatchNormKernels BATCH_NORM_KERNELS_FLOAT{moments<float>, normalise<float>, gradient_sums<float>,
                                                input_gradient<float>};
const BatchNormKernels BATCH_NORM_KERNELS_BFLOAT16{moments<BFloat16>, normalise<BFloat16>, gradient_sums<BFloat16>,
                                                   input_gradient<BFloat16>};
