//! From a text to a tree: one document, bounded, every repeated key and tag reported.
//!
//! `serde_yaml::Value` could read itself, but it would stop at the first repeated key, and a few lines of
//! aliases could make it fill the memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::{Mapping, Value};

use super::{Part, Path, Problem, Spot};

/// Most values, aliases counted as often as they are used: twice of what a hundred thousand accounts need.
const MOST_VALUES: usize = 10_000_000;
/// Most bytes of text in them.
const MOST_BYTES: usize = 64 << 20;
/// Most brackets open at once in one line; the parser becomes slow with many.
const MOST_OPEN: usize = 64;

/// The tree of a text, with repeated keys, tags and misplaced merges as problems.
pub(super) fn build(text: &str) -> Result<(Value, Vec<Problem>), Problem> {
    nesting(text)?;
    let mut state = State::default();
    let value =
        Build(&mut state).deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| syntax(text, error))?;
    if value.is_null() {
        return Err(no_document("the document is empty", Spot::Value));
    }
    Ok((value, state.problems))
}

/// The tree of a part of a text that is a document by itself and has no such problems; `None` if it is not, or too large
/// with what `size` counts already.
pub(super) fn piece(text: &str, size: &mut Size) -> Option<Value> {
    nesting(text).ok()?;
    let mut state = State { size: *size, ..State::default() };
    let value = Build(&mut state).deserialize(serde_yaml::Deserializer::from_str(text)).ok()?;
    *size = state.size;
    state.problems.is_empty().then_some(value)
}

/// How much there is in a document, aliases counted as often as they are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    values: usize,
    bytes: usize,
}

impl Size {
    /// Of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { values: self.values + other.values, bytes: self.bytes + other.bytes }
    }

    /// Whether a document may be so large.
    pub const fn is_bearable(self) -> bool {
        self.values <= MOST_VALUES && self.bytes <= MOST_BYTES
    }
}

/// Refuses what the parser would take minutes for.
pub(super) fn nesting(text: &str) -> Result<(), Problem> {
    for (number, line) in text.lines().enumerate() {
        let mut open = 0_usize;
        for (column, byte) in line.bytes().enumerate() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > MOST_OPEN {
                return Err(no_document("nested too deeply", Spot::At(number + 1, column + 1)));
            }
        }
    }
    Ok(())
}

fn no_document(message: impl Into<String>, spot: Spot) -> Problem {
    Problem { path: Path::default(), message: message.into(), spot }
}

/// The parser's own sentence, which is one of a fixed set, without the place that it repeats.
fn syntax(text: &str, error: serde_yaml::Error) -> Problem {
    let spot = error.location().map_or(Spot::Value, |at| Spot::At(at.line(), at.column()));
    let sentence = error.to_string();
    let sentence = sentence.split(" at line ").next().unwrap_or_default();
    match sentence {
        sentence if sentence.ends_with(TOO_LARGE) || sentence == "repetition limit exceeded" => {
            no_document(TOO_LARGE, Spot::Value)
        }
        "recursion limit exceeded" => no_document("nested too deeply", spot),
        "deserializing from YAML containing more than one document is not supported" => {
            no_document("expected one document: remove the `---` and what follows it", second(text))
        }
        // of the sentences that quote the document, every one has a colon
        sentence if sentence.contains(": ") => no_document("not valid YAML: a value does not fit its tag", spot),
        sentence => no_document(format!("not valid YAML: {sentence}"), spot),
    }
}

/// Where the second document begins.
fn second(text: &str) -> Spot {
    let mut begun = false;
    for (index, line) in text.lines().enumerate() {
        let marker = line.starts_with("---");
        if marker && begun {
            return Spot::At(index + 1, 1);
        }
        begun |= marker || !(line.trim().is_empty() || line.starts_with(['#', '%']));
    }
    Spot::Value
}

pub(super) const TOO_LARGE: &str = "too large once all aliases (`*name`) are put in: repeat less";

#[derive(Default)]
struct State {
    path: Vec<Part>,
    size: Size,
    problems: Vec<Problem>,
}

impl State {
    fn count<E: serde::de::Error>(&mut self, bytes: usize) -> Result<(), E> {
        self.size = self.size.and(Size { values: 1, bytes });
        if self.size.is_bearable() { Ok(()) } else { Err(E::custom(TOO_LARGE)) }
    }

    fn problem(&mut self, message: &str, spot: Spot) {
        self.problems.push(Problem { path: self.path.iter().cloned().collect(), message: message.to_owned(), spot });
    }
}

struct Build<'s>(&'s mut State);

impl<'de> DeserializeSeed<'de> for Build<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Build<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.0.count(0).map(|()| Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        self.0.count(0).map(|()| Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        self.0.count(0).map(|()| Value::Number(value.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.0.count(0).map(|()| Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.0.count(0).map(|()| Value::Number(value.into()))
    }

    // a number of more than 20 digits: no key wants one, and as a float it is still told from a text
    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<Value, E> {
        self.visit_f64(f64::MAX)
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<Value, E> {
        self.visit_f64(f64::MIN)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.0.count(value.len()).map(|()| Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.count(0)?;
        let mut sequence = Vec::new();
        loop {
            self.0.path.push(Part::Index(sequence.len()));
            let entry = entries.next_element_seed(Build(self.0))?;
            self.0.path.pop();
            match entry {
                Some(value) => sequence.push(value),
                None => return Ok(Value::Sequence(sequence)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let Self(state) = self;
        state.count(0)?;
        let mut mapping = Mapping::new();
        let mut merge = None;
        while let Some(key) = entries.next_key_seed(Build(state))? {
            let Value::String(key) = key else {
                state.problem("expected text as a key: put it in quotes", Spot::Value);
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            state.path.push(Part::Key(key.clone()));
            let value = entries.next_value_seed(Build(state))?;
            if mapping.contains_key(key.as_str()) || (key == "<<" && merge.is_some()) {
                state.problem("this key stands here twice", Spot::Repeat);
            } else if key == "<<" {
                merge = Some(value);
            } else {
                mapping.insert(Value::String(key), value);
            }
            state.path.pop();
        }
        if let Some(merge) = merge {
            state.merge(&mut mapping, merge);
        }
        Ok(Value::Mapping(mapping))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Value, A::Error> {
        self.0.problem("tags (`!name`) mean nothing here: remove it", Spot::Value);
        let (_, content) = data.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }
}

impl State {
    /// `<<: *name` or `<<: [*name, *other]`: keys of the mapping itself win, then those of earlier ones.
    fn merge(&mut self, mapping: &mut Mapping, merge: Value) {
        let sources = if let Value::Sequence(sources) = merge { sources } else { vec![merge] };
        for source in sources {
            let Value::Mapping(source) = source else {
                self.path.push(Part::Key("<<".to_owned()));
                self.problem("expected a mapping, or a list of mappings, to merge", Spot::Key);
                self.path.pop();
                continue;
            };
            for (key, value) in source {
                mapping.entry(key).or_insert(value);
            }
        }
    }
}
