//! Laws that hold for any weights: what is left out, what has a gradient, what a strategy may pair.

use densesiam_geometry::{Region, View};
use densesiam_nn::pretrain::Method;
use densesiam_nn::pretrain::MethodSettings;
use densesiam_nn::pretrain::densesiam::{
    Correspondence, CorrespondenceStrategy, DenseFeatures, DenseSiam, Link, Output, Pairing, PointStrategy,
    RegionLoss, Settings,
};
use densesiam_nn::{Architecture, EncoderSettings, Group, Mode, Store, collapse, contrast};
use tch::{Device, Kind, Tensor};

use crate::made_up::{keys, noise, value};

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.encoder.architecture = Architecture::ResNet18;
    settings.pixsim.dim = 16;
    settings.pixsim.grid = 3;
    settings.regionsim.dim = 16;
    settings
}

fn region(x0: f64, y0: f64, x1: f64, y1: f64) -> Region {
    Region { x0, y0, x1, y1 }
}

fn overlapping() -> [View; 2] {
    let (one, two) = (region(10.0, 20.0, 210.0, 180.0), region(60.0, 0.0, 300.0, 150.0));
    [View { crop: one, flip: false }, View { crop: two, flip: true }]
}

fn apart() -> [View; 2] {
    let (one, two) = (region(0.0, 0.0, 50.0, 50.0), region(50.0, 0.0, 90.0, 50.0));
    [View { crop: one, flip: false }, View { crop: two, flip: false }]
}

fn step(settings: &Settings, geometry: &[[View; 2]], samples: &[u64], regions: bool) -> (Store, Output) {
    settings.validate().unwrap();
    let store = Store::new(Kind::Double, Device::Cpu, 7);
    let model = DenseSiam::new(&store, settings);
    let place = (Kind::Double, Device::Cpu);
    let correspondence =
        Correspondence::new(settings, geometry, &keys(geometry.len()), 2, place, &Group::alone());
    let stack = |view: u64| {
        let pictures: Vec<_> = samples.iter().map(|sample| noise(&[3, 64, 64], sample * 2 + view)).collect();
        Tensor::stack(&pictures, 0)
    };
    let output = model.forward([&stack(0), &stack(1)], correspondence.as_ref(), regions, 1.0);
    (store, output)
}

fn has_gradient(store: &Store, prefix: &str) -> Vec<bool> {
    let parameters = store.parameters().into_iter().filter(|(name, _)| name.starts_with(prefix));
    parameters.map(|(_, tensor)| tensor.grad().defined()).collect()
}

#[test]
fn a_batch_without_any_overlap_has_no_dense_loss() {
    let place = (Kind::Double, Device::Cpu);
    assert!(
        Correspondence::new(&settings(), &[apart(), apart()], &keys(2), 2, place, &Group::alone()).is_none()
    );
    assert!(
        Correspondence::new(&settings(), &[overlapping(), apart()], &keys(2), 2, place, &Group::alone())
            .is_none()
    );
    let (store, output) = step(&settings(), &[apart(), apart()], &[0, 1], true);
    assert_eq!((value(&output.losses.pixel), value(&output.losses.region)), (0.0, 0.0));
    output.losses.total.backward();
    assert!(has_gradient(&store, "pixel_").iter().all(|has| !has));
    assert!(has_gradient(&store, "encoder.").iter().all(|has| *has));
}

#[test]
fn samples_without_overlap_are_left_out_of_the_dense_losses() {
    let place = (Kind::Double, Device::Cpu);
    let geometry = [overlapping(), apart(), overlapping()];
    let correspondence =
        Correspondence::new(&settings(), &geometry, &keys(3), 2, place, &Group::alone()).unwrap();
    assert_eq!(correspondence.left_out, 1);
    assert_eq!(Vec::<i64>::try_from(correspondence.kept.unwrap()).unwrap(), [0, 2]);
    assert_eq!(correspondence.grid[0].size(), [2, 3, 3, 2]);
    let (_, output) = step(&settings(), &geometry, &[0, 1, 2], true);
    assert_eq!(output.pixel_z.unwrap().size()[0], 2);
    assert!(value(&output.losses.pixel) > 0.0);
}

#[test]
fn before_its_start_regionsim_costs_nothing() {
    let (store, output) = step(&settings(), &[overlapping(); 4], &[0, 1, 2, 3], false);
    output.losses.total.backward();
    assert_eq!(value(&output.losses.region), 0.0);
    assert!(has_gradient(&store, "region_").iter().all(|has| !has));
    let state = store.state();
    let (_, seen) = state.iter().find(|(name, _)| name == "region_projector.1.num_batches_tracked").unwrap();
    assert_eq!(seen.int64_value(&[]), 0);
}

#[test]
fn regionsim_alone_rests_until_its_start() {
    let mut settings = settings();
    settings.pixsim.weight = 0.0;
    settings.global.weight = 0.0;
    let (store, output) = step(&settings, &[overlapping(); 4], &[0, 1, 2, 3], false);
    assert!(!output.losses.total.requires_grad());
    let state = store.state();
    let (_, seen) = state.iter().find(|(name, _)| name == "pixel_projector.1.num_batches_tracked").unwrap();
    assert_eq!(seen.int64_value(&[]), 0);
}

#[test]
fn without_dense_weights_the_loss_is_simsiams() {
    let mut simsiam = settings();
    simsiam.pixsim.weight = 0.0;
    simsiam.regionsim.weight = 0.0;
    let (_, plain) = step(&simsiam, &[overlapping(); 4], &[0, 1, 2, 3], true);
    let (_, dense) = step(&settings(), &[overlapping(); 4], &[0, 1, 2, 3], true);
    assert_eq!(value(&plain.losses.total), value(&plain.losses.global));
    assert_eq!(
        value(&plain.losses.global),
        value(&dense.losses.global),
        "weights are functions of their names"
    );
}

#[test]
fn every_strategy_gives_finite_losses_and_gradients() {
    let mut variants = vec![settings()];
    for points in [PointStrategy::Uniform, PointStrategy::MildlyBiased, PointStrategy::HeavilyBiased] {
        variants.push(settings());
        variants.last_mut().unwrap().pixsim.points = points;
    }
    use CorrespondenceStrategy::{CandidateRegions, CoordinateDistance, FeatureSimilarity};
    for correspondence in [FeatureSimilarity, CoordinateDistance, CandidateRegions] {
        variants.push(settings());
        variants.last_mut().unwrap().pixsim.correspondence = correspondence;
    }
    variants.push(settings());
    variants.last_mut().unwrap().regionsim.loss = RegionLoss::Similarity;
    variants.push(settings());
    variants.last_mut().unwrap().pixsim.weight = 0.0;
    for settings in variants {
        let (store, output) = step(&settings, &[overlapping(); 4], &[0, 1, 2, 3], true);
        output.losses.total.backward();
        assert!(value(&output.losses.total).is_finite(), "{settings:?}");
        for (name, parameter) in store.parameters() {
            let gradient = parameter.grad();
            assert!(gradient.defined(), "{name} has no gradient with {settings:?}");
            assert!(
                value(&gradient.isfinite().all().to_kind(Kind::Double)) == 1.0,
                "{name} with {settings:?}"
            );
        }
    }
}

#[test]
fn the_same_view_twice_pairs_each_cell_with_itself() {
    let mut settings = settings();
    settings.pixsim.correspondence = CorrespondenceStrategy::CoordinateDistance;
    let view = overlapping()[0];
    let place = (Kind::Double, Device::Cpu);
    let correspondence =
        Correspondence::new(&settings, &[[view, view]; 2], &keys(2), 4, place, &Group::alone()).unwrap();
    let Pairing::Pairs(pairs) = correspondence.pairing else { panic!("not pairs") };
    // Neighbours are a cell's side apart, which is below 0.7 of its diagonal where the cell is not a square.
    let diagonal = pairs.get(0).diagonal(0, 0, 1);
    assert_eq!(value(&diagonal.min()), 1.0);
    assert_eq!(value(&(&pairs - pairs.transpose(1, 2)).abs().max()), 0.0);
}

#[test]
fn hard_points_are_candidates_or_filling() {
    let mut settings = settings();
    settings.pixsim.points = PointStrategy::MildlyBiased;
    let place = (Kind::Double, Device::Cpu);
    let correspondence =
        Correspondence::new(&settings, &[overlapping(); 2], &keys(2), 2, place, &Group::alone()).unwrap();
    let Pairing::HardPoints(hard) = correspondence.pairing else { panic!("not hard points") };
    assert_eq!(hard.candidates[0].size(), [2, 27, 1, 2]);
    assert_eq!((hard.chosen, hard.filling[0].size()), (7, vec![2, 2, 1, 2]));
}

#[test]
fn a_link_by_index_takes_the_target_at_that_index() {
    let store = Store::new(Kind::Double, Device::Cpu, 7);
    let pixsim = densesiam_nn::pretrain::densesiam::PixSim::new(&store.root(), &settings());
    let (p, z) = (noise(&[2, 16, 5], 1), noise(&[2, 16, 5], 2));
    let index = Tensor::from_slice(&[4i64, 3, 2, 1, 0]).expand([2, 5], false);
    let linked = pixsim.compare(&p, &z, &Link::Index(index), 1.0);
    let reversed = pixsim.compare(&p, &z.flip([2]), &Link::SameIndex, 1.0);
    assert!((value(&linked) - value(&reversed)).abs() < 1e-12);
}

#[test]
fn contrast_of_equal_regions_is_the_logarithm_of_their_number() {
    let same = noise(&[1, 1, 8], 5).expand([2, 6, 8], false);
    assert!((value(&contrast(&same, &same, 0.1)) - 6f64.ln()).abs() < 1e-9);
}

#[test]
fn spread_is_one_on_the_sphere_and_zero_when_collapsed() {
    let even = noise(&[4096, 32], 9);
    assert!((value(&collapse::spread(&even, &Group::alone())) - 1.0).abs() < 0.02);
    let collapsed = noise(&[1, 32], 9).expand([64, 32], false);
    assert!(value(&collapse::spread(&collapsed, &Group::alone())) < 1e-6);
}

#[test]
fn category_use_counts_what_occurs() {
    let z = Tensor::from_slice(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]).view([4, 3]);
    let found = collapse::category_use(&z, &Group::alone());
    assert_eq!(value(&found.used), 2.0);
    assert!((value(&found.entropy) - 2f64.ln() / 3f64.ln()).abs() < 1e-6);
}

#[test]
fn a_bfloat16_input_gives_nearly_the_losses_of_float32_and_float32_gradients() {
    let settings = |loss: RegionLoss| {
        let mut settings = settings();
        settings.regionsim.loss = loss;
        settings
    };
    let losses = |settings: &Settings, kind: Kind| {
        let store = Store::new(Kind::Float, Device::Cpu, 7);
        let model = DenseSiam::new(&store, settings);
        let place = (Kind::Float, Device::Cpu);
        let correspondence =
            Correspondence::new(settings, &[overlapping(); 4], &keys(4), 2, place, &Group::alone());
        let view = |sample| noise(&[4, 3, 64, 64], sample).to_kind(kind);
        let output = model.forward([&view(0), &view(1)], correspondence.as_ref(), true, 1.0);
        output.losses.total.backward();
        let parameters = store.parameters();
        assert!(parameters.iter().all(|(_, parameter)| parameter.grad().kind() == Kind::Float));
        assert_eq!(output.losses.region.kind(), Kind::Float);
        [&output.losses.global, &output.losses.pixel, &output.losses.region].map(value)
    };
    for settings in [RegionLoss::Contrast, RegionLoss::Similarity].map(settings) {
        for (half, single) in
            losses(&settings, Kind::BFloat16).into_iter().zip(losses(&settings, Kind::Float))
        {
            assert!((half - single).abs() < 0.05 * single.abs().max(1.0), "{half} is not nearly {single}");
        }
    }
}

/// A dilated stage has the cells of the undilated one at every second, or fourth, place.
#[test]
fn an_output_stride_adds_cells_between_those_of_the_undilated_maps() {
    for architecture in [Architecture::ResNet18, Architecture::ResNet50] {
        // 96 pixels give even sides, 72 odd ones.
        for size in [96, 72] {
            let maps = |output_stride: u32| {
                let settings = EncoderSettings { architecture, zero_residual: false, output_stride };
                let store = Store::new(Kind::Double, Device::Cpu, 5);
                let encoder = settings.build(&store.root());
                let features = encoder.forward(&noise(&[2, 3, size, size], 0), Mode::Evaluate);
                let sides = features.maps.iter().map(|map| map.size()[3] as u32).collect::<Vec<_>>();
                assert_eq!(sides, settings.sides(size as u32));
                assert_eq!(features.strides, architecture.strides().map(|stride| stride.min(output_stride)));
                features.maps
            };
            let undilated = maps(32);
            for (output_stride, steps) in [(16, [1, 1, 1, 2]), (8, [1, 1, 2, 4])] {
                for ((found, expected), step) in maps(output_stride).iter().zip(&undilated).zip(steps) {
                    let found = found.slice(2, 0, i64::MAX, step).slice(3, 0, i64::MAX, step);
                    assert!(
                        found.allclose(expected, 1e-9, 1e-12, false),
                        "{architecture}, {output_stride}, {size}"
                    );
                }
            }
        }
    }
}

#[test]
fn dense_losses_from_c4_have_a_gradient_up_to_c4_and_no_further() {
    let mut settings = settings();
    settings.pixsim.features = DenseFeatures::C4;
    settings.global.weight = 0.0;
    let store = Store::new(Kind::Float, Device::Cpu, 7);
    let model = DenseSiam::new(&store, &settings);
    let place = (Kind::Float, Device::Cpu);
    let correspondence =
        Correspondence::new(&settings, &[overlapping(); 4], &keys(4), 4, place, &Group::alone());
    let views = [0, 1].map(|view| noise(&[4, 3, 64, 64], view).to_kind(Kind::Float));
    let output = model.forward(views.each_ref(), correspondence.as_ref(), true, 1.0);
    output.losses.total.backward();
    for (name, parameter) in store.parameters() {
        let beyond = name.starts_with("encoder.layer4.");
        assert_eq!(parameter.grad().defined(), !beyond, "{name}");
    }
    let sides = model.categories(&views[0], 4).unwrap().size();
    assert_eq!(sides, [4, 4, 4]);
}

#[test]
fn initial_weights_are_functions_of_seed_and_name() {
    let build = |seed| {
        let store = Store::new(Kind::Float, Device::Cpu, seed);
        let encoder = densesiam_nn::ResNet::new(&(&store.root() / "encoder"), Architecture::ResNet18, true);
        let c5 =
            encoder.forward(&Tensor::ones([1, 3, 32, 32], (Kind::Float, Device::Cpu)), Mode::Evaluate).last();
        (store.state(), value(&c5.sum(Kind::Double)))
    };
    assert_eq!(build(1).1, build(1).1);
    assert_ne!(build(1).1, build(2).1);
    let (state, _) = build(1);
    let find = |name: &str| state.iter().find(|(other, _)| other == name).unwrap().1.shallow_clone();
    let deviation = value(&find("encoder.layer4.1.conv2.weight").std(true));
    assert!((deviation / (2f64 / (512.0 * 9.0)).sqrt() - 1.0).abs() < 0.01, "Kaiming normal, fan-out");
    assert_eq!(value(&find("encoder.layer4.1.bn2.weight").abs().max()), 0.0);
    assert_eq!(value(&find("encoder.layer4.1.bn1.weight").min()), 1.0);
}
