//! The documents as texts: which there are, their blocks, the code in their prose, and their links.

use std::fs;
use std::path::{Path, PathBuf};

pub(super) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A document for people.
pub(super) struct Document {
    /// From the root of the repository.
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block: its info string, and its lines.
pub(super) struct Block {
    pub(super) info: String,
    pub(super) text: String,
    /// The line before it, which can say what the block is.
    pub(super) before: String,
}

pub(super) fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every file below a folder of the repository whose name ends like this.
pub(super) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(ROOT).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // what is built, and what is hidden, is not ours to check
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(super) fn documents() -> Vec<Document> {
    let document = |path: PathBuf| {
        let name = path.strip_prefix(ROOT).unwrap().display().to_string();
        Document { text: read(&name), name }
    };
    let documents: Vec<_> = files("", ".md").into_iter().map(document).collect();
    for expected in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md"] {
        assert!(documents.iter().any(|document| document.name == expected), "{expected} is missing");
    }
    documents
}

pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let indentation = line.len() - line.trim_start().len();
            let body = lines.by_ref().take_while(|line| line.trim_start() != "```");
            // within a list a block is indented as a whole
            let body: Vec<_> = body.map(|line| line.get(indentation..).unwrap_or_default()).collect();
            let text = body.join("\n") + "\n";
            blocks.push(Block { info: info.to_owned(), text, before: before.trim().to_owned() });
        }
        before = line;
    }
    blocks
}

/// The code spans of the prose: what stands between single backticks on one line, outside of blocks.
pub(super) fn spans(text: &str) -> Vec<&str> {
    prose(text).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The lines outside of blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !fence && !inside
    })
}

/// The names in a text: `separator` says what cannot stand in one.
pub(super) fn words(text: &str, separator: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|word| !word.is_empty())
}

/// The links of a document to other files and within itself: the target's path, and the anchor.
pub(super) fn links(document: &Document) -> Vec<(PathBuf, &str)> {
    let folder = Path::new(&document.name).parent().unwrap();
    // what stands in code only looks like a link
    let words = prose(&document.text).flat_map(|line| line.split('`').step_by(2));
    let targets = words.flat_map(|words| words.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let inside = targets.filter(|link| !link.contains("://"));
    let split = inside.map(|link| link.split_once('#').unwrap_or((link, "")));
    split
        .map(|(path, anchor)| (if path.is_empty() { document.name.as_str().into() } else { folder.join(path) }, anchor))
        .collect()
}

/// How a heading is linked to.
pub(super) fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The lines that are headings, and not comments within a block.
pub(super) fn headings(text: &str) -> Vec<&str> {
    prose(text).filter(|line| line.starts_with('#')).collect()
}
