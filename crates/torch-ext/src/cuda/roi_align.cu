// Boxes read from maps by RoIAlign: a bin's value is a sum over rows and columns of the map, with the product of a weight along each
// axis. A thread takes a vector of channels.

struct RoiAlignShape {
  int batch, vectors, height, width, boxes, bins;
};

// The cells that a bin reads along an axis, and the place of their weights, which follow each other.
struct BinCells {
  int first, count;
  size_t weights;

  __device__ bool reads(int cell) const { return cell >= first && cell < first + count; }
};

// The picture of a box, and the part of the map outside which none of its bins reads.
struct BoxCells {
  int picture, top, bottom, left, right;

  __device__ bool reads(int in, int y, int x) const {
    return picture == in && y >= top && y < bottom && x >= left && x < right;
  }
};

struct RoiAlignBoxes {
  // [boxes].
  const BoxCells* cells;
  // [boxes, bins] each.
  const BinCells *rows, *columns;
  const float* weights;
};

KERNEL(roi_align_forward, THREADS)(const uint4* map, RoiAlignBoxes boxes, RoiAlignShape shape, uint4* out) {
  const size_t count = size_t(shape.boxes) * shape.bins * shape.bins * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t bin = index / shape.vectors, box = bin / shape.bins / shape.bins;
    const BinCells row = boxes.rows[bin / shape.bins];
    const BinCells column = boxes.columns[box * shape.bins + bin % shape.bins];
    const size_t picture = size_t(boxes.cells[box].picture) * shape.height;
    Floats sum = {};
    for (int y = 0; y < row.count; y++) {
      const size_t cell = (picture + row.first + y) * shape.width + column.first;
      Floats of_row = {};
      for (int x = 0; x < column.count; x++) {
        const Floats values = floats(map[(cell + x) * shape.vectors + vector]);
#pragma unroll
        for (int k = 0; k < WIDTH; k++) of_row.at[k] += boxes.weights[column.weights + x] * values.at[k];
      }
#pragma unroll
      for (int k = 0; k < WIDTH; k++) sum.at[k] += boxes.weights[row.weights + y] * of_row.at[k];
    }
    out[index] = vector_of(sum);
  }
}

// The gradient of the map: each of its values gathers the gradients of the bins that read it, in the order of the boxes, so that the
// sum is the same each time.
KERNEL(roi_align_map_gradient, THREADS)(const uint4* of_out, RoiAlignBoxes boxes, RoiAlignShape shape, uint4* of_map) {
  const size_t count = size_t(shape.batch) * shape.height * shape.width * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t cell = index / shape.vectors;
    const int x = cell % shape.width, y = cell / shape.width % shape.height, picture = cell / shape.width / shape.height;
    Floats sum = {};
    for (int box = 0; box < shape.boxes; box++) {
      if (!boxes.cells[box].reads(picture, y, x)) continue;
      const size_t first = size_t(box) * shape.bins;
      for (int bin_row = 0; bin_row < shape.bins; bin_row++) {
        const BinCells row = boxes.rows[first + bin_row];
        if (!row.reads(y)) continue;
        const float of_row = boxes.weights[row.weights + y - row.first];
        for (int bin_column = 0; bin_column < shape.bins; bin_column++) {
          const BinCells column = boxes.columns[first + bin_column];
          if (!column.reads(x)) continue;
          const float weight = of_row * boxes.weights[column.weights + x - column.first];
          const size_t bin = (first + bin_row) * shape.bins + bin_column;
          const Floats gradient = floats(of_out[bin * shape.vectors + vector]);
#pragma unroll
          for (int k = 0; k < WIDTH; k++) sum.at[k] += weight * gradient.at[k];
        }
      }
    }
    of_map[index] = vector_of(sum);
  }
}
