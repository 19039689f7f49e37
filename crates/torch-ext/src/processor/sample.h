// Maps read between their positions, as libtorch's grid_sample does with bilinear interpolation, border padding and
// align_corners off. grid_sample gathers channel by channel; here contiguous channels are read as one vector.
//
// Maps are [batch, height, width, channels] in memory, float32 or bfloat16; the grid is [batch, points, 2] of (x, y) from -1
// to 1 over the map. Arithmetic is in float32. Threads share the pictures, so results do not depend on their number.
#pragma once

#include <cstddef>

struct SampleShape {
  int batch, channels, height, width, points;
};

struct SampleKernels {
  // out [batch, points, channels].
  void (*forward)(const void* map, const float* grid, void* out, SampleShape shape, int threads);
  // of_map, from the gradient of `out`.
  void (*map_gradient)(const void* of_out, const float* grid, void* of_map, SampleShape shape, int threads);
};
