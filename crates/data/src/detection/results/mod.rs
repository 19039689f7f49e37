//! What models found, in the files of COCO and of PASCAL VOC.

mod coco;
mod voc;

pub use coco::{parse_coco_results, read_coco_results, write_coco_results};
pub use voc::{
    VocResultError, VocResultFault, parse_voc_results, read_voc_results, voc_results_file, write_voc_results,
};
