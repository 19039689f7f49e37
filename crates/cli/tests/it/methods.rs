//! Pre-training by the methods of other papers.

use crate::program::{Finished, Place, borrowed, wait_for};

/// Each method so small that a step takes no time. `folder_r18` has the common tables, and its own names of keys are left out.
const METHODS: [(&str, &[&str]); 12] = [
    ("simclr", &["simclr.dim=8"]),
    ("byol", &["byol.hidden=16", "byol.dim=8"]),
    ("moco_v2", &["moco_v2.dim=8", "moco_v2.queue=6", "moco_v2.groups=2"]),
    ("densecl", &["densecl.dim=8", "densecl.hidden=16", "densecl.queue=6", "densecl.groups=2"]),
    ("pixpro", &["pixpro.hidden=16", "pixpro.dim=8"]),
    ("resim", &["resim.dim=8", "resim.width=8", "resim.queue=6", "resim.groups=2", "augment.size=64"]),
    ("scrl", &["scrl.hidden=16", "scrl.dim=8", "augment.size=64"]),
    ("vader", &["vader.dim=32", "vader.width=8", "vader.queue=6", "vader.groups=2"]),
    ("detco", &["detco.dim=8", "detco.hidden=16", "detco.queue=6", "detco.groups=2"]),
    ("detcon", &["detcon.hidden=16", "detcon.dim=8", "data.regions=segments.zip"]),
    (
        "soco",
        &[
            "soco.width=8",
            "soco.head=16",
            "soco.hidden=16",
            "soco.dim=8",
            "augment.size=64",
            "data.regions=boxes.zip",
        ],
    ),
    ("cast", &["cast.dim=8", "cast.queue=6", "cast.groups=2", "data.regions=saliency.zip"]),
];

const SMALL: [&str; 10] = [
    "encoder.architecture=resnet18",
    "augment.size=32",
    "train.batch_size=4",
    "train.duration=6 steps",
    "train.log_every=1 steps",
    "train.checkpoint_every=1 steps",
    "train.keep_last=2",
    "train.pictures=2",
    "monitor.every=2 steps",
    "run.threads=1",
];

fn arguments(place: &Place, method: &str, name: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["pretrain".to_owned(), format!("{method}_folder_r18")];
    arguments.extend([format!("run.name={name}"), format!("data.root={}", place.pictures().display())]);
    arguments.extend(SMALL.iter().chain(more).map(|&setting| setting.to_owned()));
    arguments
}

/// Teachers and queues are tensors of the checkpoint, and the momentum is a function of the step.
#[test]
fn a_killed_run_of_any_method_resumed_equals_one_never_killed() {
    let place = Place::new();
    for kind in ["segments", "saliency", "boxes"] {
        find_regions(&place, kind, &[]).succeeded().prints(&[kind, "0 without regions"]);
    }
    for (method, settings) in METHODS {
        let run = |name: &str, more: &[&str]| arguments(&place, method, name, &[settings, more].concat());
        let (whole, killed) = (format!("whole_{method}"), format!("killed_{method}"));
        let finished = place.run(&borrowed(&run(&whole, &[]))).succeeded();
        finished.says(&["losses"]);
        let begun = run(&killed, &[]);
        let mut child = place.command(&borrowed(&begun)).spawn().unwrap();
        wait_for(&place.path(&format!("runs/{killed}/checkpoints/000000002")), &mut child);
        child.kill().unwrap();
        Finished::of(child);
        place.run(&borrowed(&run(&killed, &["--resume"]))).succeeded().says(&["from step"]);
        for step in [5, 6] {
            assert!(place.weights(&whole, step) == place.weights(&killed, step), "{method}, step {step}");
        }
        let report = std::fs::read_to_string(place.path(&format!("runs/{whole}/report.html"))).unwrap();
        assert!(report.contains("spread"), "{method}");
        // The student is what the authors transfer.
        let encoder = place.path(&format!("runs/{whole}/encoder.safetensors"));
        let encoder = densesiam_weights::read(&encoder, &Default::default()).unwrap();
        assert!(encoder.tensors.iter().all(|tensor| !tensor.name.starts_with("key_")), "{method}");
        // Checkpoints of all methods together would need gigabytes.
        [whole, killed]
            .iter()
            .for_each(|run| std::fs::remove_dir_all(place.path(&format!("runs/{run}"))).unwrap());
    }
}

fn find_regions(place: &Place, kind: &str, more: &[&str]) -> Finished {
    let (pictures, out) = (place.pictures().display().to_string(), format!("{kind}.zip"));
    let arguments = ["data", "regions", &pictures, "--kind", kind, "--out", &out];
    place.run(&[&arguments, more].concat())
}

#[test]
fn regions_are_found_once_and_belong_to_their_pictures() {
    let place = Place::new();
    let dry = |method: &str, more: &[&str]| {
        place.run(&borrowed(&arguments(&place, method, "dry", &[more, &["--dry-run"]].concat())))
    };
    dry("detcon", &[]).exited(2).says(&["data regions", "--kind segments", "data.regions"]);
    dry("detcon", &["data.regions=segments.zip"]).exited(3).says(&["segments.zip", "data regions"]);
    find_regions(&place, "boxes", &[]).succeeded().prints(&["boxes.zip"]);
    find_regions(&place, "boxes", &[]).exited(2).says(&["exists", "--overwrite"]);
    find_regions(&place, "boxes", &["--overwrite"]).succeeded();
    find_regions(&place, "saliency", &["--scale", "3"]).exited(2).says(&["--scale"]);
    dry("detcon", &["data.regions=boxes.zip"]).exited(2).says(&["holds boxes", "segments"]);
    dry("byol", &["data.regions=boxes.zip"]).exited(2).says(&["data.regions", "byol"]);
    dry("soco", &["data.regions=boxes.zip"]).succeeded().says(&["regions     boxes"]);
    find_regions(&place, "segments", &[]).succeeded();
    dry("detcon", &["data.regions=segments.zip"])
        .succeeded()
        .says(&["regions     segments", "0 pictures have none"]);
    let more = place.pictures().join("more.png");
    std::fs::copy(std::fs::read_dir(place.pictures()).unwrap().next().unwrap().unwrap().path(), more)
        .unwrap();
    dry("detcon", &["data.regions=segments.zip"]).exited(3).says(&["1 of", "more.png"]);
}

#[test]
fn a_teacher_begins_as_the_given_encoder() {
    let place = Place::new();
    place.pretrain("given", &[]).succeeded();
    let given = ["encoder.weights=runs/given", "byol.hidden=16", "byol.dim=8", "train.duration=1 steps"];
    place.run(&borrowed(&arguments(&place, "byol", "begun", &given))).succeeded();
    let begun = place.path("runs/begun/checkpoints/000000000/model.safetensors");
    let begun = densesiam_weights::read(&begun, &Default::default()).unwrap();
    let tensor = |name: &str| {
        begun.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.bytes.to_vec()).unwrap()
    };
    for name in ["encoder.layer1.0.conv1.weight", "encoder.bn1.running_mean"] {
        assert_eq!(tensor(name), tensor(&format!("key_{name}")), "{name}");
    }
}

/// A folder is trained on by the folder recipe of the method.
#[test]
fn a_folder_is_enough_for_any_method() {
    let place = Place::new();
    let folder = place.pictures().display().to_string();
    let small = ["encoder.architecture=resnet18", "augment.size=64", "train.duration=2 steps", "--dry-run"];
    for (method, name) in [("byol", "-byol"), ("simsiam", "losses      PixSim off, RegionSim off")] {
        let named = format!("method={method}");
        let arguments: Vec<&str> = ["pretrain", &folder, &named].into_iter().chain(small).collect();
        place.run(&arguments).succeeded().says(&[name]);
    }
    let unknown: Vec<&str> = ["pretrain", &folder, "method=dance"].into_iter().chain(small).collect();
    place.run(&unknown).exited(2).says(&["dance", "byol"]);
}

#[test]
fn settings_that_do_not_suit_a_method_are_refused() {
    let place = Place::new();
    let dry = |method: &str, more: &[&str]| {
        place.run(&borrowed(&arguments(&place, method, "dry", &[more, &["--dry-run"]].concat())))
    };
    let over = |more: &[&str]| place.pretrain("dry", &[more, &["--dry-run"]].concat());
    over(&["method=byol"]).exited(2).says(&["unknown key", "byol_folder_r18"]);
    over(&["method=simsiam", "pixsim.weight=1"]).succeeded().says(&["PixSim off, RegionSim off"]);
    dry("pixpro", &["augment.size=50"]).exited(2).says(&["augment.size", "output_stride"]);
    dry("byol", &["method=nonsense"]).exited(2).says(&["nonsense", "simclr", "byol"]);
    dry("byol", &["pixsim.grid=3"]).exited(2).says(&["pixsim.grid", "unknown key"]);
    place.pretrain("dry", &["byol.hidden=8", "--dry-run"]).exited(2).says(&["byol.hidden", "unknown key"]);
    dry("moco_v2", &["moco_v2.queue=3"]).exited(2).says(&["moco_v2.queue", "train.batch_size"]);
    dry("moco_v2", &["moco_v2.groups=3"]).exited(2).says(&["moco_v2.groups", "divisor"]);
    dry("byol", &["augment.blur_probability=[1.0, 1.1]"]).exited(2).says(&["augment.blur_probability"]);
    dry("byol", &["augment.hue=[0.1, 0.2]"]).exited(2).says(&["augment.hue"]);
    dry("byol", &["augment.blur_probability=[1.0, 0.1]"]).succeeded().says(&["BYOL"]);
}
