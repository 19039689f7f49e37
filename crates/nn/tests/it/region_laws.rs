//! Laws of the methods of other papers that compare points, patches, segments or salient regions.

use std::ops::Range;
use std::time::Duration;

use densesiam_geometry::{Point, View};
use densesiam_nn::parts::nt_xent;
use densesiam_nn::pretrain::detcon::{Regions, region_contrast};
use densesiam_nn::pretrain::vader::Points;
use densesiam_nn::pretrain::{Chosen, MethodSettings, Views, cast, detco, detcon, vader};
use densesiam_nn::{Group, Step, Store};
use densesiam_settings::duration::{Horizon, Now};
use densesiam_torch_ext::StoreServer;
use tch::{Device, Kind, Tensor};

use crate::made_up::{encoder, keys, noise, value, view};

const PLACE: (Kind, Device) = (Kind::Double, Device::Cpu);

fn overlapping() -> Vec<View> {
    vec![view([10.0, 20.0, 210.0, 180.0], false), view([60.0, 0.0, 300.0, 150.0], true)]
}

fn apart() -> Vec<View> {
    vec![view([0.0, 0.0, 50.0, 50.0], false), view([50.0, 0.0, 90.0, 50.0], false)]
}

fn small_vader() -> vader::Settings {
    let vader = vader::VaderSettings {
        points: 5,
        queue: 16,
        width: 16,
        dim: 8,
        norm_groups: 4,
        groups: 1,
        ..vader::VaderSettings::default()
    };
    vader::Settings { encoder: encoder(), vader }
}

#[test]
fn vaders_points_are_the_same_in_the_picture_and_belong_to_their_sample_alone() {
    let cuts = [overlapping(), apart(), overlapping()];
    let points = Points::draw(5, &cuts, &keys(3), PLACE, &Group::alone());
    assert_eq!((points.left_out, points.share), (1, 1.0));
    assert_eq!(Vec::<i64>::try_from(points.kept.unwrap()).unwrap(), [0, 2]);
    let coordinates = points.of_views.each_ref().map(|of_view| {
        assert_eq!(of_view.size(), [2, 5, 1, 2]);
        Vec::<f64>::try_from(of_view.flatten(0, -1)).unwrap()
    });
    for (one, two) in coordinates[0].chunks(2).zip(coordinates[1].chunks(2)) {
        let [one, two] = [(0, one), (1, two)]
            .map(|(view, xy)| overlapping()[view].image_from_view(Point { x: xy[0], y: xy[1] }));
        assert!((one.x - two.x).abs() < 1e-9 && (one.y - two.y).abs() < 1e-9, "{one:?} {two:?}");
        assert!((60.0..=210.0).contains(&one.x) && (20.0..=150.0).contains(&one.y), "{one:?}");
    }
    let alone = Points::draw(5, &cuts[2..], &keys(3)[2..], PLACE, &Group::alone());
    assert_eq!(value(&(points.of_views[0].get(1) - alone.of_views[0].get(0)).abs().max()), 0.0);
    assert_ne!(value(&(points.of_views[0].get(0) - points.of_views[0].get(1)).abs().max()), 0.0);
}

#[test]
fn vader_trains_with_any_number_of_points() {
    // More keys than columns, fewer, and none; the maps of 72 pixels have odd sides.
    for (cuts, size, queued) in [
        (vec![overlapping(); 4], 72, 20),
        (vec![overlapping(), apart(), apart(), overlapping()], 64, 10),
        (vec![apart(); 4], 64, 0),
    ] {
        for kind in [Kind::Double, Kind::Float] {
            let store = Store::new(kind, Device::Cpu, 7);
            let mut model = vader::Vader::new(&store, &small_vader());
            let find = |name: &str| store.state().into_iter().find(|(other, _)| other == name).unwrap().1;
            let before = find("queue").copy();
            let points = Points::draw(5, &cuts, &keys(4), (kind, Device::Cpu), &Group::alone());
            let views = [0, 1].map(|view| noise(&[4, 3, size, size], view).to_kind(kind));
            let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
            let (losses, _) = model.forward(views.each_ref(), &points, &order);
            losses.total.backward();
            assert_eq!(losses.total.kind(), kind);
            assert_eq!(value(&losses.total) > 0.0, queued > 0);
            for (name, parameter) in store.parameters() {
                let gradient = parameter.grad();
                assert!(gradient.defined() && bool::try_from(gradient.isfinite().all()).unwrap(), "{name}");
            }
            model.follow_by(0.5, &Tensor::from(0.0f32));
            assert_eq!(find("queue_ptr").int64_value(&[]), queued % 16);
            let written = (find("queue") - before).abs().amax([0], false).gt(0.0).sum(Kind::Int64);
            assert_eq!(written.int64_value(&[]), queued.min(16));
        }
    }
}

fn unit_rows(rows: i64, sample: u64) -> Tensor {
    let rows = noise(&[rows, 8], sample);
    &rows / rows.norm_scalaropt_dim(2.0, [1i64], true)
}

#[test]
fn with_one_region_a_picture_detcon_s_is_simclr() {
    let z = [unit_rows(5, 1), unit_rows(5, 2)];
    let leaves = || z.each_ref().map(|rows| rows.copy().set_requires_grad(true));
    let [simclr, detcon] = [leaves(), leaves()];
    let expected = nt_xent(simclr.each_ref(), 0.1, &Group::alone(), 1.0).loss;
    expected.backward();
    // An id says which region of a picture it is, and may be another in every picture. The loss is the sum of two means over
    // five rows each, SimCLR's is the mean over all ten.
    for drawn in [[0i64, 0, 0, 0, 0], [3, 1, 4, 1, 5]] {
        let drawn = Tensor::from_slice(&drawn).unsqueeze(1);
        let found = region_contrast(detcon.each_ref(), detcon.each_ref(), [&drawn, &drawn], 0, 0.1);
        let found = &found.losses[0] + &found.losses[1];
        assert!((value(&found) - 2.0 * value(&expected)).abs() < 1e-12);
        found.backward();
    }
    for (simclr, detcon) in simclr.iter().zip(&detcon) {
        // Two backward passes of twice the loss.
        assert!(value(&(simclr.grad() * 4.0 - detcon.grad()).abs().max()) < 1e-12);
    }
}

#[test]
fn a_region_without_its_like_in_the_other_view_has_no_loss_but_counts() {
    let rows = [unit_rows(4, 1), unit_rows(4, 2)];
    let drawn = [[1i64, 2, 3, 3], [2, 1, 3, 3]].map(|ids| Tensor::from_slice(&ids).reshape([2, 2]));
    let apart = [[1i64, 2, 3, 3], [5, 6, 3, 3]].map(|ids| Tensor::from_slice(&ids).reshape([2, 2]));
    let contrast =
        |ids: &[Tensor; 2]| region_contrast(rows.each_ref(), rows.each_ref(), ids.each_ref(), 0, 0.1);
    assert_eq!(value(&contrast(&drawn).matched), 1.0);
    let halved = contrast(&apart);
    assert_eq!(value(&halved.matched), 0.5);
    // Rows 2 and 3 of view 1 are one region drawn twice: together they weigh as one row, of four.
    let logits = rows[0].matmul(&Tensor::cat(&[&rows[1], &rows[0].narrow(0, 0, 2)], 0).tr()) / 0.1;
    let positives = logits.narrow(1, 2, 2).mean_dim(1, false, Kind::Double);
    let of_rows = logits.logsumexp([1], false) - positives;
    let expected = (of_rows.double_value(&[2]) + of_rows.double_value(&[3])) / 2.0 / 4.0;
    assert!((value(&halved.losses[0]) - expected).abs() < 1e-12);
}

#[test]
fn a_cell_is_of_the_region_with_most_pixels_and_of_the_lowest_of_several() {
    // 6 pixels a side in cells of 4: the last cells have 2 columns, or rows, or both.
    let labels = Tensor::from_slice(&[
        7i64, 7, 7, 7, 2, 9, //
        7, 7, 7, 7, 2, 9, //
        5, 5, 5, 5, 2, 9, //
        5, 5, 5, 5, 2, 9, //
        1, 1, 0, 0, 8, 4, //
        1, 1, 0, 257, 8, 4,
    ]);
    let numbers = Tensor::from_slice(&[0.0, 0.24, 0.25, 0.5, 0.75, 1.0 - f64::EPSILON]).unsqueeze(0);
    let regions = Regions::new(&labels.reshape([1, 6, 6]), [2, 4], &numbers);
    let values = |ids: &Tensor| Vec::<i64>::try_from(ids.flatten(0, -1)).unwrap();
    // 257 is 1, as in a byte.
    assert_eq!(values(&regions.cells), [5, 2, 1, 4]);
    assert_eq!(values(&regions.drawn), [1, 1, 2, 4, 5, 5]);
    let map = noise(&[1, 3, 2, 2], 4);
    let means = regions.means(&map);
    assert_eq!(value(&(means.get(2) - map.get(0).select(1, 0).select(1, 1)).abs().max()), 0.0);
}

#[test]
fn detcon_draws_other_numbers_for_each_view_and_sample() {
    let numbers = |view| Regions::numbers(&keys(2), view, 4, Device::Cpu);
    assert_eq!(value(&(numbers(0) - numbers(0)).abs().max()), 0.0);
    assert!(value(&(numbers(0) - numbers(1)).abs().min()) > 0.0);
    assert!(value(&(numbers(0).get(0) - numbers(0).get(1)).abs().min()) > 0.0);
    assert!(value(&numbers(0).min()) >= 0.0 && value(&numbers(0).max()) < 1.0);
}

fn small_detco() -> detco::Settings {
    let detco = detco::DetCoSettings { queue: 8, hidden: 16, dim: 8, groups: 1, ..Default::default() };
    detco::Settings { encoder: encoder(), detco }
}

fn small_detcon(form: detcon::Form) -> detcon::Settings {
    let detcon = detcon::DetConSettings { form, regions: 3, hidden: 16, dim: 8, ..Default::default() };
    detcon::Settings { encoder: encoder(), detcon }
}

fn small_cast() -> cast::Settings {
    let base = cast::Base::V2;
    let cast = cast::CastSettings { base, queue: 8, hidden: 16, dim: 8, groups: 1, ..Default::default() };
    cast::Settings { encoder: encoder(), cast }
}

const FORMS: [fn() -> Box<dyn MethodSettings>; 5] = [
    || Box::new(small_vader()),
    || Box::new(small_detco()),
    || Box::new(small_detcon(detcon::Form::B)),
    || Box::new(small_detcon(detcon::Form::S)),
    || Box::new(small_cast()),
];

/// A step of a process that has these of six pictures, views in `kind`; its gradients are in the store.
fn step(settings: &dyn MethodSettings, kind: Kind, pictures: &Range<usize>, group: &Group) -> (Store, Step) {
    let losses = if kind == Kind::Double { Kind::Double } else { Kind::Float };
    let store = Store::new(losses, Device::Cpu, 7).with_group(group.clone());
    let mut method = settings.build(&store);
    let own = |all: &Tensor| all.narrow(0, pictures.start as i64, pictures.len() as i64);
    let of_views = |shape: &[i64], sample: u64| -> Vec<Tensor> {
        [sample, sample + 1].map(|sample| own(&noise(shape, sample))).into()
    };
    let in_kind = |of_views: Vec<Tensor>| of_views.iter().map(|of| of.to_kind(kind)).collect();
    let cuts = [overlapping(), apart(), overlapping(), overlapping(), apart(), overlapping()];
    let keys = keys(6);
    let views = Views {
        pixels: in_kind(of_views(&[6, 3, 64, 64], 0)),
        patches: in_kind(of_views(&[6, 9, 3, 32, 32], 2)),
        labels: of_views(&[6, 64, 64], 4).iter().map(|u| (u * 2.0 + 2.0).to_kind(Kind::Int64)).collect(),
        saliency: of_views(&[6, 64, 64], 6).iter().map(|u| u.gt(0.0).to_kind(losses)).collect(),
        cuts: &cuts[pictures.clone()],
        pictures: &[[300.0, 200.0]; 6][pictures.clone()],
        keys: &keys[pictures.clone()],
        share: pictures.len() as f64 / 6.0,
        ..Views::default()
    };
    let now = Now { step: 3, horizon: Horizon { steps_per_epoch: 10, batch_size: 6, total_steps: 100 } };
    let step = method.step(&views, now);
    step.loss.backward();
    method.follow(now, &Tensor::from(0.0f32));
    (store, step)
}

/// Numbers of such a step. Sums over the processes: the losses and other parts, the beginnings of all gradients. The same in
/// all: the queues after the step.
fn numbers_of_a_step(settings: &dyn MethodSettings, pictures: &Range<usize>, group: &Group) -> [Vec<f64>; 2] {
    let (store, step) = step(settings, Kind::Double, pictures, group);
    let mut summed = vec![value(&step.loss)];
    summed.extend(step.parts.iter().map(|(_, part)| value(part)));
    summed.extend(step.counts.iter().map(|(_, count)| *count as f64));
    for (_, parameter) in store.parameters() {
        let gradient = parameter.grad().contiguous().flatten(0, -1);
        summed.extend(Vec::<f64>::try_from(gradient.narrow(0, 0, gradient.size()[0].min(8))).unwrap());
    }
    let queues = store.state().into_iter().filter(|(name, _)| name.contains("queue"));
    let queued = |(_, queue): (String, Tensor)| {
        Vec::<f64>::try_from(queue.to_kind(Kind::Double).flatten(0, -1)).unwrap()
    };
    [summed, queues.flat_map(queued).collect()]
}

#[test]
fn several_processes_make_the_step_of_one() {
    for form in FORMS {
        let settings = form();
        let [summed, same] = numbers_of_a_step(&*settings, &(0..6), &Group::alone());
        // One of the processes has no picture.
        let parts = [0..4, 4..4, 4..6];
        let server = StoreServer::start(0).unwrap();
        let address = ("127.0.0.1", server.port());
        let found: Vec<_> = std::thread::scope(|scope| {
            let start = |(rank, pictures)| {
                scope.spawn(move || {
                    let wait = Duration::from_secs(60);
                    let group = Group::join(address, false, "test", [rank, 3], wait).unwrap();
                    numbers_of_a_step(&*form(), pictures, &group)
                })
            };
            let threads: Vec<_> = parts.iter().enumerate().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-9 + 1e-6 * expected.abs();
        for (index, expected) in summed.iter().enumerate() {
            let sum = found.iter().map(|[summed, _]| summed[index]).sum();
            assert!(close(sum, *expected), "{}: number {index} is {sum}, not {expected}", settings.name());
        }
        for [_, queues] in &found {
            assert_eq!(queues.len(), same.len());
            let equal = queues.iter().zip(&same).all(|(found, expected)| close(*found, *expected));
            assert!(equal, "{}: queues", settings.name());
        }
    }
}

#[test]
fn a_bfloat16_view_gives_nearly_the_losses_of_float32_and_float32_gradients() {
    for form in FORMS {
        let settings = form();
        let losses = |kind| {
            let (store, step) = step(&*settings, kind, &(0..6), &Group::alone());
            for (name, parameter) in store.parameters() {
                let gradient = parameter.grad();
                let finite = gradient.defined() && bool::try_from(gradient.isfinite().all()).unwrap();
                assert!(finite && gradient.kind() == Kind::Float, "{}: {name}", settings.name());
            }
            assert_eq!(step.loss.kind(), Kind::Float);
            value(&step.loss)
        };
        let (half, single) = (losses(Kind::BFloat16), losses(Kind::Float));
        let close = (half - single).abs() < 0.05 * single.abs().max(1.0);
        assert!(close, "{}: {half} is not nearly {single}", settings.name());
    }
}

#[test]
fn the_published_settings_are_allowed_and_have_the_name_of_their_method() {
    for name in ["vader", "detco", "detcon", "cast"] {
        assert!(Chosen::NAMES.contains(&name));
        let chosen = Chosen::named(name).unwrap();
        let settings = chosen.settings();
        assert_eq!((settings.name(), settings.validate()), (name, Ok(())));
        assert!(chosen.tables().unwrap().contains_key(name));
        assert_eq!(settings.fits_batch(256, 1), Ok(()));
    }
    for form in FORMS {
        assert_eq!(form().validate(), Ok(()));
    }
}
