//! Laws of the detectors that hold for any weights.

use std::time::Duration;

use densesiam_geometry::Region;
use densesiam_nn::detect::{Batch, Design, Detector, MASK_SIDE, Object, Settings};
use densesiam_nn::{Architecture, ENCODER, Group, ResNet, Store};
use densesiam_random::Key;
use densesiam_torch_ext::StoreServer;
use tch::{Device, Kind, Tensor};

use crate::made_up::{keys, noise, value};

const SIDE: u32 = 64;
const CLASSES: usize = 3;

fn settings(design: Design, architecture: Architecture) -> Settings {
    let mut settings = Settings::default();
    settings.encoder.architecture = architecture;
    settings.detector.design = design;
    settings.detector.masks = design == Design::Fpn;
    settings.detector.anchor_sizes = vec![8.0, 16.0, 24.0, 32.0, 64.0];
    (settings.rpn.pre_nms, settings.rpn.post_nms) = ([100, 50], [20, 10]);
    (settings.rpn.batch, settings.roi.batch) = (16, 8);
    settings.validate().unwrap();
    settings
}

fn object(edges: [f64; 4], class: usize) -> Object {
    let [x0, y0, x1, y1] = edges;
    Object { region: Region { x0, y0, x1, y1 }, class }
}

/// Two pictures, of which only the first shows objects.
fn objects() -> Vec<Vec<Object>> {
    vec![vec![object([4.0, 6.0, 30.0, 40.0], 0), object([20.0, 10.0, 60.0, 60.0], 2)], vec![]]
}

/// The left half of every box is its object.
fn left_half(_: usize, _: usize, _: &Region) -> Vec<bool> {
    (0..MASK_SIDE * MASK_SIDE).map(|index| index % MASK_SIDE < MASK_SIDE / 2).collect()
}

fn step(
    model: &Detector,
    pictures: &Tensor,
    objects: &[Vec<Object>],
    keys: &[Key],
) -> Vec<(&'static str, Tensor)> {
    let sizes = vec![[SIDE; 2]; objects.len()];
    let batch = Batch { pictures, sizes: &sizes, objects, masks: Some(&left_half), keys, share: 1.0 };
    let step = model.step(&batch);
    step.parts.into_iter().chain([("loss", step.loss)]).collect()
}

fn pictures(count: i64) -> Tensor {
    noise(&[count, 3, i64::from(SIDE), i64::from(SIDE)], 1)
}

#[test]
fn every_parameter_of_every_design_learns_and_a_step_is_a_function_of_its_keys() {
    let kinds = [
        (Design::C4, Architecture::ResNet18),
        (Design::C4, Architecture::ResNet50),
        (Design::Fpn, Architecture::ResNet34),
    ];
    for (design, architecture) in kinds {
        let store = Store::new(Kind::Float, Device::Cpu, 3);
        let model = Detector::new(&store, &settings(design, architecture), CLASSES);
        let losses = |keys: &[Key]| step(&model, &pictures(2).to_kind(Kind::Float), &objects(), keys);
        let first = losses(&keys(2));
        for (name, loss) in &first {
            assert!(value(loss) > 0.0, "{design:?} {architecture} {name}");
        }
        first[first.len() - 1].1.backward();
        for (name, parameter) in store.parameters() {
            assert!(parameter.grad().defined(), "{design:?} {architecture} {name}");
        }
        let again = losses(&keys(2));
        assert!(first.iter().zip(&again).all(|(one, other)| value(&one.1) == value(&other.1)));
        let others: Vec<Key> = keys(2).into_iter().map(|key| key.epoch(1)).collect();
        assert_ne!(value(&first[2].1), value(&losses(&others)[2].1), "other anchors are drawn");
    }
}

/// Pre-trained weights fill the whole encoder, also where its last stage is the head of the boxes.
#[test]
fn the_encoders_tensors_have_the_names_of_an_encoder_alone() {
    for design in [Design::C4, Design::Fpn] {
        let (alone, store) = ([0, 1].map(|_| Store::new(Kind::Float, Device::Cpu, 3))).into();
        let _ = ResNet::new(&(&alone.root() / ENCODER.trim_end_matches('.')), Architecture::ResNet50, false);
        let _ = Detector::new(&store, &settings(design, Architecture::ResNet50), CLASSES);
        let names = |store: &Store| -> Vec<String> {
            let names = store.state().into_iter().map(|(name, _)| name);
            names.filter(|name| name.starts_with(ENCODER)).collect()
        };
        assert_eq!(names(&store), names(&alone));
    }
}

#[test]
fn a_batch_without_objects_has_no_loss_of_boxes_and_masks() {
    for design in [Design::C4, Design::Fpn] {
        let store = Store::new(Kind::Double, Device::Cpu, 3);
        let model = Detector::new(&store, &settings(design, Architecture::ResNet18), CLASSES);
        for (name, loss) in step(&model, &pictures(2), &[vec![], vec![]], &keys(2)) {
            let expected = !["loss_box", "loss_rpn_box", "loss_mask"].contains(&name);
            assert_eq!(value(&loss) > 0.0, expected, "{design:?} {name}");
        }
    }
}

#[test]
fn losses_have_their_weights_and_boxes_their_bins() {
    for design in [Design::C4, Design::Fpn] {
        let losses = |change: &dyn Fn(&mut Settings)| {
            let mut settings = settings(design, Architecture::ResNet18);
            change(&mut settings);
            settings.validate().unwrap();
            let model = Detector::new(&Store::new(Kind::Double, Device::Cpu, 3), &settings, CLASSES);
            let losses = step(&model, &pictures(2), &objects(), &keys(2));
            losses.into_iter().map(|(name, loss)| (name, value(&loss))).collect::<Vec<_>>()
        };
        let plain = losses(&|_| {});
        let weighed = losses(&|settings| {
            settings.rpn.weights = [2.0, 3.0];
            settings.roi.weights = [5.0, 7.0, 11.0];
        });
        let mut sum = 0.0;
        for ((name, plain), (_, weighed)) in plain.iter().zip(&weighed) {
            let weight = match *name {
                "loss_rpn_class" => 2.0,
                "loss_rpn_box" => 3.0,
                "loss_class" => 5.0,
                "loss_box" => 7.0,
                "loss_mask" => 11.0,
                _ => sum / plain,
            };
            sum += weight * plain;
            assert!((weight * plain - weighed).abs() <= 1e-12 * weighed, "{name}: {plain} {weighed}");
        }
        assert_ne!(plain, losses(&|settings| settings.roi.bins = 6));
        assert_ne!(plain, losses(&|settings| settings.roi.overlaps = [0.01, 0.02]));
        assert_ne!(plain, losses(&|settings| settings.rpn.overlaps = [0.05, 0.1]));
        assert_ne!(plain, losses(&|settings| settings.rpn.coding = [2.0; 4]));
        let coded = |coding| {
            losses(&|settings| (settings.roi.overlaps, settings.roi.coding) = ([0.01, 0.02], coding))
        };
        assert_ne!(coded([10.0, 10.0, 5.0, 5.0]), coded([2.0; 4]));
    }
}

/// The training loop judges such a step by its loss, so the step must come to its end.
#[test]
fn pictures_that_are_not_finite_give_a_loss_that_is_not_finite() {
    for objects in [objects(), vec![vec![], vec![]]] {
        for design in [Design::C4, Design::Fpn] {
            let store = Store::new(Kind::Double, Device::Cpu, 3);
            let model = Detector::new(&store, &settings(design, Architecture::ResNet18), CLASSES);
            let losses = step(&model, &(pictures(2) * f64::NAN), &objects, &keys(2));
            assert!(!value(&losses[losses.len() - 1].1).is_finite(), "{design:?}");
        }
    }
}

#[test]
fn a_bfloat16_step_has_losses_in_float32() {
    for design in [Design::C4, Design::Fpn] {
        let store = Store::new(Kind::Float, Device::Cpu, 3);
        let model = Detector::new(&store, &settings(design, Architecture::ResNet18), CLASSES);
        let losses = step(&model, &pictures(2).to_kind(Kind::BFloat16), &objects(), &keys(2));
        losses[losses.len() - 1].1.backward();
        for (name, loss) in &losses {
            assert_eq!(loss.kind(), Kind::Float, "{name}");
            assert!(value(loss).is_finite(), "{name}");
        }
    }
}

#[test]
fn detections_are_within_their_pictures_and_ordered() {
    for design in [Design::C4, Design::Fpn] {
        let store = Store::new(Kind::Double, Device::Cpu, 3);
        let settings = settings(design, Architecture::ResNet18);
        let model = Detector::new(&store, &settings, CLASSES);
        let detected = model.detect(&pictures(2), &[[60, 64], [64, 31]]);
        for (detected, [width, height]) in detected.iter().zip([[60.0, 64.0], [64.0, 31.0]]) {
            assert!((1..=settings.roi.detections).contains(&detected.len()));
            assert!(detected.is_sorted_by(|one, other| one.score >= other.score));
            for found in detected {
                let Region { x0, y0, x1, y1 } = found.region;
                assert!(0.0 <= x0 && x0 <= x1 && x1 <= width && 0.0 <= y0 && y0 <= y1 && y1 <= height);
                assert!(found.class < CLASSES && found.score > settings.roi.score_threshold);
                assert_eq!(found.mask.as_ref().map(Vec::len), model_masks(design));
            }
        }
    }
}

fn model_masks(design: Design) -> Option<usize> {
    (design == Design::Fpn).then_some(MASK_SIDE * MASK_SIDE)
}

/// The losses and the gradients of a process that has these pictures.
fn share_of_a_step(design: Design, group: Group, pictures: std::ops::Range<usize>) -> [Vec<f64>; 2] {
    let share = 1.0 / group.world() as f64;
    let store = Store::new(Kind::Double, Device::Cpu, 3).with_group(group);
    let model = Detector::new(&store, &settings(design, Architecture::ResNet18), CLASSES);
    let all = self::pictures(2).narrow(0, pictures.start as i64, pictures.len() as i64);
    let (objects, keys) = (objects(), keys(2));
    let batch = Batch {
        pictures: &all,
        sizes: &vec![[SIDE; 2]; pictures.len()],
        objects: &objects[pictures.clone()],
        masks: Some(&left_half),
        keys: &keys[pictures],
        share,
    };
    let step = model.step(&batch);
    step.loss.backward();
    let gradients = store.parameters().into_iter().map(|(_, parameter)| parameter.grad());
    let gradients: Vec<Tensor> = gradients.map(|of| of.contiguous().flatten(0, -1)).collect();
    let losses = step.parts.iter().map(|(_, loss)| value(loss)).collect();
    [losses, Vec::try_from(Tensor::cat(&gradients, 0)).unwrap()]
}

/// One of two processes has no object, so that no box of it has a mask, and it waits in the norms of the mask head all the same.
#[test]
fn two_processes_are_one() {
    for design in [Design::C4, Design::Fpn] {
        let expected = share_of_a_step(design, Group::alone(), 0..2);
        let server = StoreServer::start(0).unwrap();
        let port = server.port();
        let [one, two] = std::thread::scope(|scope| {
            let process = |rank: usize| {
                let place = ("127.0.0.1", port);
                let group =
                    Group::join(place, false, "detector", [rank, 2], Duration::from_secs(60)).unwrap();
                share_of_a_step(design, group, rank..rank + 1)
            };
            let threads = [0, 1].map(|rank| scope.spawn(move || process(rank)));
            threads.map(|thread| thread.join().unwrap())
        });
        for ((one, two), expected) in one.iter().zip(&two).zip(&expected) {
            assert_eq!((one.len(), two.len()), (expected.len(), expected.len()));
            for ((one, two), expected) in one.iter().zip(two).zip(expected) {
                assert!(
                    (one + two - expected).abs() < 1e-9 + 1e-7 * expected.abs(),
                    "{one} + {two} {expected}"
                );
            }
        }
    }
}
