// The border to Rust, with `border.rs` on its other side. Tensors are passed as pointers to those that Rust owns.
// Exceptions of C++ are caught and returned as a message, so that none crosses the border.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <vector>

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
