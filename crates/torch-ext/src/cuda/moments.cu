// The statistics of batch norm: mean and variance of each channel of a view.

// For the values of a thread, and each channel of its vector: their number, their mean, and the sum of their squared
// differences from that mean. Squared differences from a fixed centre would lose digits with the distance of that
// centre from the mean.
struct Moments {
  float count = 0;
  Floats mean = {}, squares = {};

  // Adds a few rows: computes their own moments, and then those of both together (Chan, Golub and LeVeque).
  template <int ROWS>
  __device__ void add(const uint4 (&rows)[ROWS]) {
    Floats values[ROWS];
#pragma unroll
    for (int row = 0; row < ROWS; row++) values[row] = floats(rows[row]);
    const float before = count;
    count += ROWS;
    const float share = ROWS / count;
#pragma unroll
    for (int k = 0; k < WIDTH; k++) {
      float own = 0;
#pragma unroll
      for (int row = 0; row < ROWS; row++) own += values[row].at[k];
      own /= ROWS;
      const float apart = own - mean.at[k];
      mean.at[k] += apart * share;
      squares.at[k] += before * share * apart * apart;
#pragma unroll
      for (int row = 0; row < ROWS; row++) squares.at[k] += (values[row].at[k] - own) * (values[row].at[k] - own);
    }
  }
};

// Writes mean and squares of the block's values to `partial`.
__device__ inline void leave_moments(const Moments& own, const Walk& walk, int rows, int vectors, float* partial) {
  __shared__ Shared shared;
  shared.put(own.mean, own.squares);
  for_channels(vectors, [&](int channel, size_t place) {
    const int first = blockIdx.y * blockDim.y, rest = rows % walk.step;
    auto rows_of = [&](int y) { return float(rows / walk.step + (first + y < rest)); };
    // The first thread always has a row, because there are at most as many blocks as runs of rows.
    const float centre = shared.get(0, 0, channel);
    float count = 0, sum = 0, squares = 0;
    for (int y = 0; y < blockDim.y; y++) {
      count += rows_of(y);
      sum += rows_of(y) * (shared.get(0, y, channel) - centre);
    }
    const float mean = sum / count;
    for (int y = 0; y < blockDim.y; y++) {
      const float apart = shared.get(0, y, channel) - centre - mean;
      squares += shared.get(1, y, channel) + rows_of(y) * apart * apart;
    }
    partial[place] = centre + mean;
    partial[place + vectors * WIDTH] = squares;
  });
}

// Mean and squares of the values of each block.
KERNEL(batch_norm_moments, THREADS, BLOCKS)(const uint4* x, int rows, int vectors, float* partial) {
  const Walk walk;
  Moments moments;
  if (walk.vector < vectors) {
    const uint4* view = x + start_of_view(walk, rows, vectors);
    auto at = [&](int row) { return view[size_t(rows - 1 - row) * vectors]; };
    int row = walk.first;
    for (; row + 3 * walk.step < rows; row += 4 * walk.step) {
      const uint4 read[4] = {at(row), at(row + walk.step), at(row + 2 * walk.step), at(row + 3 * walk.step)};
      moments.add(read);
    }
    for (; row < rows; row += walk.step) {
      const uint4 read[1] = {at(row)};
      moments.add(read);
    }
  }
  leave_moments(moments, walk, rows, vectors, partial);
}

// A channel of a norm: its parameters, null for none, and its running statistics.
struct NormChannel {
  float weight, bias;
  float *running_mean, *running_var;

  __device__ NormChannel(int channel, const float* weights, const float* biases, float* means, float* variances)
      : weight(weights ? weights[channel] : 1),
        bias(biases ? biases[channel] : 0),
        running_mean(means + channel),
        running_var(variances + channel) {}

  // From the statistics of a view's values, `rows` of them: the coefficients, y = x * scale + shift, and the running statistics.
  __device__ void apply(double mean, double squares, double rows, double momentum, double epsilon, int channels,
                        float* coefficients) const {
    // Not fmax, which would hide a NaN.
    const double variance = squares < 0 ? 0 : squares / rows;
    const double inverse = rsqrt(variance + epsilon), scale = weight * inverse;
    coefficients[SCALE * channels] = scale;
    coefficients[SHIFT * channels] = bias - mean * scale;
    coefficients[MEAN * channels] = mean;
    coefficients[INVERSE_DEVIATION * channels] = inverse;
    *running_mean = (1 - momentum) * *running_mean + momentum * mean;
    *running_var = (1 - momentum) * *running_var + momentum * (variance * rows / (rows - 1));
  }
};

// From the results of the blocks, each of which added `run` rows at once: the coefficients of each view, and the running
// statistics, updated view by view. If `sums` is not null it gets instead, for each view and channel, the sums of the values and of
// their squares, and after all of them the number of rows: what the processes of a group add up.
KERNEL(batch_norm_statistics, 1024)(
    const float* partial, int blocks, int run, int rows, int channels, int views, const float* weight,
    const float* bias, float* running_mean, float* running_var, double momentum, double epsilon, float* coefficients,
    double* sums) {
  const int channel = blockIdx.x * 32 + threadIdx.x;
  for (int view = 0; view < views; view++) {
    const float* means = partial + size_t(view) * blocks * 2 * channels + channel;
    const float* squares = means + channels;
    const double centre = channel < channels ? means[0] : 0;
    const double2 of_blocks = sum_of_blocks(channel < channels ? blocks : 0, [&](int block) {
      const double apart = means[size_t(block) * 2 * channels] - centre;
      // The last round of runs does not reach some of the blocks, and ends within one.
      const int round = blocks * run, in_last = min(max(rows % round - block * run, 0), run);
      const double count = rows / round * run + in_last;
      return make_double2(count * apart, squares[size_t(block) * 2 * channels] + count * apart * apart);
    });
    if (threadIdx.y != 0 || channel >= channels) continue;
    const double from_centre = of_blocks.x / rows, mean = centre + from_centre;
    const double squares_apart = of_blocks.y - of_blocks.x * from_centre;
    if (sums) {
      sums[size_t(2 * view) * channels + channel] = rows * mean;
      sums[size_t(2 * view + 1) * channels + channel] = squares_apart + rows * mean * mean;
      continue;
    }
    NormChannel(channel, weight, bias, running_mean, running_var)
        .apply(mean, squares_apart, rows, momentum, epsilon, channels,
               coefficients + size_t(view) * COEFFICIENTS * channels + channel);
  }
  if (sums && channel == 0 && threadIdx.y == 0) sums[size_t(2 * views) * channels] = rows;
}

// From the sums of all processes, as the kernel above leaves them: the same coefficients and running statistics.
KERNEL(batch_norm_of_sums, THREADS)(
    const double* sums, int channels, int views, const float* weight, const float* bias, float* running_mean,
    float* running_var, double momentum, double epsilon, float* coefficients) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  const NormChannel norm(channel, weight, bias, running_mean, running_var);
  const double rows = sums[size_t(2 * views) * channels];
  for (int view = 0; view < views; view++) {
    const double mean = sums[size_t(2 * view) * channels + channel] / rows;
    const double squares = sums[size_t(2 * view + 1) * channels + channel] - rows * mean * mean;
    norm.apply(mean, squares, rows, momentum, epsilon, channels,
               coefficients + size_t(view) * COEFFICIENTS * channels + channel);
  }
}
