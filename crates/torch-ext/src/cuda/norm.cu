// Batch norm with residual and ReLU over rows of channels: two sweeps forward, two backward, and between them sums over what
// the blocks found, in a fixed order, so that results are the same each time.
//
// In a sweep a thread keeps to one vector of channels and walks over rows: blocks lie along vectors (x), rows (y) and views
// (z), each view with statistics of its own. The first sweep of a pair walks backwards, and so begins with what was written
// last; the second walks forwards, and begins with what the first read last: that much is in the cache still.

// Numbers that a view has for each channel, one array of all channels after the other.
enum Coefficient { SCALE, SHIFT, MEAN, INVERSE_DEVIATION, COEFFICIENTS };
enum GradientCoefficient { BY_X, OFFSET, GRADIENT_COEFFICIENTS };

// The rows of a thread: `first`, and every `step`th from there.
struct Walk {
  int vector, first, step;

  __device__ Walk()
      : vector(blockIdx.x * blockDim.x + threadIdx.x),
        first(blockIdx.y * blockDim.y + threadIdx.y),
        step(gridDim.y * blockDim.y) {}
};

// Where the thread's vector of row 0 lies in its view.
__device__ inline size_t start_of_view(const Walk& walk, int rows, int vectors) {
  return size_t(blockIdx.z) * rows * vectors + walk.vector;
}

__device__ inline Floats coefficient(const float* all, int which, int count, const Walk& walk, int vectors) {
  const size_t channels = size_t(vectors) * WIDTH;
  return load(all + (size_t(blockIdx.z) * count + which) * channels + size_t(walk.vector) * WIDTH);
}

// Leaves the sums of `one` and `two` over the threads of the block that have the same vector in
// `partial` [views, blocks of rows, 2, channels].
__device__ inline void leave_sums(const Floats& one, const Floats& two, int vectors, float* partial) {
  __shared__ float shared[2][THREADS * WIDTH];
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, channels = blockDim.x * WIDTH;
#pragma unroll
  for (int k = 0; k < WIDTH; k++) {
    shared[0][thread * WIDTH + k] = one.at[k];
    shared[1][thread * WIDTH + k] = two.at[k];
  }
  __syncthreads();
  for (int place = thread; place < 2 * channels; place += THREADS) {
    const int which = place / channels, channel = place % channels;
    float sum = 0;
    for (int y = 0; y < blockDim.y; y++) sum += shared[which][y * channels + channel];
    const int global = blockIdx.x * channels + channel;
    if (global < vectors * WIDTH)
      partial[((size_t(blockIdx.z) * gridDim.y + blockIdx.y) * 2 + which) * vectors * WIDTH + global] = sum;
  }
}

// The sums over the blocks of rows of one view, `partial` [blocks, 2, channels], for a block of 32 channels (x) by 32 (y); in
// the threads of y = 0.
__device__ inline double2 sum_of_blocks(const float* partial, int blocks, int channels, int channel) {
  __shared__ double shared[2][32][33];
  double one = 0, two = 0;
  if (channel < channels) {
    for (int block = threadIdx.y; block < blocks; block += 32) {
      one += partial[size_t(block) * 2 * channels + channel];
      two += partial[(size_t(block) * 2 + 1) * channels + channel];
    }
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

// Sums of x - centre and of its square, where the centre is the view's first row.
extern "C" __global__ __launch_bounds__(THREADS, 3) void norm_moments(const uint4* x, int rows, int vectors,
                                                                       float* partial) {
  const Walk walk;
  Floats sum = {}, squares = {};
  if (walk.vector < vectors) {
    const uint4* view = x + start_of_view(walk, rows, vectors);
    const Floats centre = floats(view[0]);
    auto add = [&](const uint4& vector) {
      const Floats values = floats(vector);
#pragma unroll
      for (int k = 0; k < WIDTH; k++) {
        const float centred = values.at[k] - centre.at[k];
        sum.at[k] += centred;
        squares.at[k] += centred * centred;
      }
    };
    auto at = [&](int row) { return view[size_t(rows - 1 - row) * vectors]; };
    int row = walk.first;
    for (; row + 3 * walk.step < rows; row += 4 * walk.step) {
      const uint4 vectors_read[4] = {at(row), at(row + walk.step), at(row + 2 * walk.step), at(row + 3 * walk.step)};
#pragma unroll
      for (int k = 0; k < 4; k++) add(vectors_read[k]);
    }
    for (; row < rows; row += walk.step) add(at(row));
  }
  leave_sums(sum, squares, vectors, partial);
}

// From those sums the coefficients of each view, y = x * scale + shift, and the running statistics, moved view by view.
extern "C" __global__ __launch_bounds__(1024) void norm_statistics(const Value* x, const float* partial, int blocks, int rows, int channels,
                                           int views, const float* weight, const float* bias, float* running_mean,
                                           float* running_var, double momentum, double epsilon, float* coefficients) {
  const int channel = blockIdx.x * 32 + threadIdx.x;
  for (int view = 0; view < views; view++) {
    const float* of_view = partial + size_t(view) * blocks * 2 * channels;
    const double2 sums = sum_of_blocks(of_view, blocks, channels, channel);
    if (threadIdx.y != 0 || channel >= channels) continue;
    const double centre = to_float(x[size_t(view) * rows * channels + channel]);
    const double from_centre = sums.x / rows, mean = centre + from_centre;
    const double difference = sums.y / rows - from_centre * from_centre;
    // Not fmax, which would hide what is no number.
    const double variance = difference < 0 ? 0 : difference;
    const double inverse = rsqrt(variance + epsilon), scale = (weight ? weight[channel] : 1) * inverse;
    float* of_channel = coefficients + size_t(view) * COEFFICIENTS * channels + channel;
    of_channel[SCALE * channels] = scale;
    of_channel[SHIFT * channels] = (bias ? bias[channel] : 0) - mean * scale;
    of_channel[MEAN * channels] = mean;
    of_channel[INVERSE_DEVIATION * channels] = inverse;
    const double unbiased = variance * rows / (rows - 1);
    running_mean[channel] = (1 - momentum) * running_mean[channel] + momentum * mean;
    running_var[channel] = (1 - momentum) * running_var[channel] + momentum * unbiased;
  }
}

// y = ReLU(x * scale + shift + residual); null for no residual. Where `passes` is not null it has a byte for each vector, and
// a bit in it for each value, which says whether ReLU passed.
extern "C" __global__ __launch_bounds__(THREADS, 3) void norm_normalise(const uint4* x, const uint4* residual,
                                                                         const float* coefficients, bool with_relu,
                                                                         int rows, int vectors, uint4* y,
                                                                         unsigned char* passes) {
  const Walk walk;
  if (walk.vector >= vectors) return;
  const size_t start = start_of_view(walk, rows, vectors);
  const Floats scale = coefficient(coefficients, SCALE, COEFFICIENTS, walk, vectors);
  const Floats shift = coefficient(coefficients, SHIFT, COEFFICIENTS, walk, vectors);
  auto write = [&](size_t place, const uint4& x_read, const uint4& residual_read) {
    Floats values = floats(x_read);
    const Floats added = floats(residual_read);
    unsigned passed = 0;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      values.at[k] = values.at[k] * scale.at[k] + shift.at[k];
      if (residual) values.at[k] += added.at[k];
      if (!(values.at[k] <= 0)) passed |= 1u << k;
      if (with_relu) values.at[k] = relu(values.at[k]);
    }
    y[place] = vector_of(values);
    if (passes) passes[place] = passed;
  };
  auto place_of = [&](int row) { return start + size_t(row) * vectors; };
  int row = walk.first;
  for (; row + 3 * walk.step < rows; row += 4 * walk.step) {
    uint4 x_read[4], residual_read[4] = {};
#pragma unroll
    for (int k = 0; k < 4; k++) {
      x_read[k] = x[place_of(row + k * walk.step)];
      if (residual) residual_read[k] = residual[place_of(row + k * walk.step)];
    }
#pragma unroll
    for (int k = 0; k < 4; k++) write(place_of(row + k * walk.step), x_read[k], residual_read[k]);
  }
  for (; row < rows; row += walk.step) {
    const size_t place = place_of(row);
    write(place, x[place], residual ? residual[place] : uint4{});
  }
}

// The gradient behind ReLU and the sum with the residual, g = (gradient + second) where ReLU passed, and the sums of g and of
// g * (x - mean). Where ReLU passed is said by `passes`, or where that is null by x * scale + shift being above 0. `second` and
// `passed`, which g is written to, may be null.
extern "C" __global__ __launch_bounds__(THREADS, 3) void norm_gradient_sums(
    const uint4* gradient, const uint4* second, const uint4* x, const unsigned char* passes,
    const float* coefficients, bool with_relu, int rows, int vectors, uint4* passed, float* partial) {
  const Walk walk;
  Floats sum = {}, centred_sum = {};
  if (walk.vector < vectors) {
    const size_t start = start_of_view(walk, rows, vectors);
    const Floats scale = coefficient(coefficients, SCALE, COEFFICIENTS, walk, vectors);
    const Floats shift = coefficient(coefficients, SHIFT, COEFFICIENTS, walk, vectors);
    const Floats mean = coefficient(coefficients, MEAN, COEFFICIENTS, walk, vectors);
    auto add = [&](size_t place, const uint4& gradient_read, const uint4& second_read, const uint4& x_read,
                   unsigned passes_read) {
      Floats g = floats(gradient_read);
      const Floats more = floats(second_read), values = floats(x_read);
#pragma unroll
      for (int k = 0; k < WIDTH; k++) {
        if (second) g.at[k] += more.at[k];
        const bool stops = passes ? !(passes_read >> k & 1) : values.at[k] * scale.at[k] + shift.at[k] <= 0;
        if (with_relu && stops) g.at[k] = 0;
      }
      if (passed) {
        const uint4 rounded = vector_of(g);
        passed[place] = rounded;
        g = floats(rounded);
      }
#pragma unroll
      for (int k = 0; k < WIDTH; k++) {
        sum.at[k] += g.at[k];
        centred_sum.at[k] += g.at[k] * (values.at[k] - mean.at[k]);
      }
    };
    auto place_of = [&](int row) { return start + size_t(rows - 1 - row) * vectors; };
    int row = walk.first;
    for (; row + walk.step < rows; row += 2 * walk.step) {
      uint4 gradient_read[2], x_read[2], second_read[2] = {};
      unsigned passes_read[2] = {};
#pragma unroll
      for (int k = 0; k < 2; k++) {
        const size_t place = place_of(row + k * walk.step);
        gradient_read[k] = gradient[place];
        x_read[k] = x[place];
        if (second) second_read[k] = second[place];
        if (passes) passes_read[k] = passes[place];
      }
#pragma unroll
      for (int k = 0; k < 2; k++)
        add(place_of(row + k * walk.step), gradient_read[k], second_read[k], x_read[k], passes_read[k]);
    }
    for (; row < rows; row += walk.step) {
      const size_t place = place_of(row);
      add(place, gradient[place], second ? second[place] : uint4{}, x[place], passes ? passes[place] : 0u);
    }
  }
  leave_sums(sum, centred_sum, vectors, partial);
}

// From those sums the gradients of weight and bias, null where there are none, and the coefficients of the input's.
extern "C" __global__ __launch_bounds__(1024) void norm_gradient_coefficients(const float* partial, int blocks, int rows, int channels, int views,
                                                      const float* coefficients, float* of_weight, float* of_bias,
                                                      float* gradient_coefficients) {
  const int channel = blockIdx.x * 32 + threadIdx.x;
  double weight_sum = 0, bias_sum = 0;
  for (int view = 0; view < views; view++) {
    const float* of_view = partial + size_t(view) * blocks * 2 * channels;
    const double2 sums = sum_of_blocks(of_view, blocks, channels, channel);
    if (threadIdx.y != 0 || channel >= channels) continue;
    const float* of_channel = coefficients + size_t(view) * COEFFICIENTS * channels + channel;
    const double scale = of_channel[SCALE * channels], mean = of_channel[MEAN * channels];
    const double inverse = of_channel[INVERSE_DEVIATION * channels];
    bias_sum += sums.x;
    weight_sum += sums.y * inverse;
    const double by_x = -scale * sums.y * inverse * inverse / rows;
    float* of_gradient = gradient_coefficients + size_t(view) * GRADIENT_COEFFICIENTS * channels + channel;
    of_gradient[BY_X * channels] = by_x;
    of_gradient[OFFSET * channels] = -scale * sums.x / rows - by_x * mean;
  }
  if (threadIdx.y == 0 && channel < channels && of_weight) {
    of_weight[channel] = weight_sum;
    of_bias[channel] = bias_sum;
  }
}

// The input's gradient, scale * g + by_x * x + offset. `with_relu`: `passed` is the output's gradient still, and g is 0 where
// x * scale + shift is not above 0.
extern "C" __global__ __launch_bounds__(THREADS, 3) void norm_input_gradient(
    const uint4* passed, const uint4* x, const float* coefficients, const float* gradient_coefficients, bool with_relu,
    int rows, int vectors, uint4* of_x) {
  const Walk walk;
  if (walk.vector >= vectors) return;
  const size_t start = start_of_view(walk, rows, vectors);
  const Floats scale = coefficient(coefficients, SCALE, COEFFICIENTS, walk, vectors);
  const Floats shift = coefficient(coefficients, SHIFT, COEFFICIENTS, walk, vectors);
  const Floats by_x = coefficient(gradient_coefficients, BY_X, GRADIENT_COEFFICIENTS, walk, vectors);
  const Floats offset = coefficient(gradient_coefficients, OFFSET, GRADIENT_COEFFICIENTS, walk, vectors);
  auto write = [&](size_t place, const uint4& passed_read, const uint4& x_read) {
    Floats g = floats(passed_read);
    const Floats values = floats(x_read);
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      if (with_relu && values.at[k] * scale.at[k] + shift.at[k] <= 0) g.at[k] = 0;
      g.at[k] = scale.at[k] * g.at[k] + (by_x.at[k] * values.at[k] + offset.at[k]);
    }
    of_x[place] = vector_of(g);
  };
  auto place_of = [&](int row) { return start + size_t(row) * vectors; };
  int row = walk.first;
  for (; row + walk.step < rows; row += 2 * walk.step) {
    uint4 passed_read[2], x_read[2];
#pragma unroll
    for (int k = 0; k < 2; k++) {
      passed_read[k] = passed[place_of(row + k * walk.step)];
      x_read[k] = x[place_of(row + k * walk.step)];
    }
#pragma unroll
    for (int k = 0; k < 2; k++) write(place_of(row + k * walk.step), passed_read[k], x_read[k]);
  }
  for (; row < rows; row += walk.step) write(place_of(row), passed[place_of(row)], x[place_of(row)]);
}
