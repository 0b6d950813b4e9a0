//! What samples say, short of the words that all samples of their subject have in common. It is written in a fraction
//! of the time that the text takes, and tells whether the text would be another one.

/// Bytes that are the same only if the samples are, while their names and subjects are. Each piece begins with a byte
/// that no text has in UTF-8, and is a text or of one length: so other pieces are other bytes.
#[derive(Debug, Default)]
pub(super) struct Gist(Vec<u8>);

const SUBJECT: u8 = 0xff;
const SAMPLE: u8 = 0xfe;
const LABEL: u8 = 0xfd;
const LABEL_VALUE: u8 = 0xfc;
const NUMBER: u8 = 0xfb;
const LONG_NUMBER: u8 = 0xfa;
const WORD: u8 = 0xf9;

impl Gist {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The next subject begins, which may have no samples.
    pub(super) fn subject(&mut self) {
        self.0.push(SUBJECT);
    }

    /// A sample begins, under the family's name with this suffix.
    pub(super) fn sample(&mut self, suffix: &str) {
        self.0.push(SAMPLE);
        if !suffix.is_empty() {
            self.0.extend_from_slice(suffix.as_bytes());
        }
    }

    pub(super) fn label(&mut self, name: &str, value: &str) {
        self.0.push(LABEL);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(LABEL_VALUE);
        self.0.extend_from_slice(value.as_bytes());
    }

    /// A label out of a closed set. Such texts stay where they are for as long as the process lives, so that each is
    /// told by its place, which takes a fraction of the time.
    pub(super) fn word(&mut self, name: &'static str, value: &'static str) {
        let place = |text: &'static str| [text.as_ptr().addr(), text.len()].map(usize::to_le_bytes);
        self.0.push(WORD);
        self.0.extend_from_slice([place(name), place(value)].as_flattened().as_flattened());
    }

    /// A number, or something that is told by one.
    pub(super) fn number(&mut self, number: i128) {
        if let Ok(short) = i64::try_from(number) {
            self.0.push(NUMBER);
            self.0.extend_from_slice(&short.to_le_bytes());
        } else {
            self.0.push(LONG_NUMBER);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use jiff::Timestamp;

    use super::Gist;
    use crate::exposition::series::{Float, Labels, Seconds, Series, Value};
    use crate::money::Amount;

    /// Labels that would be easy to confuse if they were not kept apart.
    const LABELS: [&[(&str, &str)]; 7] =
        [&[], &[("a", "")], &[("a", "b")], &[("ab", "")], &[("a", ""), ("b", "")], &[("a", "\"")], &[("a", "\\\"")]];

    type Sample<V> = (&'static [(&'static str, &'static str)], V);

    /// Whatever subjects have as samples with these values: the notes are the same if and only if the lines are.
    fn tells_apart<V: Value + Copy>(values: &[V]) {
        let samples: Vec<Sample<V>> =
            LABELS.into_iter().flat_map(|labels| values.iter().map(move |value| (labels, *value))).collect();
        let none_or_one = || std::iter::once(vec![]).chain(samples.iter().map(|sample| vec![*sample]));
        let two = samples.iter().flat_map(|one| samples.iter().map(|other| vec![*one, *other]));
        let of_one = none_or_one().chain(two).map(|samples| vec![samples]);
        let of_two = none_or_one().flat_map(|one| none_or_one().map(move |other| vec![one.clone(), other]));
        let mut seen = BTreeMap::new();
        let (mut all, mut texts) = (0, BTreeSet::new());
        for subjects in of_one.chain(of_two) {
            let (gist, text) = written(&subjects);
            texts.insert(text.clone());
            assert_eq!(seen.entry(gist).or_insert_with(|| text.clone()), &text);
            all += 1;
        }
        assert_eq!(seen.len(), texts.len());
        assert_eq!(texts.len(), all, "no two of them are written alike");
    }

    fn written<V: Value + Copy>(subjects: &[Vec<Sample<V>>]) -> (Vec<u8>, Vec<String>) {
        let (mut gist, mut texts, base) = (Gist::default(), Vec::new(), Labels::default());
        for samples in subjects {
            let mut text = String::new();
            gist.subject();
            for (labels, value) in samples {
                Series::new(&mut text, "m", &base).put(labels, *value);
                Series::gist(&mut gist).put(labels, *value);
            }
            texts.push(text);
        }
        (gist.as_bytes().to_vec(), texts)
    }

    #[test]
    fn other_lines_are_other_notes() {
        let amounts = ["0", "0.0", "1", "1.0", "10", "0.1", "0.01", "-1", "123456789012345678901234567890"];
        tells_apart(&amounts.map(|text| Amount::recalled(text).unwrap()));
        tells_apart(&[0, 1, 255, 256, u64::MAX]);
        tells_apart(&[0, 1, -1, i64::MIN]);
        tells_apart(&[0, 1, 1_000, 1_000_000].map(|micros| Seconds::from(Duration::from_micros(micros))));
        tells_apart(&[0, 1, -1, 1_000].map(|millis| Seconds::from(Timestamp::from_millisecond(millis).unwrap())));
        tells_apart(&[0.0, 0.5, -0.5, 1.0, f64::INFINITY, f64::NAN].map(Float));
    }

    /// One of which begins where another does.
    #[test]
    fn other_words_are_other_notes() {
        let long = "ab";
        let words = [&long[..1], &long[1..], long];
        let labels = words.iter().flat_map(|name| words.map(|word| (*name, word)));
        let two = labels.clone().flat_map(|one| labels.clone().map(move |other| vec![one, other]));
        let lists: Vec<_> = labels.clone().map(|label| vec![label]).chain(two).chain([vec![]]).collect();
        let gists: BTreeSet<_> = lists
            .iter()
            .map(|labels| {
                let mut gist = Gist::default();
                Series::gist(&mut gist).put_plain(labels, 1_u8);
                gist.as_bytes().to_vec()
            })
            .collect();
        assert_eq!(gists.len(), lists.len());
    }

    #[test]
    fn a_suffix_is_noted() {
        let (mut one, mut other) = (Gist::default(), Gist::default());
        Series::gist(&mut one).put_as("_sum", &[], 1_u8);
        Series::gist(&mut other).put_as("_count", &[], 1_u8);
        assert_ne!(one.as_bytes(), other.as_bytes());
    }
}
