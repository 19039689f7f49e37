//! The JSON of one annotation or detection, and lists of them that are read entry by entry.

use std::fmt;
use std::marker::PhantomData;

use densesiam_geometry::mask::{MaskError, RunLengths};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{CocoEntry, CocoFault};

/// An annotation of the ground truth, or a detection; what else it has is not read.
#[derive(Deserialize)]
pub(in crate::detection) struct Entry {
    /// Detections have none.
    #[serde(default, deserialize_with = "some_whole")]
    pub(in crate::detection) id: Option<u64>,
    #[serde(deserialize_with = "whole")]
    pub(in crate::detection) image_id: u64,
    #[serde(deserialize_with = "whole")]
    pub(in crate::detection) category_id: u64,
    pub(in crate::detection) bbox: Option<[f64; 4]>,
    pub(in crate::detection) segmentation: Option<Outline>,
    pub(in crate::detection) area: Option<f64>,
    #[serde(default, deserialize_with = "whole")]
    pub(in crate::detection) iscrowd: u64,
    /// Only detections have one.
    pub(in crate::detection) score: Option<f64>,
}

/// A whole number, which some programs write as `3.0`, `true` or `false`.
#[derive(Clone, Copy)]
struct Whole(u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeVisitor;
        impl Visitor<'_> for WholeVisitor {
            type Value = Whole;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number from 0")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                let whole = number as u64;
                // Beyond 2^53 not every whole number can be written so.
                match whole as f64 == number && whole < 1 << 53 {
                    true => Ok(Whole(whole)),
                    false => Err(E::invalid_value(Unexpected::Float(number), &self)),
                }
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Whole, E> {
                Ok(Whole(value.into()))
            }
        }
        deserializer.deserialize_any(WholeVisitor)
    }
}

/// A whole number that fits into `T`.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    let Whole(number) = Whole::deserialize(deserializer)?;
    T::try_from(number).map_err(|_| D::Error::custom(format!("{number} is too large")))
}

fn some_whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(Option::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// How a file says which pixels belong to an object.
pub(in crate::detection) enum Outline {
    Polygons(Vec<Vec<f64>>),
    Runs(Runs),
}

/// Run lengths, unchecked.
#[derive(Deserialize)]
pub(in crate::detection) struct Runs {
    size: [u32; 2],
    counts: Counts,
}

enum Counts {
    Numbers(Vec<i64>),
    Text(String),
}

impl Runs {
    /// The mask of a picture of `size`, height and width.
    pub(in crate::detection) fn mask(
        &self,
        size: [u32; 2],
        entry: CocoEntry,
    ) -> Result<RunLengths, CocoFault> {
        if self.size != size {
            return Err(CocoFault::MaskSize { entry, mask: self.size, picture: size });
        }
        self.runs().map_err(|source| CocoFault::Mask { entry, source })
    }

    fn runs(&self) -> Result<RunLengths, MaskError> {
        match &self.counts {
            Counts::Text(text) => RunLengths::from_coco(self.size, text),
            Counts::Numbers(numbers) => {
                let length = |(run, &length): (usize, &i64)| {
                    u32::try_from(length).map_err(|_| MaskError::Length { run, length })
                };
                RunLengths::new(self.size, numbers.iter().enumerate().map(length).collect::<Result<_, _>>()?)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OutlineVisitor;
        impl<'de> Visitor<'de> for OutlineVisitor {
            type Value = Outline;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of polygons, or run lengths with size and counts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Outline, A::Error> {
                let mut polygons = Vec::new();
                while let Some(polygon) = list.next_element()? {
                    polygons.push(polygon);
                }
                Ok(Outline::Polygons(polygons))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Outline, A::Error> {
                Runs::deserialize(MapAccessDeserializer::new(map)).map(Outline::Runs)
            }
        }
        deserializer.deserialize_any(OutlineVisitor)
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountsVisitor;
        impl<'de> Visitor<'de> for CountsVisitor {
            type Value = Counts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of run lengths, or their string")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counts, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Counts::Numbers(numbers))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Counts, E> {
                Ok(Counts::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(CountsVisitor)
    }
}

/// How far a list was read, and why no further.
#[derive(Default)]
pub(in crate::detection) struct Progress {
    /// The position of the entry that is read, while a list is read.
    pub(super) entry: Option<usize>,
    /// The fault of an entry that is good JSON; a parser's error can hold only words.
    pub(super) fault: Option<CocoFault>,
}

/// A list whose entries are given to a function one by one.
pub(in crate::detection) struct EachEntry<'a, T, F> {
    take: F,
    progress: &'a mut Progress,
    entries: PhantomData<T>,
}

/// A list whose entries are given to `take` one by one, until it refuses one.
pub(in crate::detection) fn each_entry<T, F>(take: F, progress: &mut Progress) -> EachEntry<'_, T, F>
where
    F: FnMut(T) -> Result<(), CocoFault>,
{
    EachEntry { take, progress, entries: PhantomData }
}

impl<'de, T, F> DeserializeSeed<'de> for EachEntry<'_, T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), CocoFault>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F> Visitor<'de> for EachEntry<'_, T, F>
where
    T: Deserialize<'de>,
    F: FnMut(T) -> Result<(), CocoFault>,
{
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        for position in 0.. {
            self.progress.entry = Some(position);
            let Some(entry) = list.next_element()? else { break };
            if let Err(fault) = (self.take)(entry) {
                self.progress.fault = Some(fault);
                return Err(A::Error::custom("an entry is refused"));
            }
        }
        self.progress.entry = None;
        Ok(())
    }
}
