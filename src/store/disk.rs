//! The few operations on files that the state is made of, so that a test can break each of them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use jiff::Timestamp;

/// Most bytes of a state file: ten times what a hundred thousand accounts need.
const MOST_BYTES: u64 = 512 << 20;

/// Where the state lies.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The whole of a regular file; `None` if there is none of that name.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>>;

    /// Makes the file anew, for its owner only, with these bytes, and returns when they are on the disk.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Gives the file another name, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in the directory are on the disk.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// When the file was last put there or changed in any way, by the clock of the file system, which nobody can set
    /// by hand.
    fn changed(&self, path: &Path) -> io::Result<Timestamp>;
}

/// Which boot of which machine this is, by the kernel's word; empty if it does not say.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(Some(bytes))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // a new file each time: after a failed fsync nothing that was written through the old handle can be trusted
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn changed(&self, path: &Path) -> io::Result<Timestamp> {
        let metadata = fs::metadata(path)?;
        let nanoseconds = i32::try_from(metadata.ctime_nsec()).unwrap_or_default();
        Timestamp::new(metadata.ctime(), nanoseconds).map_err(io::Error::other)
    }
}
