// This folder: functions of libtorch that tch does not offer, without kernels of ours. This file: those calls.
// `libtorch.h` includes the parts of libtorch that most files of this crate need.
#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>
#include <torch/csrc/api/include/torch/types.h>
#include <torch/csrc/api/include/torch/version.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

#include "../border.h"
#include "upload.h"

at::Tensor upload(const at::Tensor& tensor, at::Device device) {
  if (!device.is_cuda()) return tensor;
  const c10::impl::VirtualGuardImpl streams(at::kCUDA);
  const c10::Stream computing = streams.getStream(device);
  // libtorch returns the streams of its pool in turn. One is enough, and memory freed by one is not reused by
  // another.
  static const c10::Stream copying = streams.getStreamFromGlobalPool(device, /*isHighPriority=*/false);
  const auto pinned = tensor.pin_memory();
  const c10::StreamGuard guard(copying.device() == device ? copying : computing);
  const auto uploaded = pinned.to(device, /*non_blocking=*/true);
  c10::Event arrived(at::kCUDA);
  arrived.record(guard.current_stream());
  arrived.block(computing);
  uploaded.record_stream(computing);
  return uploaded;
}

extern "C" {

void torch_ext_free(char* text) { free(text); }

char* torch_ext_show_config() { return strdup(at::show_config().c_str()); }

char* torch_ext_built_with() { return strdup(TORCH_VERSION); }

// Loads libtorch_cuda from beside the libtorch_cpu in use: null, or why not. Must come before anything else that asks
// for CUDA, because libtorch searches for it once and remembers the result.
char* torch_ext_load_cuda() {
  return message_of([] {
    Dl_info cpu;
    if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &cpu) || !cpu.dli_fname)
      throw std::runtime_error("libtorch_cpu.so is not found");
    std::string library = std::filesystem::canonical(cpu.dli_fname).replace_filename("libtorch_cuda.so");
    if (!dlopen(library.c_str(), RTLD_LAZY | RTLD_GLOBAL)) throw std::runtime_error(dlerror());
    // If something asked for CUDA earlier, libtorch keeps its substitute for CUDA permanently.
    const auto& hooks = at::detail::getCUDAHooks();
    if (typeid(hooks) == typeid(at::CUDAHooksInterface))
      throw std::runtime_error("libtorch had been asked for CUDA before libtorch_cuda.so was loaded");
  });
}

// One step of SGD with momentum over lists of parameters, their gradients and their momentum buffers, as
// torch.optim.SGD computes it, in one pass over memory. If `found_inf` (one float) is 1 nothing is changed.
char* torch_ext_fused_sgd(void* const* parameters, void* const* gradients, void* const* momentum_buffers,
                          size_t count, double weight_decay, double momentum, double learning_rate,
                          bool first_step, void* found_inf) {
  return message_of([&] {
    at::NoGradGuard no_grad;
    auto found = found_inf ? c10::optional<at::Tensor>(*static_cast<at::Tensor*>(found_inf)) : c10::nullopt;
    auto stepped = tensors(parameters, count), by = tensors(gradients, count);
    // Without momentum the kernel takes no buffers.
    auto buffers = tensors(momentum_buffers, momentum == 0.0 ? 0 : count);
    // The processor's kernel treats all of them as flat memory and does not check.
    for (size_t i = 0; i < count; i++) TORCH_CHECK(stepped[i].strides() == by[i].strides(), "strides differ");
    for (size_t i = 0; i < buffers.size(); i++)
      TORCH_CHECK(stepped[i].strides() == buffers[i].strides(), "strides differ");
    at::_fused_sgd_(stepped, by, buffers, weight_decay, momentum, learning_rate, /*dampening=*/0.0,
                    /*nesterov=*/false, /*maximize=*/false, first_step, /*grad_scale=*/c10::nullopt, found);
  });
}

// One step of Adam over lists of parameters, their gradients, both moments and the number of steps of each (a float32 scalar,
// which is counted here), as torch.optim.Adam computes it, in one pass over memory. If `found_inf` (one float) is 1
// nothing is changed.
char* torch_ext_fused_adam(void* const* parameters, void* const* gradients, void* const* moments, void* const* squares,
                           void* const* steps, size_t count, double weight_decay, double learning_rate, void* found_inf) {
  return message_of([&] {
    at::NoGradGuard no_grad;
    auto found = found_inf ? c10::optional<at::Tensor>(*static_cast<at::Tensor*>(found_inf)) : c10::nullopt;
    auto stepped = tensors(parameters, count), by = tensors(gradients, count);
    auto first = tensors(moments, count), second = tensors(squares, count);
    // The processor's kernel treats all of them as flat memory and does not check.
    for (size_t i = 0; i < count; i++)
      for (const auto& like : {by[i], first[i], second[i]})
        TORCH_CHECK(stepped[i].strides() == like.strides(), "strides differ");
    const auto taken = tensors(steps, count);
    if (found) at::_foreach_add_(taken, 1 - *found); else at::_foreach_add_(taken, 1);
    at::_fused_adam_(stepped, by, first, second, /*max_exp_avg_sqs=*/{}, taken, learning_rate,
                     /*beta1=*/0.9, /*beta2=*/0.999, weight_decay, /*eps=*/1e-8, /*amsgrad=*/false,
                     /*maximize=*/false, /*grad_scale=*/c10::nullopt, found);
  });
}

// A copy of `tensor` on a CUDA device, by upload().
char* torch_ext_upload(void* tensor, int64_t device_index, void** output) {
  return message_of([&] {
    const at::Device device(at::kCUDA, static_cast<at::DeviceIndex>(device_index));
    *output = new at::Tensor(upload(*static_cast<at::Tensor*>(tensor), device));
  });
}

// The most bytes that tensors on a CUDA device have held at once; 0 if the device was not used.
int64_t torch_ext_cuda_peak_memory(int64_t device_index) {
  try {
    const auto statistics = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(device_index));
    return statistics.allocated_bytes[size_t(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  } catch (const std::exception&) {
    return 0;
  }
}

// Makes that peak what tensors on the device hold now.
void torch_ext_cuda_begin_peak_memory(int64_t device_index) {
  try {
    at::accelerator::resetPeakStats(static_cast<c10::DeviceIndex>(device_index));
  } catch (const std::exception&) {
  }
}

// Of jemalloc, where it takes the place of the system's allocator.
__attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size, void* given, size_t size);

void torch_ext_give_back_free_memory() {
  // What every arena (4096) has kept.
  if (mallctl) mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

// Whether float32 may be rounded to TF32, of 10 bits, in products on CUDA devices.
void torch_ext_allow_tf32(bool allow) {
  at::globalContext().setAllowTF32CuDNN(allow);
  at::globalContext().setAllowTF32CuBLAS(allow);
}

// Sets `.grad` of every tensor to undefined (None), so that a parameter without a new gradient can be distinguished.
char* torch_ext_clear_gradients(void* const* parameters, size_t count) {
  return message_of([&] {
    for (auto& parameter : tensors(parameters, count)) parameter.mutable_grad().reset();
  });
}

// The Euclidean norm of all tensors taken as one vector, on their device, written to `*norm` (owned by the caller).
char* torch_ext_total_norm(void* const* list, size_t count, void** norm) {
  return message_of([&] {
    at::NoGradGuard no_grad;
    *norm = new at::Tensor(at::stack(at::_foreach_norm(tensors(list, count), 2)).norm());
  });
}

// Whether a CUDA device convolves bf16 in hardware (compute capability 8.0 on). False if there is no device with this
// index.
bool torch_ext_cuda_has_bf16(int64_t device_index) {
  try {
    const auto& hooks = at::detail::getCUDAHooks();
    if (!hooks.hasCUDA() || device_index >= hooks.getNumGPUs()) return false;
    // libtorch asks the current device.
    const c10::DeviceGuard guard(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device_index)));
    return hooks.supportsBFloat16ConvolutionWithCuDNNv8();
  } catch (const std::exception&) {
    return false;
  }
}

}  // extern "C"
