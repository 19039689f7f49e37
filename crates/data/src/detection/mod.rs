//! Data sets of objects: the pictures, and where in each which objects are, by boxes and perhaps by masks; and files of what
//! models found.
//!
//! A [`DetectionSet`] is read from PASCAL VOC's files ([`read_voc`]) or made of what another reader has found. Training draws
//! [`DetectionViews`] of it: whole pictures of many sizes, perhaps mirrored, with their objects. Evaluation reads it with a
//! [`DetectionReader`], picture by picture. Boxes are continuous: pixel `i` covers `[i, i+1)`. [`score`] compares files of
//! everybody. A [`DetectionCheck`] names all that is wrong with a set, and does not end at the first.

mod check;
mod coco;
mod error;
mod reading;
mod results;
mod sample;
mod score;
mod set;
mod survey;
mod transform;
mod views;
mod voc;

pub use check::DetectionCheck;
pub use coco::{
    CocoCategory, CocoCoordinate, CocoEntry, CocoError, CocoFault, CocoFile, CocoFindings, CocoObject,
    CocoPicture, CocoShape, CocoSplit, coco_splits, is_json, read_coco,
};
pub use error::DetectionError;
pub use reading::{DetectionBatch, DetectionReader, DetectionReading};
pub use results::{
    VocResultError, VocResultFault, parse_coco_results, parse_voc_results, read_coco_results,
    read_voc_results, voc_results_file, write_coco_results, write_voc_results,
};
pub use sample::{Annotation, Object, Shape};
pub use score::{CocoScored, ScoreError, score};
pub use set::DetectionSet;
pub use survey::{DetectionFinding, DetectionProblem, DetectionSurvey};
pub use transform::{DetectionAugment, Placement, resized};
pub use views::{DetectionView, DetectionViews};
pub use voc::{
    Classes, VOC_CLASSES, VocAnnotation, VocFault, VocObject, VocPart, parse_voc, read_voc, voc_parts,
};
