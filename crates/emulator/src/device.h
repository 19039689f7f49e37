// What the kernels find on a CUDA device, as far as they use it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

struct Index {
  unsigned x, y, z;
};
extern thread_local Index threadIdx, blockIdx, blockDim, gridDim;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline double2 make_double2(double x, double y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

template <typename To, typename From>
To bits_of(From from) {
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}
inline float __uint_as_float(unsigned bits) { return bits_of<float>(bits); }
inline float __int_as_float(int bits) { return bits_of<float>(bits); }
inline unsigned __float_as_uint(float number) { return bits_of<unsigned>(number); }
inline double rsqrt(double number) { return 1 / std::sqrt(number); }
using std::max;
using std::min;

// One thread runs at a time.
inline void atomicAdd(float* to, float number) { *to += number; }
void __syncthreads();
float __shfl_xor_sync(unsigned lanes, float number, int mask);

#define __device__
// One block runs at a time.
#define __shared__ static thread_local
// A kernel, and the most threads of its blocks.
#define KERNEL(name, threads, ...)              \
  constexpr unsigned most_threads_of_##name = threads; \
  void name
