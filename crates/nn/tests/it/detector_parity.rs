//! The detectors against detectron2 (`frcnn-c4-*` and `mask-fpn-*` test vectors): a step's losses and gradients, precise batch norm,
//! and detection. Each file takes a minute and several gigabytes, so `make parity` runs them one by one.

use densesiam_geometry::mask::{paste_mask, target_from_polygons};
use densesiam_geometry::{Point, Region};
use densesiam_nn::detect::{
    Batch, Design, Detected, Detector, MASK_SIDE, Object, Sampling, Settings, detectron2_name,
};
use densesiam_nn::{Population, Store};
use densesiam_random::Key;
use tch::{Device, Kind, Tensor};

use crate::fixtures::{Fixture, family, fill};
use crate::made_up::{keys, value};
use crate::parity::{assert_buffers, assert_close, assert_gradients, assert_losses};
use crate::transfer::{integers, json, normalised, renamed};

const PICTURES: usize = 2;

fn settings(fixture: &Fixture, design: Design, masks: bool) -> Settings {
    let mut settings = Settings::default();
    let pair = |key: &str| {
        let numbers = integers(&json(fixture, key));
        [numbers[0] as usize, numbers[1] as usize]
    };
    let sizes = json(fixture, "anchor_sizes");
    let sizes = sizes.as_array().unwrap().iter().flat_map(|of_map| of_map.as_array().unwrap());
    settings.detector.anchor_sizes = sizes.map(|size| size.as_f64().unwrap()).collect();
    (settings.detector.design, settings.detector.masks) = (design, masks);
    settings.rpn.batch = fixture.setting("rpn_batch");
    settings.rpn.positive_fraction = fixture.setting("rpn_positive_fraction");
    settings.rpn.nms_threshold = fixture.setting("rpn_nms");
    (settings.rpn.pre_nms, settings.rpn.post_nms) = (pair("rpn_pre_nms"), pair("rpn_post_nms"));
    settings.roi.batch = fixture.setting("roi_batch");
    settings.roi.positive_fraction = fixture.setting("roi_positive_fraction");
    settings.roi.nms_threshold = fixture.setting("roi_nms");
    settings.roi.score_threshold = fixture.setting("score_threshold");
    settings.roi.detections = fixture.setting("detections");
    settings.validate().unwrap();
    settings
}

/// The pictures of a batch, padded together, with their sizes and objects.
struct Pictures {
    pixels: Tensor,
    sizes: Vec<[u32; 2]>,
    objects: Vec<Vec<Object>>,
    /// Of each object of each picture; empty where a detector learns no masks.
    polygons: Vec<Vec<Vec<Vec<Point>>>>,
    keys: Vec<Key>,
}

impl Pictures {
    fn new(fixture: &Fixture, batch: usize, multiple: i64) -> Self {
        let key = |picture: usize, what: &str| format!("batch{batch}.{picture}.{what}");
        let pictures: Vec<_> =
            (0..PICTURES).map(|of| normalised(&fixture.tensor(&key(of, "image")))).collect();
        let largest = |axis: usize| pictures.iter().map(|of| of.size()[axis]).max().unwrap();
        let [height, width] = [1, 2].map(|axis| (largest(axis) + multiple - 1) / multiple * multiple);
        let padded = |of: &Tensor| of.constant_pad_nd([0, width - of.size()[2], 0, height - of.size()[1]]);
        let object = |picture: usize, index: i64| {
            let edge = |edge: i64| fixture.tensor(&key(picture, "boxes")).double_value(&[index, edge]);
            Object {
                region: Region { x0: edge(0), y0: edge(1), x1: edge(2), y1: edge(3) },
                class: fixture.tensor(&key(picture, "classes")).int64_value(&[index]) as usize,
            }
        };
        let count = |picture: usize| fixture.tensor(&key(picture, "classes")).size()[0];
        Self {
            pixels: Tensor::stack(&pictures.iter().map(padded).collect::<Vec<_>>(), 0),
            sizes: pictures.iter().map(|of| [of.size()[2] as u32, of.size()[1] as u32]).collect(),
            objects: (0..PICTURES)
                .map(|picture| (0..count(picture)).map(|index| object(picture, index)).collect())
                .collect(),
            polygons: (0..PICTURES)
                .map(|picture| polygons(fixture, &format!("batch{batch}.{picture}")))
                .collect(),
            keys: keys(PICTURES),
        }
    }

    /// A step of this batch. The masks of objects are drawn from their polygons.
    fn with_batch<T>(&self, step: impl FnOnce(&Batch<'_>) -> T) -> T {
        let Self { pixels, sizes, objects, polygons, keys } = self;
        let masks = |picture: usize, object: usize, region: &Region| {
            let polygons = &polygons[picture][object];
            target_from_polygons(polygons.iter().map(|of| of.iter().copied()), region, MASK_SIDE)
        };
        step(&Batch { pictures: pixels, sizes, objects, masks: Some(&masks), keys, share: 1.0 })
    }
}

/// The polygons of the objects of a picture.
fn polygons(fixture: &Fixture, picture: &str) -> Vec<Vec<Vec<Point>>> {
    let of_pictures = json(fixture, "polygons");
    let Some(objects) = of_pictures.get(picture) else { return Vec::new() };
    let points = |polygon: &serde_json::Value| {
        let numbers = polygon.as_array().unwrap().iter().map(|number| number.as_f64().unwrap());
        let numbers: Vec<f64> = numbers.collect();
        numbers.chunks_exact(2).map(|point| Point { x: point[0], y: point[1] }).collect()
    };
    let object = |object: &serde_json::Value| object.as_array().unwrap().iter().map(points).collect();
    objects.as_array().unwrap().iter().map(object).collect()
}

struct Run<'f> {
    fixture: &'f Fixture,
    design: Design,
    store: Store,
    model: Detector,
    batches: [Pictures; 2],
}

impl<'f> Run<'f> {
    fn new(fixture: &'f Fixture, design: Design, masks: bool) -> Self {
        let store = Store::new(Kind::Double, Device::Cpu, 0);
        let settings = settings(fixture, design, masks);
        let model = Detector::new(&store, &settings, fixture.setting("num_classes"));
        let parameters = renamed(store.parameters(), |name| detectron2_name(name, design));
        fill(&parameters, fixture.setting("seed"));
        for (name, factor) in json(fixture, "scales").as_object().unwrap() {
            let (_, parameter) = parameters.iter().find(|(other, _)| other == name).unwrap();
            let factor = Tensor::from(factor.as_f64().unwrap() as f32);
            tch::no_grad(|| {
                let scaled = parameter.to_kind(Kind::Float) * factor;
                parameter.shallow_clone().copy_(&scaled);
            });
        }
        let multiple = if design == Design::Fpn { 32 } else { 1 };
        Self {
            fixture,
            design,
            store,
            model: model.with_sampling(Sampling::First),
            batches: [0, 1].map(|batch| Pictures::new(fixture, batch, multiple)),
        }
    }

    fn names(&self, tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
        renamed(tensors, |name| detectron2_name(name, self.design))
    }

    fn assert_parity_of_a_step(&self) {
        let step = self.batches[0].with_batch(|batch| self.model.step(batch));
        step.loss.backward();
        let detectron2s = |name: &str| match name {
            "loss_class" => "loss.loss_cls",
            "loss_box" => "loss.loss_box_reg",
            "loss_rpn_class" => "loss.loss_rpn_cls",
            "loss_rpn_box" => "loss.loss_rpn_loc",
            "loss_mask" => "loss.loss_mask",
            other => panic!("{other}"),
        };
        let mut losses: Vec<_> =
            step.parts.iter().map(|(name, loss)| (detectron2s(name), value(loss))).collect();
        losses.push(("loss.total", value(&step.loss)));
        assert_losses(self.fixture, &losses);
        assert_gradients(self.fixture, &self.names(self.store.parameters()), 1e-7);
    }

    fn assert_parity_of_statistics(&self) {
        let mut population = Population::new(&self.store);
        for batch in &self.batches {
            population.measure(|| batch.with_batch(|batch| self.model.measure(batch)));
        }
        population.write();
        assert_buffers(self.fixture, &self.names(self.store.state()));
    }

    /// The detections in the first batch at the pictures' original sizes.
    fn assert_parity_of_detections(&self) -> Vec<Vec<Detected>> {
        let Pictures { pixels, sizes, .. } = &self.batches[0];
        let detected = self.model.detect(pixels, sizes);
        let originals = json(self.fixture, "output_sizes");
        let at_original = |(picture, detected): (usize, Vec<Detected>)| {
            let original = integers(&originals[picture]);
            let original = [original[1] as u32, original[0] as u32];
            let resized = |of: &Detected| of.resized(sizes[picture], original);
            let detected: Vec<Detected> = detected.iter().filter_map(resized).collect();
            self.assert_detections(picture, &detected);
            detected
        };
        detected.into_iter().enumerate().map(at_original).collect()
    }

    fn assert_detections(&self, picture: usize, detected: &[Detected]) {
        let tensor = |what: &str| self.fixture.tensor(&format!("detected.{picture}.{what}"));
        let (boxes, scores, classes) = (tensor("boxes"), tensor("scores"), tensor("classes"));
        let name = &self.fixture.name;
        assert_eq!(detected.len() as i64, scores.size()[0], "{name} {picture}: detections");
        for (index, found) in detected.iter().enumerate() {
            let (at, what) = (index as i64, format!("{name} {picture} {index}"));
            assert_eq!(found.class as i64, classes.int64_value(&[at]), "{what}");
            assert_close(&what, found.score, scores.double_value(&[at]), 1e-7, 0.0);
            let Region { x0, y0, x1, y1 } = found.region;
            for (edge, found) in [x0, y0, x1, y1].into_iter().enumerate() {
                assert_close(&what, found, boxes.double_value(&[at, edge as i64]), 1e-6, 1e-6);
            }
        }
    }
}

#[test]
#[ignore = "takes minutes: make parity"]
fn parity_faster_rcnn_c4_float64() {
    for fixture in family("frcnn-c4") {
        let run = Run::new(&fixture, Design::C4, false);
        run.assert_parity_of_a_step();
        run.assert_parity_of_statistics();
        run.assert_parity_of_detections();
    }
}

fn assert_masks(fixture: &Fixture, picture: usize, detected: &[Detected]) {
    let tensor = |what: &str| fixture.tensor(&format!("detected.{picture}.{what}"));
    let (probabilities, masks, areas) = (tensor("mask_probability"), tensor("masks"), tensor("mask_area"));
    let size = [masks.size()[1] as u32, masks.size()[2] as u32];
    for (index, found) in detected.iter().enumerate() {
        let (at, what) = (index as i64, format!("{} {picture} {index}", fixture.name));
        let mask: Vec<f64> = found.mask.as_ref().unwrap().iter().map(|&p| f64::from(p)).collect();
        let pasted = paste_mask(&mask, MASK_SIDE, &found.region, size);
        assert_eq!(i64::from(pasted.area()), areas.int64_value(&[at]), "{what}: area");
        if at < masks.size()[0] {
            let expected = probabilities.get(at).to_kind(Kind::Double).flatten(0, -1);
            let difference = value(&(Tensor::from_slice(&mask) - expected).abs().max());
            assert!(difference <= 1e-6, "{what}: {difference:e}");
            let bits: Vec<u8> = pasted.bits().into_iter().map(u8::from).collect();
            let different = Tensor::from_slice(&bits).ne_tensor(&masks.get(at).flatten(0, -1));
            assert_eq!(different.sum(Kind::Int64).int64_value(&[]), 0, "{what}: mask");
        }
    }
}

#[test]
#[ignore = "takes minutes: make parity"]
fn parity_mask_rcnn_fpn_float64() {
    for fixture in family("mask-fpn") {
        let run = Run::new(&fixture, Design::Fpn, true);
        run.assert_parity_of_a_step();
        run.assert_parity_of_statistics();
        for (picture, detected) in run.assert_parity_of_detections().iter().enumerate() {
            assert_masks(&fixture, picture, detected);
        }
    }
}
