//! Under which paths things are, here and behind a proxy.

/// The paths of the web side.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Path of the metrics, below the prefix.
    telemetry: String,
    /// What every path begins with. Either empty, or it begins with a slash and does not end with one.
    prefix: String,
    /// What links begin with: the path that a reader comes by. Of the same form.
    links: String,
}

impl Paths {
    /// The metrics are at `telemetry` below `prefix`. `external` is the path at which a proxy shows the prefix, if
    /// it is another.
    pub fn new(telemetry: &str, prefix: Option<&str>, external: Option<&str>) -> Self {
        let plain = |path: &str| match path.trim_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        let prefix = plain(prefix.or(external).unwrap_or_default());
        let links = external.map_or_else(|| prefix.clone(), plain);
        Self { telemetry: telemetry.to_owned(), prefix, links }
    }

    /// What `path` is below the prefix, if it is there.
    pub(super) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.prefix).filter(|rest| rest.starts_with('/'))
    }

    /// True for what somebody types who does not know of the prefix.
    pub(super) fn is_above(&self, path: &str) -> bool {
        !self.prefix.is_empty() && (path == "/" || path == self.prefix)
    }

    /// Where the metrics are, below the prefix.
    pub(super) fn telemetry(&self) -> &str {
        &self.telemetry
    }

    /// What a reader follows to get to a path below the prefix.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.links)
    }

    /// The path of the page, for messages.
    pub fn page(&self) -> String {
        format!("{}/", self.prefix)
    }

    /// The path of the metrics, for messages.
    pub fn metrics(&self) -> String {
        format!("{}{}", self.prefix, self.telemetry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_comes_from_either_flag() {
        for (prefix, external, metrics, link) in [
            (None, None, "/metrics", "/metrics"),
            (Some("/"), None, "/metrics", "/metrics"),
            (Some("balances"), None, "/balances/metrics", "/balances/metrics"),
            (Some("/a/b/"), None, "/a/b/metrics", "/a/b/metrics"),
            (None, Some("/"), "/metrics", "/metrics"),
            (None, Some("/balances/"), "/balances/metrics", "/balances/metrics"),
            (Some("/"), Some("/balances/"), "/metrics", "/balances/metrics"),
            (Some("/inner"), Some("/outer"), "/inner/metrics", "/outer/metrics"),
        ] {
            let paths = Paths::new("/metrics", prefix, external);
            assert_eq!((&*paths.metrics(), &*paths.link("/metrics")), (metrics, link), "{prefix:?} {external:?}");
        }
    }

    #[test]
    fn only_what_is_below_the_prefix_is_found() {
        let paths = Paths::new("/metrics", Some("/a"), None);
        for (path, below, above) in [
            ("/a/metrics", Some("/metrics"), false),
            ("/a/", Some("/"), false),
            ("/a", None, true),
            ("/", None, true),
            ("/ab/metrics", None, false),
            ("/metrics", None, false),
            ("*", None, false),
        ] {
            assert_eq!((paths.below(path), paths.is_above(path)), (below, above), "{path}");
        }
        let bare = Paths::new("/metrics", None, None);
        assert_eq!((bare.below("/"), bare.is_above("/"), bare.below("*")), (Some("/"), false, None));
    }
}
