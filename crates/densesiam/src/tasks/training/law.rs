//! The law of several processes: together they compute what one process computes with the whole batch, up to the order of sums.
//! Each process is a thread here, with a model of its own in float64.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration as Timeout;

use densesiam_data::decode::DecodeLimits;
use densesiam_data::demo::{DemoSettings, write_demo};
use densesiam_data::detection::{Annotation, DetectionSet, DetectionViews, Object};
use densesiam_data::index::ImageIndex;
use densesiam_data::labelled::LabelledSet;
use densesiam_data::loader::{Loader, LoaderSettings};
use densesiam_data::order::{Part, Schedule};
use densesiam_data::views::Augmentation;
use densesiam_data::views::beside::{Beside, PretrainViews};
use densesiam_data::views::labelled::LabelledCrops;
use densesiam_engine::interrupt::Interrupt;
use densesiam_engine::optimizer::{GroupRule, Optimizer, OptimizerSettings};
use densesiam_geometry::Region;
use densesiam_nn::segment::Pass;
use densesiam_nn::{Group, Store};
use densesiam_random::{Key, Purpose};
use densesiam_settings::duration::{Duration, Horizon};
use densesiam_torch_ext::StoreServer;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::recipe::load;
use crate::recipe::pretrain::PretrainRecipe;
use crate::recipe::segment::SegmentRecipe;
use crate::recipe::transfer::detection::DetectionRecipe;
use crate::recipe::transfer::segmentation::FcnRecipe;
use crate::tasks::pretrain::{Plan, PretrainLearner};
use crate::tasks::segment::SegmentLearner;
use crate::tasks::segment::clusters::{gather, settled};
use crate::tasks::transfer::detection::DetectionLearner;
use crate::tasks::transfer::segmentation::FcnLearner;

const STEPS: u64 = 20;
/// Small, because training is chaotic: at 0.05 rounding errors of 1e-16 are 1e-11 after four steps. An error of a ten-millionth of
/// the gradients is found all the same.
const LEARNING_RATE: f64 = 1e-5;
/// Of the largest value of a tensor. Seen were 7e-13 for the first pre-training and 1e-13 for all others.
const TOLERANCE: f64 = 1e-11;
/// The step whose parameters are not finite in one process.
const SPOILT: u64 = 7;

/// What a process knows after its steps.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Names and values of parameters, running statistics and momentum.
    tensors: Vec<(String, Vec<f64>)>,
    /// The numbers of each step.
    numbers: Vec<Vec<(&'static str, f64)>>,
    counts: Vec<Vec<(&'static str, u64)>>,
    bad_files: Vec<(u64, String)>,
}

/// Trains `world` processes together.
fn train_together<L: Learner>(
    world: usize,
    batch_size: usize,
    pictures: &Arc<ImageIndex>,
    learner: impl Fn(&Store) -> (L, L::Augmentation) + Sync,
) -> Vec<Outcome> {
    let server = StoreServer::start(0).unwrap();
    let (learner, port) = (&learner, server.port());
    std::thread::scope(|scope| {
        let start = |rank| {
            scope.spawn(move || {
                let group = match world {
                    1 => Group::alone(),
                    _ => {
                        Group::join(("127.0.0.1", port), false, "law", [rank, world], Timeout::from_secs(60))
                            .unwrap()
                    }
                };
                let store = Store::new(Kind::Double, Device::Cpu, 3).with_group(group);
                let (learner, views) = learner(&store);
                take_steps(learner, views, store, batch_size, pictures)
            })
        };
        let threads: Vec<_> = (0..world).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn take_steps<L: Learner>(
    mut learner: L,
    augmentation: L::Augmentation,
    store: Store,
    batch_size: usize,
    pictures: &Arc<ImageIndex>,
) -> Outcome {
    let group = store.group().clone();
    let rules = [GroupRule::scheduled("all", "*")];
    let settings = OptimizerSettings::default();
    let optimizer = Optimizer::new(&settings, batch_size as u64, &store.parameters(), &rules).unwrap();
    let mut state = State::new(store, optimizer);
    let mut loader = loader(augmentation, &group, batch_size, pictures);
    let horizon =
        Horizon::new(Duration::Steps(STEPS), (pictures.len() / batch_size) as u64, batch_size as u64)
            .unwrap();
    let (mut numbers, mut counts) = (Vec::new(), Vec::new());
    for step in 0..STEPS {
        let batch =
            next_batch(&mut loader, (&group, step, false), &Interrupt::never()).unwrap().unwrap().batch;
        let parameters = state.store.parameters();
        let (_, stem) = parameters.iter().find(|(name, _)| name.ends_with(".conv1.weight")).unwrap();
        let before = stem.copy();
        if step == SPOILT && group.rank() == 0 {
            tch::no_grad(|| drop(stem.shallow_clone().fill_(f64::NAN)));
        }
        let taken = take_step(&mut learner, &mut state, &batch, Now { step, horizon }, LEARNING_RATE);
        assert_eq!(taken.skip.double_value(&[]) > 0.0, step == SPOILT, "{step}");
        if step == SPOILT {
            tch::no_grad(|| stem.shallow_clone().copy_(&before));
        }
        let watched = taken.output.watched.iter().flat_map(|watched| watched.numbers(&group));
        let scalars = [("loss", taken.output.loss.shallow_clone())]
            .into_iter()
            .chain(taken.output.parts.iter().map(|(name, part)| (*name, part.shallow_clone())))
            .chain(watched);
        numbers.push(scalars.map(|(name, scalar)| (name, scalar.double_value(&[]))).collect());
        counts.push(taken.output.counts);
    }
    let tensors = state.store.state().into_iter().chain(state.optimizer.state());
    let values = |tensor: &Tensor| Vec::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    let tensors = tensors.map(|(name, tensor)| (name, values(&tensor))).collect();
    Outcome { tensors, numbers, counts, bad_files: loader.bad_files() }
}

fn loader<A: Augmentation>(
    augmentation: A,
    group: &Group,
    batch_size: usize,
    pictures: &Arc<ImageIndex>,
) -> Loader<A> {
    let loading = LoaderSettings {
        augmentation,
        batch_size,
        schedule: Schedule::default(),
        part: Part { number: group.rank(), parts: group.world() },
        seed: 5,
        max_bad_share: 0.5,
        workers: 1,
        prefetch_batches: 1,
        min_side: 8,
        limits: DecodeLimits::default(),
        patience: Timeout::from_secs(600),
        start_step: 0,
        total_steps: STEPS,
        known_bad: Vec::new(),
    };
    Loader::new(Arc::clone(pictures), loading).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance || (found.is_nan() && expected.is_nan())
}

/// Requires that all processes have the same, to the bit, and what one process has, nearly.
fn assert_law(together: &[Outcome], alone: &Outcome) {
    for outcome in together {
        for ((name, found), (_, expected)) in outcome.tensors.iter().zip(&alone.tensors) {
            let scale = expected.iter().fold(1.0, |most: f64, value| most.max(value.abs()));
            let differ = found
                .iter()
                .zip(expected)
                .find(|(found, expected)| !close(**found, **expected, TOLERANCE * scale));
            assert!(differ.is_none(), "{name}: {differ:?}, {scale}");
        }
        let bits = |outcome: &Outcome| -> Vec<u64> {
            outcome
                .tensors
                .iter()
                .flat_map(|(_, values)| values.iter().map(|value| value.to_bits()))
                .collect()
        };
        assert!(bits(outcome) == bits(&together[0]), "the processes differ");
        for (step, (found, expected)) in outcome.numbers.iter().zip(&alone.numbers).enumerate() {
            for ((name, found), (_, expected)) in found.iter().zip(expected) {
                // The monitors compute in float32, and count the category of nearly equal outputs.
                let scale = if name.starts_with("loss") { expected.abs().max(1.0) } else { 1e6 };
                assert!(
                    close(*found, *expected, TOLERANCE * scale),
                    "{name} of step {step}: {found}, {expected}"
                );
            }
        }
        assert_eq!(outcome.counts, alone.counts);
        assert_eq!(outcome.bad_files, alone.bad_files);
    }
}

/// 40 pictures, one of which cannot be read.
fn pictures(folder: &Path) -> Arc<ImageIndex> {
    let settings = DemoSettings { train: 40, ..DemoSettings::default() };
    write_demo(folder, &settings).unwrap();
    let index = ImageIndex::scan(&folder.join("train/images")).unwrap();
    let damaged = index.place(11).to_string();
    std::fs::write(damaged, b"no picture").unwrap();
    Arc::new(index)
}

const SMALL: [&str; 9] = [
    "encoder.architecture=resnet18",
    "augment.size=32",
    "augment.scale=[0.05, 0.2]",
    "augment.overlap_tries=0",
    "pixsim.dim=12",
    "pixsim.grid=3",
    "regionsim.dim=12",
    "global.dim=16",
    "regionsim.start=10 steps",
];

fn pretraining(settings: &[&str], store: &Store, batch_size: usize) -> (PretrainLearner, PretrainViews) {
    let mut all: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    all.push(format!("train.batch_size={batch_size}"));
    let recipe: PretrainRecipe = load("", "the test", &all).unwrap();
    let views = PretrainViews { random: recipe.augment.clone(), shared_flip: false, beside: Beside::Nothing };
    (PretrainLearner::new(&recipe, store, Kind::Double), views)
}

#[test]
fn processes_pretrain_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let variants: [(usize, usize, &[&str]); 3] = [
        (7, 2, &[]),
        (9, 4, &["global.region=overlap", "pixsim.distance=cosine", "pixsim.features=c4"]),
        (7, 3, &["pixsim.correspondence=coordinate_distance", "encoder.output_stride=16"]),
    ];
    for (batch_size, world, settings) in variants {
        let learner = |store: &Store| pretraining(&[&SMALL, settings].concat(), store, batch_size);
        let [alone, together] = [1, world].map(|world| train_together(world, batch_size, &pictures, learner));
        let left_out: u64 = alone[0]
            .counts
            .iter()
            .flatten()
            .filter(|(name, _)| *name == "without_overlap")
            .map(|(_, count)| count)
            .sum();
        assert!(left_out > 5, "{left_out} pictures without an overlap");
        assert_eq!(alone[0].bad_files.len(), 1);
        assert_law(&together, &alone[0]);
    }
}

/// Teachers and queues are tensors of the model, so that the law holds for them too.
#[test]
fn processes_pretrain_as_one_by_other_methods() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let small = ["encoder.architecture=resnet18", "augment.size=32", "augment.scale=[0.05, 0.2]"];
    let variants: [(usize, usize, &[&str]); 3] = [
        (7, 2, &["method=simclr", "simclr.hidden=16", "simclr.dim=8"]),
        (7, 3, &["method=densecl", "densecl.groups=1", "densecl.queue=16", "densecl.hidden=16"]),
        (9, 2, &["method=pixpro", "pixpro.hidden=16", "pixpro.dim=8", "augment.overlap_tries=0"]),
    ];
    for (batch_size, world, settings) in variants {
        let learner = |store: &Store| pretraining(&[&small, settings].concat(), store, batch_size);
        let [alone, together] = [1, world].map(|world| train_together(world, batch_size, &pictures, learner));
        assert_law(&together, &alone[0]);
    }
}

#[test]
fn processes_segment_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    for (rebalance, world) in [("frequency", 2), ("inverse", 3)] {
        let batch_size = 7;
        let learner = |store: &Store| {
            let settings = [
                "augment.base_size=48".to_owned(),
                "augment.size=32".to_owned(),
                "encoder.width=16".to_owned(),
                "auxiliary.classes=12".to_owned(),
                "regionsim.start=10 steps".to_owned(),
                format!("labelling.rebalance={rebalance}"),
                format!("train.batch_size={batch_size}"),
            ];
            let recipe: SegmentRecipe = load("", "the test", &settings).unwrap();
            (SegmentLearner::new(&recipe, 5, store, Kind::Double), recipe.augment.clone())
        };
        let [alone, together] = [1, world].map(|world| train_together(world, batch_size, &pictures, learner));
        assert_law(&together, &alone[0]);
    }
}

/// Clusters are those of the batches of all processes, and so are the labels that are learnt.
#[test]
fn processes_cluster_and_segment_as_one_by_other_methods() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let variants: [(&str, usize, &[&str]); 4] = [
        ("picie", 2, &["picie.overclusters=9", "clustering.initial_batches=2"]),
        ("picie", 3, &["clustering.sample=0.3", "clustering.metric=l2", "clustering.every=2"]),
        ("mdc", 2, &["clustering.initial_batches=9"]),
        ("iic", 3, &["iic.overclusters=7", "iic.radius=1"]),
    ];
    for (method, world, settings) in variants {
        let batch_size = 7;
        let learner = |store: &Store| {
            let common = [
                "augment.base_size=48".to_owned(),
                "augment.size=32".to_owned(),
                "encoder.width=16".to_owned(),
                format!("method={method}"),
                format!("train.batch_size={batch_size}"),
            ];
            let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).chain(common).collect();
            let recipe: SegmentRecipe = load("", "the test", &settings).unwrap();
            let mut learner = SegmentLearner::new(&recipe, 5, store, Kind::Double);
            let views = learner.views().clone();
            let mut loader = loader(views.clone(), store.group(), batch_size, &pictures);
            let key = Key::new(3, Purpose::Clusters);
            // Whole batches of an epoch.
            let mut steps = 0..5;
            let gathered = gather(&mut learner, (Pass::Epoch, key), |_| {
                let Some(step) = steps.next() else { return Ok(None) };
                let next =
                    next_batch(&mut loader, (store.group(), u64::MAX - step, false), &Interrupt::never());
                Ok(next?.map(|next| next.batch))
            })
            .unwrap();
            settled(&mut learner, gathered).unwrap();
            (learner, views)
        };
        let [alone, together] = [1, world].map(|world| train_together(world, batch_size, &pictures, learner));
        assert_law(&together, &alone[0]);
    }
}

#[test]
fn processes_transfer_to_segmentation_as_one() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let set = Arc::new(LabelledSet::open(folder.path(), None, "train", None).unwrap());
    let settings = [
        "encoder.architecture=resnet18",
        "encoder.weights=random",
        "augment.size=33",
        "augment.scale=[0, 0]",
        "train.batch_size=7",
    ];
    let recipe: FcnRecipe = load("model = \"fcn\"", "the test", &settings.map(str::to_owned)).unwrap();
    let learner = |store: &Store| {
        let limits = DecodeLimits::default();
        let views = LabelledCrops { settings: recipe.augment.clone(), set: Arc::clone(&set), limits };
        (FcnLearner::new(&recipe, views.clone(), store, Kind::Double), views)
    };
    let index = set.index().unwrap();
    let [alone, together] = [1, 3].map(|world| train_together(world, 7, &index, learner));
    assert_law(&together, &alone[0]);
}

/// Boxes are chosen by their order, which rounding changes only where two are nearly equal.
#[test]
fn processes_transfer_to_detection_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let index = ImageIndex::scan(&folder.path().join("train/images")).unwrap();
    let annotation = |sample: usize| {
        let shift = (sample % 7) as f64;
        let bbox = Region { x0: 3.0 + shift, y0: 5.0, x1: 40.0, y1: 30.0 + shift };
        let (difficult, crowd, area, shape) = (false, false, 900.0, None);
        let object = Object { bbox, class: sample % 2, difficult, crowd, area, shape };
        // Some pictures show nothing.
        let objects = if sample.is_multiple_of(5) { vec![] } else { vec![object] };
        Annotation { size: None, objects }
    };
    let annotations = (0..index.len()).map(annotation).collect();
    let classes = vec!["hill".to_owned(), "lake".to_owned()];
    let set = Arc::new(DetectionSet::new("made up".into(), classes, index, annotations).unwrap());
    let settings = [
        "encoder.architecture=resnet18",
        "encoder.weights=random",
        "augment.short_sides=[40, 56]",
        "detector.anchor_sizes=[16.0, 32.0]",
        "rpn.pre_nms=[100, 100]",
        "rpn.post_nms=[8, 8]",
        "roi.batch=4",
        "train.batch_size=5",
    ];
    let recipe: DetectionRecipe =
        load("model = \"detector\"", "the test", &settings.map(str::to_owned)).unwrap();
    let learner = |store: &Store| {
        let (augment, set) = (recipe.augment.clone(), Arc::clone(&set));
        let views = DetectionViews { augment, set, masks: false };
        (DetectionLearner::new(&recipe, views.clone(), store, Kind::Double), views)
    };
    let [alone, together] = [1, 2].map(|world| train_together(world, 5, &pictures, learner));
    assert_law(&together, &alone[0]);
}

#[test]
fn a_picture_that_reads_again_is_good_for_all_processes() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = pictures(folder.path());
    let server = StoreServer::start(0).unwrap();
    let (pictures, port) = (&pictures, server.port());
    let bad_files = &|rank: usize| {
        let group =
            Group::join(("127.0.0.1", port), false, "bad", [rank, 2], Timeout::from_secs(60)).unwrap();
        let recipe: PretrainRecipe = load("", "the test", &["augment.size=32".into()]).unwrap();
        let mut loader = loader(recipe.augment, &group, 7, pictures);
        let mut seen = Vec::new();
        for step in 0..STEPS {
            let others = (&group, step, false);
            let next = next_batch(&mut loader, others, &Interrupt::never()).unwrap().unwrap();
            loader.recycle(next.batch);
            seen.push(loader.bad_files());
            // After the first epoch.
            if step == 6 && rank == 0 {
                let [good, damaged] = [12, 11].map(|number| pictures.place(number).to_string());
                std::fs::copy(good, damaged).unwrap();
            }
        }
        seen
    };
    let [one, two] = std::thread::scope(|scope| {
        let threads = [0, 1].map(|rank| scope.spawn(move || bad_files(rank)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(one, two, "after every step");
    assert!(one[6].len() == 1 && one.last().unwrap().is_empty(), "{one:?}");
}

/// A learner that changes a parameter on its own after the third step, where it is to, as a bit of memory that flips does.
struct Spoiling {
    learner: PretrainLearner,
    parameter: Option<Tensor>,
}

impl Learner for Spoiling {
    type Augmentation = PretrainViews;

    fn step(&mut self, batch: &Batch<Drawn<Self>>, now: Now) -> densesiam_nn::Step {
        self.learner.step(batch, now)
    }

    fn follow(&mut self, now: Now, skip: &Tensor) {
        self.learner.follow(now, skip);
        if let (2, Some(parameter)) = (now.step, &self.parameter) {
            tch::no_grad(|| drop(parameter.get(0).g_add_scalar_(1e-6)));
        }
    }
}

/// Shows nothing.
struct Silent;

impl<L> Observer<L> for Silent {
    fn report(&self, _journal: &Journal, _status: Status) -> Result<String, Error> {
        Ok(String::new())
    }
}

#[test]
fn a_process_with_other_parameters_ends_all_and_the_last_checkpoint_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    write_demo(&pictures, &DemoSettings { train: 12, ..DemoSettings::default() }).unwrap();
    let paths = [
        format!("run.dir={}", folder.path().display()),
        format!("data.root={}", pictures.join("train/images").display()),
    ];
    let every_step = [
        "train.batch_size=4",
        "train.duration=9 steps",
        "train.log_every=1 steps",
        "train.checkpoint_every=1 steps",
        "train.keep_last=100",
        "run.name=apart",
        "run.device=cpu",
        "run.threads=1",
    ];
    let settings: Vec<_> = SMALL.into_iter().chain(every_step).map(str::to_owned).chain(paths).collect();
    let server = StoreServer::start(0).unwrap();
    let (port, settings) = (server.port(), &settings);
    let train_as = &|rank: usize| {
        let mut plan = Plan::new(load("", "the test", settings).unwrap()).unwrap();
        let group =
            Group::join(("127.0.0.1", port), false, "apart", [rank, 2], Timeout::from_secs(60)).unwrap();
        plan.run.join(group, [rank, 2]).unwrap();
        let store = plan.run.store();
        let learner = PretrainLearner::new(&plan.recipe, &store, plan.run.precision.kind());
        let parameter = store.parameters().into_iter().find(|(name, _)| name.ends_with("bn1.weight"));
        let parameter = parameter.map(|(_, tensor)| tensor).filter(|_| rank == 1);
        let mut state = plan.run.state(store, plan.recipe.method().predictors()).unwrap();
        let learning = (&mut Spoiling { learner, parameter }, plan.augmentation());
        let quietly = (Start::New, &Voice::Nobody, &Interrupt::never());
        plan.run.together(|| train(&plan.run, quietly, learning, |_| Silent, &mut state)).unwrap_err()
    };
    let errors = std::thread::scope(|scope| {
        let threads = [0, 1].map(|rank| scope.spawn(move || train_as(rank)));
        threads.map(|thread| thread.join().unwrap())
    });
    for error in errors {
        assert!(matches!(&error, Error::Apart { step: 3, processes, .. } if processes == &[1]), "{error}");
    }
    let mut saved: Vec<_> = std::fs::read_dir(folder.path().join("apart/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    saved.sort();
    assert_eq!(saved, ["000000000", "000000001", "000000002"]);
}
