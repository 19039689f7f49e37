//! What is exported, read by the tools that it is for. They are Python's: `make interop` installs them all and runs these
//! tests, `make test` the few that need no PyTorch. A tool that is not there is named, and its part of a test is left out.

use std::path::Path;
use std::process::Command;

use densesiam::segmentation::Segmentation;
use densesiam_engine::checkpoint::{read_safetensors, tensors_to_safetensors};
use densesiam_nn::{Architecture, Features, Mode, ResNet, Store};
use tch::{Device, Kind, Tensor};

use crate::program::Place;
use crate::segment::segment;

/// The folder of Python packages that tools/interop-python.sh fills.
const PACKAGES: &str = "DENSESIAM_INTEROP_PYTHON";

/// What `tests/interop/NAME.py` prints; `None`, said aloud, where there are no packages for it.
pub(crate) fn python(name: &str, arguments: &[&Path]) -> Option<String> {
    let Some(packages) = std::env::var_os(PACKAGES) else {
        println!("{name}: left out, {PACKAGES} names no folder of Python packages");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name).with_extension("py");
    let mut command = Command::new("python3");
    command.arg(&script).args(arguments).env("PYTHONPATH", packages).env("PYTHONIOENCODING", "utf-8");
    let output = command.output().unwrap();
    let [said, failed] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{name}\n{said}\n{failed}");
    print!("{said}");
    Some(said)
}

/// Pictures of a size that no stride divides, waves of every length.
fn images() -> Tensor {
    let count = 2 * 3 * 75 * 106;
    let waves = (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).sin() * 2.0;
    let fast = (Tensor::arange(count, (Kind::Double, Device::Cpu)).square() * 0.011).sin();
    (waves + fast.to_kind(Kind::Float)).view([2, 3, 75, 106])
}

fn exported(place: &Place, run: &str, formats: &[(&str, &str)]) {
    for (format, file) in formats {
        let out = format!("{run}/{file}");
        place.run(&["export", &format!("runs/{run}"), "--format", format, "--out", &out]).succeeded();
    }
}

#[test]
fn an_encoder_is_the_same_network_to_every_tool() {
    let place = Place::new();
    for (run, architecture) in [("resnet18", Architecture::ResNet18), ("resnet50", Architecture::ResNet50)] {
        let encoder = format!("encoder.architecture={run}");
        place.pretrain(run, &[&encoder, "train.duration=2 steps"]).succeeded();
        std::fs::create_dir(place.path(run)).unwrap();
        let formats = [
            ("safetensors", "encoder.safetensors"),
            ("torchvision", "encoder.pth"),
            ("detectron2", "encoder.pkl"),
            ("openmmlab", "openmmlab.pth"),
            ("timm", "timm"),
            ("onnx", "encoder.onnx"),
        ];
        exported(&place, run, &formats);
        for (_, file) in &formats[..4] {
            let usable = format!("ResNet{}, usable here", run.trim_start_matches("resnet"));
            place.run(&["inspect", &format!("{run}/{file}")]).succeeded().prints(&[&usable]);
        }
        let store = Store::new(Kind::Float, Device::Cpu, 0);
        let model = ResNet::new(&store.root(), architecture, true);
        store.load(&read_safetensors(&place.path(run).join("encoder.safetensors")).unwrap()).unwrap();
        let images = images();
        let Features { maps, .. } = tch::no_grad(|| model.forward(&images, Mode::Evaluate));
        let names = ["images", "c2", "c3", "c4", "c5"].into_iter().map(str::to_owned);
        let expected: Vec<_> = names.zip(std::iter::once(images).chain(maps)).collect();
        let file = place.path(run).join("expected.safetensors");
        tensors_to_safetensors(&file, &expected, &Default::default()).unwrap();
        python("encoder", &[&place.path(run)]);
    }
}

fn is_the_same_segmentation(place: &Place, run: &str) {
    std::fs::create_dir(place.path(run)).unwrap();
    exported(place, run, &[("onnx-segmentation", "segmentation.onnx")]);
    let model = Segmentation::open(&place.path(&format!("runs/{run}")), &[]).unwrap().model;
    let images = images();
    let logits = tch::no_grad(|| model.logits(&images).upsample_bilinear2d([75, 106], false, None, None));
    let expected = [("images".to_owned(), images), ("logits".to_owned(), logits)];
    let file = place.path(&format!("{run}/expected.safetensors"));
    tensors_to_safetensors(&file, &expected, &Default::default()).unwrap();
    python("segmentation", &[&place.path(run)]);
}

#[test]
fn a_segmentation_is_the_same_network_in_onnx() {
    let place = Place::new();
    segment(&place, "six", &["run.precision=fp32"]).succeeded();
    is_the_same_segmentation(&place, "six");
    for (name, method, settings) in crate::segment_methods::METHODS {
        let run = format!("seven_{name}");
        let settings = [settings, &["run.precision=fp32", "train.duration=4 steps"]].concat();
        crate::segment_methods::segment(&place, (&run, method), &settings).succeeded();
        is_the_same_segmentation(&place, &run);
    }
    place.pretrain("encoder", &["train.duration=2 steps"]).succeeded();
    let refused = ["export", "runs/encoder", "--format", "onnx-segmentation"];
    place.run(&refused).exited(2).says(&["no segmentation", "--format onnx"]);
}

#[test]
fn tensorboard_reads_the_events_of_a_run_and_of_its_resume() {
    let place = Place::new();
    place.pretrain("events", &[]).succeeded();
    // As if killed between the checkpoint of step 4 and the end: what was said of steps 5 and 6 is said again.
    std::fs::remove_dir_all(place.path("runs/events/checkpoints/000000006")).unwrap();
    place.pretrain("events", &["--resume"]).succeeded().says(&["from step 4"]);
    python("events", &[&place.path("runs/events")]);
}
