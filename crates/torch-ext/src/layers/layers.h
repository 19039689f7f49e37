// This folder: layers with gradients, which the kernels of `processor/` and `cuda/` compute where they can, and
// libtorch everywhere else. Layers know the kernels, but kernels know no layers.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <optional>

class Group;

// A convolution: input [B, in, H, W], weight [out, in, k, k], bias [out] or undefined; padded by dilation * (k / 2).
at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, int64_t stride,
                       int64_t dilation);

// What batch norm over all axes but the second does.
struct BatchNorm {
  // `weight` and `bias` are both defined or both not.
  at::Tensor weight, bias, running_mean, running_var;
  // Added to the result, if it is defined.
  at::Tensor residual;
  bool relu;
  // In training each of this many equal parts of the batch has its own statistics, which in turn update the running
  // statistics by `momentum`; 0 is evaluation.
  int64_t views;
  double momentum, epsilon;
  // The processes whose batches have common statistics in training; null if this is the only one.
  const Group* group;
};

// The output twice over the same memory, for two uses: their gradients are summed in the sweep that takes them.
std::array<at::Tensor, 2> batch_norm(const at::Tensor& input, const BatchNorm& norm);

// `norm`, affine and without residual, and then a convolution, or a linear layer if the input is [rows, in]: the same
// as the two calls, but with less memory kept.
at::Tensor norm_convolution(const at::Tensor& input, const BatchNorm& norm, const at::Tensor& weight,
                            const at::Tensor& bias, int64_t stride, int64_t dilation);

// A map [B, C, h, w] at a grid [B, H, W, 2] of (x, y) from -1 to 1: bilinear, border padding, align_corners off; in the
// map's kind.
at::Tensor sample(const at::Tensor& map, const at::Tensor& grid);

// The largest of each window of 3x3, at a stride of 2 with a border of 1: [B, C, H, W] to half the size, rounded up.
at::Tensor max_pool(const at::Tensor& map);

// `count` boxes of five numbers each, the picture and x0, y0, x1, y1 in pixels, read from a map [B, C, h, w] that has `scale` cells
// for a pixel: [count, C, bins, bins], each the mean of samples at most a cell apart (aligned RoIAlign).
at::Tensor roi_align(const at::Tensor& map, const double* boxes, int64_t count, double scale, int64_t bins);

// The cross-entropy of identifying each row of q [B, N, D], by its cosine over `temperature`, among all rows of r [B,
// N, D] of its picture; the mean over all rows. In float64 for rows in float64, else in float32, whatever the kind of
// the rows.
at::Tensor contrast(const at::Tensor& q, const at::Tensor& r, double temperature);

// The mean over all positions of the cross-entropy of softmax(z) and softmax(p) over the second axis, of maps of one shape. In
// float64 for maps in float64, else in float32.
at::Tensor cross_entropy(const at::Tensor& p, const at::Tensor& z);

// The sums of rows [R, D] by the nearest of centroids [K, D], in float64 [K + 1, D + 1]: each cluster's sum, and in the last column the
// number of its rows; the first number of the last line is the sum of all squared distances.
at::Tensor cluster_sums(const at::Tensor& rows, const at::Tensor& centroids);

// Autograd does not accept an undefined tensor as an argument.
inline std::optional<at::Tensor> optional(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}
