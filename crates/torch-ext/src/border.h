// The border to Rust, with `border.rs` on its other side. Tensors are passed as pointers to those that Rust owns.
// Exceptions of C++ are caught and returned as a message, so that none crosses the border.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

// A process of the group that does not answer. Its message begins with a character of its own, by which Rust knows it
// also when it has come through code of libtorch.
struct LostProcess : std::runtime_error {
  explicit LostProcess(const std::string& message) : std::runtime_error("\x1f" + message) {}
};

// Runs `body`; returns null, or the message of its exception (to be freed by torch_ext_free).
template <typename Body>
char* message_of(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}

inline std::vector<at::Tensor> tensors(void* const* pointers, size_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (size_t i = 0; i < count; i++) list.push_back(*static_cast<at::Tensor*>(pointers[i]));
  return list;
}

// Undefined for null.
inline at::Tensor tensor(void* pointer) { return pointer ? *static_cast<at::Tensor*>(pointer) : at::Tensor(); }
