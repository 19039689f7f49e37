//! Laws of the methods of other papers that compare boxes or whole views, and of their teachers and queues.

use std::ops::Range;
use std::time::Duration;

use densesiam_geometry::{Region, View};
use densesiam_nn::pretrain::resim::{NeckForm, Negatives, ReSimSettings};
use densesiam_nn::pretrain::scrl::{GridBox, OverlapGrid, shown};
use densesiam_nn::pretrain::{
    Chosen, Method, MethodSettings, Proposals, Views, byol, densecl, moco_v2, pixpro, resim, scrl, soco,
};
use densesiam_nn::{Group, Step, Store};
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::duration::{Horizon, Now};
use densesiam_torch_ext::StoreServer;
use tch::{Device, Kind, Tensor};

use crate::fixtures::view_by_name;
use crate::made_up::{encoder, keys, view};

const SIZE: u32 = 64;

fn equal() -> Vec<View> {
    vec![view([10.0, 20.0, 210.0, 180.0], true); 2]
}

fn apart() -> Vec<View> {
    vec![view([0.0, 0.0, 90.0, 90.0], false), view([100.0, 0.0, 200.0, 90.0], false)]
}

fn step(method: &mut dyn Method, cuts: &[Vec<View>]) -> Step {
    step_of(method, cuts, 0..cuts.len(), 2, Kind::Double)
}

/// A step with some `pictures` of a batch.
fn step_of(method: &mut dyn Method, cuts: &[Vec<View>], of: Range<usize>, views: usize, kind: Kind) -> Step {
    let shape = [cuts.len() as i64, 3, i64::from(SIZE), i64::from(SIZE)];
    let view = |view: usize| {
        let all = view_by_name(&format!("view{}", view + 1), &shape, 5).to_kind(kind);
        all.narrow(0, of.start as i64, of.len() as i64)
    };
    let pixels = (0..views).map(view).collect();
    let share = of.len() as f64 / cuts.len() as f64;
    let pictures = vec![[500.0, 375.0]; of.len()];
    let (proposals, keys) = (proposals(of.clone()), &keys(cuts.len())[of.clone()]);
    let horizon = Horizon { steps_per_epoch: 1, batch_size: cuts.len() as u64, total_steps: 10 };
    let cuts = &cuts[of];
    let views =
        Views { pixels, cuts, pictures: &pictures, keys, proposals: &proposals, share, ..Views::default() };
    method.step(&views, Now { step: 0, horizon })
}

fn small_methods() -> [Chosen; 3] {
    let encoder = encoder();
    let resim = ReSimSettings { queue: 16, hidden: 16, dim: 8, width: 8, groups: 1, ..Default::default() };
    let scrl = scrl::ScrlSettings { hidden: 16, dim: 8, ..Default::default() };
    let limits = [12.0, 20.0, 28.0];
    let soco = soco::SoCoSettings { width: 8, head: 16, hidden: 16, dim: 8, limits, ..Default::default() };
    [
        Chosen::ReSim(resim::Settings { encoder, resim }),
        Chosen::Scrl(scrl::Settings { encoder, scrl }),
        Chosen::SoCo(soco::Settings { encoder, soco }),
    ]
}

fn views_of(method: &Chosen) -> usize {
    if method.settings().name() == "soco" { 3 } else { 2 }
}

/// Four boxes of each picture in each of four sets.
fn proposals(pictures: Range<usize>) -> Vec<Proposals> {
    let set = |set: u32| {
        let mut drawn = pictures.clone().map(|picture| {
            let mut stream = Key::new(4, Purpose::Demo).sample(picture as u64).view(set).rng();
            let mut region = |_| {
                let [x0, y0] = [0.0, 0.0].map(|_: f64| stream.random_range(0.0..0.5));
                let [width, height] = [0.0, 0.0].map(|_: f64| stream.random_range(0.2..0.5));
                Region { x0, y0, x1: x0 + width, y1: y0 + height }
            };
            [0, 1, 2, 3].map(&mut region)
        });
        Proposals { boxes: drawn.by_ref().collect(), ids: pictures.clone().map(|_| [0, 1, 2, set]).collect() }
    };
    (0..4).map(set).collect()
}

fn new_store() -> Store {
    Store::new(Kind::Double, Device::Cpu, 7)
}

fn part(step: &Step, name: &str) -> f64 {
    step.parts.iter().find(|(other, _)| *other == name).unwrap().1.double_value(&[])
}

fn in_common(one: &GridBox, two: &GridBox) -> f64 {
    let common = |axis: usize| {
        let low = one[axis].max(two[axis]);
        (one[axis] + one[axis + 2]).min(two[axis] + two[axis + 2]).saturating_sub(low)
    };
    let common = (common(0) * common(1)) as f64;
    common / ((one[2] * one[3] + two[2] * two[3]) as f64 - common)
}

#[test]
fn every_method_can_be_named_and_written() {
    for name in Chosen::NAMES {
        let method = Chosen::named(name).unwrap();
        method.settings().validate().unwrap();
        // SimSiam is DenseSiam without dense losses.
        let table = if name == "simsiam" { "densesiam" } else { name };
        assert_eq!(method.settings().name(), table);
        assert!(method.tables().unwrap().contains_key("encoder"), "{name}");
    }
}

/// Methods with a teacher, a queue, or both.
fn followed() -> [Chosen; 4] {
    let encoder = encoder();
    let byol = byol::ByolSettings { hidden: 16, dim: 8, ..Default::default() };
    let moco_v2 = moco_v2::MoCoSettings { queue: 6, dim: 8, groups: 1, ..Default::default() };
    let densecl = densecl::DenseClSettings { queue: 6, hidden: 16, dim: 8, groups: 1, ..Default::default() };
    let pixpro = pixpro::PixProSettings { hidden: 16, dim: 8, ..Default::default() };
    [
        Chosen::Byol(byol::Settings { encoder, byol }),
        Chosen::MoCoV2(moco_v2::Settings { encoder, moco_v2 }),
        Chosen::DenseCl(densecl::Settings { encoder, densecl }),
        Chosen::PixPro(pixpro::Settings { encoder, pixpro }),
    ]
}

#[test]
fn a_step_that_is_skipped_moves_no_teacher_and_no_queue() {
    for method in followed().into_iter().chain(small_methods()) {
        let store = new_store();
        let mut model = method.settings().build(&store);
        let cuts = vec![equal(); 4];
        let _ = step_of(&mut *model, &cuts, 0..4, views_of(&method), Kind::Double);
        // A student that is not finite must not reach its teacher either.
        for (_, mut parameter) in store.parameters() {
            let _ = tch::no_grad(|| parameter.fill_(f64::NAN));
        }
        let teacher = || store.state().into_iter().filter(|(name, _)| !name.starts_with("encoder"));
        let before: Vec<_> = teacher().map(|(_, tensor)| tensor.copy()).collect();
        let horizon = Horizon { steps_per_epoch: 1, batch_size: 4, total_steps: 10 };
        model.follow(Now { step: 0, horizon }, &Tensor::from(1.0f32));
        for (before, (name, after)) in before.iter().zip(teacher()) {
            let same = before.eq_tensor(&after).logical_or(&before.isnan()).all();
            assert!(same.int64_value(&[]) != 0, "{name}");
        }
    }
}

/// The momentum of the step that was taken, by the teacher that it makes of a student of 1 and a teacher of 0.
#[test]
fn momenta_rise_as_published() {
    let at = |method: &Chosen, step: u64| {
        let store = new_store();
        let mut model = method.settings().build(&store);
        for [mut student, mut teacher] in store.student_and_teacher(false) {
            let _ = tch::no_grad(|| (student.fill_(1.0), teacher.fill_(0.0)));
        }
        let horizon = Horizon { steps_per_epoch: 1, batch_size: 4, total_steps: 1000 };
        model.follow(Now { step, horizon }, &Tensor::from(0.0f32));
        1.0 - store.student_and_teacher(false)[0][1].flatten(0, -1).double_value(&[0])
    };
    let cosine =
        |start: f64, done: f64| 1.0 - (1.0 - start) * ((std::f64::consts::PI * done).cos() + 1.0) / 2.0;
    let [byol, moco_v2, _, pixpro] = followed();
    let [resim, scrl, soco] = small_methods();
    for (method, start, later) in [(&byol, 0.996, 0), (&pixpro, 0.99, 1), (&scrl, 0.97, 0), (&soco, 0.99, 1)]
    {
        for step in [0, 500, 999] {
            let expected = cosine(start, (step + later) as f64 / 1000.0);
            assert!((at(method, step) - expected).abs() < 1e-12, "{method:?} at {step}: {expected}");
        }
    }
    for method in [&moco_v2, &resim] {
        assert!([0, 999].iter().all(|&step| (at(method, step) - 0.999).abs() < 1e-12), "{method:?}");
    }
}

/// Queues keep float32 in a bfloat16 training: lengths of 1, and more digits than bfloat16 has.
#[test]
fn keys_of_a_bfloat16_step_have_length_1() {
    let [_, moco_v2, densecl, _] = followed();
    for method in [moco_v2, densecl] {
        let store = Store::new(Kind::Float, Device::Cpu, 7);
        let mut model = method.settings().build(&store);
        let _ = step_of(&mut *model, &vec![equal(); 4], 0..4, 2, Kind::BFloat16);
        let horizon = Horizon { steps_per_epoch: 1, batch_size: 4, total_steps: 10 };
        model.follow(Now { step: 0, horizon }, &Tensor::from(0.0f32));
        for (name, queue) in store.state().into_iter().filter(|(name, _)| name.ends_with("queue")) {
            let keys = queue.narrow(1, 0, 4);
            let off =
                (keys.square().sum_dim_intlist(0, false, Kind::Float) - 1.0).abs().max().double_value(&[]);
            assert!(off < 1e-5, "{name}: {off:e}");
            assert!(!keys.equal(&keys.to_kind(Kind::BFloat16).to_kind(Kind::Float)), "{name}");
        }
    }
}

/// In bfloat16 the losses are those of float32 but for rounding.
#[test]
fn steps_in_bfloat16() {
    for method in small_methods() {
        let losses = [Kind::Float, Kind::BFloat16].map(|kind| {
            let store = Store::new(Kind::Float, Device::Cpu, 7);
            let mut model = method.settings().build(&store);
            let cuts = vec![equal(); 4];
            step_of(&mut *model, &cuts, 0..4, views_of(&method), kind).loss.double_value(&[])
        });
        assert!((losses[0] - losses[1]).abs() < 0.05 * losses[0].abs() + 0.05, "{method:?}: {losses:?}");
    }
}

#[test]
fn boxes_lie_in_the_overlap_and_apart_from_each_other() {
    let mut stream = Key::new(2, Purpose::Demo).rng();
    let (mut grids, mut close, mut pairs) = (0, 0, 0);
    for sample in 0..300 {
        let mut crop = || {
            let [x, y] = [0.0, 0.0].map(|_: f64| stream.random_range(0.0..200.0));
            let [width, height] = [0.0, 0.0].map(|_: f64| stream.random_range(60.0..300.0));
            view([x, y, x + width, y + height], stream.random())
        };
        let views = [crop(), crop()];
        let Some(grid) = OverlapGrid::new(&views, 224) else { continue };
        grids += 1;
        let key = Key::new(2, Purpose::Boxes).sample(sample);
        let boxes = grid.draw(4, &mut key.rng());
        assert_eq!(boxes, grid.draw(4, &mut key.rng()), "the same key draws the same boxes");
        assert_eq!(boxes.len(), 4);
        for (index, drawn) in boxes.iter().enumerate() {
            for axis in [0, 1] {
                assert!(
                    drawn[axis + 2] >= 32 && drawn[axis] + drawn[axis + 2] <= grid.sides()[axis],
                    "{drawn:?}"
                );
            }
            pairs += index;
            close += boxes[..index].iter().filter(|earlier| in_common(earlier, drawn) >= 0.5).count();
            for view in &views {
                let Region { x0, y0, x1, y1 } = shown(&grid.image_region(*drawn), view, 224);
                assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= 224.0 && y1 <= 224.0);
                // Half a grid pixel may lie outside, which is at most 2.5 pixels where a view shows the picture 5 times larger.
                assert!(x1 - x0 >= 29.5 && y1 - y0 >= 29.5, "{drawn:?} in {view:?}");
            }
        }
    }
    assert!(grids > 100, "{grids}");
    // Where the overlap has no room for four boxes the last try is kept.
    assert!(close * 5 < pairs, "{close} of {pairs}");
}

#[test]
fn a_batch_without_a_box_has_no_loss() {
    let settings = scrl::Settings {
        encoder: encoder(),
        scrl: scrl::ScrlSettings { hidden: 16, dim: 8, ..Default::default() },
    };
    let mut method = scrl::Scrl::new(&new_store(), &settings);
    let none = step(&mut method, &[apart(), apart()]);
    assert_eq!((part(&none, "loss_box"), none.counts.clone()), (0.0, vec![("without_boxes", 1)]));
    assert!(!none.loss.requires_grad());
    let some = step(&mut method, &[equal(), apart()]);
    assert!(part(&some, "loss_box") > 0.0 && some.loss.requires_grad());
    assert_eq!(some.counts, [("without_boxes", 0)]);
}

fn resim_step(cuts: &[Vec<View>], change: impl Fn(&mut ReSimSettings)) -> Step {
    let mut resim =
        ReSimSettings { queue: 16, hidden: 16, dim: 8, width: 8, groups: 2, ..Default::default() };
    change(&mut resim);
    let settings = resim::Settings { encoder: encoder(), resim };
    settings.validate().unwrap();
    step(&mut resim::ReSim::new(&new_store(), &settings), cuts)
}

/// The settings of negatives and of the neck change what they say, and nothing else.
#[test]
fn resim_negatives_and_necks() {
    let cuts = vec![equal(), equal(), equal(), apart()];
    let all = resim_step(&cuts, |_| ());
    let local = resim_step(&cuts, |resim| resim.negatives = Negatives::Local);
    let (levels, of_all) = (["loss_global", "loss_level4"], part(&all, "loss_level3"));
    assert_eq!(levels.map(|name| part(&all, name)), levels.map(|name| part(&local, name)));
    let of_local = part(&local, "loss_level3");
    assert!(of_local < of_all && of_all < of_local + 1.0, "half of the negatives: {of_local} and {of_all}");
    let conv = resim_step(&cuts, |resim| resim.neck = NeckForm::Conv);
    let names: Vec<_> = conv.parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["loss_global", "accuracy", "loss_level4", "accuracy_level4"]);
}

#[test]
fn resim_without_a_window_is_moco() {
    let none = resim_step(&[apart(), apart(), apart(), apart()], |_| ());
    assert_eq!(none.counts, [("without_windows", 1)]);
    assert_eq!(["loss_level4", "loss_level3"].map(|name| part(&none, name)), [0.0; 2]);
    assert_eq!(none.loss.double_value(&[]), part(&none, "loss_global"));
    let some = resim_step(&[apart(), apart(), apart(), equal()], |_| ());
    assert_eq!(some.counts, [("without_windows", 0)]);
}

/// The loss of some pictures of a batch, and its gradients.
fn loss_and_gradients(method: &Chosen, group: &Group, cuts: &[Vec<View>], of: Range<usize>) -> Vec<Vec<f64>> {
    let store = new_store().with_group(group.clone());
    let mut model = method.settings().build(&store);
    let step = step_of(&mut *model, cuts, of, views_of(method), Kind::Double);
    step.loss.backward();
    let values = |tensor: Tensor| Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    let gradients = store.parameters().into_iter().map(|(_, parameter)| values(parameter.grad()));
    [values(step.loss.detach())].into_iter().chain(gradients).collect()
}

/// The shares of two processes sum to the loss and to the gradients of one, also where one has nothing to compare.
#[test]
fn two_processes_are_as_one() {
    let methods = small_methods();
    let partly = vec![view([0.0, 0.0, 200.0, 150.0], false), view([40.0, 20.0, 240.0, 180.0], false)];
    for cuts in [[equal(), partly.clone(), equal()], [equal(), partly.clone(), apart()]] {
        for method in &methods {
            let alone = loss_and_gradients(method, &Group::alone(), &cuts, 0..3);
            let server = StoreServer::start(0).unwrap();
            let port = server.port();
            let mut shares = std::thread::scope(|scope| {
                let (cuts, parts) = (&cuts, [0..2, 2..3]);
                let start = |(rank, of): (usize, Range<usize>)| {
                    scope.spawn(move || {
                        let store = ("127.0.0.1", port);
                        let timeout = Duration::from_secs(60);
                        let group = Group::join(store, false, "law", [rank, 2], timeout).unwrap();
                        loss_and_gradients(method, &group, cuts, of)
                    })
                };
                let threads: Vec<_> = parts.into_iter().enumerate().map(start).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            let (two, one) = (shares.pop().unwrap(), shares.pop().unwrap());
            for (index, whole) in alone.iter().enumerate() {
                let largest = whole.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
                for (at, whole) in whole.iter().enumerate() {
                    let sum = one[index][at] + two[index][at];
                    let name = method.settings().name();
                    assert!(
                        (sum - whole).abs() <= 1e-9 + 1e-7 * largest,
                        "{name} {index}: {sum} is not {whole}"
                    );
                }
            }
        }
    }
}
