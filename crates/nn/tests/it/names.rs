//! Names are an interface: the encoder's tensors are torchvision's, name by name, shape by shape, kind by kind.

use densesiam_nn::pretrain::densesiam::{DenseSiam, Settings};
use densesiam_nn::{Architecture, ResNet, Store};
use tch::{Device, Kind};

/// `name kind shape` of every tensor of torchvision's model without `fc`, as its state dict lists them.
const TORCHVISION: [(Architecture, &str); 4] = [
    (Architecture::ResNet18, include_str!("torchvision/resnet18.txt")),
    (Architecture::ResNet34, include_str!("torchvision/resnet34.txt")),
    (Architecture::ResNet50, include_str!("torchvision/resnet50.txt")),
    (Architecture::ResNet101, include_str!("torchvision/resnet101.txt")),
];

#[test]
fn encoder_names_shapes_and_kinds_are_torchvisions() {
    for (architecture, listing) in TORCHVISION {
        let store = Store::new(Kind::Float, Device::Cpu, 0);
        let _encoder = ResNet::new(&store.root(), architecture, true);
        let describe = |(name, tensor): &(String, tch::Tensor)| {
            let kind = if tensor.kind() == Kind::Int64 { "i64" } else { "f32" };
            let shape: Vec<_> = tensor.size().iter().map(i64::to_string).collect();
            format!("{name} {kind} {}", shape.join("x"))
        };
        let mut found: Vec<_> = store.state().iter().map(describe).collect();
        let mut expected: Vec<_> = listing.lines().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{architecture:?}");
    }
}

#[test]
fn with_both_dense_weights_at_zero_only_simsiam_is_built() {
    let mut settings = Settings::default();
    settings.pixsim.weight = 0.0;
    settings.regionsim.weight = 0.0;
    let store = Store::new(Kind::Float, Device::Cpu, 0);
    let _model = DenseSiam::new(&store, &settings);
    let dense = |(name, _): &(String, tch::Tensor)| name.starts_with("pixel_") || name.starts_with("region_");
    assert!(!store.state().iter().any(dense));
    assert_eq!(store.parameters().len(), 159 + 7 + 5);
}
