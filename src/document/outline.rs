//! A long text in pieces: what stands outside of a long list, and each entry of the list by itself.
//!
//! Reading a document whole takes many times its memory, and again all of it when one entry has changed. So a text in
//! the usual layout, in which every entry starts on a line of its own at the same column, is cut at those lines, and
//! each piece is parsed as a document. A piece that is one ends as a piece of the whole would: nothing is open in it, no
//! quote, bracket or block, so that the next one starts where the parser of the whole expects an entry. Whatever is
//! laid out otherwise, or is wrong in any way, is read as a whole, which also knows the places.

use super::tree::{self, Size};
use super::{Node, Path};

/// Entries are parsed so many bytes at a time.
const PIECE_BYTES: usize = 16 << 10;

/// A mapping with a list under one key, of which the entries are not read yet.
#[derive(Debug)]
pub struct Outline<'t> {
    /// The mapping with an empty list.
    pub rest: Node,
    /// The text of each entry, with its dash.
    pub entries: Vec<&'t str>,
    /// How much stands outside of the list.
    pub size: Size,
}

impl<'t> Outline<'t> {
    /// Of a document that is a mapping with a list under `key`; `None` if it has to be read as a whole.
    pub fn of(text: &'t str, key: &str) -> Option<Self> {
        let cut = Cut::at(text, 0, key)?;
        let mut size = Size::default();
        let rest = cut.rest(key, &mut size, Some)?;
        Some(Self { rest: Node::new(rest), entries: cut.entries, size })
    }
}

impl Node {
    /// An entry of an [`Outline`], which is a mapping with a long list under `key`, at this path in the document, and how
    /// much it is; `None` if the document has to be read as a whole.
    pub fn entry(text: &str, path: Path, key: &str) -> Option<(Self, Size)> {
        let mut size = Size::default();
        let column = indentation(text);
        let inside = text.get(column + 1..)?;
        let value = match Cut::at(text, column + 1 + indentation(inside), key) {
            None => only(tree::piece(text, &mut size)?)?,
            Some(cut) => {
                let mut value = cut.rest(key, &mut size, only)?;
                let list = value.get_mut(key)?.as_sequence_mut()?;
                list.reserve_exact(cut.entries.len());
                for piece in cut.pieces(text) {
                    let serde_yaml::Value::Sequence(entries) = tree::piece(piece, &mut size)? else { return None };
                    list.extend(entries);
                }
                value
            }
        };
        Some((Self { path, ..Self::new(value) }, size))
    }
}

/// The one entry of a list.
fn only(list: serde_yaml::Value) -> Option<serde_yaml::Value> {
    let serde_yaml::Value::Sequence(mut entries) = list else { return None };
    let found = entries.pop();
    found.filter(|_| entries.is_empty())
}

/// Where a text is cut.
#[derive(Debug)]
struct Cut<'t> {
    /// Up to the first entry.
    head: &'t str,
    entries: Vec<&'t str>,
    /// More keys of the same mapping.
    tail: &'t str,
}

impl<'t> Cut<'t> {
    /// Of a mapping whose keys stand at this column, and in which a list follows on the line of `key`.
    fn at(text: &'t str, column: usize, key: &str) -> Option<Self> {
        let mut lines = Lines { text, next: 0 };
        lines.find(|(_, line)| is_key(line, column, key))?;
        let (first, line) = lines.find(|(_, line)| !is_blank(line))?;
        // with the comments before the first entry: nothing is taken for one that the parser has not seen
        let head = &text[..first];
        let dash = indentation(line);
        if dash < column || !is_entry(line, dash) {
            return None;
        }
        let mut starts = vec![first];
        let mut end = text.len();
        for (begin, line) in lines {
            if is_entry(line, dash) {
                starts.push(begin);
            } else if indentation(line) <= column && !is_blank(line) {
                // another key, or the end of the document, which is then read with what stands before the list
                end = begin;
                break;
            }
        }
        let ends = starts.iter().skip(1).copied().chain([end]);
        let entries = starts.iter().zip(ends).map(|(&begin, end)| &text[begin..end]).collect();
        Some(Self { head, entries, tail: &text[end..] })
    }

    /// What stands around the list, with an empty one in its place. `part` is the mapping in what is read.
    fn rest(
        &self,
        key: &str,
        size: &mut Size,
        part: fn(serde_yaml::Value) -> Option<serde_yaml::Value>,
    ) -> Option<serde_yaml::Value> {
        let head = part(tree::piece(self.head, size)?)?;
        // else the line of the key is something else
        let (last, value) = head.as_mapping()?.iter().last()?;
        if last.as_str() != Some(key) || !value.is_null() {
            return None;
        }
        let mut whole = if self.tail.is_empty() {
            head
        } else {
            *size = Size::default();
            let whole = part(tree::piece(&[self.head, self.tail].concat(), size)?)?;
            if !whole.get(key)?.is_null() {
                return None;
            }
            whole
        };
        *whole.get_mut(key)? = serde_yaml::Value::Sequence(Vec::new());
        Some(whole)
    }

    /// The entries, some at a time.
    fn pieces(&self, text: &'t str) -> Vec<&'t str> {
        let begin = |entry: &str| entry.as_ptr() as usize - text.as_ptr() as usize;
        let mut pieces: Vec<&str> = Vec::new();
        for entry in &self.entries {
            match pieces.last_mut() {
                Some(last) if last.len() + entry.len() <= PIECE_BYTES => {
                    *last = &text[begin(last)..begin(entry) + entry.len()];
                }
                Some(_) | None => pieces.push(entry),
            }
        }
        pieces
    }
}

/// The lines of a text, each with where it starts and its end.
struct Lines<'t> {
    text: &'t str,
    next: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<(usize, &'t str)> {
        let (begin, rest) = (self.next, &self.text[self.next..]);
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.next += length;
        Some((begin, &rest[..length]))
    }
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Nothing, or a comment.
fn is_blank(line: &str) -> bool {
    let content = line.trim_matches([' ', '\r', '\n']);
    content.is_empty() || content.starts_with('#')
}

/// Begins with a dash at this column.
fn is_entry(line: &str, column: usize) -> bool {
    let mut rest = line.bytes().skip(indentation(line));
    indentation(line) == column && rest.next() == Some(b'-') && matches!(rest.next(), None | Some(b' ' | b'\n'))
}

/// Holds this key at this column, and nothing else.
fn is_key(line: &str, column: usize, key: &str) -> bool {
    let rest = line.get(column..).filter(|_| indentation(line) == column);
    let rest = rest.and_then(|rest| rest.strip_prefix(key)?.strip_prefix(':'));
    rest.is_some_and(|rest| rest.trim_end_matches(['\n', '\r', ' ']).is_empty())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = include_str!("../../exporter.yaml");

    const COMPACT: &str = "\
defaults: { interval: 1m }
providers:

# the first
- name: p
  token: { file: a }
  accounts:
  # two
  - name: a
    labels: { team: \"x y\" }
  - name: b
    text: |
      several
      - name: lines
  limit: 5
- name: q
  accounts: []
state: { file: x }
";

    /// The document, put together from its pieces.
    fn in_pieces(text: &str) -> Option<Node> {
        let Outline { rest, entries, .. } = Outline::of(text, "providers")?;
        let place = |(place, entry)| Some(Node::entry(entry, rest.path().key("providers").index(place), "accounts")?.0);
        let entries: Option<Vec<_>> = entries.into_iter().enumerate().map(place).collect();
        let mut whole = rest;
        *whole.value.get_mut("providers")?.as_sequence_mut()? = entries?.into_iter().map(|node| node.value).collect();
        Some(whole)
    }

    #[test]
    fn the_usual_layouts_are_read_in_pieces() {
        let longer = format!("---\n{}", COMPACT.replace('\n', "\r\n"));
        for text in [EXAMPLE, COMPACT, &longer] {
            let (whole, problems) = Node::parse(text).unwrap();
            assert_eq!((in_pieces(text), problems), (Some(whole), Vec::new()));
        }
        let outline = Outline::of(COMPACT, "providers").unwrap();
        let (second, _) =
            Node::entry(outline.entries[1], Path::default().key("providers").index(1), "accounts").unwrap();
        assert_eq!((outline.entries.len(), second.path().to_string().as_str()), (2, "providers[1]"));
    }

    #[test]
    fn many_entries_are_many_pieces() {
        let mut text = "providers:\n  - name: p\n    accounts:\n".to_owned();
        for account in 0..3_000 {
            writeln!(text, "      - {{ name: account-{account}, number: \"{account}\" }}").unwrap();
        }
        let entry = Outline::of(&text, "providers").unwrap().entries[0];
        assert!(Cut::at(entry, 4, "accounts").unwrap().pieces(entry).len() > 5);
        assert_eq!(in_pieces(&text), Some(Node::parse(&text).unwrap().0));
    }

    #[test]
    fn what_is_open_at_a_cut_is_read_as_a_whole() {
        for (what, text) in [
            ("a quote before the list", "foo: \"abc\nproviders:\n  - name: a\n bar\"\nproviders:\n"),
            ("a quote over two entries", "providers:\n  - name: 'a\n  - name: b'\n"),
            ("a bracket over two entries", "providers:\n  - [a,\n  - b]\n"),
            ("a list that is not one", "providers: |\n  - name: a\n  - name: b\n"),
            ("a second document", "providers:\n  - a\n---\nproviders:\n  - b\n"),
            ("the end of the document", "providers:\n  - a\n...\n  - b\n"),
            ("an alias from one entry to another", "providers:\n  - &a { x: 1 }\n  - { <<: *a }\n"),
            ("a line break that is a letter to us", "providers:\n# c\r  - name: a\n  - name: b\n"),
            ("a key that stands twice", "providers:\n  - name: a\nproviders:\n"),
            ("a tag", "providers:\n  - !x a\n"),
            ("two entries that look like one", "providers:\n  - a\n  -\tb\n"),
            ("an entry that is none", "providers:\n  - a\n -b\n"),
            ("a list of another key", "foo:\n  providers:\n  - a\n"),
        ] {
            assert_eq!(in_pieces(text), None, "{what}");
        }
    }

    /// Pieces of texts that mean something to the parser.
    fn crumb() -> impl Strategy<Value = String> {
        let crumbs = [
            "providers:\n",
            "accounts:\n",
            "    accounts:\n",
            "  - name: a\n",
            "- name: b\n",
            "      - name: c\n",
            "  - ",
            "      - ",
            "- ",
            "-\n",
            "\"",
            "'",
            "[",
            "]",
            "{",
            "}",
            "|\n",
            ">-\n",
            "|+\n",
            "&a ",
            "*a",
            "<<: *a\n",
            "# c\n",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "!x ",
            "? ",
            ": ",
            ",",
            "\n",
            "\n\n",
            "\r",
            "\r\n",
            "\t",
            " ",
            "  ",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "x: 1\n",
            "    x: 'y'\n",
            "  x:\n",
            "foo",
            "\\",
            "~\n",
        ];
        proptest::sample::select(crumbs.to_vec()).prop_map(str::to_owned)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        /// Whatever is read in pieces is what the parser makes of the whole.
        #[test]
        fn pieces_are_the_whole(
            base in proptest::sample::select(vec![COMPACT, EXAMPLE, "providers:\n"]),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, crumb()), 0..6),
            at_lines in any::<bool>(),
        ) {
            let mut text = base.to_owned();
            for (place, taken, crumb) in changes {
                let places: Vec<_> = if at_lines {
                    text.match_indices('\n').map(|(place, _)| place + 1).collect()
                } else {
                    text.char_indices().map(|(place, _)| place).collect()
                };
                let begin = if places.is_empty() { 0 } else { *place.get(&places) };
                let end = (begin..=text.len()).filter(|end| text.is_char_boundary(*end)).nth(taken).unwrap_or(text.len());
                text.replace_range(begin..end, &crumb);
            }
            if let Some(pieces) = in_pieces(&text) {
                let whole = Node::parse(&text);
                prop_assert!(whole.is_ok(), "{:?}\n{text}", whole);
                let (whole, problems) = whole.unwrap();
                prop_assert_eq!(problems, vec![], "{}", text);
                prop_assert_eq!(&pieces, &whole, "{}", text);
            }
        }
    }
}
