//! Several processes, each a thread here: a group has no global state.

use std::ops::Range;
use std::time::Duration;

use super::place::{Place, cards};
use super::*;
use crate::{Buckets, Group, StoreServer};

/// What `work` returns in each of `world` processes.
fn with_group<T: Send>(world: usize, work: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    let server = StoreServer::start(0).unwrap();
    let store = ("127.0.0.1", server.port());
    std::thread::scope(|scope| {
        let start = |rank| {
            let work = &work;
            scope.spawn(move || {
                let group =
                    Group::join(store, false, "test", [rank, world], Duration::from_secs(20)).unwrap();
                work(&group)
            })
        };
        let threads: Vec<_> = (0..world).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Some values, which may not be sent between threads as a tensor.
fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[test]
fn every_process_receives_the_sum_and_the_values_of_the_first() {
    for received in with_group(3, |group| {
        let rank = group.rank() as f64;
        let sum = Tensor::from_slice(&[rank, 10.0 * rank, 1.0]);
        group.sum(&sum);
        let first = Tensor::from_slice(&[rank + 7.0]);
        group.broadcast(&first);
        let mut counts = [1, group.rank() as i64];
        group.sum_counts(&mut counts);
        group.set(&format!("from/{}", group.rank()), &[group.rank() as u8; 5]).unwrap();
        let last = group.get("from/2").unwrap();
        assert!(group.has("from/2").unwrap() && !group.has("from/3").unwrap());
        (values(&sum), values(&first), counts, last)
    }) {
        assert_eq!(received, (vec![3.0, 30.0, 3.0], vec![7.0], [3, 3], vec![2; 5]));
    }
}

#[test]
fn one_process_is_left_alone() {
    let group = Group::alone();
    let tensor = Tensor::from_slice(&[3.0]);
    group.sum(&tensor);
    group.broadcast(&tensor);
    assert_eq!(values(&tensor), [3.0]);
    assert!(group.is_alone() && Buckets::new(&group, &[tensor]).is_none() && group.get("a key").is_err());
}

#[test]
fn a_process_that_does_not_come_or_leaves_is_an_error() {
    let server = StoreServer::start(0).unwrap();
    let store = ("127.0.0.1", server.port());
    assert!(Group::join(store, false, "test", [0, 2], Duration::from_secs(1)).is_err(), "nobody else comes");
    let failures = with_group(2, |group| {
        let tensor = Tensor::from_slice(&[1.0]);
        group.sum(&tensor);
        if group.rank() == 1 {
            return None;
        }
        let lost = std::panic::catch_unwind(|| {
            loop {
                group.sum(&Tensor::from_slice(&[1.0]));
            }
        });
        assert!(lost.is_err());
        group.failure()
    });
    assert!(failures[0].is_some(), "{failures:?}");
}

/// Outputs, gradients and running statistics of a batch norm of some of 12 pictures, in two views.
struct Results {
    /// Of each view's pictures.
    of_pictures: [Vec<f64>; 2],
    /// Gradients of the parameters, which are shares of a sum.
    of_parameters: Vec<f64>,
    running: Vec<f64>,
}

fn normalise(
    device: Device,
    kind: Kind,
    convolves: bool,
    pictures: Range<usize>,
    group: Option<&Group>,
) -> Results {
    let parameters = if kind == Kind::Double { kind } else { Kind::Float };
    let leaf =
        |tensor: Tensor, kind| tensor.to_kind(kind).to_device(device).detach().copy().set_requires_grad(true);
    let count = pictures.len() as i64;
    let of_pictures = |seed| {
        let all = noise(&[2, 12, 16, 3, 5], seed);
        all.narrow(1, pictures.start as i64, count).reshape([2 * count, 16, 3, 5])
    };
    let input = leaf(of_pictures(1) * 2.0 + 1.0, kind);
    let residual = of_pictures(2).to_kind(kind).to_device(device);
    let weight = leaf(noise(&[8, 16, 3, 3], 3), kind);
    let affine = [4, 5].map(|seed| leaf(noise(&[16], seed), parameters));
    let running = [0.0, 1.0].map(|value| Tensor::full([16], value, (parameters, device)));
    let norm = BatchNorm {
        affine: Some((&affine[0], &affine[1])),
        running: (&running[0], &running[1]),
        views: 2,
        momentum: 0.1,
        epsilon: 1e-5,
        residual: (!convolves).then_some(&residual),
        relu: true,
        group,
    };
    let output = if convolves {
        norm_convolution(&input, norm, &weight, None, [1, 1])
    } else {
        let [one, two] = batch_norm(&input, norm);
        one + two * 0.5
    };
    (&output * &output).sum(kind).backward();
    let views = Tensor::cat(&[output.detach().flatten(1, -1), input.grad().flatten(1, -1)], 1);
    let [one, two] = [0, count].map(|first| values(&views.narrow(0, first, count)));
    let mut of_parameters: Vec<f64> = affine.iter().flat_map(|tensor| values(&tensor.grad())).collect();
    of_parameters.extend(if convolves { values(&weight.grad()) } else { Vec::new() });
    Results { of_pictures: [one, two], of_parameters, running: running.iter().flat_map(values).collect() }
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * scale, "{what}: {found} is not {expected}");
    }
}

/// The layers of the processor, and the kernels for CUDA on an emulated device, for the thread that asks. Not a card: gradients of
/// all threads are computed by one thread there, in which a process would wait for itself.
const PLACES: [fn() -> Place; 2] = [|| Place::new(Device::Cpu), Place::emulated];

#[test]
fn processes_normalise_as_one_process_with_all_pictures() {
    let shares: [&[usize]; 3] = [&[4, 8], &[0, 12], &[3, 4, 5]];
    for make in PLACES {
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 0.02)] {
            for convolves in [false, true] {
                let expected = normalise(Device::Cpu, kind, convolves, 0..12, None);
                for share in shares {
                    let found = with_group(share.len(), |group| {
                        let place = make();
                        let first = share[..group.rank()].iter().sum();
                        normalise(
                            place.device,
                            kind,
                            convolves,
                            first..first + share[group.rank()],
                            Some(group),
                        )
                    });
                    let what = format!("{:?}, {kind:?}, convolves: {convolves}, {share:?}", make());
                    assert_together(&found, &expected, tolerance, &what);
                }
            }
        }
    }
}

/// Whether processes with a part of the pictures each have what one process with all has.
fn assert_together(found: &[Results], expected: &Results, tolerance: f64, what: &str) {
    for view in 0..2 {
        let together: Vec<f64> = found.iter().flat_map(|part| part.of_pictures[view].clone()).collect();
        assert_close(&together, &expected.of_pictures[view], tolerance, what);
    }
    let sum = |place: usize| found.iter().map(|part| part.of_parameters[place]).sum();
    let sums: Vec<f64> = (0..expected.of_parameters.len()).map(sum).collect();
    assert_close(&sums, &expected.of_parameters, tolerance, what);
    for part in found {
        assert_close(&part.running, &expected.running, tolerance, what);
        assert_eq!(part.running, found[0].running, "{what}");
    }
}

/// NCCL takes no device twice, so that on one card it is tested with a group of one process.
#[test]
fn a_card_of_its_own_is_summed_by_nccl() {
    if cards() == 0 {
        println!("no CUDA device: NCCL is not tested");
        return;
    }
    let device = Device::Cuda(0);
    let on_card = |seed| noise(&[300, 7], seed).to_device(device);
    with_group(1, |group| {
        println!("{:?}", group.collectives(&on_card(1)));
        assert!(group.collectives(&on_card(1)).unwrap().starts_with("NCCL"));
        for kind in [Kind::Float, Kind::Double, Kind::BFloat16, Kind::Int64] {
            let tensor = (on_card(1) * 9.0).to_kind(kind);
            let before = values(&tensor);
            group.sum(&tensor);
            group.broadcast(&tensor.tr());
            assert_eq!(values(&tensor), before);
        }
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-5), (Kind::BFloat16, 0.02)] {
            let expected = normalise(Device::Cpu, kind, false, 0..12, None);
            let found = normalise(device, kind, false, 0..12, Some(group));
            assert_together(&[found], &expected, tolerance, &format!("NCCL, {kind:?}"));
        }
        let parameters = [1, 2].map(|seed| on_card(seed).detach().set_requires_grad(true));
        let buckets = Buckets::new(group, &parameters).unwrap();
        for _ in 0..3 {
            clear_gradients(&parameters);
            parameters.iter().map(|of| (of * of).sum(Kind::Float)).sum::<Tensor>().backward();
            buckets.finish();
            for parameter in &parameters {
                assert_close(&values(&parameter.grad()), &values(&(parameter * 2.0)), 1e-6, "a gradient");
            }
        }
        assert_eq!(group.failure(), None);
    });
    for why in with_group(2, |group| group.collectives(&on_card(1))) {
        assert_eq!(
            why.as_deref(),
            Some("Gloo, through the processor's memory: processes 0 and 1 have one device")
        );
    }
}

#[test]
fn gradients_are_sums_also_of_parameters_that_begin_later() {
    // The last has more values than the first buffer has room for.
    let shapes: [&[i64]; 4] = [&[3], &[8, 4, 3, 3], &[5], &[600, 600]];
    let with_steps = |group: &Group| {
        let leaf =
            |(seed, shape): (usize, &&[i64])| noise(shape, seed as u64).detach().set_requires_grad(true);
        let parameters: Vec<Tensor> = shapes.iter().enumerate().map(leaf).collect();
        let buckets = Buckets::new(group, &parameters).unwrap();
        let mut gradients = Vec::new();
        for step in 0..3 {
            clear_gradients(&parameters);
            // The third has a gradient in the last step only.
            let used = parameters.iter().enumerate().filter(|(number, _)| *number != 2 || step == 2);
            let share = (group.rank() + 1) as f64;
            let loss: Tensor =
                used.map(|(_, parameter)| (parameter * parameter).sum(Kind::Float) * share).sum();
            loss.backward();
            buckets.finish();
            let gradient = |parameter: &Tensor| {
                let gradient = parameter.grad();
                gradient.defined().then(|| values(&(gradient / parameter)))
            };
            gradients.push(parameters.iter().map(gradient).collect::<Vec<_>>());
        }
        gradients
    };
    for gradients in with_group(2, with_steps) {
        for (step, gradients) in gradients.into_iter().enumerate() {
            for (number, gradient) in gradients.into_iter().enumerate() {
                assert_eq!(gradient.is_some(), number != 2 || step == 2, "{number} in step {step}");
                // 2 x of each square, once and twice.
                gradient.iter().flatten().for_each(|ratio| assert!((ratio - 6.0).abs() < 1e-5));
            }
        }
    }
}

/// In a layer of one node, a process without rows meets the gradients of its parameters in another order than the others.
#[test]
fn parameters_that_begin_are_summed_alike_where_there_is_no_row() {
    let gradients = with_group(2, |group| {
        let rows = if group.rank() == 0 { 0 } else { 6 };
        let leaf = |shape: &[i64], seed: u64| noise(shape, seed).detach().set_requires_grad(true);
        let parameters = [leaf(&[512], 1), leaf(&[512], 2), leaf(&[512, 512], 3), leaf(&[512], 4)];
        let [norm_weight, norm_bias, weight, bias] = &parameters;
        let buckets = Buckets::new(group, &parameters).unwrap();
        let mut gradient = Vec::new();
        // Nothing has a gradient in the first step.
        buckets.finish();
        for _ in 0..2 {
            clear_gradients(&parameters);
            let running = [0.0, 1.0].map(|value| Tensor::full([512], value, (Kind::Float, Device::Cpu)));
            let norm = BatchNorm {
                affine: Some((norm_weight, norm_bias)),
                running: (&running[0], &running[1]),
                views: 1,
                momentum: 0.1,
                epsilon: 1e-5,
                residual: None,
                relu: true,
                group: Some(group),
            };
            let input = noise(&[rows, 512], 5);
            norm_convolution(&input, norm, weight, Some(bias), [1, 1]).sum(Kind::Float).backward();
            buckets.finish();
            gradient = values(&bias.grad());
        }
        gradient
    });
    assert!(gradients.iter().flatten().all(|value| *value == 6.0), "{gradients:?}");
}
