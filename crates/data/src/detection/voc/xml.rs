//! The annotation of one picture, an XML file. Entities are not expanded, and nothing is kept of what is not asked for, so that
//! no file takes more memory or time than its length.

use densesiam_geometry::Region;
use densesiam_text::{NotText, shown, text};
use quick_xml::errors::SyntaxError;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};
use quick_xml::{Error, Reader};

/// The most bytes of an annotation. Those of PASCAL VOC have a few thousand.
pub(super) const LARGEST: u64 = 16 << 20;
/// The most elements within each other. Those of PASCAL VOC are four.
const DEEPEST: usize = 32;
/// The largest coordinate, in pixels either way.
const FARTHEST: f64 = 1e6;

/// What an annotation says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VocAnnotation {
    /// Width and height of the picture in pixels; `None` if one of them is missing or 0, as some programs write.
    pub size: Option<[u32; 2]>,
    /// The objects, in the order of the file.
    pub objects: Vec<VocObject>,
}

/// An object as an annotation describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct VocObject {
    /// The name of its class.
    pub name: String,
    /// Its box with continuous corners. The file numbers pixels from 1 and includes the last: its lower corner is moved by 1.
    pub bbox: Region,
    /// Whether it counts neither as found nor as missed.
    pub difficult: bool,
}

/// Why a file is no annotation of PASCAL VOC.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum VocFault {
    /// It is too long.
    #[error("it has more than {LARGEST} bytes; an annotation of PASCAL VOC has a few thousand")]
    TooLarge,
    /// It is not text.
    #[error(transparent)]
    NotText(#[from] NotText),
    /// It is not XML.
    #[error("line {line} is not XML ({reason}); write or copy the file again")]
    NotXml {
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// It ends early.
    #[error("it ends within <{}>; the file was cut short, copy it again", shown(open))]
    Cut {
        /// The element that is open, with those around it.
        open: String,
    },
    /// It is of another format.
    #[error("it begins with {found}, and an annotation of PASCAL VOC with <annotation>; convert it")]
    OtherFormat {
        /// The outermost element, or that there is none.
        found: String,
    },
    /// Elements lie within each other too deeply.
    #[error("line {line} lies within more than {DEEPEST} elements, and an annotation of PASCAL VOC has four")]
    TooDeep {
        /// The line, from 1.
        line: usize,
    },
    /// A part of an object is missing.
    #[error("the object that ends in line {line} has no <{element}>; add it")]
    Missing {
        /// The line, from 1.
        line: usize,
        /// The part.
        element: &'static str,
    },
    /// Something is said twice.
    #[error("line {line} says <{element}> a second time; keep one of the two")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// What is said twice.
        element: &'static str,
    },
    /// A number cannot be used.
    #[error("line {line}: <{element}> is {}, and {allowed} is expected", shown(value))]
    Number {
        /// The line, from 1.
        line: usize,
        /// What should be a number.
        element: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// Reads an annotation from the bytes of its file.
///
/// # Errors
/// A [`VocFault`] that says what is wrong, and where.
pub fn parse_voc(bytes: &[u8]) -> Result<VocAnnotation, VocFault> {
    if bytes.len() as u64 > LARGEST {
        return Err(VocFault::TooLarge);
    }
    let text = text(bytes)?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser::default();
    loop {
        let line =
            |position: u64| 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..position as usize]).count();
        let event = match reader.read_event() {
            Ok(event) => event,
            // The end comes within a tag or comment.
            Err(Error::Syntax(fault)) if fault != SyntaxError::InvalidBangMarkup => break,
            Err(error) => {
                return Err(VocFault::NotXml {
                    line: line(reader.error_position()),
                    reason: error.to_string(),
                });
            }
        };
        let here = || line(reader.buffer_position());
        match event {
            Event::Start(tag) => parser.enter(&String::from_utf8_lossy(tag.name().as_ref()), here)?,
            Event::Text(part) => parser.content.push_str(&String::from_utf8_lossy(&part)),
            Event::CData(part) => parser.content.push_str(&String::from_utf8_lossy(&part)),
            Event::GeneralRef(reference) => parser.content.push_str(&meant(&reference, here)?),
            Event::End(tag) => {
                parser.leave(here)?;
                // The reader has made sure that it is the innermost.
                parser.path.truncate(parser.path.len() - 1 - tag.name().as_ref().len());
            }
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    parser.finish()
}

/// What a reference stands for: a character by its number, or one of the five that XML itself knows. Others would have to be
/// declared and expanded.
fn meant(reference: &BytesRef<'_>, line: impl Fn() -> usize) -> Result<String, VocFault> {
    let wrong = |reason| VocFault::NotXml { line: line(), reason };
    if let Some(character) = reference.resolve_char_ref().map_err(|error| wrong(error.to_string()))? {
        return Ok(character.into());
    }
    let name = String::from_utf8_lossy(reference);
    let known = resolve_predefined_entity(&name).map(str::to_owned);
    known.ok_or_else(|| wrong(format!("the entity {} is not expanded", shown(&*name))))
}

/// What was read so far.
#[derive(Default)]
struct Parser {
    /// The open elements, each after a slash.
    path: String,
    depth: usize,
    /// The text since the last tag.
    content: String,
    has_root: bool,
    size: [Option<u32>; 2],
    object: PartialObject,
    objects: Vec<VocObject>,
}

#[derive(Default)]
struct PartialObject {
    name: Option<String>,
    difficult: Option<bool>,
    /// `xmin`, `ymin`, `xmax`, `ymax`.
    corners: [Option<f64>; 4],
}

const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

impl Parser {
    fn enter(&mut self, name: &str, line: impl Fn() -> usize) -> Result<(), VocFault> {
        if self.path.is_empty() && (self.has_root || name != "annotation") {
            let again = if self.has_root { "again " } else { "" };
            return Err(VocFault::OtherFormat { found: format!("{again}<{}>", shown(name)) });
        }
        self.has_root = true;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(VocFault::TooDeep { line: line() });
        }
        self.path.push('/');
        self.path.push_str(name);
        self.content.clear();
        Ok(())
    }

    fn leave(&mut self, line: impl Fn() -> usize) -> Result<(), VocFault> {
        self.depth -= 1;
        let content = std::mem::take(&mut self.content);
        let content = content.trim();
        match &*self.path {
            "/annotation/size/width" => {
                once(&mut self.size[0], "width", side(content, "width", &line)?, line)
            }
            "/annotation/size/height" => {
                once(&mut self.size[1], "height", side(content, "height", &line)?, line)
            }
            "/annotation/object/name" => once(&mut self.object.name, "name", content.to_owned(), line),
            "/annotation/object/difficult" => {
                once(&mut self.object.difficult, "difficult", difficult(content, &line)?, line)
            }
            "/annotation/object" => {
                let object = std::mem::take(&mut self.object).finish(line)?;
                self.objects.push(object);
                Ok(())
            }
            path => {
                let corner = path.strip_prefix("/annotation/object/bndbox/");
                let Some(corner) = CORNERS.iter().position(|&name| Some(name) == corner) else {
                    return Ok(());
                };
                let value = coordinate(content, CORNERS[corner], &line)?;
                once(&mut self.object.corners[corner], CORNERS[corner], value, line)
            }
        }
    }

    /// At the end of the file.
    fn finish(self) -> Result<VocAnnotation, VocFault> {
        if !self.has_root {
            return Err(VocFault::OtherFormat { found: "no element".into() });
        }
        if let Some(open) = self.path.strip_prefix('/') {
            return Err(VocFault::Cut { open: open.to_owned() });
        }
        let size = match self.size {
            [Some(width), Some(height)] if width > 0 && height > 0 => Some([width, height]),
            _ => None,
        };
        Ok(VocAnnotation { size, objects: self.objects })
    }
}

impl PartialObject {
    fn finish(self, line: impl Fn() -> usize) -> Result<VocObject, VocFault> {
        let missing = |element| VocFault::Missing { line: line(), element };
        let name = self.name.filter(|name| !name.is_empty()).ok_or_else(|| missing("name"))?;
        let corner = |corner: usize| self.corners[corner].ok_or_else(|| missing(CORNERS[corner]));
        let bbox = Region { x0: corner(0)? - 1.0, y0: corner(1)? - 1.0, x1: corner(2)?, y1: corner(3)? };
        Ok(VocObject { name, bbox, difficult: self.difficult.unwrap_or(false) })
    }
}

fn once<T>(
    place: &mut Option<T>,
    element: &'static str,
    value: T,
    line: impl Fn() -> usize,
) -> Result<(), VocFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(VocFault::Twice { line: line(), element }),
    }
}

fn side(value: &str, element: &'static str, line: &impl Fn() -> usize) -> Result<u32, VocFault> {
    let allowed = "a number of pixels";
    value.parse().map_err(|_| VocFault::Number { line: line(), element, value: value.into(), allowed })
}

/// Some programs leave it empty.
fn difficult(value: &str, line: &impl Fn() -> usize) -> Result<bool, VocFault> {
    let (element, allowed) = ("difficult", "0 or 1");
    match value {
        "" | "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(VocFault::Number { line: line(), element, value: value.into(), allowed }),
    }
}

fn coordinate(value: &str, element: &'static str, line: &impl Fn() -> usize) -> Result<f64, VocFault> {
    let allowed = "a coordinate in pixels";
    let read = value.parse().ok().filter(|value: &f64| value.abs() <= FARTHEST);
    read.ok_or_else(|| VocFault::Number { line: line(), element, value: value.into(), allowed })
}
