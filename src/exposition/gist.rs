//! What samples say, short of the words that all samples of their subject have in common. It is written in a fraction
//! of the time that the text takes, and tells whether the text would be another one.

/// Bytes that are the same if and only if the samples are, while their names and subjects are. Each piece begins with
/// a byte that no text has in UTF-8, and is a text or of one length: so other pieces are other bytes.
#[derive(Debug, Default)]
pub(super) struct Gist(Vec<u8>);

const SUBJECT: u8 = 0xff;
const SAMPLE: u8 = 0xfe;
const LABEL: u8 = 0xfd;
const LABEL_VALUE: u8 = 0xfc;
const NUMBER: u8 = 0xfb;
const LONG_NUMBER: u8 = 0xfa;

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
        self.0.extend_from_slice(suffix.as_bytes());
    }

    pub(super) fn label(&mut self, name: &str, value: &str) {
        self.0.push(LABEL);
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(LABEL_VALUE);
        self.0.extend_from_slice(value.as_bytes());
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
    use proptest::prelude::*;

    use crate::exposition::gist::Gist;
    use crate::exposition::series::{Labels, Seconds, Series};
    use crate::money::Amount;

    /// A subject's samples of one kind: labels and a number that is written in one of three ways.
    type Samples = (u8, Vec<(Vec<(&'static str, String)>, i64)>);

    fn samples() -> impl Strategy<Value = Samples> {
        let text = prop_oneof![Just(String::new()), "[a\\\\\"\n]{0,3}", "\\PC{0,2}"];
        let labels = proptest::collection::vec((prop_oneof![Just("a"), Just("ab"), Just("b")], text), 0..3);
        let number = prop_oneof![0_i64..3, any::<i64>()];
        (0_u8..3, proptest::collection::vec((labels, number), 0..3))
    }

    fn write((kind, samples): &Samples, series: &mut Series<'_>) {
        for (labels, number) in samples {
            let labels: Vec<_> = labels.iter().map(|(label, text)| (*label, text.as_str())).collect();
            match kind {
                0 => series.put(&labels, *number),
                1 => series.put(&labels, Seconds::from(std::time::Duration::from_nanos(number.unsigned_abs()))),
                _ => series.put(&labels, Amount::recalled(&format!("{number}.50")).unwrap()),
            }
        }
    }

    fn gist_and_text(subjects: &[Samples]) -> (Vec<u8>, Vec<String>) {
        let (mut gist, base) = (Gist::default(), Labels::default());
        let texts = subjects.iter().map(|samples| {
            let mut text = String::new();
            write(samples, &mut Series::new(&mut text, "m", &base));
            text
        });
        let texts = texts.collect();
        for samples in subjects {
            gist.subject();
            write(samples, &mut Series::gist(&mut gist));
        }
        (gist.as_bytes().to_vec(), texts)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Of one kind, as the samples of a metric are.
        #[test]
        fn another_text_is_another_gist(
            one in proptest::collection::vec(samples(), 0..3),
            other in proptest::collection::vec(samples(), 0..3),
            kind in 0_u8..3,
        ) {
            let of_a_kind = |subjects: Vec<Samples>| -> Vec<_> {
                subjects.into_iter().map(|(_, samples)| (kind, samples)).collect()
            };
            let (one, other) = (gist_and_text(&of_a_kind(one)), gist_and_text(&of_a_kind(other)));
            prop_assert_eq!(one.1 == other.1, one.0 == other.0);
        }
    }
}
