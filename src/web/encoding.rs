//! Compression, for who can take it.

use crate::exposition::quality;

/// True if the header `Accept-Encoding` allows gzip.
pub(super) fn accepts_gzip(header: Option<&str>) -> bool {
    let mut by_star = false;
    for coding in header.unwrap_or_default().split(',') {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), quality);
        let wanted = weight.is_some_and(|q| q > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => by_star = wanted,
            _ => {}
        }
    }
    by_star
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_must_be_allowed() {
        for (header, allowed) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0.001", true),
            ("br, * ; q=0.1", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*, gzip;q=0", false),
            ("gzip;q=much", false),
            ("*;q=0", false),
            ("identity", false),
            ("x-gzipped", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(Some(header)), allowed, "{header}");
        }
        assert!(!accepts_gzip(None));
    }
}
