// The cross-entropy of softmax outputs (DenseSiam's eq. 3) of rows of channels; each warp takes one row.

// The values that softmax needs from a row, in all lanes: its largest value, and the sum of exponentials relative to
// it.
struct Softmax {
  const Value* row;
  float largest, sum;

  __device__ Softmax(const Value* values, int channels) : row(values), largest(__int_as_float(0xff800000)), sum(0) {
    for (int channel = threadIdx.x % 32; channel < channels; channel += 32)
      largest = fmaxf(largest, to_float(row[channel]));
    for (int offset = 16; offset > 0; offset /= 2)
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
    for (int channel = threadIdx.x % 32; channel < channels; channel += 32) sum += exponential(channel);
    sum = warp_sum(sum);
  }

  __device__ float exponential(int channel) const { return expf(to_float(row[channel]) - largest); }
};

// Sums over the rows of a block's warps of log sum exp(p) - sum softmax(z) p: `partial` [blocks].
KERNEL(cross_entropy_losses, THREADS)(const Value* p, const Value* z, int rows, int channels, float* partial) {
  if (rows == 0) return;
  constexpr int WARPS = THREADS / 32;
  const int lane = threadIdx.x % 32;
  float loss = 0;
  for (int row = blockIdx.x * WARPS + threadIdx.x / 32; row < rows; row += gridDim.x * WARPS) {
    const size_t start = size_t(row) * channels;
    const Softmax of_p(p + start, channels), of_z(z + start, channels);
    float product = 0;
    for (int channel = lane; channel < channels; channel += 32)
      product += of_z.exponential(channel) * (to_float(of_p.row[channel]) - of_p.largest);
    loss += logf(of_p.sum) - warp_sum(product) / of_z.sum;
  }
  loss = block_sum(lane == 0 ? loss : 0);
  if (threadIdx.x == 0) partial[blockIdx.x] = loss;
}

// The gradient of p, softmax(p) - softmax(z), times `share`, one number.
KERNEL(cross_entropy_gradient, THREADS)(
    const Value* p, const Value* z, int rows, int channels, const float* share, Value* of_p) {
  if (rows == 0) return;
  constexpr int WARPS = THREADS / 32;
  const float scale = *share;
  for (int row = blockIdx.x * WARPS + threadIdx.x / 32; row < rows; row += gridDim.x * WARPS) {
    const size_t start = size_t(row) * channels;
    const Softmax softmax_p(p + start, channels), softmax_z(z + start, channels);
    for (int channel = threadIdx.x % 32; channel < channels; channel += 32) {
      const float difference =
          softmax_p.exponential(channel) / softmax_p.sum - softmax_z.exponential(channel) / softmax_z.sum;
      of_p[start + channel] = to_value(scale * difference);
    }
  }
}
