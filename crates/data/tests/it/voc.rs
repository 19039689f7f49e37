//! Data sets in PASCAL VOC's form: what is read, and what is said of those that cannot be.

use std::fs;
use std::path::Path;

use densesiam_data::detection::{
    Classes, DetectionError, DetectionProblem, DetectionSet, DetectionSurvey, VOC_CLASSES, VocFault, VocPart,
    parse_voc, read_voc,
};
use densesiam_geometry::Region;
use tempfile::TempDir;

use crate::files::write_picture;

/// An annotation of `(name, [xmin, ymin, xmax, ymax])`.
pub(crate) fn annotation([width, height]: [u32; 2], objects: &[(&str, [f64; 4])]) -> String {
    let object = |(name, [xmin, ymin, xmax, ymax]): &(&str, [f64; 4])| {
        format!(
            "<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>\
             <ymax>{ymax}</ymax></bndbox></object>\n"
        )
    };
    let objects: String = objects.iter().map(object).collect();
    format!(
        "<annotation>\n<size><width>{width}</width><height>{height}</height></size>\n{objects}</annotation>\n"
    )
}

/// Writes a picture of a data set, its annotation and its line of the list of `train`.
fn add(root: &Path, stem: &str, size: (u32, u32), xml: &str) {
    write_picture(&root.join(format!("JPEGImages/{stem}.png")), size);
    let folder = root.join("Annotations");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{stem}.xml")), xml).unwrap();
    let list = root.join("ImageSets/Main/train.txt");
    fs::create_dir_all(list.parent().unwrap()).unwrap();
    let before = fs::read_to_string(&list).unwrap_or_default();
    fs::write(list, format!("{before}{stem}\n")).unwrap();
}

/// A data set whose only picture, 40 x 30, has this annotation.
fn of_one(xml: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    add(folder.path(), "one", (40, 30), xml);
    folder
}

fn read(root: &Path, parts: &[&str], classes: &Classes) -> Result<DetectionSet, DetectionError> {
    let parts: Vec<VocPart> = parts.iter().map(|part| part.parse().unwrap()).collect();
    read_voc(root, &parts, classes)
}

#[test]
fn years_are_one_set_in_the_order_of_their_paths() {
    let folder = tempfile::tempdir().unwrap();
    let year = |year: &str| folder.path().join("VOCdevkit").join(year);
    add(
        &year("VOC2012"),
        "2008_000001",
        (40, 30),
        &annotation([40, 30], &[("person", [1.0, 2.0, 40.0, 30.0])]),
    );
    add(&year("VOC2007"), "000012", (30, 40), &annotation([30, 40], &[]));
    add(
        &year("VOC2007"),
        "000005",
        (20, 20),
        &annotation([0, 0], &[("cat", [3.0, 4.0, 9.5, 8.0]), ("dog", [1.0; 4])]),
    );
    for root in [folder.path().to_owned(), folder.path().join("VOCdevkit")] {
        let set = read(&root, &["2012/train", "2007/train", "2007/train"], &Classes::Found).unwrap();
        assert_eq!((set.len(), &*set.name), (3, "voc 2012/train 2007/train 2007/train"));
        assert_eq!(set.classes, VOC_CLASSES);
        let place = |sample| set.picture(sample).to_string();
        assert!(place(0).ends_with("VOC2007/JPEGImages/000005.png"), "{}", place(0));
        assert!(place(2).ends_with("VOC2012/JPEGImages/2008_000001.png"), "{}", place(2));
        let [cat, dog] = set.objects(0) else { panic!("{:?}", set.objects(0)) };
        assert_eq!(cat.bbox, Region { x0: 2.0, y0: 3.0, x1: 9.5, y1: 8.0 });
        assert_eq!((cat.class, dog.class, cat.area, dog.area), (7, 11, 37.5, 1.0));
        // Of the first picture the annotation does not say the size.
        assert_eq!((set.annotation(0).size, set.picture_size(0).unwrap()), (None, [20, 20]));
        assert_eq!(&*set.aspects(), [0, 0, 1]);
        let of_use = set.of_use(false).unwrap();
        assert_eq!((of_use.len(), of_use.index().len()), (2, 2));
        assert_eq!(of_use.objects(1)[0].bbox, Region { x0: 0.0, y0: 1.0, x1: 40.0, y1: 30.0 });
        assert!(of_use.picture(1).to_string().ends_with("2008_000001.png"));
    }
}

#[test]
fn classes_are_those_found_or_those_listed() {
    let folder = of_one(&annotation([40, 30], &[("wolf", [1.0; 4]), ("cat", [1.0; 4])]));
    let read = |classes| read(folder.path(), &["train"], &classes);
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let found = read(Classes::Found).unwrap();
    assert_eq!((found.classes.clone(), found.objects(0)[0].class), (list(&["cat", "wolf"]), 1));
    let listed = read(Classes::All(list(&["wolf", "cat"]))).unwrap();
    assert_eq!((listed.classes.clone(), listed.objects(0)[0].class), (list(&["wolf", "cat"]), 0));
    let among = read(Classes::Among(list(&["ant", "wolf", "cat"]))).unwrap();
    assert_eq!((among.classes.len(), among.objects(0)[0].class), (3, 1));
    for (classes, words) in [
        (Classes::All(list(&["ant", "wolf", "cat"])), "names the class ant; take it off"),
        (Classes::All(list(&["cat"])), "one.xml names the class wolf, which is not among cat"),
        (Classes::Among(list(&["dog", "cat"])), "one.xml names the class wolf, which is not among dog, cat"),
        (Classes::Among(list(&["cat", "wolf", "cat"])), "names one twice"),
        (Classes::Among(list(&["cat", "wolf", " "])), "has a class without a name"),
    ] {
        let said = read(classes).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn another_set_that_has_classes_of_voc_is_not_scored_for_the_others() {
    let folder = of_one(&annotation([40, 30], &[("dog", [1.0; 4]), ("cat", [1.0; 4])]));
    let set = read(folder.path(), &["train"], &Classes::Found).unwrap();
    assert_eq!(set.classes, ["cat", "dog"]);
}

#[test]
fn a_list_may_name_the_files_of_the_pictures() {
    let folder = of_one(&annotation([40, 30], &[("cat", [1.0; 4])]));
    fs::write(folder.path().join("ImageSets/Main/train.txt"), "one.png\n").unwrap();
    let set = read(folder.path(), &["train"], &Classes::Found).unwrap();
    assert_eq!(set.names(), ["one"]);
    // Another picture of the same name in a folder is not this one.
    fs::create_dir_all(folder.path().join("JPEGImages/sub")).unwrap();
    fs::copy(folder.path().join("JPEGImages/one.png"), folder.path().join("JPEGImages/sub/one.png")).unwrap();
    fs::write(folder.path().join("ImageSets/Main/train.txt"), "sub/one.png\n").unwrap();
    let said = read(folder.path(), &["train"], &Classes::Found).unwrap_err().to_string();
    assert!(said.contains("sub/one") && said.contains("is not there"), "{said}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = of_one(&annotation([40, 30], &[("cat", [1.0; 4])]));
    let root = folder.path();
    let said = |parts: &[&str]| read(root, parts, &Classes::Found).unwrap_err().to_string();
    assert!(said(&[]).contains("no part"));
    assert!(said(&["val"]).contains("ImageSets/Main/val.txt"), "{}", said(&["val"]));
    assert!(said(&["2007/train"]).contains("VOC2007"));
    let list = root.join("ImageSets/Main/train.txt");
    fs::write(&list, "one\ntwo\n").unwrap();
    assert!(said(&["train"]).contains("JPEGImages/two.jpg"), "{}", said(&["train"]));
    write_picture(&root.join("JPEGImages/two.png"), (4, 4));
    assert!(said(&["train"]).contains("Annotations/two.xml is not there"), "{}", said(&["train"]));
    fs::write(&list, "\n\n").unwrap();
    assert!(said(&["train"]).contains("has no picture"));
    fs::write(&list, b"\xff\xfeo\0n\0e\0").unwrap();
    assert!(said(&["train"]).contains("UTF-16"));
    let empty = of_one(&annotation([40, 30], &[]));
    let error = read(empty.path(), &["train"], &Classes::Found).unwrap_err();
    assert!(matches!(error, DetectionError::NothingAnnotated { pictures: 1, .. }), "{error}");
    for wrong in ["", "2007/", "x/train", "2007/a/b", "../train"] {
        assert!(wrong.parse::<VocPart>().is_err(), "{wrong}");
    }
}

#[test]
fn an_annotation_that_cannot_be_used_is_refused_where_it_is_wrong() {
    let whole = annotation([40, 30], &[("cat", [1.0, 2.0, 30.0, 20.0])]);
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        whole.replace(from, to)
    };
    for (xml, words) in [
        (whole[..whole.len() / 2].to_owned(), "ends within <annotation/object"),
        (whole[..whole.len() - 20].to_owned(), "ends within <annotation"),
        (whole[..whole.len() - 5].to_owned(), "ends within <annotation>"),
        ("a < b".into(), "begins with no element"),
        (
            with("<annotation>", "<annotations>").replace("</annotation>", "</annotations>"),
            "begins with <annotations>",
        ),
        (format!("{whole}{whole}"), "begins with again <annotation>"),
        (String::new(), "begins with no element"),
        ("{\"images\": []}".into(), "begins with no element"),
        (with("<name>cat</name>", ""), "line 3 has no <name>"),
        (with("<name>cat</name>", "<name> </name>"), "line 3 has no <name>"),
        (with("<ymax>20</ymax>", ""), "line 3 has no <ymax>"),
        (with("<xmin>1</xmin>", "<xmin>1</xmin><xmin>2</xmin>"), "line 3 says <xmin> a second time"),
        (with("<xmin>1<", "<xmin>one<"), "<xmin> is one, and a coordinate"),
        (with("<xmin>1<", "<xmin>nan<"), "<xmin> is nan"),
        (with("<xmin>1<", "<xmin>1e300<"), "<xmin> is 1e300"),
        (with("<width>40<", "<width>-40<"), "<width> is -40, and a number of pixels"),
        (with("</name>", "</name><difficult>yes</difficult>"), "<difficult> is yes, and 0 or 1"),
        (with("</name>", "</nome>"), "is not XML"),
        (with(">cat<", ">&lol;<"), "the entity lol is not expanded"),
        (format!("{}{}", "<annotation>", "<a>".repeat(40)), "within more than 32 elements"),
    ] {
        let folder = of_one(&xml);
        let said = read(folder.path(), &["train"], &Classes::Found).unwrap_err().to_string();
        assert!(said.contains("one.xml: ") && said.contains(words), "{xml}\n{said}");
    }
    assert_eq!(parse_voc(&vec![b' '; (16 << 20) + 1]), Err(VocFault::TooLarge));
    assert!(matches!(parse_voc(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Err(VocFault::NotText(_))));
}

#[test]
fn a_bomb_of_entities_does_not_explode() {
    let entities: String = (1..30).map(|n| format!("<!ENTITY e{n} \"&e{};&e{};\">", n - 1, n - 1)).collect();
    let bomb = format!("<!DOCTYPE annotation [<!ENTITY e0 \"cat\">{entities}]>");
    let xml = annotation([40, 30], &[("&e29;", [1.0, 2.0, 30.0, 20.0])]);
    let said = parse_voc(format!("{bomb}{xml}").as_bytes()).unwrap_err().to_string();
    assert!(said.contains("e29 is not expanded"), "{said}");
}

#[test]
fn what_programs_write_differently_is_read() {
    let xml = "\u{feff}<?xml version=\"1.0\"?>\r\n<!-- made by hand --><annotation verified=\"yes\">\
        <folder>x</folder><size><height>30</height><width> 40 </width><depth>3</depth></size>\
        <object><bndbox><ymin>2</ymin><xmin>1.5</xmin><xmax>30</xmax><ymax>20</ymax></bndbox><pose/>\
        <part><name>head</name><bndbox><xmin>4</xmin><ymin>4</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>\
        <name>cats &amp; d&#111;gs <![CDATA[<3]]></name><difficult>1</difficult></object></annotation>";
    let read = parse_voc(xml.as_bytes()).unwrap();
    assert_eq!((read.size, read.objects.len()), (Some([40, 30]), 1));
    let object = &read.objects[0];
    assert_eq!((&*object.name, object.difficult), ("cats & dogs <3", true));
    assert_eq!(object.bbox, Region { x0: 0.5, y0: 1.0, x1: 30.0, y1: 20.0 });
}

#[test]
fn what_can_hardly_be_meant_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let good = ("cat", [1.0, 1.0, 40.0, 30.0]);
    add(root, "a", (40, 30), &annotation([40, 30], &[good, ("cat", [1.0, 1.0, 42.5, 30.0]), good]));
    add(
        root,
        "b",
        (40, 30),
        &annotation([40, 30], &[("dog", [30.0, 1.0, 20.0, 5.0]), ("dog", [5.0, 5.0, 4.0, 9.0])]),
    );
    add(root, "c", (40, 30), &annotation([40, 30], &[]));
    add(root, "d", (30, 40), &annotation([40, 30], &[good]));
    add(root, "e", (40, 30), &annotation([0, 30], &[good]));
    let set =
        read(root, &["train"], &Classes::Among(["ant", "cat", "dog"].map(String::from).into())).unwrap();
    fs::write(root.join("JPEGImages/e.png"), "no picture").unwrap();
    let survey = DetectionSurvey::of(&set);
    assert_eq!(
        (survey.pictures, survey.objects.clone(), survey.difficult, survey.crowds),
        (5, vec![0, 5, 2], 0, 0)
    );
    let found = |problem| {
        let finding = survey.findings.iter().find(|finding| finding.problem == problem).unwrap();
        (finding.count, finding.of, finding.first.join(" "), finding.to_string())
    };
    for (problem, count, of, first) in [
        (DetectionProblem::NoObject, 1, 5, "c.png"),
        (DetectionProblem::EmptyBox, 2, 7, "b.png"),
        (DetectionProblem::OutsidePicture, 1, 7, "a.png"),
        (DetectionProblem::OtherSize, 1, 5, "d.png (30 x 40, annotated 40 x 30)"),
        (DetectionProblem::Unreadable, 1, 5, "e.png: not a picture"),
        (DetectionProblem::AbsentClass, 1, 3, "ant"),
    ] {
        let (found_count, found_of, names, said) = found(problem);
        assert_eq!((found_count, found_of), (count, of), "{problem:?}");
        assert!(names.contains(first) && said.contains(first), "{said}");
    }
    assert_eq!(survey.findings.len(), 6);
}
