//! One step of DenseSiam on one batch, with every part in sight: pictures to views, views to losses, losses to weights.
//! What `densesiam pretrain` does besides is to repeat this and to write it down.
//!
//!     cargo run --release -p densesiam --example one_step -- MY_PICTURES

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use densesiam_data::index::ImageIndex;
use densesiam_data::loader::{Loader, LoaderSettings};
use densesiam_data::views::random::RandomViews;
use densesiam_engine::log::say;
use densesiam_engine::optimizer::{GroupRule, Optimizer, OptimizerSettings, not_finite};
use densesiam_nn::input::Input;
use densesiam_nn::pretrain::densesiam::{DenseSiam, Settings};
use densesiam_nn::pretrain::{Method, MethodSettings, Views};
use densesiam_nn::{Architecture, Store};
use densesiam_random::{Key, Purpose};
use densesiam_settings::duration::{Duration, Horizon, Now};
use tch::{Device, Kind};

const SEED: u64 = 1;
const BATCH: usize = 8;
const SIZE: u32 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let pictures = std::env::args().nth(1).ok_or("name a folder of pictures")?;
    for (name, value) in one_step(pictures.as_ref())? {
        say(format_args!("{name:12} {value:.4}"));
    }
    Ok(())
}

/// Takes a step, and returns the loss and its parts.
pub fn one_step(pictures: &Path) -> Result<Vec<(&'static str, f64)>, Box<dyn Error>> {
    // ---- the method and its optimizer: the weights are functions of the seed and of their names
    let mut settings = Settings::default();
    settings.encoder.architecture = Architecture::ResNet18;
    settings.regionsim.start = Duration::Steps(0);
    settings.validate()?;
    let store = Store::new(Kind::Float, Device::Cpu, SEED);
    let mut method = DenseSiam::new(&store, &settings);
    let rules = [GroupRule::scheduled("all", "*")];
    let mut optimizer =
        Optimizer::new(&OptimizerSettings::default(), BATCH as u64, &store.parameters(), &rules)?;

    // ---- a batch: two views of each picture, and how each was cut from it
    let index = Arc::new(ImageIndex::scan(pictures)?);
    let loading = LoaderSettings {
        augmentation: RandomViews { size: SIZE, ..RandomViews::default() },
        batch_size: BATCH,
        seed: SEED,
        ..LoaderSettings::default()
    };
    let batch = Loader::new(index, loading)?.next()?.ok_or("there are fewer pictures than a batch has")?;
    let input = Input::new(Kind::Float, Device::Cpu);
    let pixels = batch.views.iter().map(|bytes| input.normalised(bytes, [SIZE; 2])).collect();
    let cuts: Vec<_> = batch.drawn.iter().map(|pair| pair.geometry().to_vec()).collect();
    let pictures: Vec<_> = batch.drawn.iter().map(|pair| pair.picture.map(f64::from)).collect();
    let key = Key::new(SEED, Purpose::Points).epoch(batch.epoch);
    let keys: Vec<_> = batch.samples.iter().map(|&sample| key.sample(sample)).collect();

    // ---- forward and backward
    let horizon = Horizon { steps_per_epoch: 1, batch_size: BATCH as u64, total_steps: 1 };
    let now = Now { step: 0, horizon };
    let views = Views { pixels, cuts: &cuts, pictures: &pictures, keys: &keys, ..Views::default() };
    let step = method.step(&views, now);
    optimizer.zero_gradients();
    step.loss.backward();

    // ---- weights: a step that is not finite changes none
    let skip = not_finite(&(step.loss.detach() + optimizer.gradient_norm()));
    optimizer.step(optimizer.peak_learning_rate(), Some(&skip));
    method.follow(now, &skip);

    let parts = step.parts.iter().map(|(name, part)| (*name, part.double_value(&[])));
    Ok(std::iter::once(("loss", step.loss.double_value(&[]))).chain(parts).collect())
}
