//! Makes new inputs out of known ones: bytes changed, parts of several joined, tokens of JSON put where others were.

/// Values that are nearly amounts, and others that are none.
const VALUES: [&str; 40] = [
    "0",
    "-0",
    "0.0",
    "-0.00",
    "1",
    "-1",
    "01",
    "+1",
    "1.",
    ".5",
    "1e5",
    "1E-400",
    "1e308",
    "0x10",
    "NaN",
    "Infinity",
    "null",
    "true",
    "false",
    "\"\"",
    "\"0\"",
    "\"00\"",
    "\"000\"",
    "\"NaN\"",
    "\"1e400\"",
    "\"250,000.00\"",
    "[]",
    "{}",
    "[5]",
    "[[]]",
    "999999999999999.99999999",
    "9999999999999999",
    "9007199254740993",
    "0.000000001",
    "0.00000001",
    "\"\\ud800\"",
    "\"\\u0030\"",
    "\"٢٥\"",
    "\" 1\"",
    "-999999999999999",
];

pub(crate) struct Mutator<'a> {
    pub(crate) random: fastrand::Rng,
    pub(crate) seeds: &'a [Vec<u8>],
}

impl Mutator<'_> {
    /// The next input: one of the seeds, with at most four edits.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut data = self.seed().to_vec();
        for _ in 0..self.random.usize(..=4) {
            if self.random.bool() { self.edit_tokens(&mut data) } else { self.edit_bytes(&mut data) }
        }
        data
    }

    fn seed(&mut self) -> &[u8] {
        &self.seeds[self.random.usize(..self.seeds.len())]
    }

    fn edit_bytes(&mut self, data: &mut Vec<u8>) {
        if data.is_empty() {
            return;
        }
        let at = self.random.usize(..data.len());
        let end = data.len().min(at + 1 + self.random.usize(..16));
        match self.random.u8(..8) {
            0 => data[at] ^= 1 << self.random.u8(..8),
            1 => data[at] = self.random.u8(..),
            2 => data[at] = *self.random.choice(b"0123456789-.eE\"\\{}[]:, \n").unwrap(),
            3 => data.insert(at, self.random.u8(0x20..0x7f)),
            4 => drop(data.drain(at..end)),
            5 => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            6 => data.truncate(at),
            _ => {
                let other = self.seed().to_vec();
                let from = self.random.usize(..=other.len());
                data.truncate(at);
                data.extend(&other[from..]);
            }
        }
    }

    fn edit_tokens(&mut self, data: &mut Vec<u8>) {
        let tokens = tokens(data);
        if tokens.is_empty() {
            return;
        }
        let mut pick = || tokens[self.random.usize(..tokens.len())].clone();
        let (one, other) = (pick(), pick());
        match self.random.u8(..8) {
            0..=2 => {
                let value = *self.random.choice(&VALUES).unwrap();
                data.splice(one, value.bytes());
            }
            // a number of the same kind
            3 => {
                let value = format!("{}.{}", self.random.u32(..), self.random.u16(..));
                data.splice(one, value.bytes());
            }
            4 => {
                let text = data[other].to_vec();
                data.splice(one, text);
            }
            // the same field, or entry, once more
            5 => {
                let end = data[one.start..].iter().position(|byte| b",}]".contains(byte)).map(|at| one.start + at);
                let mut again = data[one.start..end.unwrap_or(one.end)].to_vec();
                again.push(b',');
                data.splice(one.start..one.start, again);
            }
            // the same text in other words
            6 if data[one.clone()].starts_with(b"\"") && one.len() > 2 => {
                let escaped = format!("\\u{:04x}", data[one.start + 1]);
                data.splice(one.start + 1..one.start + 2, escaped.into_bytes());
            }
            7 => {
                let around = [b"[".as_slice(), &data[one.clone()], b"]"].concat();
                data.splice(one, around);
            }
            _ => drop(data.drain(one)),
        }
    }
}

/// Where strings, numbers and words stand.
fn tokens(data: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let rest = &data[at..];
        let length = match rest[0] {
            b'"' => rest[1..].iter().position(|byte| *byte == b'"').map_or(rest.len(), |end| end + 2),
            first if is_word(first) => rest.iter().take_while(|byte| is_word(**byte)).count(),
            _ => 0,
        };
        if length > 0 {
            found.push(at..at + length);
        }
        at += length.max(1);
    }
    found
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-._".contains(&byte)
}
