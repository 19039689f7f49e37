//! `~` at the beginning of a path. A shell expands `~` at the start of a word, but not after `key=` or `--out=`.

use std::env::home_dir;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, de};

/// A `~` that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// The home folder of another user.
    #[error(
        "{} begins with another user's home folder, which is not looked up; write the path in full, or ./{} for a \
         folder of that name",
        path.display(), path.display()
    )]
    OfAnother {
        /// The path.
        path: PathBuf,
    },
    /// The user's own home folder, which the system does not tell.
    #[error("{}: the home folder is not known, for HOME is not set; write the path in full", path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
    },
}

/// The path with the home folder in place of a leading `~`.
///
/// # Errors
/// [`HomeError`] if the home folder is another user's, or is unknown.
pub fn expand(path: &Path) -> Result<PathBuf, HomeError> {
    match path.strip_prefix("~") {
        Ok(rest) => {
            let home = home_dir().filter(|home| home.is_absolute());
            let home = home.ok_or_else(|| HomeError::Unknown { path: path.to_owned() })?;
            Ok(home.components().chain(rest.components()).collect())
        }
        Err(_) if path.as_os_str().as_encoded_bytes().starts_with(b"~") => {
            Err(HomeError::OfAnother { path: path.to_owned() })
        }
        Err(_) => Ok(path.to_owned()),
    }
}

/// Reads a path of a recipe: `#[serde(deserialize_with = "home::setting")]`.
///
/// # Errors
/// As [`expand`], or if the home folder is not text.
pub fn setting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = expand(String::deserialize(deserializer)?.as_ref()).map_err(de::Error::custom)?;
    path.into_os_string().into_string().map_err(|path| {
        de::Error::custom(format_args!("{} is no text, and a recipe holds nothing else", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leading_tilde_of_its_own_is_the_home_folder() {
        let home = home_dir().unwrap();
        assert_eq!(expand("~/pictures/coco-{0..9}.tar".as_ref()), Ok(home.join("pictures/coco-{0..9}.tar")));
        assert_eq!(expand("~".as_ref()), Ok(home));
        for path in ["", "pictures", "/a/~/b", "./~", "./~other", "a~", "a/~/b/"] {
            assert_eq!(expand(path.as_ref()), Ok(path.into()));
        }
        for path in ["~other", "~other/pictures", "~~"] {
            assert_eq!(expand(path.as_ref()), Err(HomeError::OfAnother { path: path.into() }));
        }
    }
}
