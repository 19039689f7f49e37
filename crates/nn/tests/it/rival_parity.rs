//! The methods of other papers against statements of them in PyTorch (`rival-*` test vectors).

use densesiam_geometry::{Point, Region, View};
use densesiam_nn::Store;
use densesiam_nn::pretrain::detcon::Regions;
use densesiam_nn::pretrain::pixpro::Coordinates;
use densesiam_nn::pretrain::resim::{LEVELS, Window};
use densesiam_nn::pretrain::scrl::{OverlapGrid, shown};
use densesiam_nn::pretrain::vader::Points;
use densesiam_nn::pretrain::{
    Proposals, byol, cast, densecl, detco, detcon, moco_v2, pixpro, resim, scrl, simclr, soco, vader,
};
use tch::{Device, Kind, Tensor};

use crate::fixtures::{Fixture, family, fill, view_by_name};
use crate::made_up::{encoder, value};
use crate::parity::{assert_close, assert_parity, assert_same, assert_smoke, assert_teacher_parity};

fn new_store() -> Store {
    Store::new(Kind::Double, Device::Cpu, 0)
}

/// Fills student and teacher by their names, and sets the queues.
fn fill_all(fixture: &Fixture, store: &Store, queues: &[&str]) {
    let of_pass = ["running_mean", "running_var", "num_batches_tracked"];
    let is_weight = |name: &str| !of_pass.iter().any(|end| name.ends_with(end));
    let teacher = |(name, _): &(String, Tensor)| name.starts_with("key_") && is_weight(name);
    let mut weights = store.parameters();
    weights.extend(store.state().into_iter().filter(teacher));
    fill(&weights, fixture.setting("seed"));
    for (name, mut tensor) in store.state() {
        if queues.contains(&name.as_str()) {
            tch::no_grad(|| tensor.copy_(&fixture.tensor(&name)));
        } else if name.ends_with("_ptr") {
            let pointer: i64 = fixture.setting("ptr");
            tch::no_grad(|| tensor.copy_(&Tensor::from(pointer)));
        }
    }
}

fn views(fixture: &Fixture) -> [Tensor; 2] {
    let size = fixture.setting("size");
    ["view1", "view2"].map(|name| view_by_name(name, &[4, 3, size, size], fixture.setting("seed")))
}

fn cuts(fixture: &Fixture) -> Vec<Vec<View>> {
    let (boxes, flips) = (fixture.tensor("boxes"), fixture.tensor("flips"));
    let view = |sample: i64, view: i64| {
        let edge = |index: i64| boxes.double_value(&[sample, view, index]);
        let crop = Region { x0: edge(0), y0: edge(1), x1: edge(2), y1: edge(3) };
        View { crop, flip: flips.int64_value(&[sample, view]) != 0 }
    };
    (0..boxes.size()[0]).map(|sample| vec![view(sample, 0), view(sample, 1)]).collect()
}

fn never() -> Tensor {
    Tensor::from(0.0f32)
}

/// Queues after the keys of the step, and where the next keys go.
fn assert_queues(fixture: &Fixture, store: &Store, names: &[&str], mut follow: impl FnMut(&Tensor)) {
    let find = |name: &str| store.state().into_iter().find(|(other, _)| other == name).unwrap().1;
    follow(&never());
    for name in names {
        assert_same(fixture, &format!("{name}.after"), &find(name));
        let pointer = find(&format!("{name}_ptr")).int64_value(&[]);
        assert_eq!(pointer as f64, fixture.number("pointer_after"), "{} {name}", fixture.name);
    }
}

#[test]
fn parity_simclr() {
    for fixture in family("rival-simclr") {
        let store = new_store();
        let simclr = simclr::SimClrSettings {
            temperature: fixture.setting("t"),
            layers: fixture.setting("layers"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
        };
        let model = simclr::SimClr::new(&store, &simclr::Settings { encoder: encoder(), simclr });
        fill_all(&fixture, &store, &[]);
        let [one, two] = views(&fixture);
        let (contrasted, _) = model.forward([&one, &two], 1.0);
        contrasted.loss.backward();
        assert_parity(&fixture, &store, &[("loss.total", value(&contrasted.loss))]);
        assert_close("two sums", 2.0 * value(&contrasted.loss), fixture.number("loss.two_sums"), 1e-8, 1e-6);
    }
}

#[test]
fn parity_byol() {
    for fixture in family("rival-byol") {
        let store = new_store();
        let byol = byol::ByolSettings {
            momentum: fixture.setting("m0"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
        };
        let model = byol::Byol::new(&store, &byol::Settings { encoder: encoder(), byol });
        fill_all(&fixture, &store, &[]);
        model.follow_by(fixture.setting("m"), &never());
        let [view1, view2] = views(&fixture);
        let ([one, two], _) = model.forward([&view1, &view2]);
        let total = &one + &two;
        total.backward();
        let losses =
            [("loss.total", value(&total)), ("loss.view1", value(&one)), ("loss.view2", value(&two))];
        assert_parity(&fixture, &store, &losses);
        assert_teacher_parity(&fixture, &store);
    }
}

#[test]
fn parity_moco_v2() {
    for fixture in family("rival-moco") {
        let store = new_store();
        let moco_v2 = moco_v2::MoCoSettings {
            temperature: fixture.setting("t"),
            momentum: fixture.setting("m"),
            queue: fixture.setting("queue"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            groups: fixture.setting("groups"),
        };
        let mut model = moco_v2::MoCo::new(&store, &moco_v2::Settings { encoder: encoder(), moco_v2 });
        fill_all(&fixture, &store, &["queue"]);
        model.follow_by(fixture.setting("m"), &never());
        let [query, key] = views(&fixture);
        let (contrasted, _) = model.forward([&query, &key], &fixture.tensor("shuffle").to_kind(Kind::Int64));
        contrasted.loss.backward();
        assert_parity(&fixture, &store, &[("loss.total", value(&contrasted.loss))]);
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &["queue"], |skip| model.follow_by(1.0, skip));
    }
}

#[test]
fn parity_densecl() {
    for fixture in family("rival-densecl") {
        let store = new_store();
        let densecl = densecl::DenseClSettings {
            weight: fixture.setting("weight"),
            temperature: fixture.setting("t"),
            momentum: fixture.setting("m"),
            queue: fixture.setting("queue"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            groups: 1,
        };
        let mut model = densecl::DenseCl::new(&store, &densecl::Settings { encoder: encoder(), densecl });
        fill_all(&fixture, &store, &["queue", "dense_queue"]);
        model.follow_by(fixture.setting("m"), &never());
        let [query, key] = views(&fixture);
        let order = Tensor::arange(4, (Kind::Int64, Device::Cpu));
        let (losses, matched, _) = model.forward([&query, &key], &order);
        losses.total.backward();
        let named = [
            ("loss.total", value(&losses.total)),
            ("loss.global", value(&losses.global.loss)),
            ("loss.dense", value(&losses.dense.loss)),
        ];
        assert_parity(&fixture, &store, &named);
        assert_same(&fixture, "match", &matched);
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &["queue", "dense_queue"], |skip| model.follow_by(1.0, skip));
    }
}

#[test]
fn parity_pixpro() {
    for fixture in family("rival-pixpro") {
        let store = new_store();
        let pixpro = pixpro::PixProSettings {
            momentum: fixture.setting("m"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            gamma: fixture.setting("gamma"),
            limit: fixture.setting("limit"),
            coordinates: match fixture.setting::<String>("coordinates").as_str() {
                "relative" => Coordinates::Relative,
                _ => Coordinates::Pixels,
            },
        };
        let model = pixpro::PixPro::new(&store, &pixpro::Settings { encoder: encoder(), pixpro });
        fill_all(&fixture, &store, &[]);
        model.follow_by(fixture.setting("m"), &never());
        let [view1, view2] = views(&fixture);
        let pairs = model.pairs(&cuts(&fixture), &[[500.0, 375.0]; 4], fixture.setting("size"), Device::Cpu);
        assert_same(&fixture, "pairs", &pairs);
        let ([one, two], _) = model.forward([&view1, &view2], &pairs);
        let total = &one + &two;
        total.backward();
        let losses =
            [("loss.total", value(&total)), ("loss.view1", value(&one)), ("loss.view2", value(&two))];
        assert_parity(&fixture, &store, &losses);
        assert_teacher_parity(&fixture, &store);
    }
}

fn edges(region: &Region) -> [f64; 4] {
    [region.x0, region.y0, region.x1, region.y1]
}

fn rows(numbers: &[f64], shape: &[i64]) -> Tensor {
    Tensor::from_slice(numbers).reshape(shape)
}

/// The windows of a level against the vectors; returns the valid ones.
fn windows_of(fixture: &Fixture, level: usize) -> Vec<Window> {
    let (size, name) = (fixture.setting("size"), 4 - level);
    let all = LEVELS[level].windows(&cuts(fixture), size);
    let (pictures, of_each) = (4, all.len() as i64 / 4);
    let of_first: Vec<f64> = all[..of_each as usize].iter().flat_map(|of| edges(&of.query)).collect();
    assert_same(fixture, &format!("windows{name}"), &rows(&of_first, &[of_each, 4]));
    let keys: Vec<f64> = all.iter().flat_map(|window| edges(&window.key)).collect();
    assert_same(fixture, &format!("key_windows{name}"), &rows(&keys, &[pictures, of_each, 4]));
    let valid: Vec<f64> = all.iter().map(|window| f64::from(u8::from(window.is_valid(size)))).collect();
    assert_same(fixture, &format!("valid{name}"), &rows(&valid, &[pictures, of_each]));
    all.into_iter().filter(|window| window.is_valid(size)).collect()
}

#[test]
fn parity_resim() {
    for fixture in family("rival-resim") {
        let store = new_store();
        let resim = resim::ReSimSettings {
            temperature: fixture.setting("t"),
            momentum: fixture.setting("m"),
            queue: fixture.setting("queue"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            width: fixture.setting("width"),
            groups: 1,
            ..resim::ReSimSettings::default()
        };
        let mut model = resim::ReSim::new(&store, &resim::Settings { encoder: encoder(), resim });
        fill_all(&fixture, &store, &["queue"]);
        model.follow_by(fixture.setting("m"), &never());
        let [query, key] = views(&fixture);
        let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
        let windows = [0, 1].map(|level| windows_of(&fixture, level));
        let (losses, _) = model.forward([&query, &key], &order, &windows, 1.0);
        losses.total.backward();
        let named = [
            ("loss.total", value(&losses.total)),
            ("loss.global", value(&losses.global.loss)),
            ("loss.level4", value(&losses.levels[0].loss)),
            ("loss.level3", value(&losses.levels[1].loss)),
        ];
        assert_parity(&fixture, &store, &named);
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &["queue"], |skip| model.follow_by(1.0, skip));
    }
}

/// The boxes in both views that follow from the drawn ones, against the vectors.
fn boxes_of(fixture: &Fixture) -> Vec<scrl::BoxPair> {
    let (drawn, cuts, size) = (fixture.tensor("grid_boxes"), cuts(fixture), fixture.setting("size"));
    let pair = |row: i64| {
        let [picture, x, y, width, height] = [0, 1, 2, 3, 4].map(|at| drawn.int64_value(&[row, at]) as u64);
        let views = &cuts[picture as usize];
        let image = OverlapGrid::new(views, size).unwrap().image_region([x, y, width, height]);
        scrl::BoxPair {
            picture: picture as usize,
            views: [0, 1].map(|view: usize| shown(&image, &views[view], size)),
        }
    };
    let pairs: Vec<_> = (0..drawn.size()[0]).map(pair).collect();
    for view in [0, 1] {
        let of = |pair: &scrl::BoxPair| {
            let [x0, y0, x1, y1] = edges(&pair.views[view]);
            [pair.picture as f64, x0, y0, x1, y1]
        };
        let found: Vec<f64> = pairs.iter().flat_map(of).collect();
        let name = format!("region_boxes{}", view + 1);
        assert_same(fixture, &name, &rows(&found, &[pairs.len() as i64, 5]));
    }
    pairs
}

#[test]
fn parity_scrl() {
    for fixture in family("rival-scrl") {
        let store = new_store();
        let scrl = scrl::ScrlSettings {
            momentum: fixture.setting("m"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            ..scrl::ScrlSettings::default()
        };
        let model = scrl::Scrl::new(&store, &scrl::Settings { encoder: encoder(), scrl });
        fill_all(&fixture, &store, &[]);
        model.follow_by(fixture.setting("m"), &never());
        let [view1, view2] = views(&fixture);
        let (loss, _) = model.forward([&view1, &view2], &boxes_of(&fixture));
        loss.backward();
        assert_parity(&fixture, &store, &[("loss.total", value(&loss))]);
        assert_teacher_parity(&fixture, &store);
    }
}

fn proposals(fixture: &Fixture, set: &str) -> Proposals {
    let (boxes, ids) = (fixture.tensor(&format!("boxes{set}")), fixture.tensor(&format!("ids{set}")));
    let region = |picture: i64, at: i64| {
        let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|edge| boxes.double_value(&[picture, at, edge]));
        Region { x0, y0, x1, y1 }
    };
    let pictures = || 0..boxes.size()[0];
    Proposals {
        boxes: pictures().map(|picture| [0, 1, 2, 3].map(|at| region(picture, at))).collect(),
        ids: pictures()
            .map(|picture| [0, 1, 2, 3].map(|at| ids.int64_value(&[picture, at]) as u32))
            .collect(),
    }
}

#[test]
fn parity_soco() {
    for fixture in family("rival-soco") {
        let store = new_store();
        let limits: Vec<f64> =
            fixture.setting::<String>("limits").split(',').map(|limit| limit.parse().unwrap()).collect();
        let soco = soco::SoCoSettings {
            momentum: fixture.setting("m"),
            width: fixture.setting("width"),
            head: fixture.setting("fc"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            limits: limits.try_into().unwrap(),
        };
        let model = soco::SoCo::new(&store, &soco::Settings { encoder: encoder(), soco });
        fill_all(&fixture, &store, &[]);
        model.follow_by(fixture.setting("m"), &never());
        let [view1, view2] = views(&fixture);
        let (size, small) = (fixture.setting("size"), fixture.setting("small"));
        let shape = [4, 3, i64::from(small), i64::from(small)];
        let view3 = view_by_name("view3", &shape, fixture.setting("seed"));
        let (names, sizes) = (["12", "13", "2", "3"], [size, size, size, small]);
        let sets = names.map(|name| proposals(&fixture, name));
        for (set, (name, size)) in sets.iter().zip(names.iter().zip(sizes)) {
            let levels: Vec<f64> =
                model.levels(set, size).into_iter().flatten().map(|level| level as f64).collect();
            assert_same(&fixture, &format!("levels{name}"), &rows(&levels, &[4, 4]));
        }
        for (one, two, name) in [(0, 2, "pairs12"), (1, 3, "pairs13")] {
            let pairs = model.pairs([&sets[one], &sets[two]], [sizes[one], sizes[two]], Device::Cpu);
            assert_same(&fixture, name, &pairs);
        }
        let ([one, two], _) = model.forward([&view1, &view2, &view3], &sets);
        let total = &one + &two;
        total.backward();
        let losses =
            [("loss.total", value(&total)), ("loss.views12", value(&one)), ("loss.views13", value(&two))];
        assert_parity(&fixture, &store, &losses);
        assert_teacher_parity(&fixture, &store);
    }
}

/// The order in which keys pass unshuffled.
fn in_order() -> Tensor {
    Tensor::arange(4, (Kind::Int64, Device::Cpu))
}

/// The points of a fixture, which are the same points of the picture in both views.
fn points(fixture: &Fixture) -> Points {
    let of_views = ["points1", "points2"].map(|name| fixture.tensor(name));
    let cuts = cuts(fixture);
    let recomputed = of_views[0].copy();
    let [samples, count, ..] = recomputed.size()[..] else { panic!("points") };
    for (sample, point) in (0..samples).flat_map(|sample| (0..count).map(move |point| (sample, point))) {
        let coordinate = |axis: i64| recomputed.double_value(&[sample, point, 0, axis]);
        let [one, two] = [0, 1].map(|view: usize| cuts[sample as usize][view]);
        let image = one.image_from_view(Point { x: coordinate(0), y: coordinate(1) });
        let found = two.view_from_image(image);
        recomputed.get(sample).get(point).get(0).copy_(&Tensor::from_slice(&[found.x, found.y]));
    }
    assert_same(fixture, "points2", &recomputed);
    Points { kept: None, of_views, left_out: 0, share: 1.0 }
}

#[test]
fn parity_vader() {
    for fixture in family("rival-vader") {
        let store = new_store();
        let vader = vader::VaderSettings {
            points: fixture.setting("points"),
            temperature: fixture.setting("t"),
            loss_scale: fixture.setting("scale"),
            momentum: fixture.setting("m"),
            queue: fixture.setting("queue"),
            width: fixture.setting("width"),
            dim: fixture.setting("dim"),
            norm_groups: fixture.setting("groups"),
            groups: 1,
        };
        let mut model = vader::Vader::new(&store, &vader::Settings { encoder: encoder(), vader });
        fill_all(&fixture, &store, &["queue"]);
        model.follow_by(fixture.setting("m"), &never());
        let [query, key] = views(&fixture);
        let (losses, _) = model.forward([&query, &key], &points(&fixture), &in_order());
        losses.total.backward();
        assert_parity(&fixture, &store, &[("loss.total", value(&losses.total))]);
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &["queue"], |skip| model.follow_by(1.0, skip));
    }
}

#[test]
fn parity_detco() {
    for fixture in family("rival-detco") {
        let store = new_store();
        let detco = detco::DetCoSettings {
            weights: detco::DetCoSettings::default().weights,
            temperature: fixture.setting("t"),
            momentum: fixture.setting("m"),
            queue: fixture.setting("queue"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
            groups: 1,
            ..Default::default()
        };
        let mut model = detco::DetCo::new(&store, &detco::Settings { encoder: encoder(), detco });
        let queues: Vec<_> = ["global", "local"]
            .iter()
            .flat_map(|part| (0..4).map(move |level| format!("queue.{part}.{level}")))
            .collect();
        let queues: Vec<_> = queues.iter().map(String::as_str).collect();
        fill_all(&fixture, &store, &queues);
        model.follow_by(fixture.setting("m"), &never());
        let [query, key] = views(&fixture);
        let side = fixture.setting("patch");
        let patches = ["patches1", "patches2"]
            .map(|name| view_by_name(name, &[4, 9, 3, side, side], fixture.setting("seed")));
        let (detco::Losses { levels, total, .. }, _) =
            model.forward([&query, &key], patches.each_ref(), &in_order());
        total.backward();
        for (index, level) in levels.iter().enumerate() {
            let losses = [("global", &level.global), ("local", &level.local), ("cross", &level.cross)];
            for (name, contrasted) in losses {
                let name = format!("loss.{name}{index}");
                assert_close(&name, value(&contrasted.loss), fixture.number(&name), 1e-8, 1e-6);
            }
        }
        assert_parity(&fixture, &store, &[("loss.total", value(&total))]);
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &queues, |skip| model.follow_by(1.0, skip));
    }
}

#[test]
fn parity_detcon() {
    for fixture in family("rival-detcon") {
        let store = new_store();
        let detcon = detcon::DetConSettings {
            form: match fixture.setting::<String>("form").as_str() {
                "b" => detcon::Form::B,
                _ => detcon::Form::S,
            },
            regions: fixture.setting("ids"),
            temperature: fixture.setting("t"),
            momentum: fixture.setting("m"),
            hidden: fixture.setting("hidden"),
            dim: fixture.setting("dim"),
        };
        let model = detcon::DetCon::new(&store, &detcon::Settings { encoder: encoder(), detcon });
        fill_all(&fixture, &store, &[]);
        model.follow_by(fixture.setting("m"), &never());
        let regions = ["1", "2"].map(|view| {
            let ids = |name: &str| fixture.tensor(&format!("{name}{view}")).to_kind(Kind::Int64);
            let numbers = Tensor::zeros([4, 1], (Kind::Double, Device::Cpu));
            let Regions { cells, .. } = Regions::new(&ids("labels"), [3, 32], &numbers);
            assert_same(&fixture, &format!("cells{view}"), &cells);
            Regions { cells, drawn: ids("ids") }
        });
        let [view1, view2] = views(&fixture);
        let (contrast, _) = model.forward([&view1, &view2], regions.each_ref(), 1.0);
        let [one, two] = &contrast.losses;
        let total = one + two;
        total.backward();
        let losses = [("loss.total", value(&total)), ("loss.view1", value(one)), ("loss.view2", value(two))];
        assert_parity(&fixture, &store, &losses);
        assert_teacher_parity(&fixture, &store);
    }
}

fn cast_model(fixture: &Fixture, store: &Store) -> cast::Cast {
    let cast = cast::CastSettings {
        base: match fixture.setting::<String>("base").as_str() {
            "v1" => cast::Base::V1,
            _ => cast::Base::V2,
        },
        weight: fixture.setting("alpha"),
        relu: fixture.setting::<u8>("relu") == 1,
        temperature: fixture.setting("t"),
        momentum: fixture.setting("m"),
        queue: fixture.setting("queue"),
        hidden: fixture.setting("hidden"),
        dim: fixture.setting("dim"),
        groups: 1,
    };
    let mut model = cast::Cast::new(store, &cast::Settings { encoder: encoder(), cast });
    fill_all(fixture, store, &["queue"]);
    model.follow_by(fixture.setting("m"), &never());
    model
}

fn cast_losses(losses: &cast::Losses) -> [(&'static str, f64); 3] {
    [
        ("loss.total", value(&losses.total)),
        ("loss.moco", value(&losses.contrast.loss)),
        ("loss.attention", value(&losses.attention)),
    ]
}

#[test]
fn parity_cast() {
    for fixture in family("rival-cast") {
        let store = new_store();
        let mut model = cast_model(&fixture, &store);
        let (views, masks) = (views(&fixture), ["mask", "key_mask"].map(|name| fixture.tensor(name)));
        let masks = masks.map(|mask| mask.to_kind(Kind::Double));
        let (losses, attention, _) = model.forward(views.each_ref(), masks.each_ref(), &in_order(), 1.0);
        losses.total.backward();
        assert_same(&fixture, "cam", &attention.cam);
        assert_same(&fixture, "small_mask", &attention.mask);
        assert_parity(&fixture, &store, &cast_losses(&losses));
        assert_teacher_parity(&fixture, &store);
        assert_queues(&fixture, &store, &["queue"], |skip| model.follow_by(1.0, skip));
    }
}

/// In float32 the encoder's layers are those that cannot be differentiated twice.
#[test]
fn smoke_cast_in_float32() {
    for fixture in family("rival-cast") {
        let store = Store::new(Kind::Float, Device::Cpu, 0);
        let mut model = cast_model(&fixture, &store);
        let (views, masks) = (views(&fixture), ["mask", "key_mask"].map(|name| fixture.tensor(name)));
        let [views, masks] = [views, masks].map(|of_views| of_views.map(|of| of.to_kind(Kind::Float)));
        let (losses, ..) = model.forward(views.each_ref(), masks.each_ref(), &in_order(), 1.0);
        losses.total.backward();
        assert_smoke(&fixture, &store, &cast_losses(&losses), |_| false);
    }
}
