//! PiCIE, modified DeepCluster, IIC and k-means against the released code (`picie-*`, `mdc-*`, `iic-*` and `kmeans-*` test vectors).

use densesiam_geometry::Fraction;
use densesiam_nn::segment::iic::{IicSettings, information_loss, joint};
use densesiam_nn::segment::kmeans::{Clusters, Metric, nearest, rows_of};
use densesiam_nn::segment::{Reading, Segmenting, Views, alignment, mdc, picie};
use densesiam_nn::{Group, Store};
use rand_mt::Mt;
use tch::{Device, Kind, Tensor};

use crate::fixtures::{Fixture, family, fill, view_by_name};
use crate::parity::{assert_buffers, assert_close, assert_gradients, assert_losses};

fn value(scalar: &Tensor) -> f64 {
    scalar.double_value(&[])
}

/// Overwrites a buffer or parameter of the model.
fn write(store: &Store, name: &str, values: &Tensor) {
    let state = store.state();
    let (_, tensor) = state.iter().find(|(other, _)| other == name).unwrap_or_else(|| panic!("no {name}"));
    tch::no_grad(|| tensor.shallow_clone().copy_(&values.view_as(tensor)));
}

/// Row, column and side of each crop, as shares, and whether it is mirrored.
fn crops(fixture: &Fixture) -> Vec<([f64; 3], bool)> {
    let (boxes, flips) = (fixture.tensor("boxes"), fixture.tensor("flips"));
    let crop = |sample: i64| {
        let part = [0, 1, 2].map(|part| boxes.double_value(&[sample, part]));
        (part, flips.double_value(&[sample]) > 0.0)
    };
    (0..boxes.size()[0]).map(crop).collect()
}

/// The released crop of a map, enlarged to `side` and mirrored.
fn released_crop(map: &Tensor, crops: &[([f64; 3], bool)], side: i64) -> Tensor {
    let cut = |(sample, ([row, column, share], flip)): (usize, &([f64; 3], bool))| {
        let whole = map.size()[2] as f64;
        let length = (whole * share) as i64;
        let offset = |share: f64| ((whole - length as f64) * share).round_ties_even() as i64;
        let cut = map.narrow(0, sample as i64, 1).narrow(2, offset(*row), length).narrow(
            3,
            offset(*column),
            length,
        );
        let cut = cut.upsample_bilinear2d([side, side], false, None, None);
        if *flip { cut.flip([3]) } else { cut }
    };
    Tensor::cat(&crops.iter().enumerate().map(cut).collect::<Vec<_>>(), 0)
}

/// The views of a fixture. View 1 is cropped as released, or read from the whole picture at the centres of its pixels.
fn views(fixture: &Fixture, reading: Reading) -> Views {
    let seed = fixture.setting("seed");
    let crops = crops(fixture);
    let part = |[row, column, share]: [f64; 3]| {
        let (x0, y0) = ((1.0 - share) * column, (1.0 - share) * row);
        Fraction { x0, y0, x1: x0 + share, y1: y0 + share }
    };
    let (boxes, flips): (Vec<_>, Vec<_>) = crops.iter().map(|&(crop, flip)| (part(crop), flip)).unzip();
    let align = |cells| alignment(&boxes, &flips, (cells, reading), Kind::Double, Device::Cpu);
    let whole = view_by_name("view1", &[4, 3, 128, 128], seed);
    let view1 = match reading {
        Reading::CutOut => released_crop(&whole, &crops, 64),
        Reading::Whole => whole.grid_sampler(&align(64), 0, 1, false),
    };
    let view2 = view_by_name("view2", &[4, 3, 64, 64], seed);
    Views { pixels: vec![view1, view2], align: Some(align(16)), share: 1.0 }
}

fn is_whole(fixture: &Fixture) -> bool {
    crops(fixture).iter().all(|&([.., share], flip)| share == 1.0 && !flip)
}

struct Picie {
    store: Store,
    model: picie::Picie,
}

/// The model of a fixture, with its clusters.
fn picie(fixture: &Fixture, overclusters: i64) -> Picie {
    let store = Store::new(Kind::Double, Device::Cpu, 0);
    let mut settings = picie::Settings::default();
    settings.picie.overclusters = overclusters;
    let model = picie::Picie::new(&store, &settings, fixture.setting("num_classes"));
    fill(&store.parameters(), fixture.setting("seed"));
    store.begin_teacher();
    for view in [1, 2] {
        write(
            &store,
            &format!("clusters.view{view}.centroids"),
            &fixture.tensor(&format!("centroids{view}")),
        );
        write(&store, &format!("clusters.view{view}.shares"), &fixture.tensor(&format!("weight{view}")));
        if overclusters > 0 {
            let centroids = fixture.tensor(&format!("h.centroids{view}"));
            let labels = fixture.tensor(&format!("h.label{view}")).flatten(0, -1);
            let counts = labels.bincount::<Tensor>(None, overclusters).to_kind(Kind::Double);
            write(&store, &format!("overclusters.view{view}.centroids"), &centroids);
            write(&store, &format!("overclusters.view{view}.shares"), &(&counts / counts.sum(Kind::Double)));
        }
    }
    Picie { store, model }
}

#[test]
fn parity_picie() {
    for fixture in family("picie") {
        let Picie { store, mut model } = picie(&fixture, 0);
        let views = views(&fixture, Reading::CutOut);
        model.label(&views);
        for (view, labels) in (1..).zip(&model.labels_of(&views)[0]) {
            let expected = fixture.tensor(&format!("label{view}")).to_kind(Kind::Int64);
            assert!(labels.equal(&expected), "{}: labels of view {view}", fixture.name);
        }
        let (losses, _) = model.forward(&views);
        assert_losses(
            &fixture,
            &[
                ("loss.within", value(&losses.within)),
                ("loss.cross", value(&losses.cross)),
                ("loss.total", value(&losses.total)),
            ],
        );
        losses.total.backward();
        assert_gradients(&fixture, &store.parameters(), 1e-8);
        assert_buffers(&fixture, &store.state());
    }
}

#[test]
fn parity_picie_read_from_the_whole_map() {
    for fixture in family("picie").iter().filter(|fixture| !is_whole(fixture)) {
        let Picie { mut model, .. } = picie(fixture, 0);
        let views = views(fixture, Reading::Whole);
        model.label(&views);
        // The labels are those of the release.
        let labels = [1, 2].map(|view| fixture.tensor(&format!("label{view}")).to_kind(Kind::Int64));
        let (losses, _) = model.forward_with(&views, &[labels]);
        assert_losses(
            fixture,
            &[
                ("grid.loss.within", value(&losses.within)),
                ("grid.loss.cross", value(&losses.cross)),
                ("grid.loss.total", value(&losses.total)),
            ],
        );
    }
}

#[test]
fn parity_picie_with_more_clusters() {
    for fixture in family("picie") {
        let Picie { store, mut model } = picie(&fixture, fixture.setting("num_classes_h"));
        let views = views(&fixture, Reading::CutOut);
        model.label(&views);
        for (view, labels) in (1..).zip(&model.labels_of(&views)[1]) {
            let expected = fixture.tensor(&format!("h.label{view}")).to_kind(Kind::Int64);
            assert!(labels.equal(&expected), "{}: labels of view {view}", fixture.name);
        }
        let (losses, _) = model.forward(&views);
        let [within, cross] = losses.overclusters.as_ref().unwrap();
        assert_losses(
            &fixture,
            &[
                ("h.loss.within", value(within)),
                ("h.loss.cross", value(cross)),
                ("h.loss.total", value(&losses.total)),
            ],
        );
        losses.total.backward();
        for name in fixture.names_under("h.gradnorm.") {
            let parameters = store.parameters();
            let (_, tensor) = parameters.iter().find(|(other, _)| other == name).unwrap();
            let expected = fixture.number(&format!("h.gradnorm.{name}"));
            assert_close(
                &format!("{} d {name}", fixture.name),
                value(&tensor.grad().norm()),
                expected,
                1e-8,
                1e-6,
            );
        }
    }
}

#[test]
fn parity_mdc() {
    for fixture in family("mdc") {
        for (classifier, loss) in
            [(mdc::Classifier::Trained, "loss.parametric"), (mdc::Classifier::Centroids, "loss.frozen")]
        {
            let store = Store::new(Kind::Double, Device::Cpu, 0);
            let mut settings = mdc::Settings::default();
            settings.mdc.classifier = classifier;
            let mut model = mdc::Mdc::new(&store, &settings, fixture.setting("num_classes"));
            fill(&store.parameters(), fixture.setting("seed"));
            store.begin_teacher();
            write(&store, "clusters.view1.centroids", &fixture.tensor("centroids1"));
            write(&store, "clusters.view1.shares", &fixture.tensor("weight1"));
            if classifier == mdc::Classifier::Trained {
                for name in ["classifier.weight", "classifier.bias"] {
                    write(&store, name, &fixture.tensor(name));
                }
            }
            let views = views(&fixture, Reading::CutOut);
            model.label(&views);
            let labels = fixture.tensor("label1").to_kind(Kind::Int64);
            assert!(model.labels_of(&views).equal(&labels), "{}", fixture.name);
            let (found, _) = model.forward(&views);
            assert_losses(&fixture, &[(loss, value(&found))]);
            if classifier == mdc::Classifier::Trained {
                found.backward();
                assert_gradients(&fixture, &store.parameters(), 1e-8);
                assert_buffers(&fixture, &store.state());
            }
        }
    }
}

#[test]
fn parity_kmeans() {
    for fixture in family("kmeans") {
        let metric = match fixture.setting::<String>("metric").as_str() {
            "cosine" => Metric::Cosine,
            _ => Metric::L2,
        };
        let maps = fixture.tensor("features").to_kind(Kind::Double);
        let batches: Vec<_> = (0..maps.size()[0]).map(|batch| rows_of(&maps.get(batch), metric)).collect();
        let (first, further) = batches.split_at(fixture.setting("initial_batches"));
        // The generator by which faiss chooses the cluster that an empty one takes a part of begins anew in each round.
        let draws = || {
            let mut generator = Mt::new(1234);
            move || generator.next_u32() as f32 / u32::MAX as f32
        };
        let (start, rounds) = (fixture.tensor("start").to_kind(Kind::Double), fixture.setting("iterations"));
        let mut clusters = Clusters::lloyd(first, &start, rounds, draws, &Group::alone());
        let close = |what: &str, found: &Tensor| {
            let apart = value(&(found - fixture.tensor(what)).abs().max());
            assert!(apart <= 1e-9, "{} {what}: {apart:e}", fixture.name);
        };
        close("lloyd", &clusters.centroids);
        let every: usize = fixture.setting("every");
        for batches in further.chunks_exact(every) {
            batches.iter().for_each(|batch| clusters.add(batch));
            clusters.update(&Group::alone());
        }
        close("centroids", &clusters.centroids);
        assert!(clusters.counts.equal(&fixture.tensor("counts")), "{}: counts", fixture.name);
        close("losses", &Tensor::stack(&clusters.losses, 0));
        let labels = nearest(&Tensor::cat(&batches, 0), &clusters.centroids);
        assert!(labels.equal(&fixture.tensor("labels").to_kind(Kind::Int64)), "{}: labels", fixture.name);
    }
}

#[test]
fn parity_iic() {
    for fixture in family("iic") {
        let is = |key: &str| fixture.setting::<i64>(key) == 1;
        let logits = ["logits1", "logits2"]
            .map(|name| fixture.tensor(name).to_kind(Kind::Double).set_requires_grad(true));
        let [one, two] = logits.each_ref().map(|logits| logits.softmax(1, Kind::Double));
        let affine = fixture.tensor("affine2_to_1").to_kind(Kind::Double);
        let grid = Tensor::affine_grid_generator(&affine, two.size(), is("align_corners"));
        let two = two.grid_sampler(&grid, 0, 0, is("align_corners"));
        let mask = fixture.tensor("mask").to_kind(Kind::Double).unsqueeze(1);
        let joint = joint([&(one * &mask), &(two * &mask)], fixture.setting("radius"));
        if !fixture.names_under("joint").is_empty() {
            let apart = value(&(&joint - fixture.tensor("joint")).abs().max());
            assert!(apart <= 1e-9, "{}: joint {apart:e}", fixture.name);
        }
        let settings = IicSettings {
            entropy_weight: fixture.setting("lamb"),
            collapsed: is("collapsed"),
            ..IicSettings::default()
        };
        let loss = information_loss(&joint, &settings);
        let without = information_loss(&joint, &IicSettings { entropy_weight: 1.0, ..settings });
        assert_losses(&fixture, &[("loss", value(&loss)), ("loss_without_lambda", value(&without))]);
        loss.backward();
        for (name, logits) in ["grad.logits1", "grad.logits2"].iter().zip(&logits) {
            let expected = fixture.tensor(name);
            let limit = 1e-6 * value(&expected.abs().max()) + 1e-10;
            let apart = value(&(logits.grad() - expected).abs().max());
            assert!(apart <= limit, "{} {name}: {apart:e}", fixture.name);
        }
    }
}
