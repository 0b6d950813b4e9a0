//! The two text formats, and which of them a scraper prefers.

use std::fmt;

/// How a scrape is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4, which everything reads.
    #[default]
    Text,
    /// `OpenMetrics` 1.0, with the escaping scheme that is echoed. All names are plain ASCII, so that no scheme
    /// changes a byte of the text.
    OpenMetrics(Escaping),
}

/// What a scraper may ask to become of names that are not plain ASCII.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// `underscores`, which is also the answer to schemes that would rewrite plain names.
    #[default]
    Underscores,
    /// `allow-utf-8`.
    AllowUtf8,
}

impl Format {
    /// The value of the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics(Escaping::Underscores) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            Self::OpenMetrics(Escaping::AllowUtf8) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
        }
    }

    /// True of `OpenMetrics`.
    pub const fn is_open_metrics(self) -> bool {
        matches!(self, Self::OpenMetrics(_))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.content_type())
    }
}

/// The format that the header `Accept` prefers: the highest `q` wins, the first of equals, and whoever names
/// neither format gets the text format, since every scraper can read it.
pub fn negotiate(accept: Option<&str>) -> Format {
    let mut best = (0.0, Format::Text);
    for range in accept.unwrap_or_default().split(',') {
        if let Some((q, format)) = offered(range)
            && q > best.0
        {
            best = (q, format);
        }
    }
    best.1
}

/// What we have for one media range, and how much it is wanted.
fn offered(range: &str) -> Option<(f32, Format)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut q, mut version, mut escaping) = (1.0, None, Escaping::default());
    for part in parts {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => q = quality(value)?,
            "version" => version = Some(value),
            "escaping" if value == "allow-utf-8" => escaping = Escaping::AllowUtf8,
            // charset and the like: there is nothing to choose from
            _ => {}
        }
    }
    let format = match (media_type.as_str(), version) {
        ("application/openmetrics-text", None | Some("1.0.0")) => Format::OpenMetrics(escaping),
        ("text/plain", None | Some("0.0.4")) | ("*/*" | "text/*", None) => Format::Text,
        _ => return None,
    };
    Some((q, format))
}

/// A weight between 0 and 1.
pub(crate) fn quality(text: &str) -> Option<f32> {
    text.parse().ok().filter(|q| (0.0..=1.0).contains(q))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: Format = Format::OpenMetrics(Escaping::Underscores);
    const OPEN_UTF8: Format = Format::OpenMetrics(Escaping::AllowUtf8);

    #[test]
    fn the_scraper_decides() {
        for (who, accept, format) in [
            (
                "Prometheus 2.42",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN,
            ),
            (
                "Prometheus 2.42 with native histograms",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                 application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OPEN,
            ),
            (
                "Prometheus 2.22 and older",
                "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::Text,
            ),
            (
                "Prometheus 3",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN_UTF8,
            ),
            (
                "Prometheus 3 with legacy names",
                "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.6,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OPEN,
            ),
            (
                "Prometheus 3 that rewrites names",
                "application/openmetrics-text;version=1.0.0;escaping=values;q=0.6,text/plain;version=0.0.4;q=0.3",
                OPEN,
            ),
            ("VictoriaMetrics", "text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
            ("curl", "*/*", Format::Text),
            ("a browser", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Format::Text),
            ("only OpenMetrics", "application/openmetrics-text", OPEN),
            ("capitals and spaces", "Application/OpenMetrics-Text ; Version=1.0.0 ; Q=0.9 , text/plain;q=0.8", OPEN),
            ("quoted", "application/openmetrics-text; version=\"1.0.0\"", OPEN),
            ("text preferred", "application/openmetrics-text;q=0.5,text/plain;q=0.6", Format::Text),
            ("equal, text first", "text/plain,application/openmetrics-text", Format::Text),
            ("equal, OpenMetrics first", "application/openmetrics-text,text/plain", OPEN),
            ("refused", "application/openmetrics-text;q=0", Format::Text),
            ("a version to come", "application/openmetrics-text;version=2.0.0", Format::Text),
            ("protobuf only", "application/vnd.google.protobuf", Format::Text),
            ("nothing we have", "image/png", Format::Text),
            ("q out of range", "application/openmetrics-text;q=7", Format::Text),
            ("q is no number", "application/openmetrics-text;q=NaN", Format::Text),
            ("garbage", ";;,=,q=q;\u{fffd}\"", Format::Text),
            ("empty", "", Format::Text),
        ] {
            assert_eq!(negotiate(Some(accept)), format, "{who}: {accept}");
        }
        assert_eq!(negotiate(None), Format::Text);
    }

    #[test]
    fn each_format_asked_for_by_its_own_type_is_given() {
        for format in [Format::Text, OPEN, OPEN_UTF8] {
            assert_eq!(negotiate(Some(format.content_type())), format);
        }
    }

    proptest! {
        #[test]
        fn any_header_gets_an_answer(accept in "\\PC{0,80}") {
            negotiate(Some(&accept));
        }
    }
}
