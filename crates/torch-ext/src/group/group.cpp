// libtorch's own store and collectives. Errors are thrown with the message of the layer that found them.
#define USE_C10D_GLOO
#include "group.h"

#include <ATen/ATen.h>
#include <arpa/inet.h>
#include <c10/util/Logging.h>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <unistd.h>

#include <map>
#include <mutex>

#include "../border.h"
#include "nccl.h"

using c10d::ProcessGroupGloo;

// With gloo's own headers these are the sizes in libtorch 2.11.
static_assert(sizeof(ProcessGroupGloo) == 488, "gloo/ does not describe the gloo of this libtorch");
static_assert(sizeof(ProcessGroupGloo::Options) == 176, "gloo/ does not describe the gloo of this libtorch");

namespace {

// The address from which this machine reaches the store, which other machines can reach too. The name of the machine may
// stand for an address that they cannot.
std::string own_address(const char* host, uint16_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) return host;
  std::string address = host;
  for (const addrinfo* to = found; to; to = to->ai_next) {
    const int socket_of = socket(to->ai_family, SOCK_DGRAM, 0);
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    char text[NI_MAXHOST];
    const bool known = socket_of >= 0 && connect(socket_of, to->ai_addr, to->ai_addrlen) == 0 &&
                       getsockname(socket_of, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
                       getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0;
    if (socket_of >= 0) close(socket_of);
    if (known) {
      address = text;
      break;
    }
  }
  freeaddrinfo(found);
  return address;
}

std::shared_ptr<gloo::transport::Device> network_device(const char* host, uint16_t port) {
  // Gloo remembers network interfaces in a map that it does not lock, and tests have several processes in one.
  static std::mutex interfaces;
  const std::lock_guard guard(interfaces);
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  return interface ? ProcessGroupGloo::createDeviceForInterface(interface)
                   : ProcessGroupGloo::createDeviceForHostname(own_address(host, port));
}

c10d::TCPStoreOptions store_options(uint16_t port, bool serves, std::chrono::milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = serves;
  options.waitWorkers = false;
  options.timeout = timeout;
  return options;
}

struct GlooSum : Group::Running {
  c10::intrusive_ptr<c10d::Work> work;
  // On a CUDA device, the tensor and its copy on the processor.
  at::Tensor device, host;
};

// The tensor, or a copy of it in the processor's page-locked memory.
at::Tensor on_processor(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::empty_like(tensor, tensor.options().device(at::kCPU).pinned_memory(true)).copy_(tensor);
}

// How the CUDA devices of a group add up.
struct DeviceSums {
  // Null where sums go through the processor's memory, and why they do.
  std::unique_ptr<Nccl> nccl;
  std::string why_not;
};

}  // namespace

struct Group::Parts {
  c10::intrusive_ptr<c10d::Store> store;
  // Two, so that a small sum in a layer does not wait for the gradients of the layers before it.
  c10::intrusive_ptr<ProcessGroupGloo> direct, background;
  int rank, world;
  int64_t timeout_ms;
  std::string failure;
  mutable std::mutex mutex;
  std::once_flag devices_met;
  DeviceSums devices;

  // NCCL for a tensor on a CUDA device, if each process has a device of its own. All ask first with the same tensor.
  const Nccl* nccl(at::Device device) {
    if (!device.is_cuda()) return nullptr;
    std::call_once(devices_met, [&] { run([&] { devices = meet(device); }); });
    return devices.nccl.get();
  }

  DeviceSums meet(at::Device device) const {
    std::string name, why_not;
    try {
      name = Nccl::device_name(device);
    } catch (const std::exception& error) {
      why_not = error.what();
    }
    auto key = [](const char* what, int rank) { return std::string("device/") + what + "/" + std::to_string(rank); };
    auto set = [&](const std::string& key, const std::string& value) { store->set(key, std::vector<uint8_t>(value.begin(), value.end())); };
    auto get = [&](const std::string& key) {
      const auto value = store->get(key);
      return std::string(value.begin(), value.end());
    };
    set(key("name", rank), name);
    set(key("why", rank), why_not);
    std::map<std::string, int> first_with;
    for (int other = 0; other < world; other++) {
      const auto why = get(key("why", other));
      if (!why.empty()) return {nullptr, why.substr(0, why.find('\n'))};
      const auto [place, is_new] = first_with.try_emplace(get(key("name", other)), other);
      if (!is_new)
        return {nullptr, "processes " + std::to_string(place->second) + " and " + std::to_string(other) + " have one device"};
    }
    if (rank == 0) store->set("device/invitation", Nccl::invitation());
    return {std::make_unique<Nccl>(device, store->get("device/invitation"), rank, world, timeout_ms), ""};
  }

  // Runs a collective. When one has failed, also one of the devices, the group is of no use any more, and says why.
  template <typename Collective>
  void run(Collective collective) {
    const auto before = why_failed();
    if (!before.empty()) throw LostProcess(before);
    try {
      collective();
    } catch (const c10::Error& error) {
      fail(error.what_without_backtrace());
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }

  std::string why_failed() const {
    const auto of_devices = devices.nccl ? devices.nccl->failure() : "";
    std::lock_guard<std::mutex> lock(mutex);
    return failure.empty() ? of_devices : failure;
  }

  [[noreturn]] void fail(const std::string& why) {
    std::lock_guard<std::mutex> lock(mutex);
    if (failure.empty()) failure = why;
    throw LostProcess(failure);
  }
};

Group::Group(const char* host, uint16_t port, bool serves, const char* name, int rank, int world, int64_t timeout_ms)
    : parts(std::make_unique<Parts>()) {
  parts->rank = rank;
  parts->world = world;
  parts->timeout_ms = timeout_ms;
  const std::chrono::milliseconds timeout(timeout_ms);
  parts->store = c10::make_intrusive<c10d::PrefixStore>(
      name, c10::make_intrusive<c10d::TCPStore>(host, store_options(port, serves, timeout)));
  auto collectives = [&](const char* kind) {
    auto options = ProcessGroupGloo::Options::create(timeout);
    options->devices.push_back(network_device(host, port));
    return c10::make_intrusive<ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>(kind, parts->store), rank, world,
                                                 options);
  };
  parts->direct = collectives("direct");
  parts->background = collectives("background");
}

Group::~Group() = default;

std::string Group::collectives(at::Device device) const {
  if (!device.is_cuda()) return "Gloo";
  if (parts->nccl(device)) return "NCCL " + Nccl::version();
  return "Gloo, through the processor's memory: " + parts->devices.why_not;
}

void Group::sum(const at::Tensor& tensor) const {
  if (const auto* nccl = parts->nccl(tensor.device())) return nccl->sum(tensor);
  std::vector<at::Tensor> tensors{on_processor(tensor)};
  parts->run([&] { parts->direct->allreduce(tensors)->wait(); });
  if (!tensor.is_cpu()) tensor.copy_(tensors[0], true);
}

void Group::broadcast(const at::Tensor& tensor) const {
  if (const auto* nccl = parts->nccl(tensor.device())) return nccl->broadcast(tensor);
  // Of any layout: a copy in the usual one travels.
  std::vector<at::Tensor> tensors{tensor.cpu().contiguous()};
  parts->run([&] { parts->direct->broadcast(tensors)->wait(); });
  at::NoGradGuard no_gradient;
  tensor.detach().copy_(tensors[0]);
}

std::unique_ptr<Group::Running> Group::begin_sum(const at::Tensor& tensor) const {
  if (const auto* nccl = parts->nccl(tensor.device())) return nccl->begin_sum(tensor);
  auto sum = std::make_unique<GlooSum>();
  sum->device = tensor;
  sum->host = on_processor(tensor);
  std::vector<at::Tensor> tensors{sum->host};
  parts->run([&] { sum->work = parts->background->allreduce(tensors); });
  return sum;
}

void Group::wait(Running& running) const {
  if (const auto* nccl = parts->devices.nccl.get()) {
    if (dynamic_cast<GlooSum*>(&running) == nullptr) return nccl->wait(running);
  }
  auto& sum = static_cast<GlooSum&>(running);
  parts->run([&] { sum.work->wait(); });
  if (!sum.device.is_cpu()) sum.device.copy_(sum.host, true);
}

void Group::set(const char* key, const std::vector<uint8_t>& value) const { parts->store->set(key, value); }

std::vector<uint8_t> Group::get(const char* key) const { return parts->store->get(key); }

bool Group::has(const char* key) const { return parts->store->check({key}); }

std::string Group::failure() const { return parts->why_failed(); }

extern "C" {

// Without this c10d prints the stack of every failed collective.
void torch_ext_group_quiet() {
  static std::once_flag once;
  std::call_once(once, [] {
    setenv("TORCH_CPP_LOG_LEVEL", "ERROR", 0);
    c10::initLogging();
  });
}

char* torch_ext_store_serve(uint16_t* port, void** store) {
  return message_of([&] {
    const auto hour = std::chrono::hours(1);
    auto* server = new c10d::TCPStore("127.0.0.1", store_options(*port, true, hour));
    *port = server->getPort();
    *store = server;
  });
}

void torch_ext_store_free(void* store) { delete static_cast<c10d::TCPStore*>(store); }

char* torch_ext_group_join(const char* host, uint16_t port, bool serves, const char* name, int rank, int world,
                           int64_t timeout_ms, void** group) {
  return message_of([&] { *group = new Group(host, port, serves, name, rank, world, timeout_ms); });
}

void torch_ext_group_free(void* group) { delete static_cast<Group*>(group); }

// The words, to be freed by torch_ext_free; null if they cannot be had.
char* torch_ext_group_collectives(const void* group, void* given) {
  try {
    return strdup(static_cast<const Group*>(group)->collectives(tensor(given).device()).c_str());
  } catch (const std::exception&) {
    return nullptr;
  }
}

char* torch_ext_group_sum(const void* group, void* given) {
  return message_of([&] { static_cast<const Group*>(group)->sum(tensor(given)); });
}

char* torch_ext_group_broadcast(const void* group, void* given) {
  return message_of([&] { static_cast<const Group*>(group)->broadcast(tensor(given)); });
}

char* torch_ext_group_set(const void* group, const char* key, const uint8_t* value, size_t size) {
  return message_of([&] { static_cast<const Group*>(group)->set(key, {value, value + size}); });
}

// `write` receives the bytes.
char* torch_ext_group_get(const void* group, const char* key, void (*write)(void*, const uint8_t*, size_t), void* to) {
  return message_of([&] {
    const auto value = static_cast<const Group*>(group)->get(key);
    write(to, value.data(), value.size());
  });
}

// The message, to be freed by torch_ext_free; null if no collective has failed.
char* torch_ext_group_failure(const void* group) {
  const auto failure = static_cast<const Group*>(group)->failure();
  return failure.empty() ? nullptr : strdup(failure.c_str());
}

char* torch_ext_group_has(const void* group, const char* key, bool* has) {
  return message_of([&] { *has = static_cast<const Group*>(group)->has(key); });
}

}  // extern "C"
