// Finds NVIDIA's compiler and driver beside libtorch_cuda, compiles the kernels and starts them.
#include "cuda.h"

#include <ATen/Context.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// The text of the folder cuda, written by build.rs.
#include "cuda_source.h"

namespace {

constexpr const char* NAMES[] = {
    "norm_moments",         "norm_statistics",
    "norm_normalise",       "norm_gradient_sums",
    "norm_gradient_coefficients", "norm_input_gradient",
    "pooling_forward",      "pooling_gradient",
    "sampling_forward",     "sampling_gather_gradient",
    "sampling_scatter_gradient", "stem_unshuffle",
    "contrast_inverse_lengths", "contrast_losses",
    "contrast_of_products", "contrast_of_rows",
    "cross_entropy_losses", "cross_entropy_gradient",
};
static_assert(std::size(NAMES) == size_t(CudaKernel::COUNT));

// What is used of NVRTC and of the driver. Both are C interfaces whose declarations do not change, so that CUDA's headers are
// not needed to build, nor its libraries to start.
struct Library {
  int (*create)(void** program, const char* source, const char* name, int headers, const char* const*, const char* const*);
  int (*compile)(void* program, int count, const char* const* options);
  int (*log_size)(void* program, size_t* size);
  int (*log)(void* program, char* text);
  int (*image_size)(void* program, size_t* size);
  int (*image)(void* program, char* bytes);
  int (*destroy)(void** program);
  int (*device)(int* device, int ordinal);
  int (*attribute)(int* value, int attribute, int device);
  int (*current_context)(void** context);
  int (*retain_context)(void** context, int device);
  int (*set_context)(void* context);
  int (*load)(void** module, const void* image);
  int (*function)(void** function, void* module, const char* name);
  int (*launch)(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared_bytes,
                void* stream, void** arguments, void** extra);
  int (*error_name)(int status, const char** name);

  // libtorch's own stub depends on both libraries and lies beside it.
  Library() {
    Dl_info torch;
    TORCH_CHECK(dladdr(reinterpret_cast<void*>(&at::globalContext), &torch) && torch.dli_fname, "no libtorch_cpu.so");
    const std::string path = std::filesystem::canonical(torch.dli_fname).replace_filename("libcaffe2_nvrtc.so");
    void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
    TORCH_CHECK(library, dlerror());
    find(library, "nvrtcCreateProgram", create);
    find(library, "nvrtcCompileProgram", compile);
    find(library, "nvrtcGetProgramLogSize", log_size);
    find(library, "nvrtcGetProgramLog", log);
    find(library, "nvrtcGetCUBINSize", image_size);
    find(library, "nvrtcGetCUBIN", image);
    find(library, "nvrtcDestroyProgram", destroy);
    find(library, "cuDeviceGet", device);
    find(library, "cuDeviceGetAttribute", attribute);
    find(library, "cuCtxGetCurrent", current_context);
    find(library, "cuDevicePrimaryCtxRetain", retain_context);
    find(library, "cuCtxSetCurrent", set_context);
    find(library, "cuModuleLoadData", load);
    find(library, "cuModuleGetFunction", function);
    find(library, "cuLaunchKernel", launch);
    find(library, "cuGetErrorName", error_name);
  }

  template <typename Function>
  static void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    TORCH_CHECK(function, name, " is not found");
  }

  void check(int status, const char* what) const {
    if (status == 0) return;
    const char* name = nullptr;
    error_name(status, &name);
    TORCH_CHECK(false, what, ": ", name ? name : "unknown error");
  }
};

const Library& library() {
  static const Library found;
  return found;
}

// Makes the context that libtorch computes in this thread's, where it is not yet.
void enter_context(int device) {
  void* context = nullptr;
  library().check(library().current_context(&context), "cuCtxGetCurrent");
  if (context) return;
  library().check(library().retain_context(&context, device), "cuDevicePrimaryCtxRetain");
  library().check(library().set_context(context), "cuCtxSetCurrent");
}

int attribute(int which, int device) {
  int value = 0;
  library().check(library().attribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

// The kernels as machine code of an architecture, such as sm_90.
std::string compiled(const std::string& architecture, bool bfloat16) {
  const std::string target = "--gpu-architecture=" + architecture;
  const std::string kind = std::string("--define-macro=VALUE_IS_BFLOAT16=") + (bfloat16 ? "1" : "0");
  const char* options[] = {target.c_str(), kind.c_str(), "--std=c++17"};
  void* program = nullptr;
  TORCH_CHECK(library().create(&program, CUDA_SOURCE, "densesiam.cu", 0, nullptr, nullptr) == 0, "NVRTC takes no program");
  const int status = library().compile(program, std::size(options), options);
  std::string text;
  size_t size = 0;
  if (status != 0) {
    library().log_size(program, &size);
    text.resize(size);
    library().log(program, text.data());
  } else {
    library().image_size(program, &size);
    text.resize(size);
    library().image(program, text.data());
  }
  library().destroy(&program);
  TORCH_CHECK(status == 0, "NVRTC for ", architecture, ": ", text);
  return text;
}

}  // namespace

CudaKernels::CudaKernels(const at::Tensor& tensor) {
  constexpr int MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76;
  const c10::DeviceGuard guard(tensor.device());
  int device = 0;
  library().check(library().device(&device, tensor.get_device()), "cuDeviceGet");
  enter_context(device);
  multiprocessors = attribute(MULTIPROCESSORS, device);
  const std::string architecture = "sm_" + std::to_string(10 * attribute(MAJOR, device) + attribute(MINOR, device));
  const std::string image = compiled(architecture, tensor.scalar_type() == at::kBFloat16);
  void* module = nullptr;
  library().check(library().load(&module, image.data()), "cuModuleLoadData");
  for (size_t kernel = 0; kernel < functions.size(); kernel++)
    library().check(library().function(&functions[kernel], module, NAMES[kernel]), NAMES[kernel]);
}

const CudaKernels* CudaKernels::of(const at::Tensor& tensor) {
  if (!tensor.is_cuda() || (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kBFloat16)) return nullptr;
  static std::mutex mutex;
  static std::map<std::pair<int, at::ScalarType>, std::unique_ptr<const CudaKernels>> all;
  const std::lock_guard lock(mutex);
  auto [place, is_new] = all.try_emplace({tensor.get_device(), tensor.scalar_type()});
  if (is_new) {
    try {
      place->second.reset(new CudaKernels(tensor));
    } catch (const std::exception& error) {
      TORCH_WARN("libtorch's own layers are used, which are slower: ", error.what());
    }
  }
  return place->second.get();
}

at::Tensor aligned(const at::Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0 ? tensor : tensor.clone();
}

Extent CudaKernels::blocks_for(int64_t vectors) const {
  return {unsigned(std::max<int64_t>(1, std::min<int64_t>((vectors + THREADS - 1) / THREADS, multiprocessors * 8)))};
}

void CudaKernels::start(CudaKernel kernel, const at::Tensor& on, Extent blocks, Extent threads, void** arguments) const {
  const c10::DeviceGuard guard(on.device());
  enter_context(on.get_device());
  const c10::impl::VirtualGuardImpl streams(at::kCUDA);
  void* stream = streams.getStreamNativeHandle(streams.getStream(on.device()));
  const int status = library().launch(functions[size_t(kernel)], blocks.x, blocks.y, blocks.z, threads.x, threads.y,
                                      threads.z, 0, stream, arguments, nullptr);
  library().check(status, NAMES[size_t(kernel)]);
}
