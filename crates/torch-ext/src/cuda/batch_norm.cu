// Normalisation with residual and ReLU, and the gradients of both.

// y = ReLU(x * scale + shift + residual); null for no residual. If `passes` is not null, it gets a byte for each
// vector, with a bit for each value that says whether ReLU passed it.
KERNEL(batch_norm_normalise, THREADS, BLOCKS)(
    const uint4* x, const uint4* residual, const float* coefficients, bool with_relu, int rows, int vectors, uint4* y,
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

// Writes to `partial` the sums of `one` and `two` over the threads of the block that have the same vector.
__device__ inline void leave_sums(const Floats& one, const Floats& two, int vectors, float* partial) {
  __shared__ Shared shared;
  shared.put(one, two);
  for_channels(vectors, [&](int channel, size_t place) {
    float sums[2] = {};
    for (int y = 0; y < blockDim.y; y++) {
      sums[0] += shared.get(0, y, channel);
      sums[1] += shared.get(1, y, channel);
    }
    partial[place] = sums[0];
    partial[place + vectors * WIDTH] = sums[1];
  });
}

// The gradient before ReLU and the sum with the residual, g = (gradient + second) where ReLU passed, and the sums of g
// and of g * (x - mean). `passes` says where ReLU passed; if it is null, ReLU passed where x * scale + shift is above
// 0. `second` and `passed`, to which g is written, may be null.
KERNEL(batch_norm_gradient_sums, THREADS, BLOCKS)(
    const uint4* gradient, const uint4* second, const uint4* x, const unsigned char* passes, const float* coefficients,
    bool with_relu, int rows, int vectors, uint4* passed, float* partial) {
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

// From a view's sums of g and of g * (x - mean) for a channel, over `rows` values: the coefficients of the input's gradient.
__device__ inline void set_gradient_coefficients(double2 sums, double rows, int channels, const float* coefficients,
                                                 float* gradient_coefficients) {
  const double scale = coefficients[SCALE * channels], mean = coefficients[MEAN * channels];
  const double inverse = coefficients[INVERSE_DEVIATION * channels];
  const double by_x = -scale * sums.y * inverse * inverse / rows;
  gradient_coefficients[BY_X * channels] = by_x;
  gradient_coefficients[OFFSET * channels] = -scale * sums.x / rows - by_x * mean;
}

// Computes from those sums the gradients of weight and bias, null if there are none, and the coefficients of the
// input's gradient. If `all_sums` is not null it gets the sums instead of these: what the processes of a group add up.
KERNEL(batch_norm_gradient_coefficients, 1024)(
    const float* partial, int blocks, int rows, int channels, int views, const float* coefficients, float* of_weight,
    float* of_bias, float* gradient_coefficients, double* all_sums) {
  const int channel = blockIdx.x * 32 + threadIdx.x;
  double weight_sum = 0, bias_sum = 0;
  for (int view = 0; view < views; view++) {
    const float* of_view = partial + size_t(view) * blocks * 2 * channels + channel;
    const double2 sums = sum_of_blocks(channel < channels ? blocks : 0, [&](int block) {
      const float* of_block = of_view + size_t(block) * 2 * channels;
      return make_double2(of_block[0], of_block[channels]);
    });
    if (threadIdx.y != 0 || channel >= channels) continue;
    const float* of_channel = coefficients + size_t(view) * COEFFICIENTS * channels + channel;
    bias_sum += sums.x;
    weight_sum += sums.y * of_channel[INVERSE_DEVIATION * channels];
    if (all_sums) {
      all_sums[size_t(2 * view) * channels + channel] = sums.x;
      all_sums[size_t(2 * view + 1) * channels + channel] = sums.y;
      continue;
    }
    set_gradient_coefficients(sums, rows, channels, of_channel,
                              gradient_coefficients + size_t(view) * GRADIENT_COEFFICIENTS * channels + channel);
  }
  if (threadIdx.y == 0 && channel < channels && of_weight) {
    of_weight[channel] = weight_sum;
    of_bias[channel] = bias_sum;
  }
}

// From the sums of all processes, over `*rows` values of a channel in a view: the same coefficients.
KERNEL(batch_norm_gradient_of_sums, THREADS)(
    const double* all_sums, const double* rows, int channels, int views, const float* coefficients,
    float* gradient_coefficients) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= channels) return;
  for (int view = 0; view < views; view++) {
    const double2 sums = make_double2(all_sums[size_t(2 * view) * channels + channel],
                                      all_sums[size_t(2 * view + 1) * channels + channel]);
    set_gradient_coefficients(sums, *rows, channels, coefficients + size_t(view) * COEFFICIENTS * channels + channel,
                              gradient_coefficients + size_t(view) * GRADIENT_COEFFICIENTS * channels + channel);
  }
}

// The input's gradient, scale * g + by_x * x + offset. `with_relu`: `passed` is still the output's gradient, and g is 0
// if x * scale + shift is not above 0.
KERNEL(batch_norm_input_gradient, THREADS, BLOCKS)(
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
