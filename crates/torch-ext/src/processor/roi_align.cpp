// The kernels of roi_align.h for one instruction set; build.rs compiles this file once for each, with its names as
// ROI_ALIGN_KERNELS_FLOAT and ROI_ALIGN_KERNELS_BFLOAT16.
#include "roi_align.h"

#include <algorithm>
#include <vector>

#include "bfloat16.h"

namespace {

// Channels that are summed at a time, so that the sums of all bins stay in the cache.
constexpr int BLOCK = 32;

void add(float* __restrict to, const float* __restrict from, float weight, int count) {
  for (int i = 0; i < count; i++) to[i] += weight * from[i];
}

template <typename T>
void forward(const void* given_map, RoiAlignBoxes boxes, void* given_out, RoiAlignShape shape, int threads) {
  const int bins = shape.bins, channels = shape.channels;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sums(bins * bins * BLOCK), of_row(bins * BLOCK);
#pragma omp for schedule(dynamic, 4)
    for (int box = 0; box < shape.boxes; box++) {
      const BinCells *rows = boxes.rows + size_t(box) * bins, *columns = boxes.columns + size_t(box) * bins;
      const CellRange range = boxes.read_rows[box];
      const T* map = static_cast<const T*>(given_map) + size_t(boxes.pictures[box]) * shape.height * shape.width * channels;
      T* out = static_cast<T*>(given_out) + size_t(box) * bins * bins * channels;
      for (int c = 0; c < channels; c += BLOCK) {
        const int count = std::min(BLOCK, channels - c);
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int row = range.first; row < range.end; row++) {
          const T* from_row = map + size_t(row) * shape.width * channels + c;
          std::fill(of_row.begin(), of_row.end(), 0.0f);
          for (int bin = 0; bin < bins; bin++) {
            float* __restrict sum = &of_row[bin * BLOCK];
            for (int cell = 0; cell < columns[bin].count; cell++) {
              const T* __restrict from = from_row + size_t(columns[bin].first + cell) * channels;
              const float weight = boxes.weights[columns[bin].weights + cell];
              for (int i = 0; i < count; i++) sum[i] += weight * float(from[i]);
            }
          }
          for (int bin = 0; bin < bins; bin++)
            if (rows[bin].reads(row))
              add(&sums[bin * bins * BLOCK], of_row.data(), boxes.weights[rows[bin].weights + row - rows[bin].first], bins * BLOCK);
        }
        for (int bin = 0; bin < bins * bins; bin++)
          for (int i = 0; i < count; i++) out[size_t(bin) * channels + c + i] = sums[bin * BLOCK + i];
      }
    }
  }
}

template <typename T>
void map_gradient(const void* given_of_out, RoiAlignBoxes boxes, void* given_of_map, RoiAlignShape shape, int threads) {
  const int bins = shape.bins, channels = shape.channels, cells = shape.height * shape.width;
  const int blocks = (channels + BLOCK - 1) / BLOCK;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> sums(size_t(cells) * BLOCK), of_bins(bins * bins * BLOCK), of_row(bins * BLOCK);
#pragma omp for schedule(dynamic, 1)
    for (int task = 0; task < shape.batch * blocks; task++) {
      const int picture = task / blocks, c = task % blocks * BLOCK, count = std::min(BLOCK, channels - c);
      std::fill(sums.begin(), sums.end(), 0.0f);
      for (int box = 0; box < shape.boxes; box++) {
        if (boxes.pictures[box] != picture) continue;
        const BinCells *rows = boxes.rows + size_t(box) * bins, *columns = boxes.columns + size_t(box) * bins;
        const CellRange range = boxes.read_rows[box];
        const T* of_out = static_cast<const T*>(given_of_out) + size_t(box) * bins * bins * channels + c;
        for (int bin = 0; bin < bins * bins; bin++)
          for (int i = 0; i < count; i++) of_bins[bin * BLOCK + i] = of_out[size_t(bin) * channels + i];
        for (int row = range.first; row < range.end; row++) {
          std::fill(of_row.begin(), of_row.end(), 0.0f);
          for (int bin = 0; bin < bins; bin++)
            if (rows[bin].reads(row))
              add(of_row.data(), &of_bins[bin * bins * BLOCK], boxes.weights[rows[bin].weights + row - rows[bin].first], bins * BLOCK);
          for (int bin = 0; bin < bins; bin++)
            for (int cell = 0; cell < columns[bin].count; cell++)
              add(&sums[(size_t(row) * shape.width + columns[bin].first + cell) * BLOCK], &of_row[bin * BLOCK],
                  boxes.weights[columns[bin].weights + cell], BLOCK);
        }
      }
      T* of_map = static_cast<T*>(given_of_map) + size_t(picture) * cells * channels + c;
      for (int cell = 0; cell < cells; cell++)
        for (int i = 0; i < count; i++) of_map[size_t(cell) * channels + i] = sums[size_t(cell) * BLOCK + i];
    }
  }
}

}  // namespace

extern const RoiAlignKernels ROI_ALIGN_KERNELS_FLOAT, ROI_ALIGN_KERNELS_BFLOAT16;
const RoiAlignKernels ROI_ALIGN_KERNELS_FLOAT{forward<float>, map_gradient<float>};
const RoiAlignKernels ROI_ALIGN_KERNELS_BFLOAT16{forward<BFloat16>, map_gradient<BFloat16>};
