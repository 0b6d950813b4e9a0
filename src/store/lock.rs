//! One exporter for one state: two would spend the same limit twice.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held as long as the exporter runs. The kernel lets go of it with the process, however that ends.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
    /// True if the lock was made just now: no exporter has used this state before.
    pub(super) is_new: bool,
}

/// Why the lock cannot be had.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another process holds it; its number, as it wrote it there.
    Held(String),
    /// The disk does not let us.
    Io(io::Error),
}

/// Another exporter uses this state.
#[derive(Debug)]
pub struct Locked {
    pub(super) path: PathBuf,
    pub(super) holder: String,
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, holder } = self;
        write!(
            f,
            "the state {} is in use by process {holder}: stop that one, or give this one another state.file",
            path.display()
        )
    }
}

impl std::error::Error for Locked {}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, Refused> {
        let is_new = !path.exists();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open.map_err(Refused::Io)?;
        if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(Refused::Io(error.into()));
            }
            let mut holder = String::new();
            // a holder that has not written its number yet is still a holder
            let _ = file.take(20).read_to_string(&mut holder);
            return Err(Refused::Held(holder.trim().to_owned()));
        }
        // the number is for people; the lock holds without it, on a full disk, too
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file, is_new })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_with_the_number_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Lock::take(&path).unwrap();
        assert!(first.is_new);
        let Err(Refused::Held(holder)) = Lock::take(&path) else { panic!("two holders") };
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        assert!(!Lock::take(&path).unwrap().is_new, "it can be had again, and is known to be old");
    }
}
