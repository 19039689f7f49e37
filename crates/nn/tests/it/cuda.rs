//! A training step on a CUDA device against the processor's in float64. Where there is no device nothing is compared, which
//! is said.

use densesiam_geometry::{Fraction, Region, View};
use densesiam_nn::pretrain::densesiam::{Correspondence, DenseSiam, Settings};
use densesiam_nn::segment::densesiam::{self, Segmenter};
use densesiam_nn::segment::{Reading, Views, alignment};
use densesiam_nn::{Architecture, Group, Store};
use densesiam_random::{Key, Purpose, RngExt};
use tch::{Device, Kind, Tensor};

const BATCH: usize = 8;

fn has_cuda() -> bool {
    let has = densesiam_torch_ext::load_cuda().is_ok() && tch::Cuda::is_available();
    if !has {
        println!("no CUDA device: nothing is compared");
    }
    for kind in [Kind::Float, Kind::BFloat16].into_iter().filter(|_| has) {
        assert_eq!(densesiam_torch_ext::cuda_kernels(&Tensor::zeros([1], (kind, Device::Cuda(0)))), Ok(()));
    }
    has
}

fn pictures(view: u64, side: i64) -> Tensor {
    let mut stream = Key::new(3, Purpose::Demo).sample(view).rng();
    let values: Vec<f64> =
        (0..BATCH as i64 * 3 * side * side).map(|_| stream.random_range(-1.0..1.0)).collect();
    Tensor::from_slice(&values).reshape([BATCH as i64, 3, side, side])
}

/// The losses, and the gradients of all parameters as one vector, both in float64 on the processor.
fn outcome(store: &Store, losses: &[&Tensor]) -> (Vec<f64>, Tensor) {
    losses[0].backward();
    let gradients = store.parameters().into_iter().map(|(_, parameter)| parameter.grad());
    let flat: Vec<Tensor> = gradients
        .map(|of| of.to_device(Device::Cpu).to_kind(Kind::Double).contiguous().flatten(0, -1))
        .collect();
    (losses.iter().map(|loss| loss.double_value(&[])).collect(), Tensor::cat(&flat, 0))
}

fn pretraining(device: Device, parameters: Kind, maps: Kind) -> (Vec<f64>, Tensor) {
    let mut settings = Settings::default();
    settings.encoder.architecture = Architecture::ResNet50;
    // Blocks whose last norm starts at 0 hide what is before it.
    settings.encoder.zero_residual = false;
    let store = Store::new(parameters, device, 7);
    let model = DenseSiam::new(&store, &settings);
    let views = [
        View { crop: Region { x0: 0.0, y0: 0.0, x1: 200.0, y1: 160.0 }, flip: false },
        View { crop: Region { x0: 50.0, y0: 10.0, x1: 300.0, y1: 150.0 }, flip: true },
    ];
    let keys = vec![Key::new(1, Purpose::Points); BATCH];
    let correspondence =
        Correspondence::new(&settings, &[views; BATCH], &keys, 3, (parameters, device), &Group::alone())
            .expect("views that overlap");
    let [one, two] = [0, 1].map(|view| pictures(view, 96).to_device(device).to_kind(maps));
    let losses = model.forward([&one, &two], Some(&correspondence), true, 1.0).losses;
    outcome(&store, &[&losses.total, &losses.global, &losses.pixel, &losses.region])
}

fn segmentation(device: Device, parameters: Kind, maps: Kind) -> (Vec<f64>, Tensor) {
    let settings = densesiam::Settings::default();
    let store = Store::new(parameters, device, 7);
    let model = Segmenter::new(&store, &settings, 11);
    let boxes = [Fraction { x0: 0.1, y0: 0.2, x1: 0.8, y1: 0.9 }; BATCH];
    let align = alignment(&boxes, &[true; BATCH], (16, Reading::Whole), parameters, device);
    let pixels = [0, 1].map(|view| pictures(view, 64).to_device(device).to_kind(maps)).into();
    let losses = model.forward(&Views { pixels, align: Some(align), share: 1.0 }, true).losses;
    outcome(&store, &[&losses.total, &losses.pixel, &losses.auxiliary, &losses.labelling, &losses.region])
}

fn compare(step: fn(Device, Kind, Kind) -> (Vec<f64>, Tensor)) {
    if !has_cuda() {
        return;
    }
    let (losses, gradient) = step(Device::Cpu, Kind::Double, Kind::Double);
    densesiam_torch_ext::allow_tf32(false);
    let (found, found_gradient) = step(Device::Cuda(0), Kind::Float, Kind::Float);
    assert_losses(&found, &losses, 1e-3);
    let apart = (&found_gradient - &gradient).norm().double_value(&[]);
    let relative = apart / gradient.norm().double_value(&[]);
    println!("gradients differ by {relative:.4} of their length");
    assert!(relative < 0.05, "gradients differ by {relative}");
    // bfloat16's rounding alone moves the gradient of an untrained network by half of its length: its layers are compared by
    // torch-ext's tests.
    let (found, _) = step(Device::Cuda(0), Kind::Float, Kind::BFloat16);
    assert_losses(&found, &losses, 0.02);
}

fn assert_losses(found: &[f64], expected: &[f64], tolerance: f64) {
    println!("{found:?}, expected {expected:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < tolerance * expected.abs().max(1.0), "{found} for {expected}");
    }
}

#[test]
fn a_pretraining_step_on_cuda_is_the_processors() {
    compare(pretraining);
}

#[test]
fn a_segmentation_step_on_cuda_is_the_processors() {
    compare(segmentation);
}
