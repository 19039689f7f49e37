//! Batch norm of several processes that have their own statistics. Each process is a thread here.

use std::time::Duration;

use densesiam_nn::{BatchNorm, Group, Linear, Mode, Store};
use densesiam_torch_ext::StoreServer;
use tch::{Device, Kind, Tensor};

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

/// The norm of process `rank` is fed with `rows`, and all running statistics are averaged: before, and after that. The last are
/// the gradients of weight and bias.
fn averaged(rank: usize, port: u16, rows: &[f64]) -> [Vec<f64>; 3] {
    let group = Group::join(("127.0.0.1", port), false, "norms", [rank, 2], Duration::from_secs(20)).unwrap();
    let store = Store::new(Kind::Double, Device::Cpu, 1).with_group(group).with_norm_group(Group::alone());
    let norm = BatchNorm::affine(&(&store.root() / "norm"), 1, 1.0);
    let linear = Linear::new(&(&store.root() / "linear"), [1, 2], true);
    let x = Tensor::from_slice(rows).view([rows.len() as i64, 1]);
    let y = linear.forward_after(&norm, &x, Mode::Train { views: 1 });
    y.sum(Kind::Double).backward();
    let gradients = store.parameters().iter().flat_map(|(_, parameter)| values(&parameter.grad())).collect();
    let running = || {
        let state = store.state();
        let running = state.iter().filter(|(name, _)| name.contains("running"));
        running.flat_map(|(_, tensor)| values(tensor)).collect()
    };
    let before = running();
    store.average_statistics();
    [before, running(), gradients]
}

#[test]
fn processes_with_their_own_statistics_average_the_running_ones() {
    // The last two have too few values for a variance.
    for rows in [[&[1.0, 3.0][..], &[0.0, 8.0, 4.0]], [&[1.0, 3.0], &[7.0]], [&[1.0, 3.0], &[]]] {
        let server = StoreServer::start(0).unwrap();
        let port = server.port();
        let [one, two] = std::thread::scope(|scope| {
            let threads = [0, 1].map(|rank| scope.spawn(move || averaged(rank, port, rows[rank])));
            threads.map(|thread| thread.join().unwrap())
        });
        let [mean, variance] = [0.1 * 2.0, 0.9 + 0.1 * 2.0];
        assert!((one[0][0] - mean).abs() < 1e-12 && (one[0][1] - variance).abs() < 1e-12, "{one:?}");
        if rows[1].len() < 2 {
            assert_eq!(two[0], [0.0, 1.0], "nothing to learn of one value");
        }
        assert_eq!(one[1], two[1], "the same in both");
        for place in [0, 1] {
            let expected = (one[0][place] + two[0][place]) / 2.0;
            assert!((one[1][place] - expected).abs() < 1e-12, "{expected} {one:?}");
        }
        // Also of no value at all: the sums of gradients have the same parameters in all processes.
        assert_eq!(two[2].len(), one[2].len());
    }
}
