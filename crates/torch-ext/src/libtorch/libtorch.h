// The headers of libtorch that most files of this crate need; build.rs compiles them once for all of them.
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
