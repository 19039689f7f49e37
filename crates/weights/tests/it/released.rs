//! The checkpoints that the authors of other methods released, by their names and shapes: the student's encoder is found
//! in each of them.

use densesiam_weights::{Layout, Tensor, match_names};

use crate::resnet::{file, in_sequence, resnet18, resnet50, tensor};

/// The bytes of a tensor say whose it is.
const STUDENT: u8 = 1;
const TEACHER: u8 = 2;
const HEAD: u8 = 3;

type Shapes = Vec<(String, Vec<i64>)>;

struct Checkpoint {
    project: &'static str,
    layout: Layout,
    /// What stands before the names of the student's encoder. OpenSelfSup's runs hold it under two names, the first of
    /// which is taken.
    student: &'static [&'static str],
    teacher: Option<&'static str>,
    /// Projectors, predictors and queues, the teacher's too.
    heads: Shapes,
}

/// All of them, with an encoder whose last stage has `c5` channels.
fn released(c5: i64) -> Vec<Checkpoint> {
    [of_moco(c5), of_openselfsup(c5), of_pixpro(c5), of_soco(c5), vec![of_scrl(c5)]]
        .into_iter()
        .flatten()
        .collect()
}

fn of_moco(c5: i64) -> Vec<Checkpoint> {
    let mlp = |encoder: &str| {
        [biased(&format!("{encoder}fc.0"), &[c5, c5]), biased(&format!("{encoder}fc.2"), &[128, c5])].concat()
    };
    let pyramid = |encoder: &str| {
        let lateral = |(level, inputs)| biased(&format!("{encoder}fpn_lateral{level}"), &[256, inputs, 1, 1]);
        let output = |level| biased(&format!("{encoder}fpn_output{level}"), &[256, 256, 3, 3]);
        [[(5, c5), (4, c5 / 2), (3, c5 / 4)].map(lateral).concat(), [4, 3].map(output).concat()].concat()
    };
    let (query, key) = ("state_dict.module.encoder_q.", "state_dict.module.encoder_k.");
    vec![
        Checkpoint {
            project: "MoCo v2",
            layout: Layout::Torchvision,
            student: &["state_dict.module.encoder_q."],
            teacher: Some(key),
            heads: [mlp(query), mlp(key), queue("state_dict.module.queue")].concat(),
        },
        Checkpoint {
            project: "MoCo v2 for detectron2",
            layout: Layout::Detectron2,
            student: &["model."],
            teacher: None,
            heads: mlp("model.stem."),
        },
        Checkpoint {
            project: "ReSim",
            layout: Layout::Torchvision,
            student: &["state_dict.module.encoder_q."],
            teacher: Some(key),
            heads: [mlp(query), pyramid(query), mlp(key), pyramid(key), queue("state_dict.module.queue")]
                .concat(),
        },
        Checkpoint {
            project: "ReSim for detectron2",
            layout: Layout::Detectron2,
            student: &["model."],
            teacher: None,
            heads: [mlp("model.stem."), pyramid("model.backbone.")].concat(),
        },
        Checkpoint {
            project: "DetCo",
            layout: Layout::Torchvision,
            student: &[""],
            teacher: None,
            heads: Vec::new(),
        },
        Checkpoint {
            project: "DetCo for detectron2",
            layout: Layout::Detectron2,
            student: &["model."],
            teacher: None,
            heads: Vec::new(),
        },
        Checkpoint {
            project: "CAST",
            layout: Layout::Torchvision,
            student: &["encoder_q."],
            teacher: Some("encoder_k."),
            heads: [biased("encoder_q.fc", &[128, c5]), biased("encoder_k.fc", &[128, c5]), queue("queue")]
                .concat(),
        },
    ]
}

fn of_openselfsup(c5: i64) -> Vec<Checkpoint> {
    let dense = |encoder: &str| {
        let neck = |name: &str| format!("state_dict.{encoder}.1.{name}");
        let global = [biased(&neck("mlp.0"), &[c5, c5]), biased(&neck("mlp.2"), &[128, c5])].concat();
        let local = [biased(&neck("mlp2.0"), &[c5, c5, 1, 1]), biased(&neck("mlp2.2"), &[128, c5, 1, 1])];
        [global, local.concat()].concat()
    };
    let mlp = |name: &str, inputs: i64| {
        let layer = |number: u8| format!("state_dict.{name}.mlp.{number}");
        let (first, second) = (biased(&layer(0), &[4096, inputs]), biased(&layer(3), &[256, 4096]));
        [first, norm(&layer(1), 4096), second].concat()
    };
    vec![
        Checkpoint {
            project: "DenseCL, SimCLR or BYOL, extracted",
            layout: Layout::Torchvision,
            student: &["state_dict."],
            teacher: None,
            heads: Vec::new(),
        },
        Checkpoint {
            project: "DenseCL",
            layout: Layout::Torchvision,
            student: &["state_dict.backbone.", "state_dict.encoder_q.0."],
            teacher: Some("state_dict.encoder_k.0."),
            heads: [
                dense("encoder_q"),
                dense("encoder_k"),
                queue("state_dict.queue"),
                queue("state_dict.queue2"),
            ]
            .concat(),
        },
        Checkpoint {
            project: "SimCLR",
            layout: Layout::Torchvision,
            student: &["state_dict.backbone."],
            teacher: None,
            heads: [
                vec![named("state_dict.neck.fc0.weight", &[c5, c5])],
                norm("state_dict.neck.bn0", c5),
                vec![named("state_dict.neck.fc1.weight", &[128, c5])],
                norm("state_dict.neck.bn1", 128),
            ]
            .concat(),
        },
        Checkpoint {
            project: "BYOL",
            layout: Layout::Torchvision,
            student: &["state_dict.backbone.", "state_dict.online_net.0."],
            teacher: Some("state_dict.target_net.0."),
            heads: [mlp("online_net.1", c5), mlp("target_net.1", c5), mlp("head.predictor", 256)].concat(),
        },
    ]
}

fn of_pixpro(c5: i64) -> Vec<Checkpoint> {
    let projector = |name: &str| {
        let layer = |layer: &str| format!("model.module.{name}.{layer}");
        let (first, second) =
            (biased(&layer("linear1"), &[4096, c5, 1, 1]), biased(&layer("linear2"), &[256, 4096, 1, 1]));
        [first, norm(&layer("bn1"), 4096), second].concat()
    };
    vec![
        Checkpoint {
            project: "PixPro",
            layout: Layout::Torchvision,
            student: &["model.module.encoder."],
            teacher: Some("model.module.encoder_k."),
            heads: [
                projector("projector"),
                projector("projector_k"),
                biased("model.module.value_transform", &[256, 256, 1, 1]),
            ]
            .concat(),
        },
        Checkpoint {
            project: "PixPro for detectron2",
            layout: Layout::Detectron2,
            student: &["model."],
            teacher: None,
            heads: Vec::new(),
        },
    ]
}

fn of_soco(c5: i64) -> Vec<Checkpoint> {
    let mlp = |name: &str, inputs: i64| {
        let layer = |layer: &str| format!("model.module.{name}.{layer}");
        let (first, second) =
            (biased(&layer("linear1"), &[4096, inputs]), biased(&layer("linear2"), &[256, 4096]));
        [first, norm(&layer("bn1"), 4096), second].concat()
    };
    let neck = |name: &str| {
        let level = |level: i64| {
            let part = |part: &str| format!("model.module.{name}.{part}.{level}");
            let (lateral, output) = (part("lateral_convs"), part("fpn_convs"));
            let convolutions = vec![
                named(&format!("{lateral}.conv.weight"), &[256, c5 >> (3 - level), 1, 1]),
                named(&format!("{output}.conv.weight"), &[256, 256, 3, 3]),
            ];
            [convolutions, norm(&format!("{lateral}.bn"), 256), norm(&format!("{output}.bn"), 256)].concat()
        };
        [0, 1, 2, 3].map(level).concat()
    };
    let head = |name: &str| {
        let layer = |number: i64| {
            let convolution = named(&format!("model.module.{name}.conv{number}.weight"), &[256, 256, 3, 3]);
            [vec![convolution], norm(&format!("model.module.{name}.bn{number}"), 256)].concat()
        };
        [[1, 2, 3, 4].map(layer).concat(), biased(&format!("model.module.{name}.fc1"), &[1024, 12544])]
            .concat()
    };
    let of_detectron2 = [
        vec![named("model.fpn_lateral2.weight", &[256, c5 / 8, 1, 1])],
        norm("model.fpn_lateral2.norm", 256),
        vec![named("model.box_head.conv1.weight", &[256, 256, 3, 3])],
        norm("model.box_head.conv1.norm", 256),
        biased("model.box_head.fc1", &[1024, 12544]),
    ];
    vec![
        Checkpoint {
            project: "SoCo C4",
            layout: Layout::Torchvision,
            student: &["model.module.encoder."],
            teacher: Some("model.module.encoder_k."),
            heads: [
                mlp("projector", c5),
                mlp("predictor", 256),
                mlp("projector_k", c5),
                queue("model.module.queue"),
            ]
            .concat(),
        },
        Checkpoint {
            project: "SoCo FPN",
            layout: Layout::Torchvision,
            student: &["model.module.encoder."],
            teacher: Some("model.module.encoder_k."),
            heads: [
                [neck("neck"), head("head"), mlp("projector", 1024), mlp("predictor", 256)].concat(),
                [neck("neck_k"), head("head_k"), mlp("projector_k", 1024)].concat(),
            ]
            .concat(),
        },
        Checkpoint {
            project: "SoCo for detectron2",
            layout: Layout::Detectron2,
            student: &["model."],
            teacher: None,
            heads: of_detectron2.concat(),
        },
    ]
}

fn of_scrl(c5: i64) -> Checkpoint {
    let head = |name: &str, inputs: i64| {
        let layer = |number: u8| format!("{name}.net.{number}");
        let second = named(&format!("{}.weight", layer(3)), &[256, 4096]);
        [biased(&layer(0), &[4096, inputs]), norm(&layer(1), 4096), vec![second]].concat()
    };
    Checkpoint {
        project: "SCRL",
        layout: Layout::Sequential,
        student: &["online_network_state_dict.encoder."],
        teacher: Some("target_network_state_dict.encoder."),
        heads: [
            head("online_network_state_dict.projector", c5),
            head("target_network_state_dict.projector", c5),
            head("predictor_state_dict", 256),
            biased("evaluator_state_dict.linear", &[1000, c5]),
        ]
        .concat(),
    }
}

fn named(name: &str, shape: &[i64]) -> (String, Vec<i64>) {
    (name.to_owned(), shape.to_vec())
}

/// A linear layer or a convolution with a bias.
fn biased(name: &str, shape: &[i64]) -> Shapes {
    vec![named(&format!("{name}.weight"), shape), named(&format!("{name}.bias"), &shape[..1])]
}

fn norm(name: &str, channels: i64) -> Shapes {
    let part = |part| named(&format!("{name}.{part}"), &[channels]);
    let mut parts = ["weight", "bias", "running_mean", "running_var"].map(part).to_vec();
    parts.push(named(&format!("{name}.num_batches_tracked"), &[]));
    parts
}

fn queue(name: &str) -> Shapes {
    vec![named(name, &[128, 65536]), named(&format!("{name}_ptr"), &[1])]
}

/// What the authors' scripts for detectron2 replace.
fn in_detectron2(name: &str) -> String {
    let name = if name.contains("layer") { name.to_owned() } else { format!("stem.{name}") };
    let replacements = [
        ("layer1", "res2"),
        ("layer2", "res3"),
        ("layer3", "res4"),
        ("layer4", "res5"),
        ("bn1", "conv1.norm"),
        ("bn2", "conv2.norm"),
        ("bn3", "conv3.norm"),
        ("downsample.0", "shortcut"),
        ("downsample.1", "shortcut.norm"),
    ];
    replacements.into_iter().fold(name, |name, (ours, theirs)| name.replace(ours, theirs))
}

impl Checkpoint {
    fn name_of(&self, name: &str) -> String {
        match self.layout {
            Layout::Torchvision => name.to_owned(),
            Layout::Detectron2 => in_detectron2(name),
            Layout::Sequential => in_sequence(name),
        }
    }

    /// The file, with the teacher and the heads before the student.
    fn tensors(&self, encoder: &[(String, Vec<i64>)]) -> Vec<Tensor> {
        let under =
            |prefix: &str, value| file(encoder, value, |name| format!("{prefix}{}", self.name_of(name)));
        let teacher = self.teacher.iter().flat_map(|prefix| under(prefix, TEACHER));
        let heads = self.heads.iter().map(|(name, shape)| tensor(name, shape, HEAD));
        let student = self.student.iter().rev().flat_map(|prefix| under(prefix, STUDENT));
        heads.chain(teacher).chain(student).collect()
    }
}

fn each_with_its_encoder() -> impl Iterator<Item = (Checkpoint, Shapes, &'static str)> {
    let of_18 = released(512).into_iter().map(|checkpoint| (checkpoint, resnet18(), "ResNet-18"));
    of_18.chain(released(2048).into_iter().map(|checkpoint| (checkpoint, resnet50(), "ResNet-50")))
}

#[test]
fn the_students_encoder_is_found_and_all_else_is_left() {
    for (checkpoint, encoder, network) in each_with_its_encoder() {
        let file = checkpoint.tensors(&encoder);
        let matching = match_names(&encoder, &file).unwrap();
        let found = format!("{network} of {}: {matching}", checkpoint.project);
        assert!(matching.fits() && !matching.is_copy, "{found}");
        assert_eq!(
            (matching.layout, &*matching.prefix),
            (checkpoint.layout, checkpoint.student[0]),
            "{found}"
        );
        assert_eq!(matching.network, network);
        assert_eq!(matching.matched.len(), encoder.len(), "{found}");
        assert!(matching.matched.iter().all(|found| file[found.index].bytes == [STUDENT; 4]), "{found}");
        assert_eq!(matching.unexpected.len(), file.len() - encoder.len(), "{found}");
    }
}

#[test]
fn the_teacher_is_named_first_among_what_is_left() {
    for (checkpoint, encoder, _) in each_with_its_encoder() {
        let Some(teacher) = checkpoint.teacher else { continue };
        let mut file = checkpoint.tensors(&encoder);
        // As the programs write them: the student's heads, the teacher, the teacher's heads.
        file.sort_by_key(|tensor| tensor.name.contains("_k.") && !tensor.name.starts_with(teacher));
        let matching = match_names(&encoder, &file).unwrap();
        let first = format!("\nleft in the file: {} (", matching.part_of(teacher));
        assert!(matching.to_string().contains(&first), "{}: {matching}", checkpoint.project);
    }
}

#[test]
fn what_the_student_lacks_is_never_the_teachers() {
    for (checkpoint, encoder, _) in each_with_its_encoder() {
        for lost in ["bn1.bias", "layer3.0.conv2.weight", "layer4.0.downsample.1.running_var"] {
            let mut file = checkpoint.tensors(&encoder);
            let names =
                checkpoint.student.iter().map(|prefix| format!("{prefix}{}", checkpoint.name_of(lost)));
            let names: Vec<String> = names.collect();
            file.retain(|tensor| !names.contains(&tensor.name));
            let matching = match_names(&encoder, &file).unwrap();
            assert_eq!(matching.missing, [lost], "{}: {matching}", checkpoint.project);
            assert!(matching.matched.iter().all(|found| file[found.index].bytes == [STUDENT; 4]));
        }
    }
}

#[test]
fn an_encoder_of_another_depth_is_refused_by_its_name() {
    for (checkpoint, encoder, network) in each_with_its_encoder() {
        let other = if network == "ResNet-18" { resnet50() } else { resnet18() };
        let matching = match_names(&other, &checkpoint.tensors(&encoder)).unwrap();
        assert!(!matching.fits());
        assert_eq!(matching.network, network, "{}", checkpoint.project);
    }
}

/// A run of OpenSelfSup, whose two names for the encoder must stand for one.
#[test]
fn an_encoder_under_two_names_must_be_the_same() {
    let checkpoints = released(512).into_iter().filter(|checkpoint| checkpoint.student.len() > 1);
    let mut seen = 0;
    for checkpoint in checkpoints {
        let mut file = checkpoint.tensors(&resnet18());
        let changed = format!("{}conv1.weight", checkpoint.student[1]);
        file.iter_mut().find(|tensor| tensor.name == changed).unwrap().bytes[0] = HEAD;
        let error = match_names(&resnet18(), &file).unwrap_err().to_string();
        assert!(error.contains("encoders with different weights"), "{error}");
        seen += 1;
    }
    assert_eq!(seen, 2);
}
