//! A disk for tests that can fail and crash at any operation, and loses what was not synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use super::disk::Disk;

/// What a crash leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    LosesAll,
    KeepsAPart,
    KeepsAll,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Arc<[u8]>,
    synced: bool,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    /// What a reader sees.
    files: BTreeMap<PathBuf, Content>,
    /// Changes of names that no sync of the directory has confirmed, oldest first: the names before each.
    unconfirmed: Vec<BTreeMap<PathBuf, Content>>,
    /// Operations until the power fails; then everything fails.
    operations_left: Option<usize>,
    dead: bool,
    /// While set, every write fails with this.
    failing: Option<io::ErrorKind>,
    now: Timestamp,
    written: BTreeMap<PathBuf, Timestamp>,
}

#[derive(Debug, Default)]
pub(crate) struct BrittleDisk(Mutex<Inner>);

impl BrittleDisk {
    pub(crate) fn crash_after(&self, operations: usize) {
        self.lock().operations_left = Some(operations);
    }

    /// The power is back.
    pub(crate) fn restart(&self, crash: Crash) {
        let mut inner = self.lock();
        (inner.operations_left, inner.dead) = (None, false);
        let unconfirmed = std::mem::take(&mut inner.unconfirmed);
        let kept = match crash {
            Crash::LosesAll => 0,
            Crash::KeepsAPart => unconfirmed.len() / 2,
            Crash::KeepsAll => unconfirmed.len(),
        };
        if let Some(names) = unconfirmed.into_iter().nth(kept) {
            inner.files = names;
        }
        for content in inner.files.values_mut().filter(|content| !content.synced) {
            match crash {
                Crash::LosesAll => content.bytes = Arc::default(),
                Crash::KeepsAPart => content.bytes = content.bytes[..content.bytes.len() / 2].into(),
                Crash::KeepsAll => {}
            }
            content.synced = true;
        }
    }

    /// False from the operation on at which the power failed.
    pub(crate) fn has_power(&self) -> bool {
        !self.lock().dead
    }

    /// From now on every change fails, or no longer.
    pub(crate) fn fail_with(&self, kind: Option<io::ErrorKind>) {
        self.lock().failing = kind;
    }

    pub(crate) fn set_time(&self, now: Timestamp) {
        self.lock().now = now;
    }

    /// What a loss of power would leave at least.
    pub(crate) fn synced(&self) -> Vec<(PathBuf, Arc<[u8]>)> {
        let inner = self.lock();
        let names = inner.unconfirmed.first().unwrap_or(&inner.files);
        let synced = names.iter().filter(|(_, content)| content.synced);
        synced.map(|(path, content)| (path.clone(), content.bytes.clone())).collect()
    }

    pub(crate) fn copied(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// One operation, unless the power has failed or the disk is in trouble.
    fn operation(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.lock();
        match inner.operations_left {
            Some(0) => {
                inner.dead = true;
                return Err(io::Error::other("no power"));
            }
            Some(left) => inner.operations_left = Some(left - 1),
            None => {}
        }
        match inner.failing {
            Some(kind) => Err(kind.into()),
            None => Ok(inner),
        }
    }
}

impl Disk for BrittleDisk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().files.get(path).map(|content| content.bytes.to_vec()))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // three operations, as a file system has it: the name, the content, the sync
        for (content, synced) in [(&bytes[..0], false), (bytes, false), (bytes, true)] {
            let mut inner = self.operation()?;
            if content.is_empty() {
                let before = inner.files.clone();
                inner.unconfirmed.push(before);
            }
            inner.files.insert(path.to_owned(), Content { bytes: content.into(), synced });
            let now = inner.now;
            inner.written.insert(path.to_owned(), now);
        }
        // a synced file keeps its name
        let mut inner = self.lock();
        let content = inner.files[path].clone();
        for names in &mut inner.unconfirmed {
            names.insert(path.to_owned(), content.clone());
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.operation()?;
        if !inner.files.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let before = inner.files.clone();
        inner.unconfirmed.push(before);
        let content = inner.files.remove(from).unwrap();
        inner.files.insert(to.to_owned(), content);
        let now = inner.now;
        inner.written.insert(to.to_owned(), now);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.operation()?;
        let before = inner.files.clone();
        inner.files.remove(path).ok_or(io::ErrorKind::NotFound)?;
        inner.unconfirmed.push(before);
        Ok(())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.operation()?.unconfirmed.clear();
        Ok(())
    }

    fn changed(&self, path: &Path) -> io::Result<Timestamp> {
        let inner = self.lock();
        let changed = inner.written.get(path).filter(|_| inner.files.contains_key(path));
        changed.copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
