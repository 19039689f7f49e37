// The kernels of sample.h for one instruction set; build.rs compiles this file once for each, with its names as
// SAMPLE_KERNELS_FLOAT and SAMPLE_KERNELS_BFLOAT16.
#include "sample.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "bfloat16.h"

namespace {

// The four positions around a point, and their weights.
struct Corners {
  size_t position[4];
  float share[4];
};

// Converts -1..1 over an axis of `size` cells to coordinates in which the centres are whole numbers; NaN becomes the
// first, as in libtorch.
float to_centres(float coordinate, int size) {
  const float place = ((coordinate + 1) * size - 1) / 2;
  return place > 0 ? std::min(place, float(size - 1)) : 0;
}

Corners corners_of(const float* point, const SampleShape& shape) {
  const float x = to_centres(point[0], shape.width), y = to_centres(point[1], shape.height);
  const int left = int(x), top = int(y);
  const int right = std::min(left + 1, shape.width - 1), bottom = std::min(top + 1, shape.height - 1);
  const float along = x - left, down = y - top;
  auto position = [&](int row, int column) { return (size_t(row) * shape.width + column) * shape.channels; };
  return {{position(top, left), position(top, right), position(bottom, left), position(bottom, right)},
          {(1 - along) * (1 - down), along * (1 - down), (1 - along) * down, along * down}};
}

template <typename T>
void forward(const void* given_map, const float* grid, void* given_out, SampleShape shape, int threads) {
  const size_t cells = size_t(shape.height) * shape.width * shape.channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int image = 0; image < shape.batch; image++) {
    const T* map = static_cast<const T*>(given_map) + image * cells;
    for (int index = 0; index < shape.points; index++) {
      const size_t point = size_t(image) * shape.points + index;
      const Corners corners = corners_of(grid + 2 * point, shape);
      const T* __restrict from[4];
      for (int corner = 0; corner < 4; corner++) from[corner] = map + corners.position[corner];
      const float *share = corners.share;
      T* __restrict out = static_cast<T*>(given_out) + point * shape.channels;
      for (int c = 0; c < shape.channels; c++)
        out[c] = float(from[0][c]) * share[0] + float(from[1][c]) * share[1] + float(from[2][c]) * share[2] +
                 float(from[3][c]) * share[3];
    }
  }
}

template <typename T>
void map_gradient(const void* given_of_out, const float* grid, void* given_of_map, SampleShape shape, int threads) {
  const size_t cells = size_t(shape.height) * shape.width * shape.channels;
  // Sums of many gradients in float32, rounded once; each thread has its own.
  const int sharing = std::min(threads, shape.batch);
  std::vector<float> sums_of_all(sharing * cells);
#pragma omp parallel for num_threads(sharing) schedule(static)
  for (int thread = 0; thread < sharing; thread++) {
    float* sums = &sums_of_all[thread * cells];
    for (int image = thread; image < shape.batch; image += sharing) {
      std::fill(sums, sums + cells, 0.0f);
      for (int index = 0; index < shape.points; index++) {
        const size_t point = size_t(image) * shape.points + index;
        const Corners corners = corners_of(grid + 2 * point, shape);
        const T* __restrict of_out = static_cast<const T*>(given_of_out) + point * shape.channels;
        for (int corner = 0; corner < 4; corner++) {
          float* __restrict to = sums + corners.position[corner];
          const float share = corners.share[corner];
          for (int c = 0; c < shape.channels; c++) to[c] += share * float(of_out[c]);
        }
      }
      T* of_map = static_cast<T*>(given_of_map) + image * cells;
      for (size_t cell = 0; cell < cells; cell++) of_map[cell] = sums[cell];
    }
  }
}

}  // namespace

extern const SampleKernels SAMPLE_KERNELS_FLOAT, SAMPLE_KERNELS_BFLOAT16;
const SampleKernels SAMPLE_KERNELS_FLOAT{forward<float>, map_gradient<float>};
const SampleKernels SAMPLE_KERNELS_BFLOAT16{forward<BFloat16>, map_gradient<BFloat16>};
