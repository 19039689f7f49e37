// 3x3 convolutions of stride 1 and padding 1 by Winograd's minimal filtering F(4x4, 3x3): 36 products for a 4x4 tile of
// outputs, instead of the 144 of the definition (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural
// Networks").
//
// Maps are float32, channels last: [batch][height][width][channels]. Weights are [out][3][3][in]. Channels are
// multiples of 16. `threads` threads share the tiles; which thread takes which tile depends only on their number, so
// results are the same each time.
#pragma once

struct ConvolutionShape {
  int batch, height, width, in, out;
};

struct WinogradKernels {
  // output = convolution of input with weight
  void (*forward)(const float* input, const float* weight, float* output, ConvolutionShape shape, int threads);
  // input_gradient = the gradient of the input, from that of the output
  void (*input_gradient)(const float* gradient, const float* weight, float* input_gradient, ConvolutionShape shape,
                         int threads);
  // weight_gradient = the gradient of the weight, from that of the output
  void (*weight_gradient)(const float* input, const float* gradient, float* weight_gradient, ConvolutionShape shape,
                          int threads);
};
