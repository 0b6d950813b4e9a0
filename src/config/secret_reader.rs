//! The one place that reads secret files and the environment.
//!
//! What goes wrong is told by the kind of source and never by its name or content: people do put a secret
//! where its path belongs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::ProviderConfig;
use crate::secret::{Secret, Source};

/// Most bytes of a secret.
const MOST_BYTES: u64 = 64 << 10;

/// Reads secrets from files, the environment and systemd's credentials.
#[derive(Clone, Debug)]
pub struct SecretReader {
    /// Where relative paths start.
    directory: PathBuf,
    environment: Environment,
}

#[derive(Clone)]
enum Environment {
    System,
    Given(BTreeMap<String, String>),
}

// the values are secrets
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Given(_) => "Given",
        })
    }
}

/// Tells whether a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

impl Stamp {
    /// The file as it is now; `None` if it cannot be seen.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
        })
    }
}

impl SecretReader {
    /// Reads the process's environment. Relative paths start at `directory`, which is the configuration's.
    pub fn system(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), environment: Environment::System }
    }

    /// Knows only these variables. Relative paths start at the working directory.
    pub fn with_environment(variables: BTreeMap<String, String>) -> Self {
        Self { directory: PathBuf::new(), environment: Environment::Given(variables) }
    }

    /// The secret, or why it cannot be had, without naming it.
    pub fn read(&self, source: &Source) -> Result<Secret, String> {
        match source {
            Source::File(path) => read_file(&self.directory.join(path)).map_err(|why| format!("the secret file {why}")),
            Source::Credential(_) => match self.path(source) {
                Some(path) => read_file(&path).map_err(|why| format!("the systemd credential {why}")),
                None => {
                    Err("there is no $CREDENTIALS_DIRECTORY: start as a systemd unit with LoadCredential=".to_owned())
                }
            },
            Source::Env(name) => {
                let value = self.variable(name).unwrap_or_default();
                if value.is_empty() {
                    return Err("the environment variable is not set, or empty".to_owned());
                }
                let value =
                    value.into_string().map_err(|_| "the environment variable is not valid UTF-8".to_owned())?;
                Ok(Secret::new(value))
            }
        }
    }

    /// True if there is no such file, variable or credential at all; one that is there but unusable is not absent.
    pub fn is_absent(&self, source: &Source) -> bool {
        match (self.path(source), source) {
            (Some(path), _) => std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
            (None, Source::Env(name)) => self.variable(name).is_none(),
            (None, Source::File(_) | Source::Credential(_)) => true,
        }
    }

    /// What tells whether the file of a secret has changed; `None` if it has no file, or none that can be seen.
    pub fn stamp(&self, source: &Source) -> Option<Stamp> {
        Stamp::of(&self.path(source)?)
    }

    /// The stamps of all secrets of a provider entry.
    pub fn stamps(&self, provider: &ProviderConfig) -> Vec<Option<Stamp>> {
        provider.secrets().into_iter().map(|(_, source)| self.stamp(source)).collect()
    }

    fn path(&self, source: &Source) -> Option<PathBuf> {
        match source {
            Source::File(path) => Some(self.directory.join(path)),
            Source::Credential(name) => Some(PathBuf::from(self.variable("CREDENTIALS_DIRECTORY")?).join(name)),
            Source::Env(_) => None,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
    fn variable(&self, name: &str) -> Option<OsString> {
        match &self.environment {
            Environment::System => std::env::var_os(name),
            Environment::Given(variables) => variables.get(name).map(OsString::from),
        }
    }
}

/// A regular file, opened without waiting for anybody: a pipe has no writer yet.
pub(super) fn open(path: &Path) -> Result<(File, Metadata), String> {
    let told = |error: io::Error| format!("cannot be read: {}", error.kind());
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(told)?;
    let metadata = file.metadata().map_err(told)?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err("is not a regular file".to_owned()) }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let (file, metadata) = open(path)?;
    let mode = metadata.mode() & 0o7777;
    let ours = rustix::process::geteuid().as_raw() == metadata.uid();
    private(mode, ours, metadata.uid() == 0)?;
    // with room for all of it, no copy is left behind in memory by growing
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(MOST_BYTES).unwrap_or_default() + 1));
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {}", error.kind()))?;
    text(&bytes)
}

/// Nobody else may read it, save that root may share its file with a group.
fn private(mode: u32, ours: bool, roots: bool) -> Result<(), String> {
    let beyond = |allowed: u32| mode & !allowed != 0;
    if (ours && !beyond(0o7700)) || (roots && !beyond(0o640)) {
        Ok(())
    } else if ours || roots {
        Err(format!("has mode {mode:04o}, so others may use it: chmod 600 it"))
    } else {
        Err(format!("has mode {mode:04o} and belongs to another user: chown it, and chmod 600 it"))
    }
}

/// The text of a secret file, without one line end behind it.
fn text(bytes: &[u8]) -> Result<Secret, String> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("is larger than {MOST_BYTES} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not valid UTF-8 text")?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.contains('\0') || text.starts_with('\u{feff}') {
        Err("contains a NUL, or begins with a byte order mark".to_owned())
    } else {
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_for_its_owner_or_for_a_group_of_roots_choice() {
        for (mode, ours, roots, sound) in [
            (0o600, true, false, true),
            (0o400, true, false, true),
            (0o640, true, false, false),
            (0o604, true, false, false),
            (0o640, false, true, true),
            (0o440, false, true, true),
            (0o660, false, true, false),
            (0o644, false, true, false),
            (0o644, true, true, false),
            (0o600, false, false, false),
        ] {
            let result = private(mode, ours, roots);
            assert_eq!(result.is_ok(), sound, "{mode:o} {ours} {roots}: {result:?}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        let reader = SecretReader::with_environment(BTreeMap::from([("A".to_owned(), "hunter2".to_owned())]));
        assert!(!format!("{reader:?}").contains("hunter2"));
    }
}
