#include "cuda_module.h"

#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <string>
#include <vector>

#include "../libtorch/loaded.h"
#include "cuda.h"

// The text of this folder's kernels, written by build.rs.
#include "cuda_source.h"

namespace {

// The functions of NVRTC and of the driver that are used. Both are C interfaces whose declarations do not change, so
// building does not need CUDA's headers, and starting does not need its libraries.
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
  int (*function_attribute)(int* value, int attribute, void* function);
  int (*launch)(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared_bytes,
                void* stream, void** arguments, void** extra);
  int (*error_name)(int status, const char** name);

  // libtorch's own stub depends on both libraries and is in the same folder as libtorch.
  Library() {
    void* library = dlopen((libtorch_folder() / "libcaffe2_nvrtc.so").c_str(), RTLD_LAZY | RTLD_LOCAL);
    TORCH_CHECK(library, dlerror());
    find_function(library, "nvrtcCreateProgram", create);
    find_function(library, "nvrtcCompileProgram", compile);
    find_function(library, "nvrtcGetProgramLogSize", log_size);
    find_function(library, "nvrtcGetProgramLog", log);
    find_function(library, "nvrtcGetCUBINSize", image_size);
    find_function(library, "nvrtcGetCUBIN", image);
    find_function(library, "nvrtcDestroyProgram", destroy);
    find_function(library, "cuDeviceGet", device);
    find_function(library, "cuDeviceGetAttribute", attribute);
    find_function(library, "cuCtxGetCurrent", current_context);
    find_function(library, "cuDevicePrimaryCtxRetain", retain_context);
    find_function(library, "cuCtxSetCurrent", set_context);
    find_function(library, "cuModuleLoadData", load);
    find_function(library, "cuModuleGetFunction", function);
    find_function(library, "cuFuncGetAttribute", function_attribute);
    find_function(library, "cuLaunchKernel", launch);
    find_function(library, "cuGetErrorName", error_name);
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

int device_attribute(int which, int device) {
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

class DriverModule : public CudaModule {
 public:
  DriverModule(int index, bool bfloat16, const KernelName* names, size_t count)
      : device(at::kCUDA, static_cast<at::DeviceIndex>(index)), names(names) {
    constexpr int MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76, MOST_THREADS = 0;
    const c10::DeviceGuard guard(device);
    int ordinal = 0;
    library().check(library().device(&ordinal, index), "cuDeviceGet");
    library().check(library().retain_context(&context, ordinal), "cuDevicePrimaryCtxRetain");
    enter_context();
    multiprocessors = device_attribute(MULTIPROCESSORS, ordinal);
    const int capability = 10 * device_attribute(MAJOR, ordinal) + device_attribute(MINOR, ordinal);
    const std::string image = compiled("sm_" + std::to_string(capability), bfloat16);
    void* module = nullptr;
    library().check(library().load(&module, image.data()), "cuModuleLoadData");
    functions.resize(count);
    for (size_t kernel = 0; kernel < count; kernel++) {
      const auto& [name, threads] = names[kernel];
      library().check(library().function(&functions[kernel], module, name), name);
      int most = 0;
      library().check(library().function_attribute(&most, MOST_THREADS, functions[kernel]), name);
      TORCH_CHECK(most >= threads, name, " can have ", most, " threads a block on this device, and needs ", threads);
    }
  }

  void start(size_t kernel, Extent blocks, Extent threads, void** arguments) const override {
    const c10::DeviceGuard guard(device);
    enter_context();
    const c10::impl::VirtualGuardImpl streams(at::kCUDA);
    void* stream = streams.getStreamNativeHandle(streams.getStream(device));
    library().check(library().launch(functions[kernel], blocks.x, blocks.y, blocks.z, threads.x, threads.y, threads.z, 0,
                                     stream, arguments, nullptr),
                    names[kernel].name);
  }

 private:
  // A thread that has not computed on the device yet has no context, or that of another device.
  void enter_context() const {
    void* current = nullptr;
    library().check(library().current_context(&current), "cuCtxGetCurrent");
    if (current != context) library().check(library().set_context(context), "cuCtxSetCurrent");
  }

  const at::Device device;
  const KernelName* names;
  // The context that libtorch computes in.
  void* context = nullptr;
  std::vector<void*> functions;
};

}  // namespace

std::unique_ptr<const CudaModule> load_cuda_module(int device_index, bool bfloat16, const KernelName* names, size_t count) {
  return std::make_unique<DriverModule>(device_index, bfloat16, names, count);
}
