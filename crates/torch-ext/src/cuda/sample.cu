// A map read at points: bilinear, border padding, align_corners off; computed in float32.

struct SampleShape {
  int batch, vectors, height, width, points;
};

// The four cells around a point, and their weights.
struct Taps {
  int cell[4];
  float share[4];

  __device__ Taps(float2 point, int height, int width) {
    auto place = [](float coordinate, int size) {
      return fminf(fmaxf(((coordinate + 1) * size - 1) / 2, 0.0f), float(size - 1));
    };
    const float x = place(point.x, width), y = place(point.y, height);
    const int left = int(x), top = int(y);
    const int right = min(left + 1, width - 1), bottom = min(top + 1, height - 1);
    const float to_right = x - left, to_bottom = y - top;
    cell[0] = top * width + left, share[0] = (1 - to_bottom) * (1 - to_right);
    cell[1] = top * width + right, share[1] = (1 - to_bottom) * to_right;
    cell[2] = bottom * width + left, share[2] = to_bottom * (1 - to_right);
    cell[3] = bottom * width + right, share[3] = to_bottom * to_right;
  }
};

KERNEL(sample_forward, THREADS)(const uint4* map, const float2* grid, SampleShape shape, uint4* out) {
  const size_t count = size_t(shape.batch) * shape.points * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t point = index / shape.vectors, picture = point / shape.points;
    const Taps taps(grid[point], shape.height, shape.width);
    const size_t cells = size_t(shape.height) * shape.width;
    Floats sum = {};
#pragma unroll
    for (int tap = 0; tap < 4; tap++) {
      const Floats values = floats(map[(picture * cells + taps.cell[tap]) * shape.vectors + vector]);
#pragma unroll
      for (int k = 0; k < WIDTH; k++) sum.at[k] += taps.share[tap] * values.at[k];
    }
    out[index] = vector_of(sum);
  }
}

// The gradient of the map if there are few points: for one cell (x) and one picture (y) a block gathers the gradients
// of the points that read the cell, in the order of the points; 256 vectors (z) at a time.
KERNEL(sample_gather_gradient, THREADS)(const uint4* of_out, const float2* grid, SampleShape shape, uint4* of_map) {
  __shared__ float shares[THREADS];
  const int cell = blockIdx.x, vector = blockIdx.z * THREADS + threadIdx.x;
  const size_t picture = blockIdx.y, cells = size_t(shape.height) * shape.width;
  Floats sum = {};
  for (int first = 0; first < shape.points; first += THREADS) {
    const int count = min(THREADS, shape.points - first);
    __syncthreads();
    if (threadIdx.x < count) {
      const Taps taps(grid[picture * shape.points + first + threadIdx.x], shape.height, shape.width);
      float share = 0;
#pragma unroll
      for (int tap = 0; tap < 4; tap++)
        if (taps.cell[tap] == cell) share += taps.share[tap];
      shares[threadIdx.x] = share;
    }
    __syncthreads();
    if (vector >= shape.vectors) continue;
    for (int point = 0; point < count; point++) {
      const float share = shares[point];
      if (share == 0) continue;
      const Floats gradient = floats(of_out[(picture * shape.points + first + point) * shape.vectors + vector]);
#pragma unroll
      for (int k = 0; k < WIDTH; k++) sum.at[k] += share * gradient.at[k];
    }
  }
  if (vector < shape.vectors) of_map[(picture * cells + cell) * shape.vectors + vector] = vector_of(sum);
}

// Adds to floats in memory; the order among threads is not fixed.
__device__ inline void add_to(float* to, const Floats& values) {
#if __CUDA_ARCH__ >= 900
#pragma unroll
  for (int k = 0; k < WIDTH; k += 4)
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(to + k), "f"(values.at[k]), "f"(values.at[k + 1]),
                 "f"(values.at[k + 2]), "f"(values.at[k + 3])
                 : "memory");
#else
#pragma unroll
  for (int k = 0; k < WIDTH; k++) atomicAdd(to + k, values.at[k]);
#endif
}

// The same if there are many points: adds the gradient of each point to its cells in `of_map`, which is float32 and
// zero before; the order is not fixed.
KERNEL(sample_scatter_gradient, THREADS)(
    const uint4* of_out, const float2* grid, SampleShape shape, float* of_map) {
  const size_t count = size_t(shape.batch) * shape.points * shape.vectors;
  for (size_t index = size_t(blockIdx.x) * THREADS + threadIdx.x; index < count; index += size_t(gridDim.x) * THREADS) {
    const int vector = index % shape.vectors;
    const size_t point = index / shape.vectors, picture = point / shape.points;
    const Taps taps(grid[point], shape.height, shape.width);
    const size_t cells = size_t(shape.height) * shape.width;
    const Floats gradient = floats(of_out[index]);
#pragma unroll
    for (int tap = 0; tap < 4; tap++) {
      if (taps.share[tap] == 0) continue;
      Floats given;
#pragma unroll
      for (int k = 0; k < WIDTH; k++) given.at[k] = taps.share[tap] * gradient.at[k];
      add_to(of_map + ((picture * cells + taps.cell[tap]) * shape.vectors + vector) * WIDTH, given);
    }
  }
}
