// What most files of this crate read of libtorch; build.rs compiles it once for all of them.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
