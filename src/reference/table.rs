//! Tables and code spans, as Markdown writes them.

use std::fmt::Write;

/// A table; a bar within a cell stays there.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", heads.join(" | "), " --- |".repeat(N));
    for row in rows {
        let cells = row.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        // writing into a `String` cannot fail
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

pub(super) fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A sentence of the kind that stands in logs, for prose.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).chain(['.']).collect()
}

/// The cells of each row, head first; every row as wide as the head.
#[cfg(test)]
pub(super) fn cells(table: &str) -> Vec<Vec<String>> {
    let rows: Vec<Vec<_>> = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect();
    for row in &rows {
        assert!(row.len() == rows[0].len() && row.iter().all(|cell| !cell.contains('\n')), "{row:?}");
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines_stay_within_their_cell() {
        assert_eq!(table(["A"], [["x | y\nz".to_owned()]]), "| A |\n| --- |\n| x \\| y z |\n");
    }

    #[test]
    fn a_sentence_begins_and_ends_like_one() {
        assert_eq!(sentence("no route"), "No route.");
        assert_eq!(sentence("A route."), "A route.");
    }
}
