//! Where the configuration comes from.

use std::path::{Path, PathBuf};

use crate::config::{InForce, Loaded, Refused, Reloaded, SecretReader, Stamp};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file, read again at each reload; relative secrets start at its directory.
    File(PathBuf),
    /// A text that stays as it is, with its secrets: the demo's.
    Text {
        /// What messages call it.
        name: String,
        /// The configuration.
        text: String,
        /// Its secrets.
        secrets: SecretReader,
    },
}

impl Origin {
    /// Reads everything; all or nothing.
    pub fn load(&self) -> Result<Loaded, Refused> {
        match self {
            Self::File(path) => crate::config::load(path, &self.secrets()),
            Self::Text { name, text, secrets } => crate::config::load_text(name, text, secrets),
        }
    }

    /// The same when these entries are in force.
    pub(super) fn reload(&self, before: &[InForce]) -> Result<Reloaded, Refused> {
        match self {
            Self::File(path) => crate::config::reload(path, &self.secrets(), before),
            Self::Text { name, text, secrets } => crate::config::reload_text(name, text, secrets, before),
        }
    }

    /// Where relative paths of the configuration start.
    pub(super) fn directory(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new(".")).to_owned(),
            Self::Text { .. } => PathBuf::new(),
        }
    }

    /// What tells whether its file has changed.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::File(path) => Stamp::of(path),
            Self::Text { .. } => None,
        }
    }

    /// What reads its secrets.
    pub fn secrets(&self) -> SecretReader {
        match self {
            Self::File(_) => SecretReader::system(self.directory()),
            Self::Text { secrets, .. } => secrets.clone(),
        }
    }
}
