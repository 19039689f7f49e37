// The functions through which Rust calls the layers of layers.h.
#include "layers.h"

#include "../border.h"

extern "C" {

// Null stands for an undefined tensor. The caller owns the tensors that they return.
char* torch_ext_convolution(void* input, void* weight, void* bias, int64_t stride, int64_t dilation, void** output) {
  return message_of([&] {
    *output = new at::Tensor(convolution(tensor(input), tensor(weight), tensor(bias), stride, dilation));
  });
}

char* torch_ext_batch_norm(void* input, void* weight, void* bias, void* running_mean, void* running_var, void* residual,
                           bool relu, int64_t views, double momentum, double epsilon, const void* group, void** output, void** again) {
  return message_of([&] {
    const BatchNorm norm{tensor(weight),   tensor(bias), tensor(running_mean), tensor(running_var),
                         tensor(residual), relu,         views,                momentum, epsilon, static_cast<const Group*>(group)};
    auto outputs = batch_norm(tensor(input), norm);
    *output = new at::Tensor(outputs[0]);
    *again = new at::Tensor(outputs[1]);
  });
}

char* torch_ext_norm_convolution(void* input, void* norm_weight, void* norm_bias, void* running_mean, void* running_var,
                                 bool relu, int64_t views, double momentum, double epsilon, const void* group, void* weight, void* bias,
                                 int64_t stride, int64_t dilation, void** output) {
  return message_of([&] {
    const BatchNorm norm{tensor(norm_weight), tensor(norm_bias), tensor(running_mean), tensor(running_var),
                         at::Tensor(),        relu,              views,                momentum, epsilon, static_cast<const Group*>(group)};
    *output = new at::Tensor(norm_convolution(tensor(input), norm, tensor(weight), tensor(bias), stride, dilation));
  });
}

char* torch_ext_sample(void* map, void* grid, void** output) {
  return message_of([&] { *output = new at::Tensor(sample(tensor(map), tensor(grid))); });
}

char* torch_ext_max_pool(void* map, void** output) {
  return message_of([&] { *output = new at::Tensor(max_pool(tensor(map))); });
}

char* torch_ext_roi_align(void* map, const double* boxes, int64_t count, double scale, int64_t bins, void** output) {
  return message_of([&] { *output = new at::Tensor(roi_align(tensor(map), boxes, count, scale, bins)); });
}

char* torch_ext_contrast(void* q, void* r, double temperature, void** output) {
  return message_of([&] { *output = new at::Tensor(contrast(tensor(q), tensor(r), temperature)); });
}

char* torch_ext_cluster_sums(void* rows, void* centroids, void** output) {
  return message_of([&] { *output = new at::Tensor(cluster_sums(tensor(rows), tensor(centroids))); });
}

char* torch_ext_cross_entropy(void* p, void* z, void** output) {
  return message_of([&] { *output = new at::Tensor(cross_entropy(tensor(p), tensor(z))); });
}

}  // extern "C"
