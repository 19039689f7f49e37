// Runs the blocks of a kernel one after the other. The threads of a block take turns, each with a stack of its own: one runs
// until it has to wait for the others of its warp or its block.
#include "emulator.h"

#include <ucontext.h>

#include <memory>
#include <vector>

#include "device.h"

thread_local Index threadIdx, blockIdx, blockDim, gridDim;

namespace {

constexpr size_t STACK = 64 << 10;
constexpr unsigned LANES = 32;

enum class Waits { for_warp, for_block, no_more };

struct Thread {
  Index index;
  Waits waits;
  unsigned exchanges = 0;
  ucontext_t context;
};

struct Running {
  ucontext_t scheduler;
  Thread* thread;
  const Kernel* kernel;
  void** arguments;
  // By turns, so that a lane may write its next number before all have read its last.
  float exchanged[2][LANES];
};
thread_local Running running;

void begin() {
  running.kernel->call(running.arguments);
  running.thread->waits = Waits::no_more;
}

void wait(Waits waits) {
  running.thread->waits = waits;
  swapcontext(&running.thread->context, &running.scheduler);
}

void resume(Thread& thread) {
  running.thread = &thread;
  threadIdx = thread.index;
  swapcontext(&running.scheduler, &thread.context);
}

// Runs the threads of a warp until none waits for the others of the warp; whether all wait for the same, as they must.
bool run_warp(Thread* first, unsigned lanes) {
  do {
    for (unsigned lane = 0; lane < lanes; lane++) {
      resume(first[lane]);
      if (first[lane].waits != first->waits) return false;
    }
  } while (first->waits == Waits::for_warp);
  return true;
}

bool run_block(std::vector<Thread>& threads, char* stacks) {
  for (size_t i = 0; i < threads.size(); i++) {
    Thread& thread = threads[i];
    const unsigned row = i / blockDim.x;
    thread.index = {unsigned(i) % blockDim.x, row % blockDim.y, row / blockDim.y};
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = stacks + i * STACK;
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = &running.scheduler;
    makecontext(&thread.context, begin, 0);
  }
  do {
    for (size_t first = 0; first < threads.size(); first += LANES) {
      const size_t lanes = std::min<size_t>(LANES, threads.size() - first);
      if (!run_warp(&threads[first], lanes) || threads[first].waits != threads[0].waits) return false;
    }
  } while (threads[0].waits == Waits::for_block);
  return true;
}

}  // namespace

void __syncthreads() { wait(Waits::for_block); }

float __shfl_xor_sync(unsigned, float number, int mask) {
  Thread& thread = *running.thread;
  const unsigned flat = (thread.index.z * blockDim.y + thread.index.y) * blockDim.x + thread.index.x;
  float* exchanged = running.exchanged[thread.exchanges++ % 2];
  exchanged[flat % LANES] = number;
  wait(Waits::for_warp);
  return exchanged[flat % LANES ^ mask];
}

// Runs a kernel to its end: 0, or as of the driver 1 where a block has more threads than the kernel is for, 500 where there is
// none of this name, and 719 where the threads of a block do not wait at the same places.
extern "C" int emulator_launch(bool bfloat16, const char* name, const unsigned* blocks, const unsigned* threads,
                               void** arguments) {
  const Kernel* kernel = bfloat16 ? emulated_bfloat16(name) : emulated_float(name);
  if (!kernel) return 500;
  gridDim = {blocks[0], blocks[1], blocks[2]};
  blockDim = {threads[0], threads[1], threads[2]};
  const unsigned count = threads[0] * threads[1] * threads[2];
  if (count > kernel->most_threads) return 1;
  running.kernel = kernel;
  running.arguments = arguments;
  std::vector<Thread> all(count);
  const std::unique_ptr<char[]> stacks(new char[count * STACK]);
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
        if (!run_block(all, stacks.get())) return 719;
  return 0;
}

// The most threads of a kernel's blocks; 0 where there is none of this name.
extern "C" unsigned emulator_most_threads(const char* name) {
  const Kernel* kernel = emulated_float(name);
  return kernel ? kernel->most_threads : 0;
}
