//! A YAML text as a tree that is read strictly, and problems that say where without saying what.
//!
//! Any value may be a secret in the wrong place. So no problem ever holds a scalar of the document, and the
//! lines that are shown with a problem have every value masked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Value};

mod outline;
mod place;
mod reader;
mod spelling;
mod tree;

pub use outline::Outline;
pub use place::{Lines, Problems};
pub use spelling::{choice, nearest};
pub use tree::Size;

/// One step from a node to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The value under a key.
    Key(String),
    /// An entry of a list.
    Index(usize),
}

/// Where something stands in the document: `providers[0].accounts[2].interval`.
///
/// What is below one place shares the way there: a fleet has a hundred thousand places, and few are ever told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Option<Arc<Step>>);

#[derive(Debug, PartialEq, Eq)]
struct Step {
    above: Path,
    part: Part,
}

impl Path {
    /// The same path, one key further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Part::Key(key.to_owned()))
    }

    /// The same path, one list entry further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Part::Index(index))
    }

    fn with(&self, part: Part) -> Self {
        Self(Some(Arc::new(Step { above: self.clone(), part })))
    }

    /// The parts, outermost first.
    pub fn parts(&self) -> Vec<&Part> {
        let inwards = std::iter::successors(self.0.as_deref(), |step| step.above.0.as_deref());
        let mut parts: Vec<_> = inwards.map(|step| &step.part).collect();
        parts.reverse();
        parts
    }
}

impl FromIterator<Part> for Path {
    fn from_iter<T: IntoIterator<Item = Part>>(parts: T) -> Self {
        parts.into_iter().fold(Self::default(), |path, part| path.with(part))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, part) in self.parts().into_iter().enumerate() {
            match part {
                Part::Key(key) if position == 0 => f.write_str(shown(key))?,
                Part::Key(key) => write!(f, ".{}", shown(key))?,
                Part::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key as people may see it: itself if it looks like a key, since a text in the wrong place might be a secret.
pub(crate) fn shown(key: &str) -> &str {
    if is_plain(key) { key } else { "***" }
}

fn is_plain(key: &str) -> bool {
    (1..=32).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Which text at a path is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Spot {
    /// The value there.
    #[default]
    Value,
    /// The key that leads there.
    Key,
    /// The key that leads there, where it stands for the second time.
    Repeat,
    /// A line and a column, for a text that is not a document.
    At(usize, usize),
}

/// What is wrong with a configuration, and where. It never holds a scalar of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// What was expected, and what to do.
    pub message: String,
    spot: Spot,
}

impl Problem {
    /// A problem with the value under `key`, which may be dotted (`login.client_secret`).
    pub fn at(key: &str, message: impl Into<String>) -> Self {
        let path = key.split('.').fold(Path::default(), |path, part| path.key(part));
        Self::of(path, message)
    }

    /// A problem with the value at `path`.
    pub fn of(path: Path, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), spot: Spot::Value }
    }

    /// The same problem, but with the last key of its path rather than with the value under it.
    #[must_use]
    pub fn with_the_key(self) -> Self {
        Self { spot: Spot::Key, ..self }
    }

    /// The same problem, seen from further up.
    #[must_use]
    pub fn below(self, above: &Path) -> Self {
        let path = self.path.parts().into_iter().fold(above.clone(), |path, part| path.with(part.clone()));
        Self { path, ..self }
    }
}

/// A part of the document. Two are equal if their content is, wherever it stands.
#[derive(Clone)]
pub struct Node {
    value: Value,
    path: Path,
    /// Keys that stand beside these in the document and were taken out by [`split`](Self::split).
    beside: &'static [&'static str],
}

impl Node {
    /// The value as a text that is the same for every two that are equal, whatever the order of their keys.
    pub fn canonical(&self) -> String {
        canonical(&self.value)
    }

    /// A tree of this value, at the top.
    pub fn new(value: Value) -> Self {
        Self { value, path: Path::default(), beside: &[] }
    }

    /// A tree of this text, and what is wrong with it as a document: repeated keys, tags. An error means that
    /// the text is no document.
    pub fn parse(text: &str) -> Result<(Self, Vec<Problem>), Problem> {
        let (value, problems) = tree::build(text)?;
        Ok((Self::new(value), problems))
    }

    /// Where it stands.
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it as a `T`, strictly: the first problem, if there is one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        reader::read(&self.value).map_err(|refusal| refusal.into_problem(&self.path, self.beside))
    }

    /// Reads it as a `T`, strictly: as many problems as can be told apart.
    ///
    /// What was refused is taken out and the rest is read again, until nothing more is refused. A refusal of
    /// something from which a part was taken is a consequence, and no problem of its own.
    pub fn read_all<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let mut refusal = match reader::read(&self.value) {
            Ok(read) => return Ok(read),
            Err(refusal) => refusal,
        };
        let mut rest = self.value.clone();
        let mut problems = Vec::new();
        let mut taken: Vec<Vec<Part>> = Vec::new();
        loop {
            let mut parts = refusal.parts();
            let follows = match refusal.missing() {
                Some(key) => find(&mut self.value.clone(), &parts).is_some_and(|value| value.get(key).is_some()),
                None => taken.iter().any(|taken| taken.starts_with(&parts)),
            };
            if !follows {
                problems.push(refusal.into_problem(&self.path, self.beside));
            }
            while let Some(Part::Index(_)) = parts.last() {
                parts.pop();
            }
            if !take(&mut rest, &parts) {
                return Err(problems);
            }
            taken.push(parts);
            refusal = match reader::read::<T>(&rest) {
                Ok(_) => return Err(problems),
                Err(refusal) => refusal,
            };
        }
    }

    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.as_mapping()?.get(key)?.clone();
        Some(Self { value, path: self.path.key(key), beside: &[] })
    }

    /// Takes the entries of the list under a key out, and leaves an empty one; none if there is no list.
    pub fn take_list(&mut self, key: &str) -> Vec<Self> {
        let list = self.value.as_mapping_mut().and_then(|mapping| mapping.get_mut(key));
        let entries = list.and_then(Value::as_sequence_mut).map(std::mem::take).unwrap_or_default();
        let path = self.path.key(key);
        let entry = |(index, value)| Self { value, path: path.index(index), beside: &[] };
        entries.into_iter().enumerate().map(entry).collect()
    }

    /// A mapping in two: the entries with these keys, and all others.
    pub fn split(self, keys: &'static [&'static str]) -> Result<(Self, Self), Problem> {
        let Self { value: Value::Mapping(mapping), path, .. } = self else {
            return Err(Problem::of(self.path, "expected a mapping of keys to values"));
        };
        let named = |key: &Value| key.as_str().is_some_and(|key| keys.contains(&key));
        let (with, without): (Mapping, Mapping) = mapping.into_iter().partition(|(key, _)| named(key));
        let part = |mapping, beside| Self { value: Value::Mapping(mapping), path: path.clone(), beside };
        Ok((part(with, &[]), part(without, keys)))
    }
}

fn find<'v>(value: &'v mut Value, parts: &[Part]) -> Option<&'v mut Value> {
    parts.iter().try_fold(value, |value, part| match part {
        Part::Key(key) => value.get_mut(key.as_str()),
        Part::Index(index) => value.get_mut(*index),
    })
}

/// Takes out the entry at the end of these parts; false if that is not an entry of a mapping.
fn take(value: &mut Value, parts: &[Part]) -> bool {
    let Some((Part::Key(key), above)) = parts.split_last() else { return false };
    let mapping = find(value, above).and_then(Value::as_mapping_mut);
    mapping.is_some_and(|mapping| mapping.shift_remove(key.as_str()).is_some())
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Node {}

fn canonical(value: &Value) -> String {
    match value {
        Value::Mapping(mapping) => {
            let entry = |(key, value)| format!("{}:{}", canonical(key), canonical(value));
            let mut entries: Vec<_> = mapping.iter().map(entry).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Sequence(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => format!("{value:?}"),
    }
}

impl Hash for Node {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.path)
    }
}

#[cfg(test)]
mod tests;
