//! Ablations: lists of variants over seeds, and their table.

use std::fs;

use crate::program::{Finished, INSTANT as PRETRAIN_INSTANT, Place};
use crate::segment::INSTANT;

const LIST: &str = "task = \"segment\"\nrecipe = \"camvid_r18\"\npaper_measure = \"mIoU, percent\"\n\
    [[variant]]\nname = \"all of it\"\nsettings = []\npaper = \"16.4\"\n\
    [[variant]]\nname = \"no head\"\nsettings = [\"auxiliary.weight=0\"]\n";

fn ablate(place: &Place, more: &[&str]) -> Finished {
    let root = format!("data.root={}", place.path("pictures").display());
    let list = place.path("heads.toml");
    let arguments = ["ablate", list.to_str().unwrap(), "labels.layout=auto", &root, "--seeds", "2"];
    place.run(&arguments.into_iter().chain(INSTANT).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn variants_are_run_over_seeds_and_not_twice() {
    let place = Place::new();
    fs::write(place.path("heads.toml"), LIST).unwrap();
    let planned = ablate(&place, &["--dry-run"]).succeeded().stdout();
    assert!(planned.contains("no_head_s2: auxiliary.weight=0"), "{planned}");
    assert!(!place.path("runs").exists());

    // An ablation that was killed as it made a run's folder goes on.
    fs::create_dir_all(place.path("runs/heads/all_of_it_s1")).unwrap();
    fs::write(place.path("runs/heads/all_of_it_s1/.lock"), "").unwrap();
    let table = ablate(&place, &[]).succeeded().stdout();
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].contains("last mIoU, difference") && rows[0].contains("paper: mIoU, percent"), "{table}");
    assert!(
        rows[2].contains("all of it") && rows[2].contains("16.4") && rows[2].contains("+0.00"),
        "{table}"
    );
    assert!(rows[3].contains("no head") && rows[3].contains("+-"), "{table}");
    assert_eq!(fs::read_to_string(place.path("runs/heads/ablation.md")).unwrap(), table);
    let recipe =
        |run: &str| fs::read_to_string(place.path(&format!("runs/heads/{run}/recipe.toml"))).unwrap();
    assert!(recipe("all_of_it_s1").contains("seed = 1") && recipe("no_head_s2").contains("seed = 2"));
    assert_ne!(place.weights("heads/all_of_it_s1", 8), place.weights("heads/all_of_it_s2", 8));

    // What is there is not run again, and a variant that was removed is.
    fs::remove_dir_all(place.path("runs/heads/no_head_s2")).unwrap();
    let again = ablate(&place, &["--json"]).succeeded().says(&["this run is finished"]).stdout();
    let json: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(json["variants"][1]["runs"].as_array().unwrap().len(), 2);
    assert!(json["variants"][1]["runs"][1]["figures"]["last mIoU"].as_f64().is_some());
}

#[test]
fn a_list_that_cannot_run_fails_before_its_first_variant() {
    let place = Place::new();
    let list = LIST.replace("auxiliary.weight=0", "encoder.weights=nowhere.pth");
    fs::write(place.path("heads.toml"), list).unwrap();
    ablate(&place, &[]).exited(4).says(&["nowhere.pth"]);
    assert!(!place.path("runs").exists());
    let list = LIST.replace("paper_measure = \"mIoU, percent\"\n", "");
    fs::write(place.path("heads.toml"), list).unwrap();
    ablate(&place, &[]).exited(2).says(&["paper_measure"]);
}

#[test]
fn a_run_that_fails_by_itself_has_its_place_in_the_table() {
    let place = Place::new();
    let list = LIST.replace("auxiliary.weight=0", "optimizer.base_learning_rate=1e30");
    fs::write(place.path("heads.toml"), list).unwrap();
    let table = ablate(&place, &[]).succeeded().stdout();
    assert!(table.contains("0, 2 failed"), "{table}");
}

#[test]
fn a_list_that_is_none_is_refused() {
    let place = Place::new();
    place.run(&["ablate", "none"]).exited(2).says(&["none", "segment_components"]);
    fs::write(place.path("heads.toml"), LIST.replace("auxiliary.weight=0", "auxilary.weight=0")).unwrap();
    ablate(&place, &[]).exited(2).says(&["did you mean `auxiliary.weight`?"]);
    assert!(!place.path("runs").exists(), "nothing is run before every variant is known to be one");
}

#[test]
fn encoders_are_probed_beside_random_weights() {
    let place = Place::new();
    let list = "task = \"pretrain\"\nrecipe = \"folder_r18\"\n\
        [[variant]]\nname = \"SimSiam\"\nsettings = [\"pixsim.weight=0\", \"regionsim.weight=0\"]\n\
        [[variant]]\nname = \"ours\"\nsettings = []\n";
    fs::write(place.path("mine.toml"), list).unwrap();
    let root = format!("data.root={}", place.pictures().display());
    let arguments = ["ablate", "mine.toml", &root, "--seeds", "2"].into_iter().chain(PRETRAIN_INSTANT);
    let probe =
        ["data.root=pictures", "probe.size=64", "probe.epochs=1", "probe.batch_size=4", "run.threads=1"];
    let probe = probe.into_iter().flat_map(|setting| ["--probe", setting]);
    let table = place.run(&arguments.chain(probe).collect::<Vec<_>>()).succeeded().stdout();
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].contains("probe mIoU"), "{table}");
    let names = ["random weights", "SimSiam", "ours"];
    assert!(
        rows[2..].iter().zip(names).all(|(row, name)| row.contains(name) && row.contains("+-")),
        "{table}"
    );
}
