//! As much of Rust's grammar as it takes to see which paths a file uses.

/// A name, `::`, or one character of punctuation.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A path in full, such as `std::fs::read`; a group of a `use` is as many paths.
#[derive(Debug)]
pub(crate) struct UsedPath {
    pub(crate) line: usize,
    pub(crate) names: Vec<String>,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without comments, literals and lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(skipped) = not_code(rest) {
            skipped
        } else {
            let name = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let length = if name > 0 {
                name
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                found.push(Token { line, text: rest[..length].to_owned() });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of the comment, literal or lifetime that `text` begins with.
fn not_code(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    let raw = text.trim_start_matches(['b', 'c']).strip_prefix('r').filter(|_| text.len() > 2);
    if let Some(quoted) = raw {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        if quoted[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let opened = text.len() - quoted.len() + hashes + 1;
            return Some(text[opened..].find(&end).map_or(text.len(), |at| opened + at + end.len()));
        }
    }
    if text.starts_with('"') {
        return Some(closed_by(text, '"'));
    }
    let quoted = text.strip_prefix('\'')?;
    let mut characters = quoted.chars();
    let (first, second) = (characters.next()?, characters.next()?);
    if is_name(first) && second != '\'' {
        return Some(1 + quoted.find(|c| !is_name(c)).unwrap_or(quoted.len()));
    }
    Some(closed_by(text, '\''))
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
        }
        if depth == 0 || at == text.len() {
            return at;
        }
    }
}

fn closed_by(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Leaves out what is compiled for tests only; returns the test modules that have files of their own, too.
pub(crate) fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut rest = &tokens[..];
    while let Some(token) = rest.first() {
        if rest.len() < MARK.len() || !rest.iter().zip(MARK).all(|(token, expected)| token.text == expected) {
            kept.push(token.clone());
            rest = &rest[1..];
            continue;
        }
        let (item, after) = rest.split_at(item_end(&rest[MARK.len()..]) + MARK.len());
        if let [.., keyword, name, end] = item
            && keyword.text == "mod"
            && end.text == ";"
        {
            modules.push(name.text.clone());
        }
        rest = after;
    }
    (kept, modules)
}

/// The number of tokens of the item that `tokens` begins with: up to a semicolon or the end of its braces.
fn item_end(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && ["}", ";"].contains(&token.text.as_str()) {
            return at + 1;
        }
    }
    tokens.len()
}

/// Every path, and every single name as a path of its own.
pub(crate) fn paths(tokens: &[Token]) -> Vec<UsedPath> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some(token) = rest.first() {
        let taken = if token.text.starts_with(is_name) { path(rest, &[], &mut found) } else { 1 };
        rest = &rest[taken..];
    }
    found
}

/// Reads one path that continues `prefix`, with its groups; returns the number of tokens.
fn path(tokens: &[Token], prefix: &[String], found: &mut Vec<UsedPath>) -> usize {
    let mut names = prefix.to_vec();
    names.push(tokens[0].text.clone());
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut at = 1;
    while text(at) == "::" && (text(at + 1).starts_with(is_name) || text(at + 1) == "*") {
        names.push(text(at + 1).to_owned());
        at += 2;
    }
    if (text(at), text(at + 1)) != ("::", "{") {
        found.push(UsedPath { line: tokens[at - 1].line, names });
        return at;
    }
    at += 2;
    while !["}", ""].contains(&text(at)) {
        if text(at) == "as" {
            at += 2;
        } else if text(at).starts_with(is_name) || text(at) == "*" {
            at += path(&tokens[at..], &names, found);
        } else {
            at += 1;
        }
    }
    at + 1
}
