// Sums between CUDA devices by NCCL, whose C interface is looked up at run time: neither building nor starting needs it.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "group.h"

// The CUDA devices of a group's processes, of which each has one of its own, seen from one of them.
class Nccl {
 public:
  // What names a device among those of all machines. Throws where NCCL or the device is not there.
  static std::string device_name(at::Device device);

  // NCCL's version, such as 2.28.9.
  static std::string version();

  // What the first process gives to all, so that they find each other.
  static std::vector<uint8_t> invitation();

  // Waits for the other processes. When a collective takes longer than the timeout, later ones throw.
  Nccl(at::Device device, const std::vector<uint8_t>& invitation, int rank, int world, int64_t timeout_ms);
  ~Nccl();

  // These return when the device has them to do, in order with the computation, for which they do not make the host wait.
  void sum(const at::Tensor& tensor) const;
  void broadcast(const at::Tensor& tensor) const;

  // On a stream of its own, beside the computation.
  std::unique_ptr<Group::Running> begin_sum(const at::Tensor& tensor) const;
  // The computation goes on after the sum; the host does not wait.
  void wait(Group::Running& sum) const;

  // Why a collective failed, once one has; else empty.
  std::string failure() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts;
};
