//! The taxonomies of the field's benchmarks.

use serde::Deserialize;

use super::{Class, Meaning, Taxonomy, TaxonomyError};

const COCO27: &str = include_str!("../../assets/coco27/coco27.json");

/// CamVid's 11 classes (SegNet's reduction). The release does not tell things from stuff; the three whose instances
/// are countable and move are things here, signs and poles are stuff (ours, after Cityscapes).
const CAMVID: [(&str, bool); 11] = [
    ("sky", false),
    ("building", false),
    ("pole", false),
    ("road", false),
    ("pavement", false),
    ("tree", false),
    ("sign", false),
    ("fence", false),
    ("car", true),
    ("pedestrian", true),
    ("bicyclist", true),
];

/// Cityscapes' labels from id 7 on (`cityscapesScripts`, `labels.py`): name, whether it has instances, and whether
/// it is among the 19 classes of the official evaluation. The ids 0 to 6 are void.
const CITYSCAPES: [(&str, bool, bool); 27] = [
    ("road", false, true),
    ("sidewalk", false, true),
    ("parking", false, false),
    ("rail track", false, false),
    ("building", false, true),
    ("wall", false, true),
    ("fence", false, true),
    ("guard rail", false, false),
    ("bridge", false, false),
    ("tunnel", false, false),
    ("pole", false, true),
    ("polegroup", false, false),
    ("traffic light", false, true),
    ("traffic sign", false, true),
    ("vegetation", false, true),
    ("terrain", false, true),
    ("sky", false, true),
    ("person", true, true),
    ("rider", true, true),
    ("car", true, true),
    ("truck", true, true),
    ("bus", true, true),
    ("caravan", true, false),
    ("trailer", true, false),
    ("train", true, true),
    ("motorcycle", true, true),
    ("bicycle", true, true),
];

/// The first label id of Cityscapes that is a class.
const CITYSCAPES_FIRST: u8 = 7;

const VOC2012: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

#[derive(Deserialize)]
struct Coco27 {
    coarse: Vec<String>,
    fine_index_to_coarse_index: Vec<u8>,
}

fn class(name: &str, thing: bool) -> Class {
    Class { name: name.into(), thing }
}

impl Taxonomy {
    /// COCO-Stuff's 182 label values (0..=181, as in the stuffthingmaps) in 27 coarse classes: 12 things, 15 stuff.
    ///
    /// # Errors
    /// A [`TaxonomyError`] where the embedded list is damaged: a bug.
    pub fn coco27() -> Result<Self, TaxonomyError> {
        let list: Coco27 = serde_json::from_str(COCO27)
            .map_err(|error| TaxonomyError::Embedded { file: "coco27.json", reason: error.to_string() })?;
        let classes = list.coarse.iter().map(|name| class(name, name.ends_with("-things"))).collect();
        let coarse = list.fine_index_to_coarse_index;
        Ok(Self::new("coco27", classes, |value| {
            coarse.get(usize::from(value)).map_or(Meaning::Outside, |&coarse| Meaning::Class(coarse))
        }))
    }

    /// CamVid's 11 classes, label values 0..=10. Car, pedestrian and bicyclist are things (ours: CamVid does not say).
    pub fn camvid() -> Self {
        Self::direct("camvid", CAMVID.map(|(name, thing)| class(name, thing)).into())
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

    fn cityscapes(name: &str, kept: impl Fn(bool) -> bool) -> Self {
        let mut classes = Vec::new();
        let mut meanings = vec![Meaning::Void; usize::from(CITYSCAPES_FIRST)];
        for (label, thing, evaluated) in CITYSCAPES {
            if kept(evaluated) {
                meanings.push(Meaning::Class(classes.len() as u8));
                classes.push(class(label, thing));
            } else {
                meanings.push(Meaning::Void);
            }
        }
        Self::new(name, classes, |value| *meanings.get(usize::from(value)).unwrap_or(&Meaning::Outside))
    }

    /// PASCAL VOC 2012: background (stuff) and 20 things, label values 0..=20.
    pub fn voc2012() -> Self {
        Self::direct("voc2012", VOC2012.map(|name| class(name, name != "background")).into())
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
