//! The segmentation step against the authors' released code (`segment-*` test vectors).

use densesiam_geometry::Fraction;
use densesiam_nn::segment::densesiam::{Output, Rebalance, Segmenter, Settings};
use densesiam_nn::segment::{Reading, Segmenting, SegmentingSettings, Views, alignment};
use densesiam_nn::{Architecture, Store};
use tch::{Device, Kind, Tensor};

use crate::fixtures::{Fixture, family, fill};
use crate::parity::{Named, assert_close, assert_parity, assert_smoke};

fn settings(fixture: &Fixture) -> Settings {
    let mut settings = Settings::default();
    settings.encoder.architecture = Architecture::ResNet18;
    settings.auxiliary.classes = fixture.setting("num_aux_classes");
    settings.labelling.weight = fixture.setting("seg_weight");
    settings.labelling.rebalance = match fixture.setting::<i64>("rebalance") {
        0 => Rebalance::None,
        _ => Rebalance::Frequency,
    };
    settings.regionsim.weight = fixture.setting("region_weight");
    settings.regionsim.temperature = fixture.setting("tau");
    let (pixsim, auxiliary) = settings.weights(fixture.setting("num_classes"));
    let automatic = (pixsim - fixture.setting::<f64>("simsiam_weight")).abs() < 1e-9
        && (auxiliary - fixture.setting::<f64>("aux_weight")).abs() < 1e-9;
    if !automatic {
        settings.auxiliary.balance = false;
        settings.pixsim.weight = fixture.setting("simsiam_weight");
        settings.auxiliary.weight = fixture.setting("aux_weight");
    }
    settings
}

struct Run {
    store: Store,
    model: Segmenter,
    view1: Tensor,
    output: Output,
}

fn run(fixture: &Fixture, kind: Kind) -> Run {
    let settings = settings(fixture);
    settings.validate().unwrap();
    let store = Store::new(kind, Device::Cpu, 0);
    let model = Segmenter::new(&store, &settings, fixture.setting("num_classes"));
    fill(&store.parameters(), fixture.setting("seed"));
    let [view1, view2] = ["view1", "view2"].map(|name| fixture.tensor(name).to_kind(kind));
    let views = Views { pixels: vec![view1.shallow_clone(), view2], align: None, share: 1.0 };
    let output = model.forward(&views, true);
    output.losses.total.backward();
    Run { store, model, view1, output }
}

fn losses(run: &Run) -> [Named; 5] {
    let losses = &run.output.losses;
    let value = |tensor: &Tensor| tensor.double_value(&[]);
    [
        ("loss.loss_simsiam", value(&losses.pixel)),
        ("loss.loss_aux", value(&losses.auxiliary)),
        ("loss.loss_seg", value(&losses.labelling)),
        ("loss.loss_kernel_cross", value(&losses.region)),
        ("loss.total", value(&losses.total)),
    ]
}

fn assert_logits(fixture: &Fixture, run: &Run, limit: f64) {
    let difference = (run.model.logits(&run.view1) - fixture.tensor("eval.logits")).abs().max();
    let difference = difference.double_value(&[]);
    assert!(difference <= limit, "{} logits: {difference:e}", fixture.name);
}

#[test]
fn parity_segment_float64() {
    for fixture in family("segment") {
        let run = run(&fixture, Kind::Double);
        assert_parity(&fixture, &run.store, &losses(&run));
        assert_logits(&fixture, &run, 1e-5);
    }
}

#[test]
fn parity_segment_float32_smoke() {
    for fixture in family("segment") {
        let run = run(&fixture, Kind::Float);
        assert_smoke(&fixture, &run.store, &losses(&run), |_| false);
        assert_logits(&fixture, &run, 1e-3);
    }
}

#[test]
fn the_whole_box_without_a_flip_aligns_a_map_with_itself() {
    let whole = Fraction { x0: 0.0, y0: 0.0, x1: 1.0, y1: 1.0 };
    let grid = alignment(&[whole, whole], &[false, true], (4, Reading::Whole), Kind::Double, Device::Cpu);
    let centre = |cell: f64| (2.0 * cell + 1.0) / 4.0 - 1.0;
    for column in 0..4 {
        assert_close("plain x", grid.double_value(&[0, 2, column, 0]), centre(column as f64), 1e-12, 0.0);
        assert_close("flipped x", grid.double_value(&[1, 2, column, 0]), -centre(column as f64), 1e-12, 0.0);
        assert_close("y", grid.double_value(&[1, 2, column, 1]), centre(2.0), 1e-12, 0.0);
    }
}

#[test]
fn inverse_weights_make_every_class_count_alike() {
    let store = Store::new(Kind::Double, Device::Cpu, 3);
    let mut settings = Settings::default();
    settings.labelling.rebalance = Rebalance::Inverse;
    settings.encoder.width = 8;
    let model = Segmenter::new(&store, &settings, 3);
    let view = Tensor::arange(2 * 3 * 32 * 32, (Kind::Double, Device::Cpu)).sin().view([2, 3, 32, 32]);
    let pixels = vec![view.shallow_clone(), view];
    let output = model.forward(&Views { pixels, align: None, share: 1.0 }, false);
    let z = &output.z;
    let labels = z.argmax(1, false);
    let entropy = -z.log_softmax(1, Kind::Double).gather(1, &labels.unsqueeze(1), false).squeeze_dim(1);
    let of_class = |class: i64| {
        let mask = labels.eq(class);
        (mask.any().int64_value(&[]) == 1)
            .then(|| entropy.masked_select(&mask).mean(Kind::Double).double_value(&[]))
    };
    let means: Vec<f64> = (0..3).filter_map(of_class).collect();
    let expected = means.iter().sum::<f64>() / means.len() as f64;
    assert_close("labelling", output.losses.labelling.double_value(&[]), expected, 1e-9, 1e-9);
}
