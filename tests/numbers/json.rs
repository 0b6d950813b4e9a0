//! A reader of JSON of our own, which keeps what other readers merge or lose: fields that stand twice, the text of
//! numbers, and strings that are none. RFC 8259.

#![expect(clippy::option_option, reason = "what may be missing can be wrong, too")]

/// A value as it is written.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// Its text.
    Number(String),
    /// Without escapes; `None` if it holds half of a surrogate pair.
    Text(Option<String>),
    List(Vec<Json>),
    /// In the order of the text, fields that stand twice twice.
    Object(Vec<(Option<String>, Json)>),
    /// Nested too deeply to be of use.
    Deep,
}

/// How often a field stands in an object.
pub(crate) enum Field<'a> {
    /// Not at all, or as null.
    Nothing,
    Once(&'a Json),
    Twice,
}

impl Json {
    /// The field, if this is an object.
    pub(crate) fn field(&self, name: &str) -> Option<Field<'_>> {
        let Self::Object(fields) = self else { return None };
        let mut found = fields.iter().filter(|(key, _)| key.as_deref() == Some(name)).map(|(_, value)| value);
        Some(match (found.next(), found.next()) {
            (None, _) => Field::Nothing,
            (Some(_), Some(_)) => Field::Twice,
            (Some(Self::Null), None) => Field::Nothing,
            (Some(value), None) => Field::Once(value),
        })
    }

    /// The field that must be there once.
    pub(crate) fn once(&self, name: &str) -> Option<&Self> {
        match self.field(name)? {
            Field::Once(value) => Some(value),
            Field::Nothing | Field::Twice => None,
        }
    }

    /// The field, which may be missing: `Some(None)` then.
    pub(crate) fn at_most_once(&self, name: &str) -> Option<Option<&Self>> {
        match self.field(name)? {
            Field::Once(value) => Some(Some(value)),
            Field::Nothing => Some(None),
            Field::Twice => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(Some(text)) = self { Some(text) } else { None }
    }

    pub(crate) fn number(&self) -> Option<&str> {
        if let Self::Number(text) = self { Some(text) } else { None }
    }
}

/// The one value of a text.
pub(crate) fn read(text: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = Reader { rest: text.as_bytes() };
    let value = reader.value(0)?;
    reader.space();
    reader.rest.is_empty().then_some(value)
}

/// Deeper values are skipped.
const DEEPEST: usize = 100;

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn take(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        self.space();
        match *self.rest.first()? {
            b'n' => self.take(b"null").map(|()| Json::Null),
            b't' => self.take(b"true").map(|()| Json::Bool(true)),
            b'f' => self.take(b"false").map(|()| Json::Bool(false)),
            b'"' => self.text().map(Json::Text),
            b'[' | b'{' if depth == DEEPEST => self.skip().map(|()| Json::Deep),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => self.number().map(Json::Number),
        }
    }

    /// Passes a value that nobody needs, without recursion and without a judgement: who takes what is accepted here
    /// takes it from a reader that has judged it.
    fn skip(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match *self.rest.first()? {
                b'"' => {
                    self.text()?;
                    continue;
                }
                b'[' | b'{' => open += 1,
                b']' | b'}' => open -= 1,
                _ => {}
            }
            self.rest = &self.rest[1..];
            if open == 0 {
                return Some(());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        self.take(b"[")?;
        let mut entries = Vec::new();
        self.space();
        if self.take(b"]").is_some() {
            return Some(Json::List(entries));
        }
        loop {
            entries.push(self.value(depth + 1)?);
            self.space();
            if self.take(b"]").is_some() {
                return Some(Json::List(entries));
            }
            self.take(b",")?;
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take(b"{")?;
        let mut fields = Vec::new();
        self.space();
        if self.take(b"}").is_some() {
            return Some(Json::Object(fields));
        }
        loop {
            self.space();
            let name = self.text()?;
            self.space();
            self.take(b":")?;
            fields.push((name, self.value(depth + 1)?));
            self.space();
            if self.take(b"}").is_some() {
                return Some(Json::Object(fields));
            }
            self.take(b",")?;
        }
    }

    fn number(&mut self) -> Option<String> {
        let before = self.rest;
        let _ = self.take(b"-");
        if self.take(b"0").is_none() {
            self.digits()?;
        }
        if self.take(b".").is_some() {
            self.digits()?;
        }
        if self.take(b"e").or_else(|| self.take(b"E")).is_some() {
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        let length = before.len() - self.rest.len();
        String::from_utf8(before[..length].to_vec()).ok()
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = &self.rest[count..];
        (count > 0).then_some(())
    }

    /// Outside `None`: not a string. Inside `None`: a string that is no text.
    fn text(&mut self) -> Option<Option<String>> {
        self.take(b"\"")?;
        let mut units: Vec<u16> = Vec::new();
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let (text, rest) = self.rest.split_at(plain);
            units.extend(std::str::from_utf8(text).ok()?.encode_utf16());
            let (first, rest) = rest.split_first()?;
            self.rest = rest;
            match first {
                b'"' => return Some(String::from_utf16(&units).ok()),
                b'\\' => units.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<u16> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match first {
            b'"' | b'\\' | b'/' => u16::from(*first),
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => {
                let (digits, rest) = self.rest.split_at_checked(4)?;
                self.rest = rest;
                digits.iter().try_fold(0, |sum, digit| {
                    let digit = char::from(*digit).to_digit(16)?;
                    Some(sum << 4 | u16::try_from(digit).ok()?)
                })?
            }
            _ => return None,
        })
    }
}
