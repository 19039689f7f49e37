//! The fully convolutional network against mmsegmentation (`fcn-*` test vectors): a step's losses and gradients, precise batch
//! norm, and inference.

use densesiam_nn::fcn::{Fcn, Inference, Settings};
use densesiam_nn::{Architecture, Population, Store};
use tch::{Device, Kind, Tensor};

use crate::fixtures::{Fixture, family, fill};
use crate::made_up::value;
use crate::parity::{assert_buffers, assert_gradients, assert_losses};
use crate::transfer::{integers, json, normalised, renamed};

fn mmsegmentations(name: &str) -> String {
    name.strip_prefix("encoder.").map_or(name.to_owned(), |rest| format!("backbone.{rest}"))
}

fn fcn_settings(fixture: &Fixture) -> Settings {
    let mut settings = Settings::default();
    settings.encoder.architecture = match fixture.setting::<i64>("depth") {
        18 => Architecture::ResNet18,
        34 => Architecture::ResNet34,
        50 => Architecture::ResNet50,
        101 => Architecture::ResNet101,
        other => panic!("{}: depth {other}", fixture.name),
    };
    settings.fcn.align_corners = fixture.setting("align_corners");
    settings.fcn.dropout = fixture.setting("dropout");
    settings
}

/// The pictures, with the padding of one of them.
fn fcn_pictures(fixture: &Fixture) -> Tensor {
    let pictures = normalised(&fixture.tensor("train.images"));
    let padding = json(fixture, "padding");
    let from = |key: &str| padding[key].as_i64().unwrap();
    let (size, picture) = (pictures.size(), pictures.select(0, from("picture")));
    let _ = picture.narrow(1, from("rows_from"), size[2] - from("rows_from")).zero_();
    let _ = picture.narrow(2, from("columns_from"), size[3] - from("columns_from")).zero_();
    pictures
}

#[test]
fn parity_fcn_float64() {
    for fixture in family("fcn") {
        let settings = fcn_settings(&fixture);
        settings.validate().unwrap();
        let store = Store::new(Kind::Double, Device::Cpu, 0);
        let model = Fcn::new(&store, &settings, fixture.setting("num_classes"));
        fill(&renamed(store.parameters(), mmsegmentations), fixture.setting("seed"));
        let pictures = fcn_pictures(&fixture);

        let mut population = Population::new(&store);
        let step = model.step(&pictures, &fixture.tensor("train.labels"), &[], 1.0);
        step.loss.backward();
        let [main, auxiliary] = [0, 1].map(|part| value(&step.parts[part].1));
        let losses = [("loss.main", main), ("loss.auxiliary", auxiliary), ("loss.total", value(&step.loss))];
        assert_losses(&fixture, &losses);
        assert_gradients(&fixture, &renamed(store.parameters(), mmsegmentations), 1e-7);

        for _ in 0..fixture.setting("precise_bn_batches") {
            population.measure(|| model.measure(&pictures));
        }
        population.write();
        assert_buffers(&fixture, &renamed(store.state(), mmsegmentations));

        let picture = normalised(&fixture.tensor("eval.image")).unsqueeze(0);
        let slide = json(&fixture, "slide");
        let [crop, stride] = ["crop", "stride"].map(|key| slide[key].as_i64().unwrap());
        let slide = Inference::Slide { crop, stride };
        for (key, inference) in [("eval.slide_logits", slide), ("eval.whole_logits", Inference::Whole)] {
            let logits = tch::no_grad(|| model.logits(&picture, inference)).squeeze_dim(0);
            let some = logits.slice(1, 0, None, 4).slice(2, 0, None, 4);
            let difference = value(&(some - fixture.tensor(key)).abs().max());
            assert!(difference <= 1e-4, "{} {key}: {difference:e}", fixture.name);
        }
        let size = integers(&json(&fixture, "original_size"));
        let prediction = model.predict(&picture, slide, [size[0], size[1]]).squeeze_dim(0);
        let different = prediction.ne_tensor(&fixture.tensor("eval.prediction").to_kind(Kind::Int64));
        assert_eq!(different.sum(Kind::Int64).int64_value(&[]), 0, "{}: prediction", fixture.name);
    }
}
