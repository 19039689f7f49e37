// This folder: several processes that train one model, over the TCP store and the Gloo collectives that libtorch's
// processor part contains, and NCCL between CUDA devices. Every process calls the same functions in the same order.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

// The processes of a training, seen from one of them.
class Group {
 public:
  // Keys in the store begin with `name`.
  Group(const char* host, uint16_t port, bool serves, const char* name, int rank, int world, int64_t timeout_ms);
  ~Group();

  // How tensors of this device are summed, in words.
  std::string collectives(at::Device device) const;

  // Replaces a dense tensor by its sum over all processes; all receive the same bits.
  void sum(const at::Tensor& tensor) const;

  // Replaces a tensor by that of process 0.
  void broadcast(const at::Tensor& tensor) const;

  // A sum that runs while the caller goes on. Its tensor may not be touched until `wait`.
  class Running;
  std::unique_ptr<Running> begin_sum(const at::Tensor& tensor) const;
  void wait(Running& sum) const;

  // Values that any process sets, and any process waits for.
  void set(const char* key, const std::vector<uint8_t>& value) const;
  std::vector<uint8_t> get(const char* key) const;
  bool has(const char* key) const;

  // Why a collective failed, once one has; else empty.
  std::string failure() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts;
};

struct Group::Running {
  virtual ~Running() = default;
};
