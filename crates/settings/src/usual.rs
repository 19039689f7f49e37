//! The usual names of a training's settings in other programs, so that a user who types such a name learns ours.

/// A usual name, and the keys that it may mean; the first key that a recipe has is meant.
const USUAL: [(&str, &[&str]); 62] = [
    ("epoch", LENGTH),
    ("epochs", LENGTH),
    ("max_epochs", LENGTH),
    ("num_epochs", LENGTH),
    ("n_epochs", LENGTH),
    ("total_epochs", LENGTH),
    ("steps", LENGTH),
    ("max_steps", LENGTH),
    ("num_steps", LENGTH),
    ("iters", LENGTH),
    ("iterations", LENGTH),
    ("max_iters", LENGTH),
    ("lr", RATE),
    ("base_lr", RATE),
    ("learning_rate", RATE),
    ("wd", DECAY),
    ("weight_decay", DECAY),
    ("momentum", &["optimizer.momentum", "probe.momentum"]),
    ("clip_grad", &["optimizer.clip_gradient_norm"]),
    ("grad_clip", &["optimizer.clip_gradient_norm"]),
    ("warmup", &["optimizer.schedule.warmup"]),
    ("warmup_epochs", &["optimizer.schedule.warmup"]),
    ("warmup_steps", &["optimizer.schedule.warmup"]),
    ("scheduler", &["optimizer.schedule.kind"]),
    ("lr_scheduler", &["optimizer.schedule.kind"]),
    ("optim", &["optimizer.kind"]),
    ("batch", BATCH),
    ("batch_size", BATCH),
    ("batchsize", BATCH),
    ("bs", BATCH),
    ("arch", &["encoder.architecture"]),
    ("backbone", &["encoder.architecture"]),
    ("model", &["encoder.architecture"]),
    ("pretrained", &["encoder.weights"]),
    ("weights", &["encoder.weights"]),
    ("checkpoint", &["encoder.weights"]),
    ("init", &["encoder.weights"]),
    ("data_path", &["data.root"]),
    ("data_dir", &["data.root"]),
    ("dataset", &["data.root"]),
    ("path", &["data.root"]),
    ("num_workers", &["data.workers"]),
    ("img_size", SIZE),
    ("image_size", SIZE),
    ("input_size", SIZE),
    ("crop_size", SIZE),
    ("resolution", SIZE),
    ("classes", &["labels.categories"]),
    ("num_classes", &["labels.categories"]),
    ("clusters", &["labels.categories"]),
    ("num_clusters", &["labels.categories"]),
    ("seed", &["run.seed"]),
    ("gpu", &["run.device"]),
    ("amp", &["run.precision"]),
    ("fp16", &["run.precision"]),
    ("bf16", &["run.precision"]),
    ("dtype", &["run.precision"]),
    ("output", &["run.dir"]),
    ("output_dir", &["run.dir"]),
    ("tau", &["regionsim.temperature"]),
    ("eval_every", &["evaluate.every"]),
    ("save_every", &["train.checkpoint_every"]),
];

const LENGTH: &[&str] = &["train.duration", "probe.epochs"];
const RATE: &[&str] = &["optimizer.base_learning_rate", "probe.learning_rate"];
const DECAY: &[&str] = &["optimizer.weight_decay", "probe.weight_decay"];
const BATCH: &[&str] = &["train.batch_size", "probe.batch_size"];
const SIZE: &[&str] = &["augment.size", "probe.size"];

/// The keys that are meant if a user writes `name`, in any table: `epochs`, `train.epochs`, `batch-size`.
pub fn keys_meant(name: &str) -> &'static [&'static str] {
    let name = name.rsplit('.').next().unwrap_or_default().to_lowercase().replace('-', "_");
    USUAL.iter().find(|(usual, _)| *usual == name).map_or(&[], |(_, keys)| keys)
}
