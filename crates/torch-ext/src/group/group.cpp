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

#include <mutex>

#include "../border.h"

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

}  // namespace

struct Group::Parts {
  c10::intrusive_ptr<c10d::Store> store;
  // Two, so that a small sum in a layer does not wait for the gradients of the layers before it.
  c10::intrusive_ptr<ProcessGroupGloo> direct, background;
  std::string failure;
  std::mutex mutex;

  // Runs a collective. When it fails the group is of no use any more, and says why.
  template <typename Collective>
  void run(Collective collective) {
    try {
      collective();
    } catch (const c10::Error& error) {
      fail(error.what_without_backtrace());
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }

  [[noreturn]] void fail(const std::string& why) {
    std::lock_guard<std::mutex> lock(mutex);
    if (failure.empty()) failure = why;
    throw LostProcess(failure);
  }
};

Group::Group(const char* host, uint16_t port, bool serves, const char* name, int rank, int world, int64_t timeout_ms)
    : parts(std::make_unique<Parts>()) {
  const std::chrono::milliseconds timeout(timeout_ms);
  parts->store = c10::make_intrusive<c10d::PrefixStore>(
      name, c10::make_intrusive<c10d::TCPStore>(host, store_options(port, serves, timeout)));
  auto collectives = [&](const char* kind) {
    auto options = ProcessGroupGloo::Options::create(timeout);
    const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
    options->devices.push_back(interface ? ProcessGroupGloo::createDeviceForInterface(interface)
                                         : ProcessGroupGloo::createDeviceForHostname(own_address(host, port)));
    return c10::make_intrusive<ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>(kind, parts->store), rank, world,
                                                 options);
  };
  parts->direct = collectives("direct");
  parts->background = collectives("background");
}

Group::~Group() = default;

void Group::sum(const at::Tensor& tensor) const {
  std::vector<at::Tensor> tensors{tensor.device().is_cpu() ? tensor : tensor.cpu()};
  parts->run([&] { parts->direct->allreduce(tensors)->wait(); });
  if (!tensor.device().is_cpu()) tensor.copy_(tensors[0]);
}

void Group::broadcast(const at::Tensor& tensor) const {
  // Of any layout: a copy in the usual one travels.
  std::vector<at::Tensor> tensors{tensor.cpu().contiguous()};
  parts->run([&] { parts->direct->broadcast(tensors)->wait(); });
  at::NoGradGuard no_gradient;
  tensor.detach().copy_(tensors[0]);
}

std::unique_ptr<Group::Running> Group::begin_sum(const at::Tensor& tensor) const {
  auto sum = std::make_unique<GlooSum>();
  sum->device = tensor;
  sum->host = tensor.cpu();
  std::vector<at::Tensor> tensors{sum->host};
  parts->run([&] { sum->work = parts->background->allreduce(tensors); });
  return sum;
}

void Group::wait(Running& running) const {
  auto& sum = static_cast<GlooSum&>(running);
  parts->run([&] { sum.work->wait(); });
  if (!sum.device.device().is_cpu()) sum.device.copy_(sum.host);
}

void Group::set(const char* key, const std::vector<uint8_t>& value) const { parts->store->set(key, value); }

std::vector<uint8_t> Group::get(const char* key) const { return parts->store->get(key); }

bool Group::has(const char* key) const { return parts->store->check({key}); }

std::string Group::failure() const {
  std::lock_guard<std::mutex> lock(parts->mutex);
  return parts->failure;
}

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
