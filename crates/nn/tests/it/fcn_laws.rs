//! Laws of the fully convolutional network, its windows and its dropout, and of the statistics that are measured.

use densesiam_nn::fcn::{Fcn, Inference, Settings};
use densesiam_nn::{BatchNorm, Group, Mode, Population, Store};
use densesiam_random::Key;
use tch::{Device, Kind, Tensor};

use crate::made_up::{encoder, keys, noise, value};

fn network(dropout: f64) -> (Store, Fcn) {
    let store = Store::new(Kind::Double, Device::Cpu, 2);
    let mut settings = Settings::default();
    settings.encoder.architecture = encoder().architecture;
    settings.fcn.dropout = dropout;
    let network = Fcn::new(&store, &settings, 3);
    (store, network)
}

#[test]
fn one_window_is_the_whole_picture() {
    let (_, network) = network(0.0);
    let picture = noise(&[1, 3, 40, 48], 1);
    let [whole, slide] = [Inference::Whole, Inference::Slide { crop: 48, stride: 30 }]
        .map(|inference| tch::no_grad(|| network.logits(&picture, inference)));
    assert!(value(&(whole - slide).abs().max()) < 1e-12);
}

#[test]
fn dropout_is_a_function_of_the_keys_and_keeps_the_mean() {
    let (_, network) = network(0.5);
    let (pictures, labels) =
        (noise(&[2, 3, 33, 33], 1), Tensor::ones([2, 33, 33], (Kind::Uint8, Device::Cpu)));
    let loss = |keys: &[Key]| value(&network.step(&pictures, &labels, keys, 1.0).loss);
    let others: Vec<Key> = keys(2).into_iter().map(|key| key.epoch(1)).collect();
    assert_eq!(loss(&keys(2)), loss(&keys(2)));
    assert_ne!(loss(&keys(2)), loss(&others));
}

/// Padding is not learned, but it counts in the mean.
#[test]
fn ignored_pixels_count_as_nothing_in_the_mean() {
    let (_, network) = network(0.0);
    let pictures = noise(&[1, 3, 33, 33], 1);
    let all = Tensor::ones([1, 33, 33], (Kind::Uint8, Device::Cpu));
    let step = |labels: &Tensor| value(&network.step(&pictures, labels, &keys(1), 1.0).loss);
    let upper = all.copy();
    let _ = upper.narrow(1, 16, 17).fill_(255);
    let lower = all.copy();
    let _ = lower.narrow(1, 0, 16).fill_(255);
    let [upper, lower, all] = [upper, lower, all].map(|labels| step(&labels));
    assert!((upper + lower - all).abs() < 1e-12, "{upper} and {lower} are {all}");
}

/// Two batches of different sizes are measured as one batch of all values, and the count of batches stays.
#[test]
fn measured_statistics_are_those_of_all_values() {
    let store = Store::new(Kind::Double, Device::Cpu, 1);
    let norm = BatchNorm::affine(&(&store.root() / "norm"), 4, 1.0);
    let unused = BatchNorm::affine(&(&store.root() / "unused"), 2, 1.0);
    let _ = norm.forward(&noise(&[2, 4, 3, 3], 9), Mode::Train { views: 1 });
    let batches = [noise(&[2, 4, 3, 3], 1), noise(&[5, 4, 2, 2], 2) * 3.0];
    let mut population = Population::new(&store);
    for batch in &batches {
        population.measure(|| assert!(!norm.forward(batch, Mode::Measure).requires_grad()));
    }
    population.write();
    let rows = batches.map(|batch| batch.permute([0, 2, 3, 1]).reshape([-1, 4]));
    let all = Tensor::cat(&rows, 0);
    let state = store.state();
    let buffer = |name: &str| &state.iter().find(|(other, _)| other == name).unwrap().1;
    let mean = all.mean_dim([0i64].as_slice(), false, Kind::Double);
    assert!(value(&(buffer("norm.running_mean") - mean).abs().max()) < 1e-12);
    let variance = all.var_dim([0i64].as_slice(), false, false);
    assert!(value(&(buffer("norm.running_var") - variance).abs().max()) < 1e-12);
    assert_eq!(buffer("norm.num_batches_tracked").int64_value(&[]), 1);
    assert_eq!(buffer("unused.running_var").sum(Kind::Double).double_value(&[]), 2.0);
    drop(unused);
}

/// Two processes that measure half of the batches each have the statistics of all, with common batch statistics and without.
#[test]
fn processes_measure_together() {
    use densesiam_torch_ext::StoreServer;
    use std::time::Duration;

    let measured = |rank: usize, world: usize, port: u16, common: bool| {
        let group = match world {
            1 => Group::alone(),
            _ => Group::join(("127.0.0.1", port), false, "all", [rank, world], Duration::from_secs(20))
                .unwrap(),
        };
        let mut store = Store::new(Kind::Double, Device::Cpu, 1).with_group(group);
        if !common {
            store = store.with_norm_group(Group::alone());
        }
        let norm = BatchNorm::affine(&(&store.root() / "norm"), 3, 1.0);
        let mut population = Population::new(&store);
        for batch in 0..2 {
            // A process has three of the five samples, the other two.
            let all = noise(&[5, 3, 2, 2], batch);
            let [start, count] = if world == 1 { [0, 5] } else { [[0, 3], [3, 2]][rank] };
            population.measure(|| drop(norm.forward(&all.narrow(0, start, count), Mode::Measure)));
        }
        population.write();
        let state = store.state();
        let buffers = state.iter().filter(|(name, _)| name.contains("running"));
        buffers.flat_map(|(_, tensor)| Vec::<f64>::try_from(tensor).unwrap()).collect::<Vec<f64>>()
    };
    let expected = measured(0, 1, 0, true);
    for common in [true, false] {
        let server = StoreServer::start(0).unwrap();
        let port = server.port();
        let found = std::thread::scope(|scope| {
            let threads = [0, 1].map(|rank| scope.spawn(move || measured(rank, 2, port, common)));
            threads.map(|thread| thread.join().unwrap())
        });
        for found in found {
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}, common: {common}");
            }
        }
    }
}
