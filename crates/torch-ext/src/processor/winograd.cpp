// The kernels of winograd.h for one instruction set; build.rs compiles this file once for each, with its name as
// WINOGRAD_KERNELS.
#include "winograd.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

// The BLAS that libtorch brings: column-major C = alpha A B + beta C.
extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
                       const float* alpha, const float* a, const int* lda, const float* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);

namespace {

constexpr int OUT = 4;               // side of a tile of outputs
constexpr int IN = 6;                // side of the inputs it needs
constexpr int POINTS = IN * IN;      // products of a tile, for each pair of channels
constexpr int LANES = 16;            // channels that are transformed together
constexpr int TILES_AT_ONCE = 96;    // tiles of one product: enough for sgemm, few enough for the cache

using Lanes = float[LANES];

struct Size {
  int height, width, channels;
};

// The tiles of all maps of a batch, in order.
struct Tiles {
  int rows, columns, count;

  explicit Tiles(const ConvolutionShape& shape)
      : rows((shape.height + OUT - 1) / OUT), columns((shape.width + OUT - 1) / OUT), count(shape.batch * rows * columns) {}

  int map(int tile) const { return tile / (rows * columns); }
  int top(int tile) const { return tile / columns % rows * OUT; }
  int left(int tile) const { return tile % columns * OUT; }
};

std::unique_ptr<float[]> floats(size_t count) { return std::unique_ptr<float[]>(new float[count]); }

// ---- the three transforms along one axis; `step` is the distance of neighbours along it

inline void input_transform(const Lanes* d, int step, Lanes* v, int v_step) {
  for (int l = 0; l < LANES; l++) {
    float d0 = d[0][l], d1 = d[step][l], d2 = d[2 * step][l], d3 = d[3 * step][l], d4 = d[4 * step][l], d5 = d[5 * step][l];
    float even = d4 - 4 * d2, odd = d3 - 4 * d1, even2 = d4 - d2, odd2 = 2 * (d3 - d1);
    v[0][l] = 4 * d0 - 5 * d2 + d4;
    v[v_step][l] = even + odd;
    v[2 * v_step][l] = even - odd;
    v[3 * v_step][l] = even2 + odd2;
    v[4 * v_step][l] = even2 - odd2;
    v[5 * v_step][l] = 4 * d1 - 5 * d3 + d5;
  }
}

inline void output_transform(const Lanes* m, int step, Lanes* y, int y_step) {
  for (int l = 0; l < LANES; l++) {
    float m0 = m[0][l], m1 = m[step][l], m2 = m[2 * step][l], m3 = m[3 * step][l], m4 = m[4 * step][l], m5 = m[5 * step][l];
    float even = m1 + m2, odd = m1 - m2, even2 = m3 + m4, odd2 = m3 - m4;
    y[0][l] = m0 + even + even2;
    y[y_step][l] = odd + 2 * odd2;
    y[2 * y_step][l] = even + 4 * even2;
    y[3 * y_step][l] = odd + 8 * odd2 + m5;
  }
}

// The transpose of the output transform.
inline void gradient_transform(const Lanes* y, int step, Lanes* z, int z_step) {
  for (int l = 0; l < LANES; l++) {
    float y0 = y[0][l], y1 = y[step][l], y2 = y[2 * step][l], y3 = y[3 * step][l];
    float even = y0 + y2, odd = y1 + y3, even2 = y0 + 4 * y2, odd2 = 2 * y1 + 8 * y3;
    z[0][l] = y0;
    z[z_step][l] = even + odd;
    z[2 * z_step][l] = even - odd;
    z[3 * z_step][l] = even2 + odd2;
    z[4 * z_step][l] = even2 - odd2;
    z[5 * z_step][l] = y3;
  }
}

inline void weight_transform(const Lanes* w, int step, Lanes* u, int u_step) {
  for (int l = 0; l < LANES; l++) {
    float w0 = w[0][l], w1 = w[step][l], w2 = w[2 * step][l];
    float even = w0 + w2, even2 = w0 + 4 * w2;
    u[0][l] = w0 / 4;
    u[u_step][l] = (even + w1) / -6;
    u[2 * u_step][l] = (even - w1) / -6;
    u[3 * u_step][l] = (even2 + 2 * w1) / 24;
    u[4 * u_step][l] = (even2 - 2 * w1) / 24;
    u[5 * u_step][l] = w2;
  }
}

// The transpose of the weight transform.
inline void weight_gradient_transform(const Lanes* u, int step, Lanes* w, int w_step) {
  for (int l = 0; l < LANES; l++) {
    float u0 = u[0][l], u1 = u[step][l], u2 = u[2 * step][l], u3 = u[3 * step][l], u4 = u[4 * step][l], u5 = u[5 * step][l];
    float sum = (u1 + u2) / -6, sum2 = (u3 + u4) / 24;
    w[0][l] = u0 / 4 + sum + sum2;
    w[w_step][l] = (u1 - u2) / -6 + (u3 - u4) / 12;
    w[2 * w_step][l] = sum + 4 * sum2 + u5;
  }
}

// ---- tiles: between a map and the `plane`s of the 36 points, [point][tile][channel]

// Reads `side` x `side` positions from (top, left) on, zero outside the map.
inline void read_tile(const float* map, const Size& size, int top, int left, int side, int channel, Lanes* tile) {
  for (int row = top; row < top + side; row++) {
    for (int column = left; column < left + side; column++, tile++) {
      bool inside = row >= 0 && row < size.height && column >= 0 && column < size.width;
      if (inside) {
        memcpy(*tile, map + (size_t(row) * size.width + column) * size.channels + channel, sizeof(Lanes));
      } else {
        memset(*tile, 0, sizeof(Lanes));
      }
    }
  }
}

void transform_inputs(const float* map, const Size& size, int top, int left, float* points, size_t plane) {
  for (int channel = 0; channel < size.channels; channel += LANES) {
    alignas(64) Lanes tile[POINTS], half[POINTS], whole[POINTS];
    read_tile(map, size, top - 1, left - 1, IN, channel, tile);
    for (int column = 0; column < IN; column++) input_transform(tile + column, IN, half + column, IN);
    for (int row = 0; row < IN; row++) input_transform(half + row * IN, 1, whole + row * IN, 1);
    for (int point = 0; point < POINTS; point++) memcpy(points + point * plane + channel, whole[point], sizeof(Lanes));
  }
}

void transform_gradients(const float* map, const Size& size, int top, int left, float* points, size_t plane) {
  for (int channel = 0; channel < size.channels; channel += LANES) {
    alignas(64) Lanes tile[OUT * OUT], half[IN * OUT], whole[POINTS];
    read_tile(map, size, top, left, OUT, channel, tile);
    for (int column = 0; column < OUT; column++) gradient_transform(tile + column, OUT, half + column, OUT);
    for (int row = 0; row < IN; row++) gradient_transform(half + row * OUT, 1, whole + row * IN, 1);
    for (int point = 0; point < POINTS; point++) memcpy(points + point * plane + channel, whole[point], sizeof(Lanes));
  }
}

void transform_outputs(const float* points, size_t plane, float* map, const Size& size, int top, int left) {
  for (int channel = 0; channel < size.channels; channel += LANES) {
    alignas(64) Lanes whole[POINTS], half[OUT * IN], tile[OUT * OUT];
    for (int point = 0; point < POINTS; point++) memcpy(whole[point], points + point * plane + channel, sizeof(Lanes));
    for (int column = 0; column < IN; column++) output_transform(whole + column, IN, half + column, IN);
    for (int row = 0; row < OUT; row++) output_transform(half + row * IN, 1, tile + row * OUT, 1);
    for (int row = 0; row < OUT && top + row < size.height; row++) {
      for (int column = 0; column < OUT && left + column < size.width; column++) {
        float* place = map + (size_t(top + row) * size.width + left + column) * size.channels + channel;
        memcpy(place, tile[row * OUT + column], sizeof(Lanes));
      }
    }
  }
}

// ---- weights: between [out][3][3][in] and the points [36][out][in]

std::unique_ptr<float[]> transform_weights(const float* weight, int in, int out, bool flipped, int threads) {
  auto points = floats(size_t(POINTS) * out * in);
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int o = 0; o < out; o++) {
    for (int channel = 0; channel < in; channel += LANES) {
      alignas(64) Lanes taps[9], half[IN * 3], whole[POINTS];
      for (int tap = 0; tap < 9; tap++) {
        memcpy(taps[flipped ? 8 - tap : tap], weight + (size_t(o) * 9 + tap) * in + channel, sizeof(Lanes));
      }
      for (int column = 0; column < 3; column++) weight_transform(taps + column, 3, half + column, 3);
      for (int row = 0; row < IN; row++) weight_transform(half + row * 3, 1, whole + row * IN, 1);
      for (int point = 0; point < POINTS; point++) {
        memcpy(&points[(size_t(point) * out + o) * in + channel], whole[point], sizeof(Lanes));
      }
    }
  }
  return points;
}

// Convolves `input` of `from` channels to `output` of `to` channels. `points` are [36][out][in]; the product is with
// them, or with their transposes.
void convolve(const float* input, int from, const float* points, bool transposed, float* output, int to,
              const ConvolutionShape& shape, int threads) {
  const Tiles tiles(shape);
  const Size source{shape.height, shape.width, from}, target{shape.height, shape.width, to};
  const int groups = (tiles.count + TILES_AT_ONCE - 1) / TILES_AT_ONCE;
  const size_t input_plane = size_t(TILES_AT_ONCE) * from, output_plane = size_t(TILES_AT_ONCE) * to;
#pragma omp parallel num_threads(threads)
  {
    auto inputs = floats(POINTS * input_plane), outputs = floats(POINTS * output_plane);
#pragma omp for schedule(static)
    for (int group = 0; group < groups; group++) {
      const int first = group * TILES_AT_ONCE, count = std::min(TILES_AT_ONCE, tiles.count - first);
      for (int i = 0; i < count; i++) {
        const float* map = input + size_t(tiles.map(first + i)) * source.height * source.width * from;
        transform_inputs(map, source, tiles.top(first + i), tiles.left(first + i), &inputs[size_t(i) * from], input_plane);
      }
      const float one = 1, zero = 0;
      for (int point = 0; point < POINTS; point++) {
        const float* by = points + size_t(point) * from * to;
        sgemm_(transposed ? "N" : "T", "N", &to, &count, &from, &one, by, transposed ? &to : &from,
               &inputs[point * input_plane], &from, &zero, &outputs[point * output_plane], &to);
      }
      for (int i = 0; i < count; i++) {
        float* map = output + size_t(tiles.map(first + i)) * target.height * target.width * to;
        transform_outputs(&outputs[size_t(i) * to], output_plane, map, target, tiles.top(first + i), tiles.left(first + i));
      }
    }
  }
}

void forward(const float* input, const float* weight, float* output, ConvolutionShape shape, int threads) {
  auto points = transform_weights(weight, shape.in, shape.out, false, threads);
  convolve(input, shape.in, points.get(), false, output, shape.out, shape, threads);
}

// The gradient of the input is the convolution of the output's gradient with the flipped taps.
void input_gradient(const float* gradient, const float* weight, float* input_gradient, ConvolutionShape shape,
                    int threads) {
  auto points = transform_weights(weight, shape.in, shape.out, true, threads);
  convolve(gradient, shape.out, points.get(), true, input_gradient, shape.in, shape, threads);
}

void weight_gradient(const float* input, const float* gradient, float* weight_gradient, ConvolutionShape shape,
                     int threads) {
  const Tiles tiles(shape);
  const Size source{shape.height, shape.width, shape.in}, target{shape.height, shape.width, shape.out};
  const int groups = (tiles.count + TILES_AT_ONCE - 1) / TILES_AT_ONCE;
  const size_t input_plane = size_t(TILES_AT_ONCE) * shape.in, output_plane = size_t(TILES_AT_ONCE) * shape.out;
  const size_t plane = size_t(shape.out) * shape.in;
  std::vector<std::unique_ptr<float[]>> sums(threads);
#pragma omp parallel num_threads(threads)
  {
    auto inputs = floats(POINTS * input_plane), gradients = floats(POINTS * output_plane);
    // Each thread takes one part of the groups, and has its own place for the sum.
#pragma omp for schedule(static)
    for (int thread = 0; thread < threads; thread++) {
      sums[thread] = floats(POINTS * plane);
      const int begin = size_t(groups) * thread / threads, end = size_t(groups) * (thread + 1) / threads;
      if (begin == end) std::fill_n(sums[thread].get(), POINTS * plane, 0.0f);
      for (int group = begin; group < end; group++) {
        const int first = group * TILES_AT_ONCE, count = std::min(TILES_AT_ONCE, tiles.count - first);
        for (int i = 0; i < count; i++) {
          const size_t map = size_t(tiles.map(first + i)) * shape.height * shape.width;
          const int top = tiles.top(first + i), left = tiles.left(first + i);
          transform_inputs(input + map * shape.in, source, top, left, &inputs[size_t(i) * shape.in], input_plane);
          transform_gradients(gradient + map * shape.out, target, top, left, &gradients[size_t(i) * shape.out],
                              output_plane);
        }
        const float one = 1, before = group == begin ? 0 : 1;
        for (int point = 0; point < POINTS; point++) {
          sgemm_("N", "T", &shape.in, &shape.out, &count, &one, &inputs[point * input_plane], &shape.in,
                 &gradients[point * output_plane], &shape.out, &before, &sums[thread][point * plane], &shape.in);
        }
      }
    }
#pragma omp for schedule(static)
    for (int o = 0; o < shape.out; o++) {
      for (int channel = 0; channel < shape.in; channel += LANES) {
        alignas(64) Lanes whole[POINTS], half[3 * IN], taps[9];
        const size_t place = size_t(o) * shape.in + channel;
        for (int point = 0; point < POINTS; point++) {
          memcpy(whole[point], &sums[0][point * plane + place], sizeof(Lanes));
          for (int thread = 1; thread < threads; thread++) {
            for (int l = 0; l < LANES; l++) whole[point][l] += sums[thread][point * plane + place + l];
          }
        }
        for (int column = 0; column < IN; column++) weight_gradient_transform(whole + column, IN, half + column, IN);
        for (int row = 0; row < 3; row++) weight_gradient_transform(half + row * IN, 1, taps + row * 3, 1);
        for (int tap = 0; tap < 9; tap++) {
          memcpy(weight_gradient + (size_t(o) * 9 + tap) * shape.in + channel, taps[tap], sizeof(Lanes));
        }
      }
    }
  }
}

}  // namespace

extern const WinogradKernels WINOGRAD_KERNELS;
const WinogradKernels WINOGRAD_KERNELS{forward, input_gradient, weight_gradient};
