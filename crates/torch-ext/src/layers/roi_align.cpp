// RoIAlign with gradients, by the kernels of the processor, by those of CUDA, or by matrix products of libtorch.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>
#include <vector>

#include "../cuda/cuda.h"
#include "../libtorch/upload.h"
#include "../processor/processor.h"
#include "layers.h"

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

// Numbers of a box: its picture, and its edges in pixels.
constexpr int64_t NUMBERS = 5;

// Elements of a chunk of boxes between its two matrix products.
constexpr int64_t CHUNK = 1 << 26;

struct Align {
  double scale;
  int bins;
};

// The cells that each bin of each box reads, along both axes, with their weights in float64.
struct Weights {
  std::vector<int> pictures;
  std::vector<CellRange> read_rows, read_columns;
  std::vector<BinCells> rows, columns;
  std::vector<double> values;

  Weights(const at::Tensor& boxes, const at::Tensor& map, const Align& align) {
    const double* numbers = boxes.const_data_ptr<double>();
    for (int64_t box = 0; box < boxes.size(0); box++, numbers += NUMBERS) {
      const double picture = numbers[0];
      TORCH_CHECK(picture >= 0 && picture < map.size(0), "RoIAlign of picture ", picture, " of ", map.size(0));
      for (int edge = 1; edge < NUMBERS; edge++) TORCH_CHECK(std::isfinite(numbers[edge]), "RoIAlign of a box that ends at ", numbers[edge]);
      pictures.push_back(int(picture));
      read_rows.push_back(append(rows, numbers[2], numbers[4], map.size(2), align));
      read_columns.push_back(append(columns, numbers[1], numbers[3], map.size(3), align));
    }
  }

  // The weights of an axis as a matrix, [boxes, bins, cells].
  at::Tensor matrix(const std::vector<BinCells>& axis, int64_t cells, int64_t bins, const at::TensorOptions& options) const {
    auto dense = at::zeros({int64_t(pictures.size()), bins, cells}, at::kDouble);
    double* to = dense.mutable_data_ptr<double>();
    for (const BinCells& bin : axis) {
      std::copy_n(values.data() + bin.weights, bin.count, to + bin.first);
      to += cells;
    }
    return dense.to(options);
  }

 private:
  // Adds the bins of a box along an axis, of a map with so many cells: each is the mean of as many samples as it has cells, rounded
  // up. A sample more than a cell outside counts as 0, one less than that is moved to the border. Returns the cells that any of them
  // reads.
  CellRange append(std::vector<BinCells>& axis, double low, double high, int64_t cells, const Align& align) {
    low = low * align.scale - 0.5, high = high * align.scale - 0.5;
    const double bin = (high - low) / align.bins, samples = std::max(std::ceil(bin), 0.0);
    CellRange range;
    for (int index = 0; index < align.bins; index++) {
      const double start = low + index * bin, step = bin / samples;
      // Samples far outside are left out at once, however many there are.
      const double first = std::max(0.0, std::floor((-1 - start) / step - 1)), end = std::min(samples, std::ceil((cells - start) / step + 1));
      BinCells read{0, 0, values.size()};
      for (double sample = first; samples > 0 && sample < end; sample++) {
        const double given = start + (sample + 0.5) * bin / samples;
        if (given < -1 || given > cells) continue;
        const double at = std::min(std::max(given, 0.0), double(cells - 1));
        const int left = int(at);
        if (read.count == 0) read.first = left;
        add(read, left, (1 - (at - left)) / samples);
        if (at > left) add(read, left + 1, (at - left) / samples);
      }
      if (read.count > 0) range = {range.end > 0 ? std::min(range.first, read.first) : read.first, std::max(range.end, read.end())};
      axis.push_back(read);
    }
    return range;
  }

  void add(BinCells& read, int cell, double weight) {
    for (; read.end() <= cell; read.count++) values.push_back(0);
    values[read.weights + cell - read.first] += weight;
  }
};

// By the processor's kernels.
struct KernelInput {
  std::vector<float> values;
  RoiAlignBoxes boxes;

  explicit KernelInput(const Weights& weights)
      : values(weights.values.begin(), weights.values.end()),
        boxes{weights.pictures.data(), weights.read_rows.data(), weights.rows.data(), weights.columns.data(), values.data()} {}
};

// The same as cuda/roi_align.cu takes it, in one tensor, so that a single copy brings it to the device.
struct CudaBoxes {
  struct Cells {
    int picture, top, bottom, left, right;
  };
  struct Pointers {
    const void *cells, *rows, *columns, *weights;
  };

  at::Tensor bytes;
  Pointers pointers;

  CudaBoxes(const Weights& weights, at::Device device) {
    std::vector<Cells> cells;
    for (size_t box = 0; box < weights.pictures.size(); box++) {
      const CellRange rows = weights.read_rows[box], columns = weights.read_columns[box];
      cells.push_back({weights.pictures[box], rows.first, rows.end, columns.first, columns.end});
    }
    const std::vector<float> values(weights.values.begin(), weights.values.end());
    // The parts with the largest numbers first, so that each begins at an address for its numbers.
    const std::array<Part, 4> parts{part(weights.rows), part(weights.columns), part(values), part(cells)};
    size_t size = 0;
    for (const Part& part : parts) size += part.size;
    bytes = at::empty({int64_t(size)}, at::kByte);
    char* to = static_cast<char*>(bytes.mutable_data_ptr());
    for (const Part& part : parts) to = std::copy_n(part.from, part.size, to);
    bytes = upload(bytes, device);
    const char* rows = static_cast<const char*>(bytes.const_data_ptr());
    const char *columns = rows + parts[0].size, *of_values = columns + parts[1].size, *of_cells = of_values + parts[2].size;
    pointers = {of_cells, rows, columns, of_values};
  }

 private:
  struct Part {
    const char* from;
    size_t size;
  };

  template <typename T>
  static Part part(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }
};

// By libtorch: for a chunk of the boxes of a picture at a time, first along the rows, then along the columns.
struct Chunks {
  at::Tensor rows, columns;
  std::vector<at::Tensor> indices;
  std::vector<int64_t> pictures;

  Chunks(const Weights& weights, const at::Tensor& map, const Align& align, const at::TensorOptions& options)
      : rows(weights.matrix(weights.rows, map.size(2), align.bins, options)),
        columns(weights.matrix(weights.columns, map.size(3), align.bins, options)) {
    const int64_t most = std::max<int64_t>(1, CHUNK / (align.bins * map.size(1) * map.size(3)));
    std::vector<std::vector<int64_t>> of_pictures(map.size(0));
    for (size_t box = 0; box < weights.pictures.size(); box++) of_pictures[weights.pictures[box]].push_back(box);
    for (int64_t picture = 0; picture < map.size(0); picture++) {
      if (of_pictures[picture].empty()) continue;
      for (const auto& chunk : at::tensor(of_pictures[picture], at::kLong).split(most)) {
        indices.push_back(chunk.to(map.device()));
        pictures.push_back(picture);
      }
    }
  }
};

at::ScalarType computing_kind(const at::Tensor& map) { return map.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

at::Tensor values_by_products(const at::Tensor& map, const Weights& weights, const Align& align) {
  const auto options = map.options().dtype(computing_kind(map));
  const Chunks chunks(weights, map, align, options);
  const int64_t bins = align.bins, channels = map.size(1), height = map.size(2), width = map.size(3);
  auto out = at::zeros({int64_t(weights.pictures.size()), bins, bins, channels}, options);
  for (size_t chunk = 0; chunk < chunks.indices.size(); chunk++) {
    const auto& index = chunks.indices[chunk];
    const auto picture = map[chunks.pictures[chunk]].to(options).permute({1, 2, 0}).reshape({height, width * channels});
    const auto along_rows = chunks.rows.index_select(0, index).reshape({-1, height}).matmul(picture);
    const auto columns = chunks.columns.index_select(0, index).unsqueeze(1);
    out.index_copy_(0, index, columns.matmul(along_rows.view({-1, bins, width, channels})));
  }
  return out.to(map.scalar_type()).permute({0, 3, 1, 2});
}

at::Tensor map_gradient_by_products(const at::Tensor& of_out, const at::Tensor& map, const Weights& weights, const Align& align) {
  const auto options = map.options().dtype(computing_kind(map));
  const Chunks chunks(weights, map, align, options);
  const int64_t bins = align.bins, channels = map.size(1), height = map.size(2), width = map.size(3);
  auto of_map = at::zeros({map.size(0), height, width * channels}, options);
  const auto of_values = of_out.to(options).permute({0, 2, 3, 1});
  for (size_t chunk = 0; chunk < chunks.indices.size(); chunk++) {
    const auto& index = chunks.indices[chunk];
    const auto columns = chunks.columns.index_select(0, index).transpose(1, 2).unsqueeze(1);
    const auto along_rows = columns.matmul(of_values.index_select(0, index));
    const auto rows = chunks.rows.index_select(0, index).reshape({-1, height}).transpose(0, 1);
    of_map[chunks.pictures[chunk]].add_(rows.matmul(along_rows.reshape({-1, width * channels})));
  }
  return of_map.view({map.size(0), height, width, channels}).to(map.scalar_type()).permute({0, 3, 1, 2});
}

struct RoiAlign : Function<RoiAlign> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given, const at::Tensor& boxes, double scale, int64_t bins) {
    context->save_for_backward({boxes});
    context->saved_data["size"] = given.sizes();
    context->saved_data["scale"] = scale;
    context->saved_data["bins"] = bins;
    const Align align{scale, int(bins)};
    const Weights weights(boxes, given, align);
    const auto* kernels = roi_align_kernels(given);
    const auto* cuda = CudaKernels::of_vectors(given);
    if (!kernels && !cuda) return values_by_products(given, weights, align);
    const auto map = aligned(channels_last(given));
    auto out = at::empty({boxes.size(0), map.size(1), bins, bins}, map.options(), at::MemoryFormat::ChannelsLast);
    if (cuda) {
      const CudaBoxes input(weights, map.device());
      cuda->launch(CudaKernel::roi_align_forward, cuda->blocks_for(vectors_of(out)), {CudaKernels::THREADS}, map.const_data_ptr(),
                   input.pointers, cuda_shape_of(map, boxes, align), out.mutable_data_ptr());
      return out;
    }
    const KernelInput input(weights);
    kernels->forward(map.const_data_ptr(), input.boxes, out.mutable_data_ptr(), shape_of(map, boxes, align), at::get_num_threads());
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto boxes = context->get_saved_variables()[0];
    const Align align{context->saved_data["scale"].toDouble(), int(context->saved_data["bins"].toInt())};
    const auto of_out = aligned(channels_last(gradients[0]));
    auto of_map = at::empty(context->saved_data["size"].toIntVector(), of_out.options(), at::MemoryFormat::ChannelsLast);
    const Weights weights(boxes, of_map, align);
    const auto* kernels = roi_align_kernels(of_map);
    if (const auto* cuda = CudaKernels::of_vectors(of_map)) {
      const CudaBoxes input(weights, of_map.device());
      cuda->launch(CudaKernel::roi_align_map_gradient, cuda->blocks_for(vectors_of(of_map)), {CudaKernels::THREADS},
                   of_out.const_data_ptr(), input.pointers, cuda_shape_of(of_map, boxes, align), of_map.mutable_data_ptr());
      return {of_map, {}, {}, {}};
    }
    if (!kernels) return {map_gradient_by_products(of_out, of_map, weights, align), {}, {}, {}};
    const KernelInput input(weights);
    kernels->map_gradient(of_out.const_data_ptr(), input.boxes, of_map.mutable_data_ptr(), shape_of(of_map, boxes, align), at::get_num_threads());
    return {of_map, {}, {}, {}};
  }

  static RoiAlignShape shape_of(const at::Tensor& map, const at::Tensor& boxes, const Align& align) {
    return {int(map.size(0)), int(map.size(1)), int(map.size(2)), int(map.size(3)), int(boxes.size(0)), align.bins};
  }

  // With the channels counted in vectors.
  static RoiAlignShape cuda_shape_of(const at::Tensor& map, const at::Tensor& boxes, const Align& align) {
    auto shape = shape_of(map, boxes, align);
    shape.channels /= vector_width(map);
    return shape;
  }
};

}  // namespace

at::Tensor roi_align(const at::Tensor& map, const double* boxes, int64_t count, double scale, int64_t bins) {
  TORCH_CHECK(map.dim() == 4 && map.size(2) > 0 && map.size(3) > 0 && bins > 0, "RoIAlign of ", map.sizes(), " in ", bins, " bins");
  const auto numbers = at::empty({count, NUMBERS}, at::kDouble);
  std::copy_n(boxes, count * NUMBERS, numbers.mutable_data_ptr<double>());
  return RoiAlign::apply(map, numbers, scale, bins);
}
