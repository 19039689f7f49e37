//! Laws of the scores, on pictures by hand.

use densesiam_geometry::mask::RunLengths;
use densesiam_random::{Key, Purpose, RngExt};

use super::*;

fn truth(picture: usize, bbox: [f64; 4]) -> Truth {
    let bbox = Xywh::from(bbox);
    Truth { picture, class: 0, bbox, mask: None, area: bbox.area(), crowd: false, difficult: false }
}

fn found(picture: usize, score: f64, bbox: [f64; 4]) -> Detection {
    Detection { picture, class: 0, score, bbox: bbox.into(), mask: None }
}

fn coco(truths: &[Truth], detections: &[Detection]) -> CocoScores {
    let mut evaluator = CocoEvaluator::new(1, Kind::Boxes);
    evaluator.update(truths, detections).unwrap();
    evaluator.finish()
}

fn figure(scores: &CocoScores, name: &str) -> Option<f64> {
    scores.figures().iter().find(|(figure, _)| *figure == name).unwrap().1
}

fn voc(truths: &[Truth], detections: &[Detection], rule: VocRule, rounding: Rounding) -> VocScores {
    let mut evaluator = VocEvaluator::new(1, rule, rounding);
    evaluator.update(truths, detections).unwrap();
    evaluator.finish()
}

const SQUARE: [f64; 4] = [10.0, 10.0, 32.0, 32.0];

#[test]
fn a_perfect_detection_has_all() {
    let scores = coco(&[truth(3, SQUARE)], &[found(3, 0.9, SQUARE)]);
    for name in ["AP", "AP50", "AP75", "AR1", "AR100", "APs", "APm"] {
        let value = figure(&scores, name).unwrap();
        assert!((value - 1.0).abs() < 1e-12, "{name} {value}");
    }
    assert_eq!(figure(&scores, "APl"), None, "32 x 32 is small and medium");
    assert_eq!(scores.figures()[0].0, "AP");
    assert_eq!(scores.curve(0).unwrap().precision.len(), Curve::recall().len());
}

#[test]
fn nothing_to_find_is_no_score_and_nothing_found_is_zero() {
    let nothing = coco(&[], &[found(0, 0.5, SQUARE)]);
    assert!(nothing.figures().iter().all(|(_, value)| value.is_none()));
    assert_eq!((nothing.class_ap[0], nothing.curve(0)), (None, None));
    assert_eq!(figure(&coco(&[truth(0, SQUARE)], &[]), "AP"), Some(0.0));
}

#[test]
fn what_lies_in_a_crowd_does_not_count() {
    let crowd = Truth { crowd: true, ..truth(0, [0.0, 0.0, 200.0, 200.0]) };
    let object = truth(0, [300.0, 0.0, 40.0, 40.0]);
    let detections = [
        found(0, 0.9, [10.0, 10.0, 20.0, 20.0]),
        found(0, 0.8, [50.0, 50.0, 20.0, 20.0]),
        found(0, 0.7, [300.0, 0.0, 40.0, 40.0]),
    ];
    assert!(
        (figure(&coco(&[crowd.clone(), object.clone()], &detections), "AP").unwrap() - 1.0).abs() < 1e-12
    );
    let alone = Truth { crowd: false, ..crowd };
    assert!(figure(&coco(&[alone, object], &detections), "AP").unwrap() < 0.5);
}

#[test]
fn equal_scores_count_in_the_order_of_pictures_and_lists() {
    let truths = [truth(0, SQUARE), truth(1, SQUARE)];
    let (wrong, right) = (found(0, 0.5, [90.0, 90.0, 5.0, 5.0]), found(1, 0.5, SQUARE));
    let scores = coco(&truths, &[right.clone(), wrong.clone()]);
    assert_eq!(scores.precision(0, 50, 0), Some(0.5), "picture 0 comes first");
    let first = coco(&truths, &[found(0, 0.5, SQUARE), wrong.clone()]);
    let last = coco(&truths, &[wrong, found(0, 0.5, SQUARE)]);
    assert!(first.precision(0, 50, 0) > last.precision(0, 50, 0));
    // Both zeros are one score.
    let zeros = coco(&truths, &[found(0, -0.0, SQUARE), found(0, 0.0, [90.0, 90.0, 5.0, 5.0])]);
    assert_eq!(zeros.precision(0, 50, 0), first.precision(0, 50, 0));
}

/// A made-up set: objects, detections beside them, crowds and difficult ones.
fn made_up(pictures: u64) -> (Vec<Truth>, Vec<Detection>) {
    let (mut truths, mut detections) = (Vec::new(), Vec::new());
    for picture in 0..pictures {
        let mut numbers = Key::new(7, Purpose::Demo).sample(picture).rng();
        for object in 0..6 {
            let [x, y] = [0, 1].map(|_| numbers.random_range(0.0..200.0));
            let [width, height] = [0, 1].map(|_| numbers.random_range(4.0..120.0));
            let class = (object + picture as usize) % 3;
            let truth = Truth { class, ..truth(picture as usize, [x, y, width, height]) };
            truths.push(Truth { crowd: object == 4, difficult: object == 5, ..truth });
            let moved =
                [x + numbers.random_range(0.0..9.0), y, width, height * numbers.random_range(0.6..1.2)];
            let score = (numbers.random_range(0.0_f64..1.0) * 20.0).round() / 20.0;
            detections.push(Detection { class, ..found(picture as usize, score, moved) });
        }
    }
    (truths, detections)
}

#[test]
fn parts_in_any_order_score_as_the_whole() {
    let (truths, detections) = made_up(40);
    let part = |even: bool| {
        let own = |picture: usize| picture.is_multiple_of(2) == even;
        let truths: Vec<_> = truths.iter().filter(|truth| own(truth.picture)).cloned().collect();
        let detections: Vec<_> = detections.iter().filter(|found| own(found.picture)).cloned().collect();
        (truths, detections)
    };
    let mut whole = CocoEvaluator::new(3, Kind::Boxes);
    whole.update(&truths, &detections).unwrap();
    let mut merged = CocoEvaluator::new(3, Kind::Boxes);
    for even in [false, true] {
        let mut evaluator = CocoEvaluator::new(3, Kind::Boxes);
        evaluator.update(&part(even).0, &part(even).1).unwrap();
        merged.merge(evaluator).unwrap();
    }
    let (whole, merged) = (whole.finish(), merged.finish());
    assert!(figure(&whole, "AP").unwrap() > 0.1);
    assert_eq!(whole, merged);

    let new = || VocEvaluator::new(3, VocRule::Area, Rounding::Detectron2);
    let mut whole = new();
    whole.update(&truths, &detections).unwrap();
    let mut parts = new();
    for even in [false, true] {
        parts.update(&part(even).0, &part(even).1).unwrap();
    }
    assert_eq!(whole.finish(), parts.finish());
}

#[test]
fn threads_change_nothing() {
    let (truths, detections) = made_up(600);
    assert!(truths.len() + detections.len() > 4000, "enough for two threads");
    let mut whole = CocoEvaluator::new(3, Kind::Boxes);
    whole.update(&truths, &detections).unwrap();
    let mut parts = CocoEvaluator::new(3, Kind::Boxes);
    for (truths, detections) in truths.chunks(60).zip(detections.chunks(60)) {
        parts.update(truths, detections).unwrap();
    }
    assert_eq!(whole.finish(), parts.finish());
}

#[test]
fn masks_score_by_their_own_pixels() {
    let mask = |rows: std::ops::Range<u32>| {
        let bits: Vec<bool> = (0..100 * 100).map(|pixel| rows.contains(&(pixel / 100))).collect();
        Some(RunLengths::from_bits([100, 100], &bits))
    };
    let truths = [Truth { mask: mask(0..10), area: 1000.0, ..truth(0, [0.0; 4]) }];
    let with = |mask| [Detection { mask, ..found(0, 0.5, [0.0, 0.0, 1e4, 1e4]) }];
    let score = |detections: &[Detection]| {
        let mut evaluator = CocoEvaluator::new(1, Kind::Masks);
        evaluator.update(&truths, detections).map(|()| evaluator.finish())
    };
    assert!(figure(&score(&with(mask(0..5))).unwrap(), "AP50").unwrap() > 0.99, "half of it is enough");
    assert_eq!(figure(&score(&with(mask(0..4))).unwrap(), "AP50"), Some(0.0));
    assert_eq!(score(&with(None)), Err(EvaluationError::NoMask { picture: 0 }));
    let other = Some(RunLengths::from_bits([2, 2], &[true; 4]));
    let sizes = EvaluationError::MaskSize { picture: 0, one: [100, 100], other: [2, 2] };
    assert_eq!(score(&with(other)), Err(sizes));
}

#[test]
fn what_cannot_be_scored_is_refused_and_changes_nothing() {
    let mut evaluator = CocoEvaluator::new(1, Kind::Boxes);
    let before = evaluator.clone();
    let class = Truth { class: 1, ..truth(4, SQUARE) };
    let refused = evaluator.update(&[class], &[]).unwrap_err();
    assert_eq!(refused, EvaluationError::Class { picture: 4, class: 1, classes: 1 });
    let refused = evaluator.update(&[], &[found(4, f64::NAN, SQUARE)]).unwrap_err();
    assert!(matches!(refused, EvaluationError::Score { picture: 4, .. }));
    assert_eq!(evaluator, before);
    evaluator.update(&[truth(4, SQUARE)], &[]).unwrap();
    let again = evaluator.update(&[], &[found(4, 0.5, SQUARE)]);
    assert_eq!(again, Err(EvaluationError::Twice { picture: 4 }));
    assert_eq!(evaluator.clone().merge(evaluator.clone()), Err(EvaluationError::Twice { picture: 4 }));
    let other = CocoEvaluator::new(1, Kind::Masks);
    assert!(matches!(evaluator.merge(other), Err(EvaluationError::Unlike { .. })));
}

#[test]
fn voc_counts_whole_pixels_and_leaves_difficult_objects_out() {
    // Pixels 11 to 20 against 11 to 30: 10 of 20, which is not above one half.
    let half = [found(0, 0.9, [10.0, 10.0, 10.0, 10.0])];
    let truths = [truth(0, [10.0, 10.0, 10.0, 20.0])];
    let ap = |detections: &[Detection], truths: &[Truth]| {
        voc(truths, detections, VocRule::Area, Rounding::Exact).class_ap[0][0]
    };
    assert_eq!(ap(&half, &truths), Some(0.0));
    assert_eq!(ap(&[found(0, 0.9, [10.0, 10.0, 10.0, 10.2])], &truths), Some(1.0));
    let difficult = Truth { difficult: true, ..truth(0, SQUARE) };
    let detections = [found(0, 0.9, SQUARE), found(0, 0.8, [10.0, 100.0, 10.0, 20.0])];
    let object = truth(0, [10.0, 100.0, 10.0, 20.0]);
    assert_eq!(ap(&detections, &[difficult.clone(), object]), Some(1.0));
    assert_eq!(ap(&[found(0, 0.1, [90.0, 0.0, 4.0, 4.0])], &[difficult]), None, "nothing to find");
}

#[test]
fn rounded_scores_may_be_equal() {
    let truths = [truth(0, SQUARE)];
    let detections = [found(0, 0.5001, [100.0, 0.0, 5.0, 5.0]), found(0, 0.5004, SQUARE)];
    let ap = |rounding| voc(&truths, &detections, VocRule::Area, rounding).figures()[1].1;
    assert_eq!(ap(Rounding::Exact), Some(1.0));
    assert_eq!(ap(Rounding::Detectron2), Some(0.5));
}
