// Kernels by their names.
#pragma once

struct Kernel {
  const char* name;
  unsigned most_threads;
  // With pointers to its arguments.
  void (*call)(void** arguments);
};

// Null where there is none of this name.
const Kernel* emulated_float(const char* name);
const Kernel* emulated_bfloat16(const char* name);
