//! `densesiam report`: runs on one page.

use std::fs;

use crate::program::Place;

#[test]
fn a_page_shows_where_runs_differ_and_their_curves() {
    let place = Place::new();
    for (name, seed) in [("one", "run.seed=1"), ("two", "run.seed=2")] {
        place.pretrain(name, &[seed, "train.duration=3 steps"]).succeeded();
    }
    let report = ["report", "runs/one", "runs/two", "--out", "both.html"];
    place.run(&report).succeeded().prints(&["both.html"]);
    let page = fs::read_to_string(place.path("both.html")).unwrap();
    assert!(
        page.contains("<td>run.seed</td><td>1</td><td>2</td>") && page.contains("<td>step</td><td>3</td>")
    );
    assert!(page.contains("<td>loss</td>") && page.contains("<svg") && !page.contains("<td>run.name</td>"));
    place.run(&report).exited(2).says(&["both.html exists", "--overwrite"]);
    let nowhere = ["report", "runs/one", "runs/three", "--out", "other.html"];
    place.run(&nowhere).exited(2).says(&["runs/three is no run directory"]);
    assert!(!place.path("other.html").exists());
}
