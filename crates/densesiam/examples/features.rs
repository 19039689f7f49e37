//! Loads an encoder and gets its feature maps for a picture:
//!
//!     cargo run --release -p densesiam --example features -- ENCODER PICTURE
//!
//! ENCODER is a run directory, a checkpoint or a weights file of any tool.

use std::error::Error;
use std::path::Path;

use densesiam::encoder::Encoder;
use densesiam_data::decode::{DecodeLimits, decode};
use densesiam_engine::log::say;
use densesiam_nn::Features;
use tch::Device;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(encoder), Some(picture)) = (arguments.next(), arguments.next()) else {
        return Err("name an encoder and a picture".into());
    };
    let Features { maps, strides } = features(encoder.as_ref(), picture.as_ref())?;
    for (map, stride) in maps.iter().zip(strides) {
        say(format_args!("stride {stride:2}: {:?}", map.size()));
    }
    Ok(())
}

/// The maps of a picture at its own size, from the finest: `[1, C, height / stride, width / stride]`.
pub fn features(encoder: &Path, picture: &Path) -> Result<Features, Box<dyn Error>> {
    let encoder = Encoder::open(encoder, Device::Cpu)?;
    let picture = decode(&std::fs::read(picture)?, &DecodeLimits::default())?;
    Ok(encoder.features(&[&picture])?)
}
