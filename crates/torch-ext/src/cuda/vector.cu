// Code that the kernels of this folder share. A map is in memory with channels last; a thread reads and writes 16 bytes
// of it at a time, a vector, and computes in float32. Compiled for one kind of value at a time: VALUE_IS_BFLOAT16 is 0
// or 1.

#if VALUE_IS_BFLOAT16
typedef unsigned short Value;
#else
typedef float Value;
#endif

constexpr int WIDTH = 16 / sizeof(Value);
// The threads in the blocks of most kernels, and how many blocks of the norms should be on a multiprocessor at once.
constexpr int THREADS = 256, BLOCKS = 3;

// A kernel, and the most threads that its blocks have: without this limit the compiler may give a thread more registers
// than a card has for that many threads. With counts of 0 every kernel leaves memory unchanged, so that it can be
// tested without work.
#ifndef KERNEL
#define KERNEL(name, ...) extern "C" __global__ __launch_bounds__(__VA_ARGS__) void name
#endif

// The values of a vector.
struct Floats {
  float at[WIDTH];
};

__device__ inline float to_float(Value value) {
#if VALUE_IS_BFLOAT16
  return __uint_as_float(unsigned(value) << 16);
#else
  return value;
#endif
}

// Rounds to the nearest, ties to even; a NaN stays a NaN.
__device__ inline Value to_value(float number) {
#if VALUE_IS_BFLOAT16
  const unsigned bits = __float_as_uint(number);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40;
  return (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
#else
  return number;
#endif
}

__device__ inline Floats floats(const uint4& vector) {
  Floats out;
#if VALUE_IS_BFLOAT16
  const unsigned words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
  for (int word = 0; word < 4; word++) {
    out.at[2 * word] = __uint_as_float(words[word] << 16);
    out.at[2 * word + 1] = __uint_as_float(words[word] & 0xffff0000u);
  }
#else
  out.at[0] = __uint_as_float(vector.x);
  out.at[1] = __uint_as_float(vector.y);
  out.at[2] = __uint_as_float(vector.z);
  out.at[3] = __uint_as_float(vector.w);
#endif
  return out;
}

__device__ inline uint4 vector_of(const Floats& floats) {
  unsigned words[4];
#if VALUE_IS_BFLOAT16
#pragma unroll
  for (int word = 0; word < 4; word++) {
    const float low = floats.at[2 * word], high = floats.at[2 * word + 1];
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(words[word]) : "f"(high), "f"(low));
#else
    words[word] = unsigned(to_value(low)) | unsigned(to_value(high)) << 16;
#endif
  }
#else
#pragma unroll
  for (int word = 0; word < 4; word++) words[word] = __float_as_uint(floats.at[word]);
#endif
  return make_uint4(words[0], words[1], words[2], words[3]);
}

// As many floats as a vector has values.
__device__ inline Floats load(const float* from) {
  Floats out;
#pragma unroll
  for (int k = 0; k < WIDTH; k++) out.at[k] = from[k];
  return out;
}

// A NaN passes.
__device__ inline float relu(float number) { return number < 0 ? 0 : number; }

// The sum over the lanes of a warp, in every lane.
__device__ inline float warp_sum(float number) {
  for (int offset = 16; offset > 0; offset /= 2) number += __shfl_xor_sync(0xffffffffu, number, offset);
  return number;
}

// The sum over all threads of a block, in every thread. The block has whole warps, at most 32.
__device__ inline float block_sum(float number) {
  __shared__ float of_warps[32];
  number = warp_sum(number);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = number;
  __syncthreads();
  return warp_sum(threadIdx.x % 32 < blockDim.x / 32 ? of_warps[threadIdx.x % 32] : 0);
}

// The largest over all threads of a block, in every thread.
__device__ inline float block_max(float number) {
  __shared__ float of_warps[32];
  for (int offset = 16; offset > 0; offset /= 2)
    number = fmaxf(number, __shfl_xor_sync(0xffffffffu, number, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = number;
  __syncthreads();
  number = of_warps[threadIdx.x % 32 < blockDim.x / 32 ? threadIdx.x % 32 : 0];
  for (int offset = 16; offset > 0; offset /= 2)
    number = fmaxf(number, __shfl_xor_sync(0xffffffffu, number, offset));
  return number;
}
