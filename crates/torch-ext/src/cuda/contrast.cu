// The contrast of rows (DenseSiam's eq. 6), around the matrix products; one block for each row unless stated otherwise.

constexpr float SHORTEST = 1e-12f;
// Threads of the kernels with one block for each row.
constexpr int ROW_THREADS = 128;

// One over the length of each row, with PyTorch's lower bound on the length. Each warp takes one row.
KERNEL(contrast_inverse_lengths, THREADS)(const Value* rows, int count, int channels, float* inverse) {
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= count) return;
  float squares = 0;
  for (int channel = lane; channel < channels; channel += 32) {
    const float value = to_float(rows[size_t(row) * channels + channel]);
    squares += value * value;
  }
  squares = warp_sum(squares);
  if (lane == 0) inverse[row] = 1 / fmaxf(sqrtf(squares), SHORTEST);
}

// The cosines of one row over the temperature, from its inner products with all rows of the other side, `products` [rows of
// all pictures, rows of a picture].
struct Logits {
  const float *products, *r_inverse;
  float by_row;
  int count, own;

  __device__ Logits(const float* all_products, const float* q_inverse, const float* all_r_inverse, int rows,
                    float temperature)
      : products(all_products + size_t(blockIdx.x) * rows),
        r_inverse(all_r_inverse + size_t(blockIdx.x / rows) * rows),
        by_row(q_inverse[blockIdx.x] / temperature),
        count(rows),
        own(blockIdx.x % rows) {}

  __device__ float at(int other) const { return products[other] * r_inverse[other] * by_row; }

  __device__ float log_sum_exp() const {
    float largest = -__int_as_float(0x7f800000);
    for (int other = threadIdx.x; other < count; other += blockDim.x) largest = fmaxf(largest, at(other));
    largest = block_max(largest);
    float sum = 0;
    for (int other = threadIdx.x; other < count; other += blockDim.x) sum += expf(at(other) - largest);
    return largest + logf(block_sum(sum));
  }
};

// The cross-entropy of each row.
KERNEL(contrast_losses, ROW_THREADS)(
    const float* products, const float* q_inverse, const float* r_inverse, int rows, float temperature, float* losses) {
  if (rows == 0) return;
  const Logits logits(products, q_inverse, r_inverse, rows, temperature);
  const float all = logits.log_sum_exp();
  if (threadIdx.x == 0) losses[blockIdx.x] = all - logits.at(logits.own);
}

// The gradient of the inner products, from the number `share`: the gradient of each row's loss over the temperature.
KERNEL(contrast_of_products, ROW_THREADS)(
    const float* products, const float* q_inverse, const float* r_inverse, int rows, float temperature,
    const float* share, Value* of_products) {
  if (rows == 0) return;
  const Logits logits(products, q_inverse, r_inverse, rows, temperature);
  const float all = logits.log_sum_exp(), scale = *share * q_inverse[blockIdx.x];
  for (int other = threadIdx.x; other < rows; other += blockDim.x) {
    const float probability = expf(logits.at(other) - all);
    const float of_logit = other == logits.own ? probability - 1 : probability;
    of_products[size_t(blockIdx.x) * rows + other] = to_value(of_logit * scale * logits.r_inverse[other]);
  }
}

// The gradient of rows, from `along`, the gradient of their inner products times the other rows: the part of it that is
// not in the row's own direction. A length below the lower bound is constant, so nothing is subtracted for it.
KERNEL(contrast_of_rows, ROW_THREADS)(
    const float* along, const Value* rows, const float* inverse, int channels, Value* of_rows) {
  if (channels == 0) return;
  const size_t start = size_t(blockIdx.x) * channels;
  const float by = inverse[blockIdx.x];
  float product = 0;
  for (int channel = threadIdx.x; channel < channels; channel += blockDim.x)
    product += along[start + channel] * to_float(rows[start + channel]) * by;
  product = block_sum(product);
  const float off = by < 1 / SHORTEST ? product * by : 0;
  for (int channel = threadIdx.x; channel < channels; channel += blockDim.x)
    of_rows[start + channel] = to_value(along[start + channel] - to_float(rows[start + channel]) * off);
}
