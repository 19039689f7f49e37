// Functions of libraries that are opened at run time, beside the libtorch that is loaded.
#pragma once

#include <ATen/Context.h>
#include <dlfcn.h>

#include <filesystem>

// The folder of the loaded libtorch_cpu.so.
inline std::filesystem::path libtorch_folder() {
  Dl_info torch;
  TORCH_CHECK(dladdr(reinterpret_cast<void*>(&at::globalContext), &torch) && torch.dli_fname, "no libtorch_cpu.so");
  return std::filesystem::canonical(torch.dli_fname).parent_path();
}

// Throws if the library has no function of this name.
template <typename Function>
void find_function(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  TORCH_CHECK(function, name, " is not found");
}
