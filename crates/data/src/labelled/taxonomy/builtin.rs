//! The taxonomies of the field's benchmarks.

use serde::Deserialize;

use super::{Class, Meaning, Taxonomy, TaxonomyError};
use crate::detection::VOC_CLASSES;

const COCO27: &str = include_str!("../../../assets/coco27/coco27.json");

/// CamVid's 11 classes (SegNet's reduction). The release does not distinguish things from stuff. The three classes
/// whose instances are countable and move are things here; signs and poles are stuff (ours, after Cityscapes). The
/// colours are SegNet's.
const CAMVID: [(&str, bool, [u8; 3]); 11] = [
    ("sky", false, [128, 128, 128]),
    ("building", false, [128, 0, 0]),
    ("pole", false, [192, 192, 128]),
    ("road", false, [128, 64, 128]),
    ("pavement", false, [60, 40, 222]),
    ("tree", false, [128, 128, 0]),
    ("sign", false, [192, 128, 128]),
    ("fence", false, [64, 64, 128]),
    ("car", true, [64, 0, 128]),
    ("pedestrian", true, [64, 64, 0]),
    ("bicyclist", true, [0, 128, 192]),
];

/// Cityscapes' labels from id 7 on (`cityscapesScripts`, `labels.py`): name, whether it has instances, whether it
/// is among the 19 classes of the official evaluation, and its colour. The ids 0 to 6 are void.
const CITYSCAPES: [(&str, bool, bool, [u8; 3]); 27] = [
    ("road", false, true, [128, 64, 128]),
    ("sidewalk", false, true, [244, 35, 232]),
    ("parking", false, false, [250, 170, 160]),
    ("rail track", false, false, [230, 150, 140]),
    ("building", false, true, [70, 70, 70]),
    ("wall", false, true, [102, 102, 156]),
    ("fence", false, true, [190, 153, 153]),
    ("guard rail", false, false, [180, 165, 180]),
    ("bridge", false, false, [150, 100, 100]),
    ("tunnel", false, false, [150, 120, 90]),
    ("pole", false, true, [153, 153, 153]),
    ("polegroup", false, false, [153, 153, 153]),
    ("traffic light", false, true, [250, 170, 30]),
    ("traffic sign", false, true, [220, 220, 0]),
    ("vegetation", false, true, [107, 142, 35]),
    ("terrain", false, true, [152, 251, 152]),
    ("sky", false, true, [70, 130, 180]),
    ("person", true, true, [220, 20, 60]),
    ("rider", true, true, [255, 0, 0]),
    ("car", true, true, [0, 0, 142]),
    ("truck", true, true, [0, 0, 70]),
    ("bus", true, true, [0, 60, 100]),
    ("caravan", true, false, [0, 0, 90]),
    ("trailer", true, false, [0, 0, 110]),
    ("train", true, true, [0, 80, 100]),
    ("motorcycle", true, true, [0, 0, 230]),
    ("bicycle", true, true, [119, 11, 32]),
];

/// The first label id of Cityscapes that is a class.
const CITYSCAPES_FIRST: u8 = 7;

#[derive(Deserialize)]
struct Coco27 {
    coarse: Vec<String>,
    fine_index_to_coarse_index: Vec<u8>,
}

fn class(name: &str, thing: bool, colour: Option<[u8; 3]>) -> Class {
    Class { name: name.into(), thing, colour }
}

/// The colour of a class of PASCAL VOC, as its development kit makes it (`VOClabelcolormap`): the bits of the number go
/// to red, green and blue in turn, each filled from its highest bit.
fn voc_colour(class: usize) -> [u8; 3] {
    let bit = |at: usize| (class >> at & 1) as u8;
    std::array::from_fn(|channel| bit(channel) << 7 | bit(channel + 3) << 6 | bit(channel + 6) << 5)
}

impl Taxonomy {
    /// COCO-Stuff's 182 label values (0..=181, as in the stuffthingmaps) in 27 coarse classes: 12 things, 15 stuff.
    ///
    /// # Errors
    /// A [`TaxonomyError`] if the embedded list is damaged: a bug.
    pub fn coco27() -> Result<Self, TaxonomyError> {
        let list: Coco27 = serde_json::from_str(COCO27)
            .map_err(|error| TaxonomyError::Embedded { file: "coco27.json", reason: error.to_string() })?;
        let classes = list.coarse.iter().map(|name| class(name, name.ends_with("-things"), None)).collect();
        let coarse = list.fine_index_to_coarse_index;
        Ok(Self::new("coco27", classes, |value| {
            coarse.get(usize::from(value)).map_or(Meaning::Outside, |&coarse| Meaning::Class(coarse))
        }))
    }

    /// CamVid's 11 classes, label values 0..=10. Car, pedestrian and bicyclist are things (ours: CamVid does not say).
    pub fn camvid() -> Self {
        Self::direct("camvid", CAMVID.map(|(name, thing, colour)| class(name, thing, Some(colour))).into())
    }

    /// The 19 classes of Cityscapes' official evaluation (its trainIds), from label ids 0..=33; other ids are void.
    pub fn cityscapes19() -> Self {
        Self::cityscapes("cityscapes19", |evaluated| evaluated)
    }

    /// The 27 classes of Cityscapes that unsupervised segmentation evaluates (PiCIE, STEGO): label ids 7..=33, the
    /// ids below are void.
    pub fn cityscapes27() -> Self {
        Self::cityscapes("cityscapes27", |_| true)
    }

    /// The 19 classes of [`Taxonomy::cityscapes19`] from label maps that hold their numbers (trainIds, 0..=18).
    pub(in crate::labelled) fn cityscapes19_by_train_id() -> Self {
        let by_label = Self::cityscapes19();
        Self::direct(&by_label.name, by_label.classes)
    }

    fn cityscapes(name: &str, kept: impl Fn(bool) -> bool) -> Self {
        let mut classes = Vec::new();
        let mut meanings = vec![Meaning::Void; usize::from(CITYSCAPES_FIRST)];
        for (label, thing, evaluated, colour) in CITYSCAPES {
            if kept(evaluated) {
                meanings.push(Meaning::Class(classes.len() as u8));
                classes.push(class(label, thing, Some(colour)));
            } else {
                meanings.push(Meaning::Void);
            }
        }
        Self::new(name, classes, |value| *meanings.get(usize::from(value)).unwrap_or(&Meaning::Outside))
    }

    /// PASCAL VOC 2012: background (stuff) and 20 things, label values 0..=20.
    pub fn voc2012() -> Self {
        let class = |(number, name)| class(name, name != "background", Some(voc_colour(number)));
        let names = ["background"].into_iter().chain(VOC_CLASSES);
        Self::direct("voc2012", names.enumerate().map(class).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coco_maps_all_182_values_into_27_classes_of_which_12_are_things() {
        let coco = Taxonomy::coco27().unwrap();
        assert_eq!((coco.classes.len(), coco.things().iter().filter(|&&thing| thing).count()), (27, 12));
        assert!(coco.things()[..12].iter().all(|&thing| thing));
        for value in 0..182 {
            // The first 91 values are COCO's things, the others its stuff.
            assert_eq!(coco.class_of(value).unwrap() < 12, value < 91, "{value}");
        }
        assert!((182..255).all(|value| coco.meaning(value) == Meaning::Outside));
        assert_eq!(coco.meaning(255), Meaning::Void);
        let mut used: Vec<_> = (0..182).filter_map(|value| coco.class_of(value)).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 27);
    }

    #[test]
    fn cityscapes_follows_the_official_train_ids() {
        let official = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33];
        let nineteen = Taxonomy::cityscapes19();
        for value in 0..34 {
            let expected = official.iter().position(|&id| id == value).map(|position| position as u8);
            assert_eq!(nineteen.class_of(value), expected, "{value}");
        }
        assert_eq!(nineteen.names()[13..16], ["car", "truck", "bus"]);
        let all = Taxonomy::cityscapes27();
        assert!((7..34).all(|value| all.class_of(value) == Some(value - 7)));
        assert!((0..7).all(|value| all.meaning(value) == Meaning::Void));
        assert_eq!((all.meaning(34), nineteen.meaning(34)), (Meaning::Outside, Meaning::Outside));
    }

    #[test]
    fn classes_have_the_colours_of_their_data_set() {
        let voc = Taxonomy::voc2012().colours();
        // Background, aeroplane, person and tvmonitor of the development kit.
        let [black, aeroplane, person, monitor] = [0, 1, 15, 20].map(|class: usize| voc[class].unwrap());
        assert_eq!((black, aeroplane), ([0, 0, 0], [128, 0, 0]));
        assert_eq!((person, monitor), ([192, 128, 128], [0, 64, 128]));
        // The 19 classes and the 27 classes are numbered differently.
        let car = |taxonomy: &Taxonomy| {
            taxonomy.colours()[taxonomy.names().iter().position(|&name| name == "car").unwrap()]
        };
        assert_eq!(car(&Taxonomy::cityscapes19()), Some([0, 0, 142]));
        assert_eq!(car(&Taxonomy::cityscapes27()), Some([0, 0, 142]));
        assert_eq!(car(&Taxonomy::camvid()), Some([64, 0, 128]));
        assert!(Taxonomy::coco27().unwrap().colours().iter().all(Option::is_none));
    }

    #[test]
    fn every_built_in_name_is_known_and_others_are_answered_with_the_list() {
        for (name, classes, things) in [
            ("coco27", 27, 12),
            ("camvid", 11, 3),
            ("cityscapes19", 19, 8),
            ("cityscapes27", 27, 10),
            ("voc2012", 21, 20),
        ] {
            let taxonomy = Taxonomy::named(name).unwrap();
            let found = taxonomy.things().iter().filter(|&&thing| thing).count();
            assert_eq!((taxonomy.name.as_str(), taxonomy.classes.len(), found), (name, classes, things));
        }
        let message = Taxonomy::named("coco").unwrap_err().to_string();
        assert!(message.contains("coco27, camvid, cityscapes19"), "{message}");
    }
}
