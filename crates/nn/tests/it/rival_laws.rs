//! Laws of the methods of other papers that hold for any weights.

use densesiam_geometry::{Region, View};
use densesiam_nn::parts::boxes::{GridBox, OverlapGrid, shown};
use densesiam_nn::parts::windows::NeckForm;
use densesiam_nn::pretrain::resim::{Negatives, ReSimSettings};
use densesiam_nn::pretrain::{Method, MethodSettings, Views, resim, scrl};
use densesiam_nn::{Architecture, EncoderSettings, Step, Store};
use densesiam_random::{Key, Purpose, RngExt};
use densesiam_settings::duration::{Horizon, Now};
use tch::{Device, Kind};

use crate::fixtures::view_by_name;

const SIZE: u32 = 96;

fn encoder() -> EncoderSettings {
    EncoderSettings { architecture: Architecture::ResNet18, ..EncoderSettings::default() }
}

fn view([x0, y0, x1, y1]: [f64; 4], flip: bool) -> View {
    View { crop: Region { x0, y0, x1, y1 }, flip }
}

fn equal() -> Vec<View> {
    vec![view([10.0, 20.0, 210.0, 180.0], true); 2]
}

fn apart() -> Vec<View> {
    vec![view([0.0, 0.0, 90.0, 90.0], false), view([100.0, 0.0, 200.0, 90.0], false)]
}

fn keys(count: u64) -> Vec<Key> {
    (0..count).map(|sample| Key::new(1, Purpose::Points).sample(sample)).collect()
}

fn step(method: &mut dyn Method, cuts: &[Vec<View>]) -> Step {
    let shape = [cuts.len() as i64, 3, i64::from(SIZE), i64::from(SIZE)];
    let pixels = ["view1", "view2"].map(|name| view_by_name(name, &shape, 5)).into();
    let pictures = vec![[500.0, 375.0]; cuts.len()];
    let keys = keys(cuts.len() as u64);
    let horizon = Horizon { steps_per_epoch: 1, batch_size: cuts.len() as u64, total_steps: 10 };
    let views = Views { pixels, cuts, pictures: &pictures, keys: &keys, proposals: &[], share: 1.0 };
    method.step(&views, Now { step: 0, horizon })
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
