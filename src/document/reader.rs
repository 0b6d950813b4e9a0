//! A serde `Deserializer` over the tree whose errors know the path and never quote the document.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_yaml::{Mapping, Value};

use super::{Part, Path, Problem, Spot, choice, nearest, shown};

/// Reads a value as a `T`.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Refusal> {
    T::deserialize(Reader(value))
}

/// Why a value was refused, and where below it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Innermost part first.
    parts: Vec<Part>,
    spot: Spot,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

impl Refusal {
    fn other(message: impl Into<String>) -> Self {
        Self { parts: Vec::new(), spot: Spot::Value, kind: Kind::Other(message.into()) }
    }

    fn inside(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    fn with_key(mut self, key: &str) -> Self {
        self.spot = Spot::Key;
        self.inside(Part::Key(key.to_owned()))
    }

    /// Where in the value that was read, outermost part first.
    pub(super) fn parts(&self) -> Vec<Part> {
        self.parts.iter().rev().cloned().collect()
    }

    /// The key that is missing there.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.kind {
            Kind::MissingKey(key) => Some(key),
            Kind::UnknownKey { .. } | Kind::Other(_) => None,
        }
    }

    /// As a problem of the document. `beside` are keys that are known beside those of the type.
    pub(super) fn into_problem(self, above: &Path, beside: &'static [&'static str]) -> Problem {
        let beside = if self.parts.len() == 1 { beside } else { &[] };
        let message = match self.kind {
            Kind::Other(message) => message,
            Kind::MissingKey(key) => format!("the key `{key}` is missing"),
            Kind::UnknownKey { key, known } => {
                let all = || known.iter().chain(beside).copied();
                let what = format!("unknown key `{}`", shown(&key));
                match nearest(&key, all()) {
                    Some(meant) => format!("{what}: did you mean `{meant}`?"),
                    None if all().next().is_none() => format!("{what}: no keys are known here"),
                    None => format!("{what}: expected {}", choice(all())),
                }
            }
        };
        let path = self.parts.into_iter().rev().collect();
        Problem { path, message, spot: self.spot }.below(above)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::other(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let wanted = expected(wanted);
        let nothing = matches!(found, Unexpected::Unit | Unexpected::Option);
        let bare = matches!(
            found,
            Unexpected::Bool(_) | Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_)
        );
        Self::other(if nothing {
            NOTHING
        } else if bare && wanted == TEXT {
            TEXT_IN_QUOTES
        } else {
            &wanted
        })
    }

    fn invalid_value(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::other(expected(wanted))
    }

    fn invalid_length(_: usize, wanted: &dyn Expected) -> Self {
        Self::other(expected(wanted))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::other(choices(known))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self { kind: Kind::UnknownKey { key: key.to_owned(), known }, ..Self::other("") }
    }

    fn missing_field(key: &'static str) -> Self {
        Self { kind: Kind::MissingKey(key), ..Self::other("") }
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::other("this key stands here twice")
    }
}

const TEXT: &str = "expected text";
const TEXT_IN_QUOTES: &str = "expected text: put it in quotes";
const MAPPING: &str = "expected a mapping of keys to values";
const LIST: &str = "expected a list";
const NOTHING: &str = "nothing is written here: give a value, or leave the key out";

/// Serde's words for what a type wants, in ours.
fn expected(wanted: &dyn Expected) -> String {
    let wanted = wanted.to_string();
    let most = match wanted.as_str() {
        "a string" | "string" => return TEXT.to_owned(),
        "a boolean" => return "expected true or false".to_owned(),
        "a sequence" => return LIST.to_owned(),
        "a map" => return MAPPING.to_owned(),
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" => u64::MAX,
        _ if wanted.starts_with("struct ") || wanted.starts_with("internally tagged enum ") => {
            return MAPPING.to_owned();
        }
        _ => return format!("expected {wanted}"),
    };
    format!("expected a whole number of at most {most}")
}

/// The keys of a [`Source`](crate::secret::Source). Who writes something else there may have written the secret.
const SECRET_SOURCE: &[&str] = &["file", "env", "credential"];

fn choices(known: &'static [&'static str]) -> String {
    format!("expected {}", choice(known.iter().copied()))
}

struct Reader<'de>(&'de Value);

impl<'de> Reader<'de> {
    fn not(&self, wanted: &str) -> Refusal {
        Refusal::other(if self.0.is_null() { NOTHING } else { wanted })
    }

    fn whole_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match (self.0.as_u64(), self.0.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (None, Some(number)) => visitor.visit_i64(number),
            (None, None) => Err(self.not("expected a whole number")),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::String(text) => visitor.visit_str(text),
            Value::Number(_) | Value::Bool(_) => Err(Refusal::other(TEXT_IN_QUOTES)),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => Err(self.not(TEXT)),
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Value::Sequence(entries) = self.0 else {
            let nothing = "nothing is written here: write [] for an empty list";
            return Err(Refusal::other(if self.0.is_null() { nothing } else { LIST }));
        };
        visitor.visit_seq(Entries { entries, next: 0 })
    }

    fn mapping<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Value::Mapping(mapping) = self.0 else { return Err(self.not(MAPPING)) };
        visitor.visit_map(Pairs { pairs: mapping.iter(), now: None })
    }
}

macro_rules! as_written {
    ($($method:ident => $read:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.$read(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Refusal;

    as_written! {
        deserialize_i8 => whole_number, deserialize_i16 => whole_number,
        deserialize_i32 => whole_number, deserialize_i64 => whole_number,
        deserialize_u8 => whole_number, deserialize_u16 => whole_number,
        deserialize_u32 => whole_number, deserialize_u64 => whole_number,
        deserialize_char => text, deserialize_str => text, deserialize_string => text, deserialize_identifier => text,
        deserialize_seq => list, deserialize_map => mapping,
    }
    forward_to_deserialize_any! { i128 u128 f32 f64 bytes byte_buf unit unit_struct }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (_, Some(number), _) => visitor.visit_i64(number),
                (_, _, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Sequence(_) => self.list(visitor),
            Value::Mapping(_) => self.mapping(visitor),
            Value::Tagged(tagged) => Reader(&tagged.value).deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.as_bool() {
            Some(value) => visitor.visit_bool(value),
            None => Err(self.not("expected true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        // a key that is there with nothing behind it is an oversight, not a wish for the default
        if self.0.is_null() { Err(Refusal::other(NOTHING)) } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.list(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if keys == SECRET_SOURCE && !self.0.is_mapping() {
            let wanted = "expected one of { file: … }, { env: … }, { credential: … }; secrets are never written here";
            return Err(Refusal::other(wanted));
        }
        self.mapping(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let only = |mapping: &'de Mapping| (mapping.len() == 1).then(|| mapping.iter().next()).flatten();
        let chosen = match self.0 {
            Value::String(variant) => Some((variant.as_str(), None)),
            Value::Mapping(mapping) => only(mapping).and_then(|(key, value)| Some((key.as_str()?, Some(value)))),
            Value::Null => return Err(Refusal::other(NOTHING)),
            Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Tagged(_) => None,
        };
        match chosen {
            Some((variant, content)) if variants.contains(&variant) => {
                visitor.visit_enum(Chosen { name: variant, content, variants })
            }
            Some(_) | None => Err(Refusal::other(choices(variants))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }
}

struct Entries<'de> {
    entries: &'de [Value],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(Reader(entry)).map(Some).map_err(|refusal| refusal.inside(Part::Index(index)))
    }
}

struct Pairs<'de> {
    pairs: serde_yaml::mapping::Iter<'de>,
    now: Option<(&'de str, &'de Value)>,
}

impl<'de> de::MapAccess<'de> for Pairs<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        let key = key.as_str().ok_or_else(|| Refusal::other("expected text as a key: put it in quotes"))?;
        self.now = Some((key, value));
        let key_reader: StrDeserializer<'_, Refusal> = key.into_deserializer();
        seed.deserialize(key_reader).map(Some).map_err(|refusal| refusal.with_key(key))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Refusal> {
        let (key, value) = self.now.take().ok_or_else(|| Refusal::other(NOTHING))?;
        seed.deserialize(Reader(value)).map_err(|refusal| refusal.inside(Part::Key(key.to_owned())))
    }
}

/// A variant by its name alone, or by its name as the only key of a mapping.
struct Chosen<'de> {
    name: &'de str,
    content: Option<&'de Value>,
    variants: &'static [&'static str],
}

impl<'de> Chosen<'de> {
    fn content<T>(self, read: impl FnOnce(Reader<'de>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let content = self.content.ok_or_else(|| Refusal::other(choices(self.variants)))?;
        read(Reader(content)).map_err(|refusal| refusal.inside(Part::Key(self.name.to_owned())))
    }
}

impl<'de> de::EnumAccess<'de> for Chosen<'de> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Chosen<'de> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        if self.content.is_none() { Ok(()) } else { Err(Refusal::other(choices(self.variants))) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        self.content(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.content(|content| content.list(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Refusal> {
        self.content(|content| content.mapping(visitor))
    }
}
