//! Sees that a file has changed and has come to rest.

use crate::config::Stamp;

/// What is known of a file from looks at it. A file that is being written can be a sound configuration with fewer
/// accounts, so one that has changed is trusted once two looks in a row find it the same.
#[derive(Debug)]
pub(super) struct Watch {
    taken: Option<Stamp>,
    last: Option<Stamp>,
}

impl Watch {
    /// A file that was taken in as it was at `stamp`, which is from before it was read.
    pub(super) const fn new(stamp: Option<Stamp>) -> Self {
        Self { taken: stamp, last: stamp }
    }

    /// True if the file, now at `stamp`, should be taken in.
    pub(super) fn look(&mut self, stamp: Option<Stamp>) -> bool {
        let at_rest = stamp == self.last;
        self.last = stamp;
        at_rest && stamp != self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_has_come_to_rest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exporter.yaml");
        let write = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Stamp::of(&path)
        };
        let first = write("a");
        let mut watch = Watch::new(first);
        assert!(!watch.look(first) && !watch.look(first));
        let (half, whole) = (write("ab"), write("abc"));
        assert!(!watch.look(half) && !watch.look(whole), "it is still being written");
        assert!(watch.look(whole));
        assert!(watch.look(whole), "until it is taken in");
        let mut watch = Watch::new(whole);
        assert!(!watch.look(whole));
        assert!(!watch.look(None) && !watch.look(whole), "it was away for a moment, while it was replaced");
        assert!(!watch.look(None) && watch.look(None), "it has gone for good, which is worth telling");
    }
}
