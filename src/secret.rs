//! Secrets: where they come from, and a type that cannot be printed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A text that must never be seen: no `Display`, no `Serialize`, an empty `Debug`, wiped on drop.
///
/// ```
/// let secret = balance_exporter::secret::Secret::new("hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret");
/// ```
///
/// None of these compiles:
///
/// ```compile_fail,E0277
/// println!("{}", balance_exporter::secret::Secret::new("hunter2"));
/// ```
///
/// ```compile_fail,E0599
/// let text = balance_exporter::secret::Secret::new("hunter2").to_string();
/// ```
///
/// ```compile_fail,E0277
/// let text = serde_json::to_string(&balance_exporter::secret::Secret::new("hunter2"));
/// ```
///
/// ```compile_fail,E0277
/// let text: String = balance_exporter::secret::Secret::new("hunter2").into();
/// ```
///
/// ```compile_fail,E0308
/// let secret = balance_exporter::secret::Secret::new("hunter2");
/// let text: &str = &secret;
/// ```
///
/// ```compile_fail,E0616
/// let text = balance_exporter::secret::Secret::new("hunter2").0;
/// ```
///
/// ```compile_fail,E0277
/// let longer = "hunter".to_owned() + balance_exporter::secret::Secret::new("2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that signs or sends with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a secret is to be found. It is written in the configuration; the secret never is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, try_from = "Written")]
#[schemars(!try_from, title = "secret")]
pub enum Source {
    /// The content of a file, without one trailing newline. A relative path starts at the
    /// configuration file. Read again when the file changes.
    File(PathBuf),
    /// The value of an environment variable, read at start and at reload.
    Env(String),
    /// A systemd credential: the file of that name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

/// A source as a mapping of one key; YAML libraries would want a tag (`!file`) for an enum.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: Option<PathBuf>,
    env: Option<String>,
    credential: Option<String>,
}

impl TryFrom<Written> for Source {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        match (written.file, written.env, written.credential) {
            (Some(path), None, None) => Ok(Self::File(path)),
            (None, Some(name), None) => Ok(Self::Env(name)),
            (None, None, Some(name)) => Ok(Self::Credential(name)),
            _ => Err("expected exactly one of `file`, `env` and `credential`"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Credential(name) => write!(f, "systemd credential {name}"),
        }
    }
}

/// The secrets of one provider, by the configuration key that names their source, such as
/// `private_key` or `login.client_secret`. They can be written down no more than each of them:
///
/// ```compile_fail,E0277
/// println!("{}", balance_exporter::secret::Secrets::default());
/// ```
///
/// ```compile_fail,E0277
/// let text = serde_json::to_string(&balance_exporter::secret::Secrets::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, Secret>);

impl Secrets {
    /// The secret that was configured under `key`.
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.0.get(key)
    }

    /// Tells whether these are the same as others, without holding any of them.
    pub fn seal(&self) -> Seal {
        let parts = self.0.iter().flat_map(|(key, secret)| [key.as_str(), secret.expose()]);
        let digest =
            parts.fold(Sha256::new(), |digest, part| digest.chain_update(part.len().to_be_bytes()).chain_update(part));
        Seal(digest.finalize().into())
    }

    /// Every secret, for the one who must mask them all.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        self.0.values()
    }
}

/// What is left of secrets when they have been taken in: enough to see that they have changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seal([u8; 32]);

// of a short secret the digest tells much
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl<K: Into<String>> FromIterator<(K, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (K, Secret)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, secret)| (key.into(), secret)).collect())
    }
}

/// Does not compile if one of these types can be shown, written down or turned into a text: two ways to read the same
/// line are an error.
#[cfg(test)]
macro_rules! never_shown {
    ($($kind:ty),+ $(,)?) => {
        const _: () = {
            trait Shown<How> {
                fn how() {}
            }
            struct Printed;
            struct Written;
            struct Lent;
            struct LentBytes;
            struct Turned;
            impl<T: ?Sized> Shown<()> for T {}
            impl<T: ?Sized + std::fmt::Display> Shown<Printed> for T {}
            impl<T: ?Sized + serde::Serialize> Shown<Written> for T {}
            impl<T: ?Sized + AsRef<str>> Shown<Lent> for T {}
            impl<T: ?Sized + AsRef<[u8]>> Shown<LentBytes> for T {}
            impl<T: Into<String>> Shown<Turned> for T {}
            $(let _ = <$kind as Shown<_>>::how;)+
        };
    };
}
#[cfg(test)]
pub(crate) use never_shown;

#[cfg(test)]
mod tests {
    use super::*;

    never_shown!(Secret, Secrets);

    #[test]
    fn debug_shows_nothing() {
        let secrets: Secrets = [("private_key", Secret::new("hunter2"))].into_iter().collect();
        assert_eq!(format!("{secrets:?}"), r#"Secrets({"private_key": Secret})"#);
    }

    #[test]
    fn a_source_is_exactly_one_of_three() {
        let read = |yaml: &str| serde_yaml::from_str::<Source>(yaml);
        assert_eq!(read("{ file: a }").unwrap(), Source::File("a".into()));
        assert_eq!(read("{ env: A }").unwrap(), Source::Env("A".to_owned()));
        assert_eq!(read("{ credential: a }").unwrap(), Source::Credential("a".to_owned()));
        assert!(read("{}").is_err());
        assert!(read("{ file: a, env: B }").is_err());
        assert!(read("{ vault: a }").is_err());
        assert!(read("hunter2").is_err());
    }
}
