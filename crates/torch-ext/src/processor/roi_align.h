// Boxes read from maps by RoIAlign: the mean of samples in each bin of a box. A bin's value is a sum over rows and columns of the
// map with the product of a weight along each axis, so a row is first summed along its columns, once for all bins that read it.
//
// Maps are [batch, height, width, channels] in memory, float32 or bfloat16. Arithmetic is in float32. Threads share the boxes, or
// for the gradient blocks of channels, so results do not depend on their number.
#pragma once

#include <cstddef>

struct RoiAlignShape {
  int batch, channels, height, width, boxes, bins;
};

// The cells that a bin reads along an axis.
struct BinCells {
  int first, count;
  // The place of their weights, one after the other.
  size_t weights;

  int end() const { return first + count; }
  bool reads(int cell) const { return cell >= first && cell < end(); }
};

// Cells along an axis, from the first to behind the last; none if it ends at 0.
struct CellRange {
  int first = 0, end = 0;
};

struct RoiAlignBoxes {
  // The picture of each box, and the rows that any of its bins reads, [boxes] each.
  const int* pictures;
  const CellRange* read_rows;
  // [boxes, bins] each.
  const BinCells *rows, *columns;
  const float* weights;
};

struct RoiAlignKernels {
  // out [boxes, bins, bins, channels].
  void (*forward)(const void* map, RoiAlignBoxes boxes, void* out, RoiAlignShape shape, int threads);
  // of_map, from the gradient of `out`.
  void (*map_gradient)(const void* of_out, RoiAlignBoxes boxes, void* of_map, RoiAlignShape shape, int threads);
};
