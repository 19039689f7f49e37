#include "nccl.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "../border.h"
#include "../libtorch/loaded.h"

namespace {

// What NCCL's interface hands on by value.
struct UniqueId {
  char bytes[128];
};

constexpr int SUCCESS = 0, IN_PROGRESS = 7, SUM = 0;

// The functions of NCCL and of the driver that are used. Both are C interfaces whose declarations do not change.
struct Library {
  int (*version)(int* version);
  int (*unique_id)(UniqueId* id);
  int (*init)(void** communicator, int world, UniqueId id, int rank);
  int (*destroy)(void* communicator);
  int (*abort)(void* communicator);
  int (*group_start)();
  int (*group_end)();
  int (*async_error)(void* communicator, int* error);
  int (*all_reduce)(const void* from, void* to, size_t count, int kind, int operation, void* communicator, void* stream);
  int (*broadcast)(const void* from, void* to, size_t count, int kind, int root, void* communicator, void* stream);
  const char* (*error_text)(int error);
  const char* (*last_error)(void* communicator);
  int (*device)(int* device, int ordinal);
  int (*device_uuid)(char* uuid, int device);

  // NCCL is loaded by libtorch's CUDA part, or lies where that looks for it.
  Library() {
    void* nccl = dlopen("libnccl.so.2", RTLD_LAZY | RTLD_LOCAL);
    if (!nccl) nccl = dlopen((libtorch_folder() / "../../nvidia/nccl/lib/libnccl.so.2").c_str(), RTLD_LAZY | RTLD_LOCAL);
    TORCH_CHECK(nccl, dlerror());
    void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    TORCH_CHECK(driver, dlerror());
    find_function(nccl, "ncclGetVersion", version);
    find_function(nccl, "ncclGetUniqueId", unique_id);
    find_function(nccl, "ncclCommInitRank", init);
    find_function(nccl, "ncclCommDestroy", destroy);
    find_function(nccl, "ncclCommAbort", abort);
    find_function(nccl, "ncclGroupStart", group_start);
    find_function(nccl, "ncclGroupEnd", group_end);
    find_function(nccl, "ncclCommGetAsyncError", async_error);
    find_function(nccl, "ncclAllReduce", all_reduce);
    find_function(nccl, "ncclBroadcast", broadcast);
    find_function(nccl, "ncclGetErrorString", error_text);
    find_function(nccl, "ncclGetLastError", last_error);
    find_function(driver, "cuDeviceGet", device);
    find_function(driver, "cuDeviceGetUuid_v2", device_uuid);
  }

  std::string text(int status) const {
    const std::string detail = last_error(nullptr);
    return std::string("NCCL: ") + error_text(status) + (detail.empty() ? "" : ": " + detail);
  }
};

const Library& library() {
  static const Library found;
  return found;
}

// NCCL's number for a kind of value.
int kind_of(const at::Tensor& tensor) {
  static const std::map<at::ScalarType, int> kinds{{at::kChar, 0}, {at::kByte, 1}, {at::kInt, 2},    {at::kLong, 4},
                                                   {at::kHalf, 6}, {at::kFloat, 7}, {at::kDouble, 8}, {at::kBFloat16, 9}};
  const auto kind = kinds.find(tensor.scalar_type());
  TORCH_CHECK(kind != kinds.end(), "NCCL has no sum of ", tensor.scalar_type());
  return kind->second;
}

// A communicator, and its newest collective: all before it are done when that one is.
struct Communicator {
  void* handle = nullptr;
  c10::Event newest{at::kCUDA};
  // NCCL has not returned yet, which it does not do in a first collective before the others come; or the device is not done.
  bool begins = false, runs = false;
  // For how long, as the watcher has counted; a process that the system stops for a while has not waited meanwhile.
  std::chrono::milliseconds waited{0};

  // Whether something may be left that the device does, or waits for.
  bool is_busy() {
    if (runs && !begins) runs = !newest.query();
    return begins || runs;
  }
};

// How often the watcher looks.
constexpr std::chrono::milliseconds TICK{200};

struct NcclSum : Group::Running {
  c10::Event done{at::kCUDA};
};

}  // namespace

struct Nccl::Parts {
  at::Device device;
  c10::impl::VirtualGuardImpl streams{at::kCUDA};
  c10::Stream beside;
  std::chrono::milliseconds timeout;
  // Two, so that a small sum in a layer does not wait for the gradients of the layers before it.
  Communicator direct, background;
  // Over what follows, and over the communicators.
  std::mutex mutex;
  std::string failure;
  bool ends = false;
  std::condition_variable ended;
  std::thread watcher;

  explicit Parts(at::Device device, int64_t timeout_ms)
      : device(device), beside(streams.getStreamFromGlobalPool(device)), timeout(timeout_ms) {}

  c10::Stream current() const { return streams.getStream(device); }

  // Has the device do a collective on a stream.
  template <typename Collective>
  void run(Communicator& communicator, const c10::Stream& stream, Collective collective) {
    const c10::DeviceGuard guard(device);
    std::unique_lock lock(mutex);
    if (!failure.empty()) throw LostProcess(failure);
    void* handle = communicator.handle;
    communicator.begins = true;
    communicator.waited = {};
    lock.unlock();
    const int status = collective(handle, streams.getStreamNativeHandle(stream));
    lock.lock();
    communicator.begins = false;
    if (failure.empty() && status != SUCCESS && status != IN_PROGRESS) give_up(lock, library().text(status));
    if (!failure.empty()) throw LostProcess(failure);
    communicator.newest.record(stream);
    communicator.waited = {};
    communicator.runs = true;
  }

  void sum(Communicator& communicator, const at::Tensor& tensor, const c10::Stream& stream) {
    TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "a tensor with gaps cannot be summed");
    const auto count = tensor.numel();
    run(communicator, stream, [=, values = tensor.mutable_data_ptr(), kind = kind_of(tensor)](void* handle, void* stream) {
      return library().all_reduce(values, values, count, kind, SUM, handle, stream);
    });
  }

  // Frees the device from collectives that nobody joins any more: the only way on, for it and for the host. Both communicators at
  // once, because freeing one waits for the device, which the other may hold; and without the lock, because it may take long.
  void give_up(std::unique_lock<std::mutex>& lock, const std::string& why) {
    failure = why;
    void* handles[] = {std::exchange(direct.handle, nullptr), std::exchange(background.handle, nullptr)};
    lock.unlock();
    library().group_start();
    for (void* handle : handles)
      if (handle) library().abort(handle);
    library().group_end();
    lock.lock();
  }

  // Why a communicator is of no use any more; empty if it is.
  std::string trouble(Communicator& communicator) {
    if (!communicator.handle || !communicator.is_busy()) return "";
    int error = SUCCESS;
    if (library().async_error(communicator.handle, &error) == SUCCESS && error != SUCCESS && error != IN_PROGRESS)
      return library().text(error);
    communicator.waited += TICK;
    if (communicator.waited <= timeout) return "";
    return "Timed out waiting " + std::to_string(timeout.count()) + "ms for the devices of the others";
  }

  void watch() {
    std::unique_lock lock(mutex);
    while (!ended.wait_for(lock, TICK, [&] { return ends; })) {
      if (!failure.empty()) continue;
      std::string why;
      try {
        const c10::DeviceGuard guard(device);
        why = trouble(direct);
        if (why.empty()) why = trouble(background);
      } catch (const std::exception& error) {
        // The device itself has failed.
        why = error.what();
      }
      if (!why.empty()) give_up(lock, why);
    }
  }
};

std::string Nccl::device_name(at::Device device) {
  int handle = 0;
  char uuid[16];
  TORCH_CHECK(library().device(&handle, device.index()) == 0 && library().device_uuid(uuid, handle) == 0,
              "the driver does not name the CUDA device");
  return {uuid, uuid + sizeof uuid};
}

std::string Nccl::version() {
  int version = 0;
  library().version(&version);
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

std::vector<uint8_t> Nccl::invitation() {
  UniqueId ids[2];
  for (auto& id : ids) {
    const int status = library().unique_id(&id);
    TORCH_CHECK(status == SUCCESS, library().text(status));
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(ids);
  return {bytes, bytes + sizeof ids};
}

Nccl::Nccl(at::Device device, const std::vector<uint8_t>& invitation, int rank, int world, int64_t timeout_ms)
    : parts(std::make_unique<Parts>(device, timeout_ms)) {
  UniqueId ids[2];
  TORCH_CHECK(invitation.size() == sizeof ids, "an invitation of ", invitation.size(), " bytes");
  std::memcpy(ids, invitation.data(), sizeof ids);
  // Two communicators on two streams of a device: NCCL then starts them in one order on all devices, unless it is told otherwise.
  setenv("NCCL_LAUNCH_ORDER_IMPLICIT", "1", 0);
  // NCCL takes the device of the thread's context, which the first work on a device sets.
  const c10::DeviceGuard guard(device);
  at::zeros({1}, at::TensorOptions().device(device));
  Communicator* communicators[2] = {&parts->direct, &parts->background};
  for (size_t which = 0; which < std::size(ids); which++) {
    const int status = library().init(&communicators[which]->handle, world, ids[which], rank);
    TORCH_CHECK(status == SUCCESS, library().text(status));
  }
  parts->watcher = std::thread([this] { parts->watch(); });
}

Nccl::~Nccl() {
  std::unique_lock lock(parts->mutex);
  parts->ends = true;
  lock.unlock();
  parts->ended.notify_all();
  if (parts->watcher.joinable()) parts->watcher.join();
  lock.lock();
  // To destroy a communicator waits for what it does, for ever if another process is lost.
  bool busy = true;
  try {
    busy = parts->direct.is_busy() || parts->background.is_busy();
  } catch (const std::exception&) {
  }
  if (busy) parts->give_up(lock, "it is left");
  for (auto* communicator : {&parts->direct, &parts->background})
    if (communicator->handle) library().destroy(communicator->handle);
}

void Nccl::sum(const at::Tensor& tensor) const { parts->sum(parts->direct, tensor, parts->current()); }

void Nccl::broadcast(const at::Tensor& tensor) const {
  // Of any layout: a copy in the usual one travels.
  at::NoGradGuard no_gradient;
  const auto travels = tensor.detach().contiguous();
  const auto count = travels.numel();
  const auto broadcast = [=, values = travels.mutable_data_ptr(), kind = kind_of(travels)](void* handle, void* stream) {
    return library().broadcast(values, values, count, kind, 0, handle, stream);
  };
  parts->run(parts->direct, parts->current(), broadcast);
  if (!travels.is_same(tensor)) tensor.detach().copy_(travels);
}

std::unique_ptr<Group::Running> Nccl::begin_sum(const at::Tensor& tensor) const {
  auto sum = std::make_unique<NcclSum>();
  c10::Event complete{at::kCUDA};
  complete.record(parts->current());
  complete.block(parts->beside);
  parts->sum(parts->background, tensor, parts->beside);
  sum->done.record(parts->beside);
  return sum;
}

void Nccl::wait(Group::Running& sum) const {
  const auto why = failure();
  if (!why.empty()) throw LostProcess(why);
  static_cast<NcclSum&>(sum).done.block(parts->current());
}

std::string Nccl::failure() const {
  const std::lock_guard lock(parts->mutex);
  return parts->failure;
}
