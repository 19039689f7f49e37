//! Sizes as people write them.

/// Units of bytes, in lower case.
const UNITS: [(&str, u64); 8] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Bytes of a size such as `1 GB`, `500MB` or `1.5 GiB`; without a unit the number is of bytes.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let refused = || format!("{text:?} is no size; write one as 1 GB, 500 MB or 2 GiB");
    let letter = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..letter].trim(), text[letter..].trim().to_ascii_lowercase());
    let unit = if unit.is_empty() { "b" } else { &unit };
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    let number: f64 = number.parse().map_err(|_| refused())?;
    let size = number * *bytes as f64;
    if (1.0..1e18).contains(&size) { Ok(size as u64) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [("1 GB", 1_000_000_000), ("500mb", 500_000_000), ("1.5 GiB", 3 << 29), ("7", 7)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1 GB", "1 G", "0", "inf", "nan", "1e30", "1 GB GB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
