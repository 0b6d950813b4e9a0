//! A secret text wherever it stands in another, in any of the disguises that a URL, a form, JSON or HTML give it: each
//! sign by itself, so it does not matter which of them are escaped, how, and how often.

/// Where `secret` begins and ends in `text`, first of all.
pub(super) fn find(text: &str, secret: &str) -> Option<(usize, usize)> {
    if secret.is_empty() {
        return None;
    }
    let mut starts = text.char_indices().map(|(at, _)| at);
    starts.find_map(|start| Some((start, text.len() - behind(&text[start..], secret)?.len())))
}

/// What follows `secret` in a text that begins with it.
fn behind<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    let Some(sign) = secret.chars().next() else { return Some(text) };
    let rest = &secret[sign.len_utf8()..];
    // of several backslashes the first may have taken all, since nobody knows how often they were doubled
    let others = if sign == '\\' { rest.trim_start_matches('\\') } else { rest };
    behind_sign(text, sign).into_iter().find_map(|text| {
        behind(text, rest).or_else(|| if others.len() < rest.len() { behind(text, others) } else { None })
    })
}

/// What may follow the one sign with which `text` begins: `%25` is a percent sign, or one and two digits.
fn behind_sign(text: &str, sign: char) -> Vec<&str> {
    let plain = text.strip_prefix(sign);
    match text.chars().next() {
        Some('\\') if sign == '\\' => {
            // the last of several may belong to what follows, as in `\\\u00e9`
            let rest = text.trim_start_matches('\\');
            let last = text.len() - rest.len() - 1;
            if last == 0 { vec![rest] } else { vec![rest, &text[last..]] }
        }
        Some('\\') => escaped(text.trim_start_matches('\\'), sign).into_iter().collect(),
        Some('+') if sign == ' ' => vec![&text[1..]],
        Some('%') if sign == '%' => ["%2525", "%25", "%"].iter().filter_map(|form| text.strip_prefix(form)).collect(),
        Some('%') => in_percent(text, sign).into_iter().chain(plain).collect(),
        Some('&') => entity(&text[1..], sign).into_iter().chain(plain).collect(),
        Some(_) | None => plain.into_iter().collect(),
    }
}

/// Behind a backslash, or several.
fn escaped(text: &str, sign: char) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(sign) {
        return Some(rest);
    }
    let code = u32::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok()?;
    (code == u32::from(sign)).then(|| &text[5..])
}

/// `%2F`, or encoded again as `%252F`.
fn in_percent(text: &str, sign: char) -> Option<&str> {
    let mut rest = text;
    for byte in sign.encode_utf8(&mut [0; 4]).bytes() {
        rest = rest.strip_prefix('%')?;
        while let Some(again) = rest.strip_prefix("25") {
            rest = again;
        }
        (u8::from_str_radix(rest.get(..2)?, 16).ok()? == byte).then_some(())?;
        rest = &rest[2..];
    }
    Some(rest)
}

/// As HTML and XML have it, without the `&`.
fn entity(text: &str, sign: char) -> Option<&str> {
    let (name, rest) = text.split_once(';')?;
    let code = match name {
        "quot" => u32::from('"'),
        "amp" => u32::from('&'),
        "lt" => u32::from('<'),
        "gt" => u32::from('>'),
        "apos" => u32::from('\''),
        other => {
            let number = other.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']).map(|hex| u32::from_str_radix(hex, 16));
            hex.unwrap_or_else(|| number.parse()).ok()?
        }
    };
    (code == u32::from(sign)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_found_in_every_disguise() {
        let secret = "a\u{e9} \"\\/+&=%<b";
        for disguise in [
            secret,
            "a%C3%A9%20%22%5C%2F%2B%26%3D%25%3Cb",
            "a%c3%a9+%22%5c/%2b%26%3d%25%3cb",
            "a%25C3%25A9%2520%2522%255C%252F%252B%2526%253D%25%253Cb",
            r#"aé \"\\/+&=%<b"#,
            r#"a\u00e9 \"\\\/+&=%<b"#,
            r#"a\\u00e9 \\\"\\\\/+&=%\u003cb"#,
            "a&#233; &quot;\\/+&amp;=%&lt;b",
            "a&#xe9; &#34;&#92;/+&#38;=%&#60;b",
        ] {
            let text = format!("before {disguise} behind");
            let found = find(&text, secret).unwrap_or_else(|| panic!("{disguise}"));
            assert_eq!(&text[found.0..found.1], disguise);
        }
    }

    #[test]
    fn what_is_no_secret_is_left() {
        for (text, secret) in [
            ("", "a"),
            ("a", ""),
            ("hunter", "hunter2"),
            ("a\\", "ab"),
            ("%", "/"),
            ("%2", "/"),
            ("%zz", "/"),
            ("&", "&&"),
        ] {
            assert_eq!(find(text, secret), None, "{text} {secret}");
        }
        assert_eq!(find("%2B%5C%5C%2F", "+\\\\/"), Some((0, 12)), "each backslash by itself");
        assert_eq!(find("&#99999999999;\\u00\u{e9}x%\u{e9}", "e"), None);
        assert_eq!(find("12.50 and 1250", "1250"), Some((10, 14)));
    }

    proptest! {
        #[test]
        fn what_the_libraries_write_is_found(secret in "[a-z\"\\\\/ +%&\u{e9}\u{20ac}]{1,12}", before in ".{0,9}", behind in "[ -~]{0,9}") {
            let json = serde_json::to_string(&secret).unwrap();
            let twice = serde_json::to_string(&json).unwrap();
            let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let ascii: String = json.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect();
            let ascii_twice = serde_json::to_string(&ascii).unwrap();
            for disguise in [&secret, &json[1..json.len() - 1], &twice, &form, &ascii[1..ascii.len() - 1], &ascii_twice] {
                prop_assert!(find(&format!("{before}{disguise}{behind}"), &secret).is_some(), "{}", disguise);
            }
        }
    }
}
