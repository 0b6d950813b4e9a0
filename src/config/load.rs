//! From a file to connections: the only part of the configuration that touches the disk.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use super::secret_reader::{SecretReader, Stamp, open};
use super::{Config, ProviderConfig};
use crate::document::Problems;
use crate::providers::Connection;

/// Most bytes of a configuration file.
const MOST_BYTES: u64 = 64 << 20;

/// A configuration and what it takes to poll it.
#[derive(Debug)]
pub struct Loaded {
    /// What is polled.
    pub config: Config,
    /// One per provider, in its order.
    pub connections: Vec<Connection>,
    /// One per provider, in its order: what its secrets' files looked like just before they were read.
    pub stamps: Vec<Vec<Option<Stamp>>>,
}

/// Why a configuration cannot be used, for people: every problem, with its place. No value is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.trim_end())
    }
}

impl std::error::Error for Refused {}

/// Reads the file and the secrets that it names, and connects; all or nothing.
pub fn load(path: &Path, secrets: &SecretReader) -> Result<Loaded, Refused> {
    let (name, text) = text_of(path)?;
    load_text(&name, &text, secrets)
}

/// Reads and checks the file, without its secrets.
pub fn parse_file(path: &Path) -> Result<Config, Refused> {
    let (name, text) = text_of(path)?;
    Config::parse(&text).map_err(|problems| Refused(problems.render(&name, &text)))
}

/// The text of the file, and what messages call it.
pub fn text_of(path: &Path) -> Result<(String, String), Refused> {
    let name = path.display().to_string();
    let text = read(path).map_err(|why| Refused(format!("{name}: the configuration {why}")))?;
    Ok((name, text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

/// Reads a configuration that is at hand, and the secrets that it names, and connects; all or nothing. `name` is
/// what messages call it.
pub fn load_text(name: &str, text: &str, secrets: &SecretReader) -> Result<Loaded, Refused> {
    let refused = |problems: Problems| Refused(problems.render(name, text));
    let config = Config::parse(text).map_err(refused)?;
    // a file that is replaced between the two looks is read again, and not taken for the one that was read
    let stamps = config.providers.iter().map(|provider| secrets.stamps(provider)).collect();
    let (connections, problems): (Vec<_>, Vec<_>) =
        config.providers.iter().map(|provider: &ProviderConfig| provider.connect(secrets)).partition(Result::is_ok);
    let problems: Vec<_> = problems.into_iter().filter_map(Result::err).flatten().collect();
    if !problems.is_empty() {
        return Err(refused(problems.into()));
    }
    Ok(Loaded { config, connections: connections.into_iter().filter_map(Result::ok).collect(), stamps })
}

fn read(path: &Path) -> Result<String, String> {
    let (file, _) = open(path)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {}", error.kind()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("is larger than {} MiB", MOST_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not valid UTF-8".to_owned())
}
