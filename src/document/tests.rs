//! Strict reading, and what its problems say and do not say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::secret::Source;

fn shown(text: &str, problem: Problem) -> String {
    Problems::from(vec![problem]).render("f", text)
}

/// The place of a path, as `line:column`.
fn place(text: &str, problem: Problem) -> String {
    shown(text, problem).splitn(4, ':').skip(1).take(2).collect::<Vec<_>>().join(":")
}

fn node(text: &str) -> Node {
    let (node, problems) = Node::parse(text).unwrap();
    assert_eq!(problems, []);
    node
}

fn refused<T: DeserializeOwned>(text: &str) -> Vec<String> {
    let problems = node(text).read_all::<T>().err().expect("this should be refused");
    problems.into_iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

const TEXT: &str = "\
top:
  - name: a
    flow: { one: 1, two: [x, 'y, z'], three: { four: 4 } }
  - &anchor
    name: 'hunter: two'
    text: |
      several
      lines: too
    empty:
  - <<: *anchor
    name: b
    name: c
";

#[test]
fn every_value_and_key_has_its_place() {
    let at = |path: &str| {
        let parts = path.split('.').filter(|part| !part.is_empty()).fold(Path::default(), |path, part| {
            part.parse().map_or_else(|_| path.key(part), |index| path.index(index))
        });
        Problem::of(parts, "")
    };
    for (path, expected) in [
        ("", "1:1"),
        ("top", "2:5"),
        ("top.0.name", "2:11"),
        ("top.0.flow", "3:13"),
        ("top.0.flow.two", "3:27"),
        ("top.0.flow.two.1", "3:30"),
        ("top.0.flow.three.four", "3:54"),
        ("top.1", "5:5"),
        ("top.1.name", "5:11"),
        ("top.1.text", "6:11"),
        ("top.1.empty", "9:11"),
        ("top.2.name", "11:11"),
        // what was merged stands where it was written
        ("top.2.text", "6:11"),
        // what is not there is looked for where it should be
        ("top.2.other.deeper", "10:5"),
        ("top.7", "2:5"),
    ] {
        assert_eq!(place(TEXT, at(path)), expected, "{path}");
    }
    assert_eq!(place(TEXT, at("top.0.flow").with_the_key()), "3:5");
    assert_eq!(place(TEXT, at("top").with_the_key()), "1:1");
    let (_, problems) = Node::parse(TEXT).unwrap();
    assert_eq!(
        Problems::from(problems).render("f", TEXT),
        "f:12:5: top[2].name: this key stands here twice\n   12 |     name: ***\n      |     ^\n"
    );
}

#[test]
fn a_line_is_shown_up_to_the_word_that_is_meant_and_without_values() {
    let lines = |path: Path| shown(TEXT, Problem::of(path, "m")).lines().skip(1).collect::<Vec<_>>().join("\n");
    let top = Path::default().key("top");
    let flow = top.index(0).key("flow");
    assert_eq!(
        lines(flow.key("three").key("four")),
        "    3 |     flow: { one: ***, two: [***, ***, three: { four: ***\n      |                                                      ^"
    );
    assert_eq!(lines(top.index(1).key("name")), "    5 |     name: ***\n      |           ^");
    assert_eq!(lines(top.index(1).key("text")), "    6 |     text: ***\n      |           ^");
}

#[test]
fn a_broken_text_is_told_with_its_place_and_nothing_of_the_line() {
    for (text, expected) in [
        (
            "a: [1, 2\nhunter: two\n",
            "f:2:7: not valid YAML: did not find expected ',' or ']'\n    2 | ***\n      | ^\n",
        ),
        ("# c\n---\na: 1\n--- # d\nb: 2\n", "f:4:1: expected one document"),
        ("# nothing\n", "f:1:1: the document is empty\n"),
        ("a: *none\n", "f:1:4: not valid YAML: unknown anchor\n    1 | ***\n      | ^\n"),
        ("a: !!bool hunter2\n", "f:1:4: not valid YAML: a value does not fit its tag\n    1 | ***\n      | ^\n"),
        ("a: 1\n---\nb: 2\n", "f:2:1: expected one document: remove the `---` and what follows it\n"),
    ] {
        let problem = Node::parse(text).unwrap_err();
        assert!(shown(text, problem.clone()).starts_with(expected), "{}", shown(text, problem));
    }
}

#[test]
fn tags_repeated_keys_and_odd_keys_are_all_reported() {
    let (_, problems) = Node::parse("a: !secret hunter2\na: 2\n1: x\n<<: 5\nb: { c: 1, c: 2 }\n").unwrap();
    let told: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    assert_eq!(
        told,
        [
            "a: tags (`!name`) mean nothing here: remove it",
            "a: this key stands here twice",
            ": expected text as a key: put it in quotes",
            "b.c: this key stands here twice",
            "***: expected a mapping, or a list of mappings, to merge",
        ]
    );
}

#[test]
fn merges_are_applied_and_the_own_keys_win() {
    let tree = node("x: &x { a: 1, b: 1 }\ny: &y { <<: *x, b: 2 }\nz: { b: 3, <<: [*y, *x] }\n");
    let read: BTreeMap<String, BTreeMap<String, u8>> = tree.read().unwrap();
    assert_eq!(read["z"], BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 3)]));
    assert_eq!(read["y"]["b"], 2);
}

#[test]
fn bombs_are_refused_at_once() {
    let mut laughs = "a0: &a0 [lol]\n".to_owned();
    for level in 1..12 {
        let _ = writeln!(laughs, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 10].join(","));
    }
    let quadratic = format!("a: &a [{}]\nb: [{}]\n", "~,".repeat(100_000), "*a,".repeat(100_000));
    let heavy = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(100_000));
    for (name, text) in [
        ("aliases of aliases", laughs),
        ("one long list, often", quadratic),
        ("one long text, often", heavy),
        ("brackets", "[".repeat(4 << 20)),
        ("braces", "{a: ".repeat(1 << 20)),
        ("brackets, one a line", "[\n".repeat(1 << 20)),
        ("dashes", "- ".repeat(1 << 20)),
        ("questions", "? ".repeat(1 << 20)),
    ] {
        #[expect(clippy::disallowed_methods, reason = "only a machine's time shows that something is slow")]
        let start = Instant::now();
        let problem = Node::parse(&text).unwrap_err();
        assert!(
            ["nested too deeply", tree::TOO_LARGE].contains(&problem.message.as_str()),
            "{name}: {}",
            problem.message
        );
        assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it reads matters")]
struct Settings {
    id: String,
    count: Option<u32>,
    key: Source,
    #[serde(default)]
    flag: bool,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    First,
    Second,
}

#[test]
fn what_is_well_formed_reads() {
    let read: Settings =
        node("{ id: a, count: 7, key: { file: k.pem }, kind: second, labels: { a: b } }").read().unwrap();
    assert_eq!((read.count, read.key), (Some(7), Source::File(PathBuf::from("k.pem"))));
    assert!(matches!(read.kind, Kind::Second));
}

#[test]
fn every_problem_is_told_and_no_consequence_of_one() {
    let told = refused::<Settings>(
        "{ id: 7, count: many, key: hunter2, flag: 'yes', kind: third, labels: { a: 1, b: ok, c: ~ }, contu: 1 }",
    );
    assert_eq!(
        told,
        [
            "id: expected text: put it in quotes",
            "count: expected a whole number",
            "key: expected one of { file: … }, { env: … }, { credential: … }; secrets are never written here",
            "flag: expected true or false",
            "kind: expected `first` or `second`",
            "labels.a: expected text: put it in quotes",
            "labels.c: nothing is written here: give a value, or leave the key out",
            "contu: unknown key `contu`: did you mean `count`?",
        ]
    );
}

#[test]
fn what_is_missing_or_of_another_shape() {
    assert_eq!(refused::<Settings>("{ key: { env: A } }"), [": the key `id` is missing"]);
    assert_eq!(refused::<Settings>("[]"), [": expected a mapping of keys to values"]);
    assert_eq!(refused::<Vec<u8>>("[1, 300]"), ["[1]: expected a whole number of at most 255"]);
    assert_eq!(refused::<Vec<u8>>("a"), [": expected a list"]);
    let told = refused::<Settings>("{ id: a, key: { file: x, env: y } }");
    assert_eq!(told, ["key: expected exactly one of `file`, `env` and `credential`"]);
    let told = refused::<Settings>("{ id: a, key: { vault: x } }");
    assert_eq!(told, ["key.vault: unknown key `vault`: expected `file`, `env` or `credential`"]);
}

/// An enum with a tag inside is read from serde's own buffer, whose errors would quote the document.
#[test]
fn nothing_is_quoted_by_way_of_a_buffer() {
    #[derive(Debug, Deserialize)]
    #[serde(tag = "by", rename_all = "snake_case")]
    #[expect(dead_code, reason = "only whether it reads matters")]
    enum Login {
        Token { token: String },
    }
    assert_eq!(refused::<Login>("{ by: hunter2 }"), ["by: expected `token`"]);
    assert_eq!(refused::<Login>("{ by: token, token: 12345 }"), [": expected text: put it in quotes"]);
    assert_eq!(refused::<Login>("{ by: token, token: [hunter2] }"), [": expected text"]);
}

#[test]
fn nodes_are_what_they_contain() {
    let tree = node("a: { x: 1, y: [1, 2] }\nb: { y: [1, 2], x: 1 }\nc: { x: 2 }\n");
    let (a, b, c) = (tree.get("a").unwrap(), tree.get("b").unwrap(), tree.get("c").unwrap());
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(format!("{a:?}"), "Node(a)");
    let (x, mut others) = a.split(&["x"]).unwrap();
    assert_eq!((x.get("x").is_some(), x.get("y").is_some(), others.take_list("y").len()), (true, false, 2));
}

proptest! {
    /// Whatever stands there, and whatever is looked for: nothing panics, and no value is shown.
    #[test]
    fn no_value_is_ever_shown(value in "[ -~\n]{0,12}QzQz9[ -~\n]{0,12}", quoted: bool, key in "[a-c]", index in 0_usize..3) {
        let value = if quoted { serde_json::to_string(&value).unwrap() } else { value };
        let text = format!("a:\n  - b: {value}\n    c: {{ d: 1, e: {value} }}\nb: [x, {value}, y]\n");
        let path = Path::default().key(&key).index(index).key("c").key("e");
        let mut problems = vec![Problem::of(path, "m")];
        match Node::parse(&text) {
            Ok((_, more)) => problems.extend(more),
            Err(problem) => problems.push(problem),
        }
        let shown = Problems::from(problems).render("f", &text);
        prop_assert!(!shown.contains("QzQz9"), "{}\n{}", text, shown);
    }
}
