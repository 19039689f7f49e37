// Code that the kernels of batch norm share. With residual and ReLU, over rows of channels, batch norm takes two sweeps
// forward and two backward. Between them the results of the blocks are summed in a fixed order, so that results are the
// same each time.
//
// In a sweep a thread keeps one vector of channels and goes through rows: blocks are arranged along vectors (x), rows
// (y) and views (z), and each view has its own statistics. The first sweep of a pair goes backwards, so it begins with
// the data that were written last. The second goes forwards, and begins with the data that the first read last, because
// these are still in the cache.

// Numbers that a view has for each channel, one array of all channels after the other.
enum Coefficient { SCALE, SHIFT, MEAN, INVERSE_DEVIATION, COEFFICIENTS };
enum GradientCoefficient { BY_X, OFFSET, GRADIENT_COEFFICIENTS };

// The rows of a thread: `first`, and every `step`th row after it.
struct Walk {
  int vector, first, step;

  __device__ Walk()
      : vector(blockIdx.x * blockDim.x + threadIdx.x),
        first(blockIdx.y * blockDim.y + threadIdx.y),
        step(gridDim.y * blockDim.y) {}
};

// The position in its view of the thread's vector of row 0.
__device__ inline size_t start_of_view(const Walk& walk, int rows, int vectors) {
  return size_t(blockIdx.z) * rows * vectors + walk.vector;
}

__device__ inline Floats coefficient(const float* all, int which, int count, const Walk& walk, int vectors) {
  const size_t channels = size_t(vectors) * WIDTH;
  return load(all + (size_t(blockIdx.z) * count + which) * channels + size_t(walk.vector) * WIDTH);
}

// Goes through the channels of a block's vectors, of which each thread of the block takes some: `body(channel, its
// position in partial)` for partial [views, blocks of rows, 2, channels].
template <typename Body>
__device__ inline void for_channels(int vectors, Body body) {
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, channels = blockDim.x * WIDTH, all = vectors * WIDTH;
  for (int channel = thread; channel < channels && blockIdx.x * channels + channel < all; channel += THREADS)
    body(channel, (size_t(blockIdx.z) * gridDim.y + blockIdx.y) * 2 * all + blockIdx.x * channels + channel);
}

// Room for two numbers of each channel of each thread of a block.
struct Shared {
  float at[2][THREADS * WIDTH];

  __device__ void put(const Floats& one, const Floats& two) {
    const int thread = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      at[0][thread * WIDTH + k] = one.at[k];
      at[1][thread * WIDTH + k] = two.at[k];
    }
    __syncthreads();
  }

  // A number of the threads in row `y` of the block.
  __device__ float get(int which, int y, int channel) const { return at[which][y * blockDim.x * WIDTH + channel]; }
};

// The sums of `of(block)` over the blocks of rows of one view, for a block of 32 channels (x) by 32 (y); in the threads of
// y = 0.
template <typename Of>
__device__ inline double2 sum_of_blocks(int blocks, Of of) {
  __shared__ double shared[2][32][33];
  double one = 0, two = 0;
  for (int block = threadIdx.y; block < blocks; block += 32) {
    const double2 more = of(block);
    one += more.x;
    two += more.y;
  }
  __syncthreads();
  shared[0][threadIdx.y][threadIdx.x] = one;
  shared[1][threadIdx.y][threadIdx.x] = two;
  __syncthreads();
  double2 sums = make_double2(0, 0);
  if (threadIdx.y == 0) {
    for (int y = 0; y < 32; y++) {
      sums.x += shared[0][y][threadIdx.x];
      sums.y += shared[1][y][threadIdx.x];
    }
  }
  return sums;
}
