// Max pooling by windows of 3x3 at a stride of 2 with a border of 1, as ResNet's stem pools. For the backward pass it
// keeps only the place in the window, a byte per output, whereas libtorch keeps the input and eight bytes.
//
// Maps are [batch, height, width, channels] in memory, float32 or bfloat16. Threads share the rows, so results do not depend
// on their number.
#pragma once

#include <cstdint>

struct MaxPoolShape {
  int batch, channels, height, width;

  int out_height() const { return (height + 1) / 2; }
  int out_width() const { return (width + 1) / 2; }
};

struct MaxPoolKernels {
  // out and places [batch, out_height, out_width, channels]; of equal values the first counts, a NaN before all.
  void (*forward)(const void* map, void* out, uint8_t* places, MaxPoolShape shape, int threads);
  // of_map, from the gradient of `out`.
  void (*map_gradient)(const void* of_out, const uint8_t* places, void* of_map, MaxPoolShape shape, int threads);
};
