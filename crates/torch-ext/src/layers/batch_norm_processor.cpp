// Statistics and normalisation of maps on the processor, by the kernels of processor/batch_norm.h.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <cmath>

#include "../processor/processor.h"
#include "batch_norm.h"

namespace {

size_t bytes_of_view(const at::Tensor& map, const Rows& rows) {
  return rows.count * rows.channels * map.element_size();
}

// The values of one view in a map of several; null for an undefined map.
const void* part_of(const at::Tensor& map, const Rows& rows, size_t view) {
  if (!map.defined()) return nullptr;
  return static_cast<const char*>(map.const_data_ptr()) + view * bytes_of_view(map, rows);
}

void* mutable_part_of(const at::Tensor& map, const Rows& rows, size_t view) {
  return static_cast<char*>(map.mutable_data_ptr()) + view * bytes_of_view(map, rows);
}

std::vector<float> floats_of(const at::Tensor& tensor, int channels, float otherwise) {
  if (!tensor.defined()) return std::vector<float>(channels, otherwise);
  auto whole = tensor.contiguous();
  return std::vector<float>(whole.const_data_ptr<float>(), whole.const_data_ptr<float>() + channels);
}

// The statistics of a map on the processor.
struct ProcessorStatistics : BatchStatistics {
  struct Moments {
    std::vector<double> mean, variance;
  };

  ProcessorStatistics(const at::Tensor& x, const BatchNorm& norm);

  void add_moments_of_others();

  // Updates the running statistics by those of each view, in order.
  void move_running(const BatchNorm& norm) const;

  at::Tensor normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                       const at::Tensor& bias) override;
  Gradients gradients(const at::Tensor& gradient, const at::Tensor& second, const at::Tensor& x, const at::Tensor& y,
                      const at::Tensor& weight, const at::Tensor& bias, bool of_x) const override;

  Rows rows;
  // The values of a channel in a view, of all processes.
  double count;
  double epsilon;
  bool relu;
  const Group* group;
  std::vector<Moments> moments;
};

// The normalisation of each channel: y = x * scale + shift.
struct Affine {
  std::vector<float> scale, shift;

  Affine(const ProcessorStatistics::Moments& moments, double epsilon, const std::vector<float>& weight,
         const std::vector<float>& bias)
      : scale(weight.size()), shift(weight.size()) {
    for (size_t c = 0; c < weight.size(); c++) {
      const double factor = weight[c] / std::sqrt(moments.variance[c] + epsilon);
      scale[c] = float(factor);
      shift[c] = float(bias[c] - moments.mean[c] * factor);
    }
  }
};

ProcessorStatistics::ProcessorStatistics(const at::Tensor& x, const BatchNorm& norm)
    : rows{size_t(x.numel() / x.size(1) / norm.views), int(x.size(1)), at::get_num_threads()},
      count(rows.count),
      epsilon(norm.epsilon),
      relu(norm.relu),
      group(norm.group),
      moments(norm.views, {std::vector<double>(x.size(1)), std::vector<double>(x.size(1))}) {
  for (size_t view = 0; view < moments.size(); view++)
    batch_norm_kernels(x)->moments(part_of(x, rows, view), rows, moments[view].mean.data(),
                                   moments[view].variance.data());
  if (group) add_moments_of_others();
}

// Sums about 0 in float64 can be added, and lose digits only where the mean is many orders of magnitude beyond the deviation.
void ProcessorStatistics::add_moments_of_others() {
  const auto sums = at::empty({int64_t(moments.size()), 2, rows.channels}, at::kDouble);
  auto of = [&, values = sums.mutable_data_ptr<double>()](size_t view, int which) {
    return values + (2 * view + which) * rows.channels;
  };
  for (size_t view = 0; view < moments.size(); view++) {
    const auto& [mean, variance] = moments[view];
    for (int c = 0; c < rows.channels; c++) {
      of(view, 0)[c] = count * mean[c];
      of(view, 1)[c] = count * (variance[c] + mean[c] * mean[c]);
    }
  }
  count = sum_over(*group, sums, count);
  for (size_t view = 0; view < moments.size(); view++) {
    auto& [mean, variance] = moments[view];
    for (int c = 0; c < rows.channels; c++) {
      mean[c] = of(view, 0)[c] / count;
      const double spread = of(view, 1)[c] / count - mean[c] * mean[c];
      // A value that is not a number stays one.
      variance[c] = spread < 0 ? 0 : spread;
    }
  }
}

void ProcessorStatistics::move_running(const BatchNorm& norm) const {
  auto *means = norm.running_mean.mutable_data_ptr<float>(), *variances = norm.running_var.mutable_data_ptr<float>();
  const double unbiased = count / (count - 1), keep = 1 - norm.momentum;
  for (const auto& [mean, variance] : moments) {
    for (int c = 0; c < rows.channels; c++) {
      means[c] = float(keep * means[c] + norm.momentum * mean[c]);
      variances[c] = float(keep * variances[c] + norm.momentum * variance[c] * unbiased);
    }
  }
}

at::Tensor ProcessorStatistics::normalise(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                                          const at::Tensor& bias) {
  const auto weights = floats_of(weight, rows.channels, 1), biases = floats_of(bias, rows.channels, 0);
  auto y = at::empty_like(x);
  for (size_t view = 0; view < moments.size(); view++) {
    const Affine affine(moments[view], epsilon, weights, biases);
    batch_norm_kernels(x)->normalise(part_of(x, rows, view), part_of(residual, rows, view), affine.scale.data(),
                                     affine.shift.data(), relu, rows, mutable_part_of(y, rows, view));
  }
  return y;
}

BatchStatistics::Gradients ProcessorStatistics::gradients(const at::Tensor& given, const at::Tensor& given_second,
                                                          const at::Tensor& x, const at::Tensor& y,
                                                          const at::Tensor& weight, const at::Tensor& bias,
                                                          bool of_x) const {
  const auto gradient = in_form_of(x, given), second = in_form_of(x, given_second);
  // The gradient before the sum and ReLU is the residual's; it is written once, and the second sweep reads it.
  const bool differs = second.defined() || y.defined();
  const auto passed = differs ? at::empty_like(x) : gradient;
  const Gradients result{of_x ? at::empty_like(x) : at::Tensor(), weight.defined() ? at::zeros_like(weight) : weight,
                         bias.defined() ? at::zeros_like(bias) : bias, passed};
  const auto weights = floats_of(weight, rows.channels, 1), biases = floats_of(bias, rows.channels, 0);
  const BatchNormKernels& kernels = *batch_norm_kernels(x);
  const auto sums = at::empty({int64_t(moments.size()), 2, rows.channels}, at::kDouble);
  auto sums_of = [&](size_t view) {
    double* sum = sums.mutable_data_ptr<double>() + 2 * view * rows.channels;
    return std::pair(sum, sum + rows.channels);
  };
  for (size_t view = 0; view < moments.size(); view++) {
    const auto& [mean, biased_variance] = moments[view];
    const Affine affine(moments[view], epsilon, weights, biases);
    const std::vector<float> centre(mean.begin(), mean.end());
    const auto [sum, sum_centred] = sums_of(view);
    kernels.gradient_sums(part_of(gradient, rows, view), part_of(second, rows, view), part_of(x, rows, view),
                          part_of(y, rows, view), affine.scale.data(), affine.shift.data(), centre.data(), relu, rows,
                          differs ? mutable_part_of(passed, rows, view) : nullptr, sum, sum_centred);
    for (int c = 0; c < rows.channels && weight.defined(); c++) {
      result.weight.mutable_data_ptr<float>()[c] += float(sum_centred[c] / std::sqrt(biased_variance[c] + epsilon));
      result.bias.mutable_data_ptr<float>()[c] += float(sum[c]);
    }
  }
  // The gradients of weight and bias are of this process alone, and are summed with all other gradients.
  if (group) sum_over(*group, sums, 0);
  for (size_t view = 0; of_x && view < moments.size(); view++) {
    const auto& [mean, biased_variance] = moments[view];
    const Affine affine(moments[view], epsilon, weights, biases);
    const auto [sum, sum_centred] = sums_of(view);
    std::vector<float> by_x(rows.channels), offset(rows.channels);
    for (int c = 0; c < rows.channels; c++) {
      const double slope = -double(affine.scale[c]) * sum_centred[c] / (biased_variance[c] + epsilon) / count;
      by_x[c] = float(slope);
      offset[c] = float(-double(affine.scale[c]) * sum[c] / count - slope * mean[c]);
    }
    kernels.input_gradient(part_of(passed, rows, view), part_of(x, rows, view), affine.scale.data(),
                           affine.shift.data(), relu && !differs, by_x.data(), offset.data(), rows,
                           mutable_part_of(result.x, rows, view));
  }
  return result;
}

}  // namespace

c10::intrusive_ptr<BatchStatistics> processor_statistics(const at::Tensor& x, const BatchNorm& norm) {
  auto statistics = c10::make_intrusive<ProcessorStatistics>(x, norm);
  statistics->move_running(norm);
  return statistics;
}
