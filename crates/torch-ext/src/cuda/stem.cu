// Three colours do not fill a matrix unit. The stem's 7x7 convolution at a stride of 2 is therefore computed as a 4x4
// convolution at a stride of 1 over the twelve channels of 2x2 pixels, with a border of 2 before and 1 behind, and four
// channels of 0.

constexpr int STEM_CHANNELS = 16;

// map [batch, height, width, 3], both sides even, to out [batch, height / 2 + 3, width / 2 + 3, 16], of which channel
// (2 * row + column) * 3 + colour is pixel (row, column) of the 2x2.
KERNEL(stem_unshuffle, THREADS)(const Value* map, int batch, int height, int width, uint4* out) {
  constexpr int VECTORS = STEM_CHANNELS / WIDTH;
  const int out_height = height / 2 + 3, out_width = width / 2 + 3;
  const size_t count = size_t(batch) * out_height * out_width * VECTORS;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int first = index % VECTORS * WIDTH;
    const size_t position = index / VECTORS;
    const int column = 2 * (int(position % out_width) - 2), row = 2 * (int(position / out_width % out_height) - 2);
    const size_t picture = position / out_width / out_height;
    const bool inside = row >= 0 && row < height && column >= 0 && column < width;
    Floats values;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      const int channel = first + k, pixel = channel / 3, colour = channel % 3;
      values.at[k] = inside && channel < 12
                         ? to_float(map[((picture * height + row + pixel / 2) * width + column + pixel % 2) * 3 + colour])
                         : 0;
    }
    out[index] = vector_of(values);
  }
}
