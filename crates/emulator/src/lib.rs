//! The kernels for CUDA of torch-ext on the processor, so that their results can be tested without a card. What they are
//! started by is `emulator_launch` of `src/emulator.cpp`, which the tests of torch-ext declare.
