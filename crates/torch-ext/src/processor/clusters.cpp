// The kernel of clusters.h for one instruction set; build.rs compiles this file once for each, with its name as
// CLUSTERS_KERNELS.
#include "clusters.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace {

// Clusters that are compared at once, a register of them, and rows that share the reading of their centroids.
#if defined(__AVX512F__)
constexpr int WIDTH = 16;
#else
constexpr int WIDTH = 8;
#endif
constexpr int ROWS = 8;
typedef float Vector __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4)));
typedef int Numbers __attribute__((vector_size(WIDTH * sizeof(int))));

// Centroids twice, transposed: for each group of WIDTH clusters [dim, WIDTH]. What is left of the last group is never nearest.
struct Centroids {
  int groups;
  std::vector<float> doubled, offset;

  Centroids(const float* centroids, const ClusterShape& shape)
      : groups((shape.clusters + WIDTH - 1) / WIDTH),
        doubled(size_t(groups) * shape.dim * WIDTH),
        offset(groups * WIDTH, -INFINITY) {
    for (int cluster = 0; cluster < shape.clusters; cluster++) {
      const float* centroid = centroids + size_t(cluster) * shape.dim;
      float* to = &doubled[size_t(cluster / WIDTH) * shape.dim * WIDTH + cluster % WIDTH];
      double length = 0;
      for (int d = 0; d < shape.dim; d++) {
        to[size_t(d) * WIDTH] = 2 * centroid[d];
        length += double(centroid[d]) * centroid[d];
      }
      offset[cluster] = -float(length);
    }
  }
};

// The greatest number: halves against each other.
float greatest_of(const Vector& numbers) {
  float kept[WIDTH];
  std::memcpy(kept, &numbers, sizeof(kept));
  for (int half = WIDTH / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; lane++) kept[lane] = kept[lane + half] > kept[lane] ? kept[lane + half] : kept[lane];
  return kept[0];
}

// The first place of `number`; the last one if it is nowhere.
int lane_of(const Vector& numbers, float number) {
#if defined(__AVX512F__)
  const unsigned equal = _mm512_cmp_ps_mask(__m512(numbers), _mm512_set1_ps(number), _CMP_EQ_OQ);
#else
  const unsigned equal = _mm256_movemask_ps(_mm256_cmp_ps(__m256(numbers), _mm256_set1_ps(number), _CMP_EQ_OQ));
#endif
  return __builtin_ctz(equal | 1u << (WIDTH - 1));
}

// The sums of one chunk.
struct Chunk {
  std::vector<float> sums;
  std::vector<int64_t> counts;
  // The sum of the squared distances.
  double squared = 0;
};

// Adds `count` rows to the sums of their nearest centroids: those of the greatest 2 x.c - |c|^2.
template <int count>
void add(const float* rows, const Centroids& centroids, const ClusterShape& shape, Chunk& chunk) {
  Vector best[count] = {};
  Numbers group_of_best[count] = {};
  for (int group = 0; group < centroids.groups; group++) {
    const float* doubled = &centroids.doubled[size_t(group) * shape.dim * WIDTH];
    Vector near[count];
    for (int row = 0; row < count; row++) near[row] = *reinterpret_cast<const Vector*>(&centroids.offset[group * WIDTH]);
    for (int d = 0; d < shape.dim; d++) {
      const Vector of_clusters = *reinterpret_cast<const Vector*>(doubled + size_t(d) * WIDTH);
      for (int row = 0; row < count; row++) near[row] += of_clusters * rows[size_t(row) * shape.dim + d];
    }
    for (int row = 0; row < count; row++) {
      if (group == 0) {
        best[row] = near[row];
        continue;
      }
      const auto better = near[row] > best[row];
      best[row] = better ? near[row] : best[row];
      group_of_best[row] = better ? Numbers{} + group : group_of_best[row];
    }
  }
  for (int row = 0; row < count; row++) {
    const float greatest = greatest_of(best[row]);
    const int lane = lane_of(best[row], greatest);
    // Of numbers that are not finite none is the greatest.
    const int nearest = std::min(group_of_best[row][lane] * WIDTH + lane, shape.clusters - 1);
    chunk.counts[nearest]++;
    float* __restrict sum = &chunk.sums[size_t(nearest) * shape.dim];
    const float* __restrict from = rows + size_t(row) * shape.dim;
    Vector length{};
    int d = 0;
    for (; d + WIDTH <= shape.dim; d += WIDTH) {
      const Vector part = *reinterpret_cast<const Vector*>(from + d);
      *reinterpret_cast<Vector*>(sum + d) += part;
      length += part * part;
    }
    double squared = -double(greatest);
    for (; d < shape.dim; d++) {
      sum[d] += from[d];
      squared += from[d] * from[d];
    }
    for (int part = 0; part < WIDTH; part++) squared += length[part];
    chunk.squared += squared;
  }
}

void sum_by_cluster(const float* rows, const float* given_centroids, double* sums, ClusterShape shape, int threads) {
  const Centroids centroids(given_centroids, shape);
  // Few enough that their sums take at most 64 MB, or that of one, and enough for all threads.
  const int64_t most = std::max<int64_t>(1, std::min<int64_t>(256, (int64_t(16) << 20) / (int64_t(shape.clusters) * shape.dim)));
  const int64_t length = std::max<int64_t>(8192, (shape.rows / most / ROWS + 1) * ROWS);
  const int64_t chunks = (shape.rows + length - 1) / length;
  std::vector<Chunk> of_chunks(chunks);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t number = 0; number < chunks; number++) {
    Chunk& chunk = of_chunks[number];
    chunk.sums.assign(size_t(shape.clusters) * shape.dim, 0.0f);
    chunk.counts.assign(shape.clusters, 0);
    const int64_t end = std::min(shape.rows, (number + 1) * length);
    int64_t row = number * length;
    for (; row + ROWS <= end; row += ROWS) add<ROWS>(rows + row * shape.dim, centroids, shape, chunk);
    for (; row < end; row++) add<1>(rows + row * shape.dim, centroids, shape, chunk);
  }
  const int line = shape.dim + 1;
  for (const Chunk& chunk : of_chunks) {
    for (int cluster = 0; cluster < shape.clusters; cluster++) {
      for (int d = 0; d < shape.dim; d++) sums[size_t(cluster) * line + d] += chunk.sums[size_t(cluster) * shape.dim + d];
      sums[size_t(cluster) * line + shape.dim] += double(chunk.counts[cluster]);
    }
    sums[size_t(shape.clusters) * line] += chunk.squared;
  }
}

}  // namespace

extern const ClusterKernels CLUSTERS_KERNELS;
const ClusterKernels CLUSTERS_KERNELS{sum_by_cluster};
