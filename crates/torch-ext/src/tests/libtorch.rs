//! Calls of libtorch's own.

use super::place::places;
use super::*;
use crate::libtorch::version_of;

#[test]
fn uploaded_values_arrive() {
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    for place in places() {
        let device = place.device;
        let found = upload(&values, &[3, 2, 2], device);
        assert_eq!((found.size(), found.device()), (vec![3, 2, 2], device));
        assert_eq!(Vec::<f64>::try_from(found.flatten(0, -1).to_device(Device::Cpu)).unwrap(), values);
        assert_eq!(upload::<u8>(&[], &[0, 3], device).size(), [0, 3]);
    }
}

#[test]
fn the_cuda_part_is_loaded_or_what_is_missing_is_said() {
    let loaded = load_cuda();
    assert!(loaded.is_ok() || !tch::Cuda::is_available());
    assert!(loaded.is_ok() || loaded.as_ref().unwrap_err().contains(".so"), "{loaded:?}");
    println!("{loaded:?}");
}

#[test]
fn the_loaded_libtorch_says_its_version() {
    assert_eq!(version(), Some(built_with()));
    assert_eq!(version_of("- Build settings: TORCH_VERSION=2.11.0, USE_CUDA=0"), Some("2.11.0".into()));
    assert_eq!(version_of("nothing"), None);
}
