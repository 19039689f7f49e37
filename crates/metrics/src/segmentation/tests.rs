//! Tests scores that can be checked by hand, and the laws that scores obey.

use densesiam_random::{Key, Purpose, RngExt};

use super::*;

fn matrix(classes: usize, clusters: usize, counts: &[u64]) -> ConfusionMatrix {
    ConfusionMatrix::from_counts(classes, clusters, -1, counts.to_vec()).unwrap()
}

fn one_to_one(matrix: &ConfusionMatrix, is_thing: Option<&[bool]>) -> SegmentationScores {
    SegmentationScores::new(matrix, &Matching::one_to_one(matrix), is_thing).unwrap()
}

fn means(miou: f64, aacc: f64, macc: f64) -> MeanScores {
    MeanScores { miou: Some(miou), aacc: Some(aacc), macc: Some(macc) }
}

fn assert_close(got: MeanScores, expected: MeanScores) {
    let triple = |scores: MeanScores| [scores.miou, scores.aacc, scores.macc];
    for (got, expected) in triple(got).into_iter().zip(triple(expected)) {
        assert!(
            got == expected || (got.unwrap() - expected.unwrap()).abs() < 1e-12,
            "{got:?} is not {expected:?}"
        );
    }
}

/// Class 0 is cluster 2, class 1 cluster 0, class 2 cluster 1: 6 + 8 + 3 of 24 pixels are correct.
const BY_HAND: [u64; 9] = [1, 1, 6, 8, 0, 2, 0, 3, 3];

#[test]
fn three_classes_by_hand() {
    let scores = one_to_one(&matrix(3, 3, &BY_HAND), Some(&[false, true, true]));
    let iou: Vec<_> = scores.per_class.iter().map(|class| class.iou.unwrap()).collect();
    assert_eq!(iou, [6.0 / 13.0, 8.0 / 11.0, 3.0 / 7.0]);
    assert_close(
        scores.overall,
        means((6.0 / 13.0 + 8.0 / 11.0 + 3.0 / 7.0) / 3.0, 17.0 / 24.0, (0.75 + 0.8 + 0.5) / 3.0),
    );
    let split = scores.split.unwrap();
    assert_close(split.things, means((8.0 / 11.0 + 3.0 / 7.0) / 2.0, 11.0 / 16.0, (0.8 + 0.5) / 2.0));
    assert_close(split.stuff, means(6.0 / 13.0, 0.75, 0.75));
    // Clusters 0 and 1, rows in their order: [[8, 0], [0, 3]]; cluster 2 alone: [[6]].
    let legacy = scores.legacy_split.unwrap();
    assert_eq!((legacy.things, legacy.stuff), (means(1.0, 1.0, 1.0), means(1.0, 1.0, 1.0)));
}

#[test]
fn a_perfect_prediction_scores_one() {
    let scores = one_to_one(&matrix(3, 3, &[0, 7, 0, 0, 0, 5, 9, 0, 0]), Some(&[true, false, false]));
    let split = scores.split.unwrap();
    for group in [scores.overall, split.things, split.stuff] {
        assert_eq!(group, means(1.0, 1.0, 1.0));
    }
}

#[test]
fn permuting_clusters_changes_no_score() {
    let is_thing = [true, true, false, false, false];
    for seed in 0..20 {
        let mut rng = Key::new(seed, Purpose::Points).rng();
        // Large counts, so that the best assignment is unique.
        let counts: Vec<u64> = (0..25).map(|_| rng.random_range(0..1_000_000)).collect();
        let order = [3, 0, 4, 2, 1];
        let permuted: Vec<u64> = (0..25).map(|cell| counts[cell / 5 * 5 + order[cell % 5]]).collect();
        let [plain, permuted] =
            [counts, permuted].map(|counts| one_to_one(&matrix(5, 5, &counts), Some(&is_thing)));
        assert_eq!(plain, SegmentationScores { legacy_split: plain.legacy_split, ..permuted });
    }
}

#[test]
fn surplus_clusters_count_as_errors() {
    let scores = one_to_one(&matrix(2, 3, &[6, 0, 2, 0, 5, 0]), Some(&[true, false]));
    assert_eq!((&scores.unmatched_clusters, &scores.unmatched_classes), (&vec![2], &vec![]));
    assert_close(scores.overall, means((0.75 + 1.0) / 2.0, 11.0 / 13.0, (0.75 + 1.0) / 2.0));
    assert_eq!(scores.legacy_split, None);
    let matrix = matrix(2, 3, &[6, 0, 2, 0, 5, 0]);
    let majority = SegmentationScores::new(&matrix, &Matching::many_to_one(&matrix), None).unwrap();
    assert_eq!(majority.overall, means(1.0, 1.0, 1.0));
}

#[test]
fn classes_without_a_cluster_score_zero() {
    let scores = one_to_one(&matrix(3, 2, &[6, 0, 1, 1, 0, 4]), Some(&[true, false, true]));
    assert_eq!(scores.unmatched_classes, [1]);
    assert_eq!(scores.per_class[1].iou, Some(0.0));
    assert_close(scores.overall, means((6.0 / 7.0 + 0.0 + 0.8) / 3.0, 10.0 / 12.0, 2.0 / 3.0));
    assert_eq!(scores.legacy_split, None);
}

#[test]
fn an_absent_class_counts_only_if_predicted() {
    let unseen = one_to_one(&matrix(3, 3, &[4, 0, 0, 0, 6, 0, 0, 0, 0]), None);
    assert_eq!((unseen.per_class[2].iou, unseen.per_class[2].accuracy), (None, None));
    assert_eq!((unseen.overall, unseen.absent_classes), (means(1.0, 1.0, 1.0), vec![2]));
    let predicted = one_to_one(&matrix(3, 3, &[3, 0, 1, 0, 6, 0, 0, 0, 0]), None);
    assert_eq!(predicted.per_class[2].iou, Some(0.0));
    assert_close(predicted.overall, means((0.75 + 1.0) / 3.0, 0.9, (0.75 + 1.0) / 2.0));
}

#[test]
fn nothing_labelled_is_no_score() {
    let scores = one_to_one(&ConfusionMatrix::new(2, 2, -1), Some(&[true, true]));
    let nothing = MeanScores { miou: None, aacc: None, macc: None };
    assert_eq!((scores.overall, scores.split.unwrap().stuff), (nothing, nothing));
    let json = serde_json::to_value(&scores).unwrap();
    assert!(json["mIoU"].is_null() && json["matching"] == "one_to_one", "{json}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let square = matrix(3, 3, &BY_HAND);
    let matching = Matching::one_to_one(&square);
    let flags = SegmentationScores::new(&square, &matching, Some(&[true; 4])).unwrap_err();
    assert_eq!(flags.to_string(), "4 things/stuff flags for 3 classes");
    let other = SegmentationScores::new(&ConfusionMatrix::new(3, 4, -1), &matching, None).unwrap_err();
    assert_eq!(other, ScoreError::Matching { matching: (3, 3), matrix: (3, 4) });
}
