// Max pooling over windows of 3x3 at a stride of 2 with a border of 1. For the gradient one byte is kept for each
// output: 3 * row + column of its largest value within the window.

struct MaxPoolShape {
  int batch, vectors, height, width, out_height, out_width;
};

// The largest value of each window: the first of equal values, the last of NaNs, as in libtorch.
KERNEL(max_pool_forward, THREADS)(const uint4* map, MaxPoolShape shape, uint4* out, unsigned char* places) {
  const size_t count = size_t(shape.batch) * shape.out_height * shape.out_width * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t position = index / shape.vectors;
    const int column = position % shape.out_width, row = position / shape.out_width % shape.out_height;
    const size_t picture = position / shape.out_width / shape.out_height;
    Floats best;
    unsigned char place[WIDTH];
    // If all values are minus infinity, the first one inside the map.
    const unsigned char first = (row == 0 ? 3 : 0) + (column == 0 ? 1 : 0);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      best.at[k] = __int_as_float(0xff800000);
      place[k] = first;
    }
#pragma unroll
    for (int offset = 0; offset < 9; offset++) {
      const int y = 2 * row - 1 + offset / 3, x = 2 * column - 1 + offset % 3;
      if (y < 0 || y >= shape.height || x < 0 || x >= shape.width) continue;
      const Floats values = floats(map[((picture * shape.height + y) * shape.width + x) * shape.vectors + vector]);
#pragma unroll
      for (int k = 0; k < WIDTH; k++) {
        if (values.at[k] > best.at[k] || values.at[k] != values.at[k]) {
          best.at[k] = values.at[k];
          place[k] = offset;
        }
      }
    }
    out[index] = vector_of(best);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) places[index * WIDTH + k] = place[k];
  }
}

// The gradient of the map: each of its values reads the windows that contain it, at most four.
KERNEL(max_pool_gradient, THREADS)(const uint4* of_out, const unsigned char* places, MaxPoolShape shape, uint4* of_map) {
  const size_t count = size_t(shape.batch) * shape.height * shape.width * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t position = index / shape.vectors;
    const int x = position % shape.width, y = position / shape.width % shape.height;
    const size_t picture = position / shape.width / shape.height;
    Floats sum = {};
    for (int row = y / 2; row <= (y + 1) / 2 && row < shape.out_height; row++) {
      for (int column = x / 2; column <= (x + 1) / 2 && column < shape.out_width; column++) {
        const int here = 3 * (y - 2 * row + 1) + (x - 2 * column + 1);
        const size_t out = ((picture * shape.out_height + row) * shape.out_width + column) * shape.vectors + vector;
        const Floats gradient = floats(of_out[out]);
#pragma unroll
        for (int k = 0; k < WIDTH; k++)
          if (places[out * WIDTH + k] == here) sum.at[k] += gradient.at[k];
      }
    }
    of_map[index] = vector_of(sum);
  }
}
