// Finds the kernels for a tensor, and starts them.
#include "cuda.h"

#include <ATen/Context.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "cuda_module.h"

namespace {

constexpr KernelName NAMES[] = {
    {"batch_norm_moments", 256},
    {"batch_norm_statistics", 1024},
    {"batch_norm_of_sums", 256},
    {"batch_norm_normalise", 256},
    {"batch_norm_gradient_sums", 256},
    {"batch_norm_gradient_coefficients", 1024},
    {"batch_norm_gradient_of_sums", 256},
    {"batch_norm_input_gradient", 256},
    {"max_pool_forward", 256},
    {"max_pool_gradient", 256},
    {"roi_align_forward", 256},
    {"roi_align_map_gradient", 256},
    {"sample_forward", 256},
    {"sample_gather_gradient", 256},
    {"sample_scatter_gradient", 256},
    {"stem_unshuffle", 256},
    {"contrast_inverse_lengths", 256},
    {"contrast_losses", 128},
    {"contrast_of_products", 128},
    {"contrast_of_rows", 128},
    {"cross_entropy_losses", 256},
    {"cross_entropy_gradient", 256},
};
static_assert(std::size(NAMES) == size_t(CudaKernel::COUNT));

// Starts a kernel instead of a CUDA device, with tensors of the processor, where tests run the kernels. Returns 0 or
// the number of an error.
using Emulator = int (*)(bool bfloat16, const char* name, const unsigned* blocks, const unsigned* threads, void** arguments);
thread_local Emulator emulator = nullptr;

struct EmulatedModule : CudaModule {
  const Emulator run;
  const bool bfloat16;

  explicit EmulatedModule(bool bfloat16) : run(emulator), bfloat16(bfloat16) { multiprocessors = 2; }

  void start(size_t kernel, Extent blocks, Extent threads, void** arguments) const override {
    const int status = run(bfloat16, NAMES[kernel].name, &blocks.x, &threads.x, arguments);
    TORCH_CHECK(status == 0, NAMES[kernel].name, ": error ", status);
  }
};

bool is_on_device(const at::Tensor& tensor) { return tensor.is_cuda() || (emulator && tensor.is_cpu()); }

bool is_switched_off() {
  static const bool off = [] {
    const char* value = std::getenv("DENSESIAM_CUDA_KERNELS");
    return value && std::string(value) == "0";
  }();
  return off;
}

struct Found {
  std::unique_ptr<const CudaKernels> kernels;
  std::string why_none;
};

Found find(const at::Tensor& tensor) {
  const bool bfloat16 = tensor.scalar_type() == at::kBFloat16;
  std::string why;
  try {
    auto module = tensor.is_cuda() ? load_cuda_module(tensor.get_device(), bfloat16, NAMES, std::size(NAMES))
                                   : std::make_unique<const EmulatedModule>(bfloat16);
    return {std::make_unique<const CudaKernels>(std::move(module)), ""};
  } catch (const c10::Error& error) {
    why = error.what_without_backtrace();
  } catch (const std::exception& error) {
    why = error.what();
  }
  // The compiler's messages have many lines; the first is the most important.
  why = why.substr(0, why.find('\n'));
  TORCH_WARN_ONCE("libtorch's own layers are used on the CUDA device, which are slower: ", why);
  return {nullptr, why};
}

// Found once for each device and kind of value.
const Found& found(const at::Tensor& tensor) {
  static const Found off{nullptr, "DENSESIAM_CUDA_KERNELS=0 switches them off"};
  static const Found unsuited{nullptr, "they are for float32 and bfloat16 on a CUDA device"};
  if (is_switched_off()) return off;
  const auto kind = tensor.scalar_type();
  if (!is_on_device(tensor) || (kind != at::kFloat && kind != at::kBFloat16)) return unsuited;
  static std::mutex mutex;
  static std::map<std::tuple<Emulator, int64_t, at::ScalarType>, Found> all;
  const std::lock_guard lock(mutex);
  const auto [place, is_new] = all.try_emplace({emulator, tensor.get_device(), kind});
  if (is_new) place->second = find(tensor);
  return place->second;
}

}  // namespace

// Starts every kernel once without work, so that a kernel that cannot be started is found before anything is computed.
CudaKernels::CudaKernels(std::unique_ptr<const CudaModule> loaded) : module(std::move(loaded)) {
  // As many arguments as any kernel takes, each with the size of the largest, all 0.
  alignas(16) std::array<char, 64> nothing{};
  std::array<void*, 16> arguments;
  arguments.fill(nothing.data());
  for (size_t kernel = 0; kernel < std::size(NAMES); kernel++)
    module->start(kernel, {}, {unsigned(NAMES[kernel].threads)}, arguments.data());
}

CudaKernels::~CudaKernels() = default;

const CudaKernels* CudaKernels::of(const at::Tensor& tensor) { return found(tensor).kernels.get(); }

const CudaKernels* CudaKernels::of_vectors(const at::Tensor& map) {
  return map.size(1) % vector_width(map) == 0 ? of(map) : nullptr;
}

std::string CudaKernels::why_none(const at::Tensor& tensor) { return found(tensor).why_none; }

int CudaKernels::multiprocessors() const { return module->multiprocessors; }

Extent CudaKernels::blocks_for(int64_t vectors) const {
  return {unsigned(std::max<int64_t>(1, std::min<int64_t>((vectors + THREADS - 1) / THREADS, multiprocessors() * 8)))};
}

void CudaKernels::start(CudaKernel kernel, Extent blocks, Extent threads, void** arguments) const {
  module->start(size_t(kernel), blocks, threads, arguments);
}

at::Tensor aligned(const at::Tensor& tensor) {
  const bool fits = reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
  return fits || !is_on_device(tensor) ? tensor : tensor.clone();
}

extern "C" {

// Null if there are kernels for this tensor's kind and CUDA device, or why there are none.
char* torch_ext_cuda_kernels(void* tensor) {
  const auto why = CudaKernels::why_none(*static_cast<at::Tensor*>(tensor));
  return why.empty() ? nullptr : strdup(why.c_str());
}

void torch_ext_emulate_cuda(Emulator by) { emulator = by; }

}  // extern "C"
