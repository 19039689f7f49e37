//! The networks and losses of DenseSiam, on tch.
//!
//! This crate does no input or output, reads no clock, prints nothing and draws no random number that does not come
//! from a key. It computes in the kind of its input: weights are kept in the store's kind (float32, or float64 in
//! parity tests) and are cast to the input's kind where they are used, so a bfloat16 step needs only a bfloat16 input.
//!
//! The program, and not its user, is responsible for the shapes inside `forward`: libtorch asserts them. Everything
//! that a user can set is checked by the settings' `validate`.
//!
//! Letters in shapes: `B` samples, `C` channels of the encoder, `D` channels of a head, `N` pseudo-categories,
//! `K` points along a side of the grid, `P` points, `h w` cells of a feature map.

pub mod collapse;
pub mod detect;
mod encoder;
pub mod fcn;
mod heads;
pub mod input;
mod layers;
mod losses;
mod normed_convolution;
pub mod parts;
mod population;
pub mod pretrain;
pub mod segment;
mod step;
mod store;

pub use densesiam_torch_ext::Group;
pub use encoder::{Architecture, Dilated, ENCODER, EncoderSettings, Features, Pyramid, ResNet, rescale};
pub use heads::{Form, Head, Layers};
pub use layers::{BatchNorm, Convolution, GroupNorm, Linear, Mode};
pub use losses::{Distance, contrast};
pub use population::Population;
pub use step::{Predictors, Step, Watched};
pub use store::{Entry, Initial, NORM_BUFFERS, Scope, Store, WeightsError, channels_last};
