//! A YAML text as a tree that is read strictly, and problems that say where without saying what.

use std::fmt;

use serde::de::DeserializeOwned;

/// One step from a node to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value under a key.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

/// Where something stands in the document: `providers[0].accounts[2].interval`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<Part>);

impl Path {
    /// The same path, one key further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(Part::Key(key.to_owned()));
        Self(parts)
    }

    /// The same path, one list entry further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut parts = self.0.clone();
        parts.push(Part::Index(index));
        Self(parts)
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.0.iter().enumerate() {
            match part {
                Part::Key(key) if position == 0 => write!(f, "{key}")?,
                Part::Key(key) => write!(f, ".{key}")?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// What is wrong with a configuration, and where. It never holds a scalar of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// What was expected, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem with the value under `key`, which may be dotted (`login.client_secret`).
    pub fn at(key: &str, message: impl Into<String>) -> Self {
        let path = key.split('.').fold(Path::default(), |path, part| path.key(part));
        Self { path, message: message.into() }
    }

    /// The same problem, seen from further up.
    #[must_use]
    pub fn below(self, above: &Path) -> Self {
        let mut parts = above.0.clone();
        parts.extend(self.path.0);
        Self { path: Path(parts), message: self.message }
    }
}

/// A part of the document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    value: serde_yaml::Value,
    path: Path,
}

impl Node {
    /// A tree of this value, at the top.
    pub fn new(value: serde_yaml::Value) -> Self {
        Self { value, path: Path::default() }
    }

    /// Where it stands.
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it as a `T`, strictly.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_yaml::from_value(self.value.clone())
            .map_err(|_| Problem { path: self.path.clone(), message: "cannot be read".to_owned() })
    }
}
