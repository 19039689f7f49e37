//! The meaning of the values of a label map: the classes of a data set, and the class of each value.

mod builtin;
mod class_file;

use std::fmt;

pub use class_file::ClassFileError;

/// The class of unlabelled pixels in a mapped label map; also the label value that every taxonomy reads as void.
pub const VOID: u8 = 255;

/// One class of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name, as the data set has it.
    pub name: String,
    /// Whether it is a thing (countable objects) rather than stuff (amorphous regions).
    pub thing: bool,
    /// The colour (RGB) of the class in the data set, if it has one.
    pub colour: Option<[u8; 3]>,
}

/// The meaning of one label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The class of this number, a position in [`Taxonomy::classes`].
    Class(u8),
    /// A pixel that is left out of evaluation.
    Void,
    /// Not a label of this data set.
    Outside,
}

/// The classes of a data set and the label values (0 to 255) that stand for them.
#[derive(Clone, PartialEq, Eq)]
pub struct Taxonomy {
    /// Short name: `coco27`, `camvid`, `cityscapes19`, `cityscapes27`, `voc2012`, or the file it was read from.
    pub name: String,
    /// The classes by number, at most 255.
    pub classes: Vec<Class>,
    meanings: [Meaning; 256],
}

/// Why there is no taxonomy.
#[derive(Debug, thiserror::Error)]
pub enum TaxonomyError {
    /// No built-in taxonomy has this name.
    #[error("no taxonomy is called {name:?}; there are {}", Taxonomy::BUILT_IN.join(", "))]
    UnknownName {
        /// The name that was asked for.
        name: String,
    },
    /// The class list within the program does not parse: a bug.
    #[error("the built-in class list {file} is damaged ({reason}); please report this as a bug")]
    Embedded {
        /// The embedded file.
        file: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// A class file is unusable.
    #[error(transparent)]
    ClassFile(#[from] ClassFileError),
}

impl fmt::Debug for Taxonomy {
    /// Leaves out the table of 256 values.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Taxonomy {{ name: {:?}, classes: {}, .. }}", self.name, self.classes.len())
    }
}

impl Taxonomy {
    /// The names that [`Taxonomy::named`] knows.
    pub const BUILT_IN: [&str; 5] = ["coco27", "camvid", "cityscapes19", "cityscapes27", "voc2012"];

    /// The built-in taxonomy with this name.
    ///
    /// # Errors
    /// A [`TaxonomyError`] that lists the existing names.
    pub fn named(name: &str) -> Result<Self, TaxonomyError> {
        match name {
            "coco27" => Self::coco27(),
            "camvid" => Ok(Self::camvid()),
            "cityscapes19" => Ok(Self::cityscapes19()),
            "cityscapes27" => Ok(Self::cityscapes27()),
            "voc2012" => Ok(Self::voc2012()),
            _ => Err(TaxonomyError::UnknownName { name: name.into() }),
        }
    }

    /// A taxonomy of at most 255 classes; `meaning` gives the class of each label value below 255 or says that there
    /// is none. The value 255 is void.
    fn new(name: &str, classes: Vec<Class>, meaning: impl Fn(u8) -> Meaning) -> Self {
        let meanings = std::array::from_fn(|value| match value as u8 {
            VOID => Meaning::Void,
            value => meaning(value),
        });
        Self { name: name.into(), classes, meanings }
    }

    /// A taxonomy whose label values are the class numbers themselves.
    fn direct(name: &str, classes: Vec<Class>) -> Self {
        let count = classes.len();
        Self::new(name, classes, |value| {
            if usize::from(value) < count { Meaning::Class(value) } else { Meaning::Outside }
        })
    }

    /// The meaning of a label value.
    pub fn meaning(&self, value: u8) -> Meaning {
        self.meanings[usize::from(value)]
    }

    /// The number of the class that a label value stands for; `None` if it is void or outside the taxonomy.
    pub fn class_of(&self, value: u8) -> Option<u8> {
        match self.meaning(value) {
            Meaning::Class(class) => Some(class),
            Meaning::Void | Meaning::Outside => None,
        }
    }

    /// The classes' names by number.
    pub fn names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }

    /// The data set's own colours of the classes, by number.
    pub fn colours(&self) -> Vec<Option<[u8; 3]>> {
        self.classes.iter().map(|class| class.colour).collect()
    }

    /// Whether each class is a thing, by number.
    pub fn things(&self) -> Vec<bool> {
        self.classes.iter().map(|class| class.thing).collect()
    }
}
