// The gradients of all processes, summed in flat buffers while the backward pass goes on.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>

#include "../border.h"
#include "group.h"

namespace {

// Parameters with one flat buffer.
struct Bucket {
  at::Tensor flat;
  size_t missing;
  std::unique_ptr<Group::Running> sum;
};

struct Place {
  size_t bucket;
  int64_t offset;
  // Whether the parameter had a gradient in the step before; the sum of its buffer waits for it only then, and otherwise it
  // is summed by itself.
  bool expected;
  bool ready;
};

}  // namespace

class Buckets : public std::enable_shared_from_this<Buckets> {
 public:
  // Parameters in the order in which the buffers hold them: those whose gradients come first are first. The first buffer is
  // small, so that its sum begins early.
  Buckets(const Group& group, std::vector<at::Tensor> given, int64_t first_bytes, int64_t bytes)
      : group(group), parameters(std::move(given)) {
    std::vector<int64_t> sizes;
    int64_t room = 0;
    for (const auto& parameter : parameters) {
      const int64_t count = parameter.numel();
      if (sizes.empty() || room < count) {
        room = (sizes.empty() ? first_bytes : bytes) / int64_t(parameter.element_size());
        sizes.push_back(0);
      }
      places.push_back({sizes.size() - 1, sizes.back(), true, false});
      sizes.back() += count;
      room -= count;
    }
    for (size_t bucket = 0; bucket < sizes.size(); bucket++)
      buckets.push_back({at::zeros({sizes[bucket]}, parameters[0].options().requires_grad(false)), 0, nullptr});
    reset();
  }

  // Has autograd report every gradient as soon as it is complete.
  void watch() {
    struct Ready : torch::autograd::PostAccumulateGradHook {
      Ready(std::shared_ptr<Buckets> buckets, size_t number) : buckets(std::move(buckets)), number(number) {}
      void operator()(const torch::autograd::Variable&) override { buckets->ready(number); }
      std::shared_ptr<Buckets> buckets;
      size_t number;
    };
    for (size_t number = 0; number < parameters.size(); number++)
      torch::autograd::impl::set_post_acc_grad_hooks(parameters[number],
                                                     std::make_unique<Ready>(shared_from_this(), number));
  }

  void release() {
    for (const auto& parameter : parameters) torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }

  // After the backward pass: waits for all sums, and lets the gradients be views of the buffers. A parameter without a
  // gradient, which is without one in every process, keeps none.
  void finish() {
    while (launched < buckets.size()) launch();
    for (auto& bucket : buckets) group.wait(*bucket.sum);
    for (size_t number = 0; number < parameters.size(); number++) {
      if (places[number].ready) parameters[number].mutable_grad() = part(number);
    }
    std::sort(late.begin(), late.end());
    for (const size_t number : late) {
      auto flat = parameters[number].grad().contiguous();
      group.sum(flat);
      parameters[number].mutable_grad() = part(number).copy_(flat);
      places[number].ready = true;
    }
    for (auto& place : places) place.expected = place.ready;
    reset();
  }

  // Bytes of all buffers.
  int64_t bytes() const {
    int64_t sum = 0;
    for (const auto& bucket : buckets) sum += bucket.flat.nbytes();
    return sum;
  }

 private:
  void ready(size_t number) {
    std::lock_guard<std::mutex> lock(mutex);
    at::NoGradGuard no_gradient;
    auto& place = places[number];
    // Whether its buffer has been launched by now depends on the order of gradients within a layer, which is another one in a
    // process without samples; what was expected is the same in all.
    if (!place.expected) return late.push_back(number);
    part(number).copy_(parameters[number].grad());
    place.ready = true;
    buckets[place.bucket].missing--;
    // In the order of the buffers, which is the same in every process; the order of the gradients need not be.
    while (launched < buckets.size() && buckets[launched].missing == 0) launch();
  }

  // The part of a buffer that holds this gradient, in the parameter's layout.
  at::Tensor part(size_t number) const {
    const auto& parameter = parameters[number];
    const auto& place = places[number];
    return buckets[place.bucket].flat.as_strided(parameter.sizes(), parameter.strides(), place.offset);
  }

  void launch() {
    auto& bucket = buckets[launched++];
    bucket.sum = group.begin_sum(bucket.flat);
  }

  void reset() {
    launched = 0;
    late.clear();
    for (auto& bucket : buckets) {
      bucket.missing = 0;
      bucket.sum = nullptr;
    }
    for (auto& place : places) {
      place.ready = false;
      if (place.expected) buckets[place.bucket].missing++;
    }
  }

  const Group& group;
  std::vector<at::Tensor> parameters;
  std::vector<Place> places;
  std::vector<Bucket> buckets;
  size_t launched = 0;
  // Parameters that have a gradient and had none in the step before.
  std::vector<size_t> late;
  std::mutex mutex;
};

extern "C" {

char* torch_ext_buckets_new(const void* group, void* const* parameters, size_t count, int64_t first_bytes,
                            int64_t bytes, void** buckets) {
  return message_of([&] {
    auto made = std::make_shared<Buckets>(*static_cast<const Group*>(group), tensors(parameters, count), first_bytes, bytes);
    made->watch();
    *buckets = new std::shared_ptr<Buckets>(std::move(made));
  });
}

void torch_ext_buckets_free(void* buckets) {
  auto* owner = static_cast<std::shared_ptr<Buckets>*>(buckets);
  (*owner)->release();
  delete owner;
}

char* torch_ext_buckets_finish(void* buckets) {
  return message_of([&] { (*static_cast<std::shared_ptr<Buckets>*>(buckets))->finish(); });
}

}  // extern "C"
