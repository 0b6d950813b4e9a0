//! Which known word was probably meant, and how a choice of words is written.

use std::fmt::Write as _;

/// Most letters that a slip of the fingers changes.
const MOST_SLIPS: usize = 2;

/// The known word that `written` is a slip of, if there is one.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let slips = MOST_SLIPS.min(written.chars().count() / 2);
    known
        .into_iter()
        .map(|word| (distance(written, word), word))
        .filter(|&(distance, _)| distance <= slips)
        .min()
        .map(|(_, word)| word)
}

/// "`a`, `b` or `c`".
pub fn choice<'k>(known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let mut text = String::new();
    for (position, word) in known.iter().enumerate() {
        let before = match position {
            0 => "",
            _ if position + 1 == known.len() => " or ",
            _ => ", ",
        };
        let _ = write!(text, "{before}`{word}`");
    }
    text
}

/// How many letters have to be added, dropped, replaced, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["interval", "timeout", "name", "api"];
        for (written, meant) in [
            ("intervall", Some("interval")),
            ("intreval", Some("interval")),
            ("time_out", Some("timeout")),
            ("nmae", Some("name")),
            ("ap", Some("api")),
            ("x", None),
            ("token", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn a_choice_reads_like_a_sentence() {
        assert_eq!(choice(["a"]), "`a`");
        assert_eq!(choice(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
