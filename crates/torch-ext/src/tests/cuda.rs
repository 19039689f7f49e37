//! Tests the kernels of CUDA apart from their results: when they are not used, and which inputs they accept.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::process::Command;

use super::place::{Place, cards, emulator_launch, places};
use super::*;

/// A card that cannot start `batch_norm_statistics`.
unsafe extern "C" fn lacks_one(
    bfloat16: bool,
    name: *const c_char,
    blocks: *const c_uint,
    threads: *const c_uint,
    arguments: *mut *mut c_void,
) -> c_int {
    const OUT_OF_RESOURCES: c_int = 701;
    // SAFETY: the C++ side gives the name of a kernel, and what belongs to it.
    unsafe {
        match CStr::from_ptr(name).to_bytes() {
            b"batch_norm_statistics" => OUT_OF_RESOURCES,
            _ => emulator_launch(bfloat16, name, blocks, threads, arguments),
        }
    }
}

/// Output and running statistics.
fn normalised(map: &Tensor) -> Vec<Tensor> {
    let running = [0.0, 1.0].map(|value| Tensor::full([map.size()[1]], value, (Kind::Float, Device::Cpu)));
    let norm = BatchNorm {
        affine: None,
        running: (&running[0], &running[1]),
        views: 1,
        momentum: 0.1,
        epsilon: 1e-5,
        residual: None,
        relu: true,
        group: None,
    };
    let [output, _] = batch_norm(map, norm);
    running.into_iter().chain([output]).collect()
}

#[test]
fn where_a_kernel_cannot_be_started_libtorchs_layers_serve() {
    let map = noise(&[4, 16, 5, 3], 1);
    let expected = normalised(&map);
    let _card = Place::emulated_by(lacks_one);
    assert_eq!(cuda_kernels(&map), Err("batch_norm_statistics: error 701".into()));
    assert_eq!(normalised(&map), expected);
}

#[test]
fn kernels_are_for_two_kinds_on_a_card() {
    let map = |kind| Tensor::zeros([1], (kind, Device::Cpu));
    assert!(cuda_kernels(&map(Kind::Float)).unwrap_err().contains("CUDA device"));
    let _card = Place::emulated();
    assert_eq!([Kind::Float, Kind::BFloat16].map(|kind| cuda_kernels(&map(kind))), [Ok(()), Ok(())]);
    assert!(cuda_kernels(&map(Kind::Double)).unwrap_err().contains("bfloat16"));
}

#[test]
fn a_variable_switches_the_kernels_off() {
    const NAME: &str = "DENSESIAM_CUDA_KERNELS";
    if std::env::var_os(NAME).is_some_and(|value| value == "0") {
        let _card = Place::emulated();
        let why = cuda_kernels(&Tensor::zeros([1], (Kind::Float, Device::Cpu))).unwrap_err();
        assert!(why.contains(NAME), "{why}");
        return;
    }
    // The variable is read only once in a process.
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::cuda::a_variable_switches_the_kernels_off"])
        .env(NAME, "0")
        .output()
        .unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
}

/// The same values, but their memory begins one value after an address for vectors.
fn off_its_place(tensor: &Tensor) -> Tensor {
    let flat = match tensor.dim() {
        4 => tensor.permute([0, 2, 3, 1]).contiguous().flatten(0, -1),
        _ => tensor.contiguous().flatten(0, -1),
    };
    let moved = Tensor::cat(&[flat.new_zeros([1], (flat.kind(), flat.device())), flat], 0).narrow(
        0,
        1,
        tensor.numel() as i64,
    );
    match tensor.size()[..] {
        [batch, channels, height, width] => {
            moved.view([batch, height, width, channels]).permute([0, 3, 1, 2])
        }
        _ => moved.view(tensor.size().as_slice()),
    }
}

/// Output of a layer of maps, and their gradients, of a sum of squares. `moved`: maps and the output's gradient do not
/// begin at an address for vectors.
fn results(layer: impl Fn(&[Tensor]) -> Tensor, maps: &[Tensor], moved: bool) -> Vec<Tensor> {
    let leaf =
        |map: &Tensor| if moved { off_its_place(map) } else { map.copy() }.detach().set_requires_grad(true);
    let leaves: Vec<Tensor> = maps.iter().map(leaf).collect();
    let output = layer(&leaves);
    let flat = output.permute([0, 2, 3, 1]).flatten(0, -1);
    let first = Tensor::zeros([i64::from(moved)], (flat.kind(), flat.device()));
    // The gradient of a part is a part of the gradient.
    let all = Tensor::cat(&[first, flat], 0);
    (&all * &all).sum(all.kind()).backward();
    std::iter::once(output.detach()).chain(leaves.iter().map(Tensor::grad)).collect()
}

#[test]
fn maps_and_gradients_may_begin_anywhere_in_memory() {
    for place in places() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let map = |seed: u64| {
                let map = noise(&[3, 16, 7, 5], seed).to_kind(kind).to_device(place.device);
                map.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
            };
            let grid = noise(&[3, 4, 5, 2], 9).to_device(place.device);
            let maps = [map(1), map(2)];
            let compare = |name: &str, maps: &[Tensor], layer: &dyn Fn(&[Tensor], bool) -> Tensor| {
                let [placed, moved] =
                    [false, true].map(|moved| results(|maps| layer(maps, moved), maps, moved));
                assert_eq!(placed, moved, "{name}, {kind:?}, {place:?}");
            };
            let running = || [0.0, 1.0].map(|value| Tensor::full([16], value, (Kind::Float, place.device)));
            for relu in [false, true] {
                compare("batch norm", &maps, &|maps, _| {
                    let running = running();
                    let norm = BatchNorm {
                        affine: None,
                        running: (&running[0], &running[1]),
                        views: 1,
                        momentum: 0.1,
                        epsilon: 1e-5,
                        residual: maps.get(1),
                        relu,
                        group: None,
                    };
                    batch_norm(&maps[0], norm)[0].shallow_clone()
                });
            }
            compare("pooling", &maps[..1], &|maps, _| max_pool(&maps[0]));
            compare("boxes", &maps[..1], &|maps, _| {
                roi_align(&maps[0], &[[0.0, 1.0, 2.0, 9.0, 20.0], [2.0, 4.0, -3.0, 19.0, 30.0]], 0.25, 3)
            });
            compare("sampling", &maps[..1], &|maps, moved| {
                sample(
                    &maps[0],
                    &if moved {
                        off_its_place(&grid.reshape([-1])).reshape([3, 4, 5, 2])
                    } else {
                        grid.copy()
                    },
                )
            });
        }
    }
}

#[test]
fn sides_on_two_devices_are_refused() {
    if cards() == 0 {
        println!("no CUDA device: nothing is refused");
        return;
    }
    let rows = noise(&[2, 3, 4], 1);
    let there = rows.to_device(Device::Cuda(0));
    for kind in [Kind::Float, Kind::Double] {
        let refused = std::panic::catch_unwind(|| contrast(&rows.to_kind(kind), &there.to_kind(kind), 0.3));
        let message = *refused.unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("on cpu to") && message.contains("on cuda:0"), "{message}");
    }
}
