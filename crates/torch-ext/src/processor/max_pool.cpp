// The kernels of max_pool.h for one instruction set; build.rs compiles this file once for each, with its names as
// MAX_POOL_KERNELS_FLOAT and MAX_POOL_KERNELS_BFLOAT16.
#include "max_pool.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "bfloat16.h"

namespace {

// Channels that are held in registers at a time.
constexpr int BLOCK = 32;

// A window begins one before twice its number.
int start_of(int window) { return 2 * window - 1; }

template <typename T>
void forward(const void* given_map, void* given_out, uint8_t* places, MaxPoolShape shape, int threads) {
  const int rows = shape.out_height(), columns = shape.out_width(), channels = shape.channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int all_rows = 0; all_rows < shape.batch * rows; all_rows++) {
    const int image = all_rows / rows, top = start_of(all_rows % rows);
    const T* map = static_cast<const T*>(given_map) + size_t(image) * shape.height * shape.width * channels;
    for (int column = 0; column < columns; column++) {
      const int left = start_of(column);
      const size_t to = (size_t(all_rows) * columns + column) * channels;
      for (int c = 0; c < channels; c += BLOCK) {
        const int count = std::min(BLOCK, channels - c);
        float most[BLOCK];
        int32_t place[BLOCK];
        std::fill(most, most + BLOCK, -std::numeric_limits<float>::infinity());
        std::fill(place, place + BLOCK, 3 * (top < 0) + (left < 0));
        for (int y = std::max(top, 0); y < std::min(top + 3, shape.height); y++) {
          for (int x = std::max(left, 0); x < std::min(left + 3, shape.width); x++) {
            const T* __restrict values = map + (size_t(y) * shape.width + x) * channels + c;
            const int32_t here = 3 * (y - top) + x - left;
            for (int i = 0; i < count; i++) {
              const float value = values[i];
              const bool more = value > most[i] || value != value;
              most[i] = more ? value : most[i];
              place[i] = more ? here : place[i];
            }
          }
        }
        T* __restrict out = static_cast<T*>(given_out) + to + c;
        for (int i = 0; i < count; i++) out[i] = most[i];
        for (int i = 0; i < count; i++) places[to + c + i] = uint8_t(place[i]);
      }
    }
  }
}

// Each position gathers from the windows that contain it, at most two along an axis, so it is written once and summed
// in float32.
template <typename T>
void map_gradient(const void* given_of_out, const uint8_t* places, void* given_of_map, MaxPoolShape shape, int threads) {
  const int rows = shape.out_height(), columns = shape.out_width(), channels = shape.channels;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int all_rows = 0; all_rows < shape.batch * shape.height; all_rows++) {
    const int image = all_rows / shape.height, y = all_rows % shape.height;
    for (int x = 0; x < shape.width; x++) {
      T* of_map = static_cast<T*>(given_of_map) + (size_t(all_rows) * shape.width + x) * channels;
      for (int c = 0; c < channels; c += BLOCK) {
        const int count = std::min(BLOCK, channels - c);
        float sum[BLOCK] = {};
        for (int row = y / 2; row <= std::min((y + 1) / 2, rows - 1); row++) {
          for (int column = x / 2; column <= std::min((x + 1) / 2, columns - 1); column++) {
            const size_t from = ((size_t(image) * rows + row) * columns + column) * channels + c;
            const T* __restrict of_out = static_cast<const T*>(given_of_out) + from;
            const uint8_t here = 3 * (y - start_of(row)) + x - start_of(column);
            for (int i = 0; i < count; i++) sum[i] += places[from + i] == here ? float(of_out[i]) : 0.0f;
          }
        }
        for (int i = 0; i < count; i++) of_map[c + i] = sum[i];
      }
    }
  }
}

}  // namespace

extern const MaxPoolKernels MAX_POOL_KERNELS_FLOAT, MAX_POOL_KERNELS_BFLOAT16;
const MaxPoolKernels MAX_POOL_KERNELS_FLOAT{forward<float>, map_gradient<float>};
const MaxPoolKernels MAX_POOL_KERNELS_BFLOAT16{forward<BFloat16>, map_gradient<BFloat16>};
