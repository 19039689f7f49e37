// Sums of rows by their nearest centroid, float32: a row is read once, and is in the cache when it is added to the sum of its
// cluster. Rows are taken in chunks whose number does not depend on the threads, and whose sums are added in their order, so neither
// do the results.
#pragma once

#include <cstdint>

struct ClusterShape {
  int64_t rows;
  int dim, clusters;
};

struct ClusterKernels {
  // `sums` [clusters + 1, dim + 1] begins at 0. Each cluster has the sum of its rows, and their number; the first number of the last
  // line is the sum of the squared distances of all rows.
  void (*sums)(const float* rows, const float* centroids, double* sums, ClusterShape shape, int threads);
};
