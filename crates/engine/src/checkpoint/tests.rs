//! The laws of checkpoints: each is complete or absent, damage is noticed, and a saved checkpoint is never lost.

use super::*;
use serde_json::json;
use tch::{Device, Kind};

fn tensors(step: u64) -> Vec<(String, Tensor)> {
    vec![("weight".into(), Tensor::full([3, 2], step as f64, (Kind::Float, Device::Cpu)))]
}

fn save(folder: &CheckpointFolder, step: u64) -> PathBuf {
    folder.save(step, &tensors(step), &tensors(step + 1), json!({"seed": 7})).unwrap()
}

fn open(folder: &tempfile::TempDir) -> CheckpointFolder {
    CheckpointFolder::open(&folder.path().join("checkpoints")).unwrap()
}

fn latest_step(folder: &CheckpointFolder) -> Option<u64> {
    folder.latest().unwrap().checkpoint.map(|checkpoint| checkpoint.manifest.step)
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_was_saved_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let path = save(&open(&home), 1200);
    assert!(path.ends_with("checkpoints/000001200"));
    let checkpoint = load(&path).unwrap();
    assert_eq!((checkpoint.manifest.step, &checkpoint.manifest.run), (1200, &json!({"seed": 7})));
    assert!(checkpoint.manifest.created > 1_700_000_000);
    assert!(checkpoint.model[0].1.equal(&tensors(1200)[0].1));
    assert!(checkpoint.optimizer[0].1.equal(&tensors(1201)[0].1));
    assert_eq!(checkpoint.model[0].0, "weight");
}

#[test]
fn a_flipped_byte_is_seen_and_the_one_before_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    save(&folder, 10);
    for file in [MODEL, OPTIMIZER] {
        let path = save(&folder, 20);
        flip_a_byte(&path.join(file));
        let latest = folder.latest().unwrap();
        assert_eq!(latest.checkpoint.unwrap().manifest.step, 10);
        assert_eq!(latest.rejected.len(), 1);
        assert_eq!(latest.rejected[0].0, path);
        assert!(
            matches!(&latest.rejected[0].1, CheckpointError::Checksum { path, .. } if path.ends_with(file))
        );
    }
}

#[test]
fn every_kind_of_damage_has_its_error() {
    let home = tempfile::tempdir().unwrap();
    let path = save(&open(&home), 1);
    let (model, manifest) = (path.join(MODEL), path.join(MANIFEST));
    let whole = fs::read(&model).unwrap();

    fs::write(&model, &whole[..whole.len() - 3]).unwrap();
    assert!(
        matches!(load(&path), Err(CheckpointError::Truncated { expected, found, .. }) if expected == found + 3)
    );
    fs::remove_file(&model).unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::Missing { .. })));
    fs::write(&model, &whole).unwrap();
    load(&path).unwrap();

    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::FormatVersion { found: 9, supported: 1, .. })));
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::Manifest { .. })));
    fs::remove_file(&manifest).unwrap();
    assert!(matches!(load(&path), Err(CheckpointError::NotFound { .. })));
    assert!(matches!(load(&home.path().join("none")), Err(CheckpointError::NotFound { .. })));
}

#[test]
fn leftovers_of_a_killed_process_are_ignored_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    let path = save(&folder, 10);
    let leftover = folder.path.join(".writing-000000020");
    fs::create_dir(&leftover).unwrap();
    fs::copy(path.join(MODEL), leftover.join(MODEL)).unwrap();
    let deleting = folder.path.join(".deleting-000000005");
    fs::create_dir(&deleting).unwrap();
    assert_eq!(latest_step(&folder), Some(10));
    let folder = open(&home);
    assert!(!leftover.exists() && !deleting.exists());
    assert_eq!(latest_step(&folder), Some(10));
}

#[test]
fn a_checkpoint_set_aside_and_not_replaced_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    let path = save(&folder, 10);
    let aside = sibling(&path, REPLACED);
    fs::rename(&path, &aside).unwrap();
    let folder = open(&home);
    assert_eq!(latest_step(&folder), Some(10));
    // Killed after the replacement was in place: the replacement stays.
    fs::create_dir(&aside).unwrap();
    let folder = open(&home);
    assert!(!aside.exists());
    assert_eq!(latest_step(&folder), Some(10));
}

#[test]
fn saving_a_step_again_replaces_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    flip_a_byte(&save(&folder, 10).join(MODEL));
    let path = folder.save(10, &tensors(3), &[], json!(null)).unwrap();
    assert!(load(&path).unwrap().model[0].1.equal(&tensors(3)[0].1));
    assert_eq!(names(&folder.path).unwrap(), ["000000010"]);
}

#[test]
fn a_failed_write_loses_nothing_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    save(&folder, 10);
    let twice = [tensors(1), tensors(2)].concat_tensors();
    let error = folder.save(10, &tensors(1), &twice, json!(null)).unwrap_err();
    assert!(matches!(error, CheckpointError::Tensors(TensorFileError::Duplicate { .. })));
    assert_eq!(names(&folder.path).unwrap(), ["000000010"]);
    assert_eq!(latest_step(&folder), Some(10));

    fs::remove_dir_all(&folder.path).unwrap();
    let error = folder.save(20, &tensors(1), &[], json!(null)).unwrap_err();
    assert!(matches!(error, CheckpointError::Write { .. }), "{error}");
    fs::write(&folder.path, b"a file where the folder was").unwrap();
    assert!(matches!(CheckpointFolder::open(&folder.path), Err(CheckpointError::Write { .. })));
}

/// `concat` for lists of tensors, which are not `Clone`.
trait ConcatTensors {
    fn concat_tensors(self) -> Vec<(String, Tensor)>;
}

impl ConcatTensors for [Vec<(String, Tensor)>; 2] {
    fn concat_tensors(self) -> Vec<(String, Tensor)> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn rotation_keeps_the_last_the_best_and_always_one() {
    let home = tempfile::tempdir().unwrap();
    let folder = open(&home);
    for step in [10, 20, 30, 40] {
        save(&folder, step);
    }
    assert_eq!(folder.rotate(2, &BTreeSet::from([10])).unwrap(), [20]);
    assert_eq!(steps(&folder.path).unwrap(), [10, 30, 40]);
    // A folder without a manifest is not a checkpoint, and must not cause a complete one to be deleted.
    fs::remove_file(folder.path.join("000000040").join(MANIFEST)).unwrap();
    assert_eq!(folder.rotate(1, &BTreeSet::new()).unwrap(), [10]);
    assert_eq!(folder.rotate(0, &BTreeSet::new()).unwrap(), Vec::<u64>::new());
    assert_eq!(latest_step(&folder), Some(30));
}

#[test]
fn what_the_fuzzer_left_is_a_manifest_or_damaged_or_of_another_format() {
    for (name, bytes) in densesiam_fixtures::fuzz::kept("manifest") {
        if let Err(error) = Manifest::parse(&bytes, Path::new(&name)) {
            assert!(error.is_damage() || matches!(error, CheckpointError::FormatVersion { .. }), "{error}");
        }
    }
}

#[test]
fn a_run_without_checkpoints_has_no_latest() {
    let home = tempfile::tempdir().unwrap();
    assert!(latest(&home.path().join("none")).unwrap().checkpoint.is_none());
    assert_eq!(latest_step(&open(&home)), None);
}
