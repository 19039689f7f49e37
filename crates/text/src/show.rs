//! Names as they are shown.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write};

/// A name that can be shown; see [`shown`].
#[derive(Clone, Debug)]
pub struct Shown<'n>(Cow<'n, str>);

/// A name of other people as messages, lists and reports show it: letters that act rather than show are written as
/// escapes (`\n`, `\u{1b}`), and bytes that are not UTF-8 as the replacement character. File systems allow both in names;
/// shown as they are, an escape sequence recolours a terminal, a line feed makes two lines of one, and a mark that turns
/// the direction of writing makes one name look like another.
pub fn shown<N: AsRef<OsStr> + ?Sized>(name: &N) -> Shown<'_> {
    Shown(name.as_ref().to_string_lossy())
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match acts(letter) {
            true => write!(formatter, "{}", letter.escape_default()),
            false => formatter.write_char(letter),
        })
    }
}

/// Whether a letter acts rather than shows: control characters, marks of the direction of writing, separators of lines and
/// paragraphs, and the byte order mark.
pub fn acts(letter: char) -> bool {
    let mark = matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    letter.is_control() || mark || matches!(letter, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn letters_that_act_are_escaped_and_others_stay() {
        for (name, expected) in [
            ("plain ü ß 猫 😀.jpg", "plain ü ß 猫 😀.jpg"),
            ("a\u{1b}[31m.jpg", r"a\u{1b}[31m.jpg"),
            ("a\rb\nc\td\0", r"a\rb\nc\td\u{0}"),
            ("\u{9b}31m\u{7f}", r"\u{9b}31m\u{7f}"),
            ("gpj.\u{202e}exe\u{2066}\u{200f}", r"gpj.\u{202e}exe\u{2066}\u{200f}"),
            ("a\u{2028}b\u{feff}", r"a\u{2028}b\u{feff}"),
        ] {
            assert_eq!(shown(name).to_string(), expected);
        }
        assert_eq!(shown(OsStr::from_bytes(b"latin\xe9\n")).to_string(), "latin\u{fffd}\\n");
    }
}
