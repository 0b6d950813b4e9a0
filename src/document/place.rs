//! Where in the text a part of the tree stands, and problems shown there with every value masked.
//!
//! The parser tells a position only in an error. So this second walk over the text refuses every scalar and
//! takes the position from the refusal; the parser goes on behind the scalar. It is only done for people.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::tree::nesting;
use super::{Part, Path, Problem, Spot, is_plain};

/// Everything that is wrong with one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl Problems {
    /// Each of them, in the order of their discovery.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// For people: each with its place in the text, in the order of the text.
    pub fn render(&self, file: &str, text: &str) -> String {
        let places = Places::of(text);
        let lines = lines(text);
        let mut found: Vec<_> = self.0.iter().map(|problem| (places.find(problem), problem)).collect();
        found.sort_by_key(|&(place, _)| place);
        found.dedup();
        let mut shown = String::new();
        for ((line, column), Problem { path, message, .. }) in found {
            // the parser tells of some mistakes without a place
            let (line, column) = (line.max(1), column.max(1));
            let colon = if path.parts().is_empty() { "" } else { ": " };
            let source = lines.get(line - 1).copied().unwrap_or_default();
            let (masked, caret) = places.masked(line, column, source);
            let _ = writeln!(shown, "{file}:{line}:{column}: {path}{colon}{message}");
            let _ = writeln!(shown, "{line:>5} | {masked}\n      | {:caret$}^", "");
        }
        shown
    }
}

/// Tells in which line something is written.
pub struct Lines(Places);

impl Lines {
    /// Of this text.
    pub fn of(text: &str) -> Self {
        Self(Places::of(text))
    }

    /// The line of the last key of the path, from 1; `None` if there is no such key.
    pub fn line(&self, path: &Path) -> Option<usize> {
        let mut place = &self.0.root;
        let mut line = None;
        for part in path.parts() {
            match part {
                Part::Key(key) => {
                    let (at, below) = place.under(key, false)?;
                    (line, place) = (Some(at.0), below);
                }
                Part::Index(index) => place = place.entries.get(*index)?,
            }
        }
        line
    }
}

/// The parser's lines: it breaks at more characters than a line feed.
fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
        let (line, after) = rest.split_at(end);
        lines.push(line);
        let one_break = if after.starts_with("\r\n") { 2 } else { after.chars().next().map_or(0, char::len_utf8) };
        rest = &after[one_break..];
    }
    lines.push(rest);
    lines
}

/// Line and column, from 1.
type Position = (usize, usize);

/// The positions of a value and of all in it.
#[derive(Debug, Default)]
struct Place {
    at: Option<Position>,
    keys: Vec<(String, Position, Place)>,
    entries: Vec<Place>,
}

/// The positions of all scalars and keys of a text.
struct Places {
    root: Place,
    /// By line and column: the key that stands there, or a value.
    tokens: BTreeMap<Position, Option<String>>,
}

impl Places {
    fn of(text: &str) -> Self {
        if nesting(text).is_err() {
            return Self { root: Place::default(), tokens: BTreeMap::new() };
        }
        let mut here = None;
        let deserializer = serde_yaml::Deserializer::from_str(text);
        // a text that is no document has no places, only the one that the parser's error tells
        let root = Walk(&mut here).deserialize(deserializer).unwrap_or_default();
        let mut tokens = BTreeMap::new();
        root.collect(&mut tokens);
        Self { root, tokens }
    }

    fn find(&self, problem: &Problem) -> Position {
        if let Spot::At(line, column) = problem.spot {
            return (line, column);
        }
        let parts = problem.path.parts();
        let mut place = &self.root;
        let mut nearest = (1, 1);
        for (position, part) in parts.iter().enumerate() {
            let last = position + 1 == parts.len();
            match part {
                Part::Key(key) => {
                    let Some((at, below)) = place.under(key, last && problem.spot == Spot::Repeat) else { break };
                    (nearest, place) = (at, below);
                    if last && problem.spot != Spot::Value {
                        return nearest;
                    }
                }
                Part::Index(index) => {
                    let Some(below) = place.entries.get(*index) else { break };
                    place = below;
                }
            }
            nearest = place.at.unwrap_or(nearest);
        }
        nearest
    }

    /// The line up to the word that is meant, with every value masked; and how many characters stand before it.
    fn masked(&self, line: usize, column: usize, source: &str) -> (String, usize) {
        let source: Vec<char> = source.chars().collect();
        let slice = |from: usize, to: usize| source.get(from - 1..to - 1).unwrap_or_default();
        let mut view = String::new();
        // where the source goes on after what is in the view; nobody knows where a masked word ends
        let mut shown_to = Some(1);
        for (&(_, at), key) in self.tokens.range((line, 1)..=(line, column)) {
            if let Some(from) = shown_to {
                let gap = slice(from, at);
                if gap.iter().all(|c| " -:?,{}[]".contains(*c)) {
                    view.extend(gap);
                } else {
                    view.extend(
                        if from == 1 { indentation(gap) } else { ": ".to_owned() }.chars().chain("*** ".chars()),
                    );
                }
            }
            if view.ends_with(':') {
                view.push(' ');
            }
            let caret = view.chars().count();
            let plain =
                key.as_ref().filter(|key| is_plain(key) && slice(at, at + key.len()).iter().copied().eq(key.chars()));
            view.push_str(plain.map_or("***", String::as_str));
            shown_to = plain.map(|key| at + key.len());
            if at == column {
                let rest = shown_to.map_or(&[] as &[char], |from| slice(from, source.len() + 1));
                let more = rest.iter().any(|c| !": ".contains(*c));
                view.push_str(if more {
                    ": ***"
                } else if key.is_some() {
                    ":"
                } else {
                    ""
                });
                return (view, caret);
            }
            if shown_to.is_none() {
                view.push_str(if key.is_some() { ": " } else { ", " });
            }
        }
        // in the middle of something: nothing of it is known to be harmless
        let blank = indentation(&source);
        let caret = blank.len().min(column - 1);
        let stars = if blank.len() == source.len() { "" } else { "***" };
        (format!("{blank}{stars}"), caret)
    }
}

fn indentation(line: &[char]) -> String {
    line.iter().take_while(|&&c| c == ' ').collect()
}

impl Place {
    fn under(&self, key: &str, again: bool) -> Option<(Position, &Self)> {
        let mut same = self.keys.iter().filter(|(known, ..)| known == key);
        let first = same.next();
        let found = if again { same.next().or(first) } else { first };
        if let Some((_, at, below)) = found {
            return Some((*at, below));
        }
        let (_, _, merged) = self.keys.iter().find(|(known, ..)| known == "<<")?;
        std::iter::once(merged).chain(&merged.entries).find_map(|source| source.under(key, again))
    }

    fn collect(&self, tokens: &mut BTreeMap<Position, Option<String>>) {
        if let (Some(at), true) = (self.at, self.keys.is_empty() && self.entries.is_empty()) {
            tokens.entry(at).or_insert(None);
        }
        for (key, at, below) in &self.keys {
            tokens.insert(*at, Some(key.clone()));
            below.collect(tokens);
        }
        for entry in &self.entries {
            entry.collect(tokens);
        }
    }
}

/// Walks a value. A scalar is refused, and left in the cell.
struct Walk<'c>(&'c mut Option<String>);

impl Walk<'_> {
    fn refuse<E: serde::de::Error>(self, scalar: &str) -> Result<Place, E> {
        *self.0 = Some(scalar.to_owned());
        Err(E::custom("refused"))
    }
}

/// What became of a key or a value: its places, or the scalar that it is and where. The parser's own errors
/// stay errors.
fn walked<E: fmt::Display>(cell: &mut Option<String>, walk: Result<Place, E>) -> Result<(String, Place), E> {
    match (walk, cell.take()) {
        (Ok(place), _) => Ok((String::new(), place)),
        (Err(refusal), Some(scalar)) => Ok((scalar, Place { at: position(&refusal), ..Place::default() })),
        (Err(error), None) => Err(error),
    }
}

/// "… at line 3 column 7": a visitor knows its error by nothing but its text. The very beginning is left out.
fn position(refusal: &impl fmt::Display) -> Option<Position> {
    let text = refusal.to_string();
    let Some((_, place)) = text.rsplit_once(" at line ") else { return Some((1, 1)) };
    let (line, column) = place.split_once(" column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Place;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Place, E> {
        Ok(Place::default())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Place, E> {
        self.refuse("")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Place, E> {
        self.refuse(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Place, A::Error> {
        let mut place = Place::default();
        loop {
            let entry = match entries.next_element_seed(Walk(self.0)) {
                Ok(None) => break,
                Ok(Some(entry)) => Ok(entry),
                Err(error) => Err(error),
            };
            place.entries.push(walked(self.0, entry)?.1);
        }
        place.at = place.entries.first().and_then(|entry| entry.at);
        Ok(place)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Place, A::Error> {
        let mut place = Place::default();
        loop {
            let key = match entries.next_key_seed(Walk(self.0)) {
                Ok(None) => break,
                Ok(Some(key)) => Ok(key),
                Err(error) => Err(error),
            };
            let (key, at) = walked(self.0, key)?;
            let value = entries.next_value_seed(Walk(self.0));
            let (_, value) = walked(self.0, value)?;
            place.keys.push((key, at.at.unwrap_or_default(), value));
        }
        place.at = place.keys.first().map(|&(_, at, _)| at);
        Ok(place)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Place, A::Error> {
        let (_, content) = data.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }
}
