//! Who may come in, and over what: TLS, passwords, headers and a limit, as a web configuration says. It is read again
//! whenever it or a file that it names has changed. What cannot be used changes nothing.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use http::HeaderMap;
use rustls::ServerConfig;

use super::activity::Activity;
use crate::clock::BootTime;

mod bucket;
mod file;
mod porter;
#[cfg(test)]
mod tests;
mod tls;
mod users;

use bucket::Bucket;
use file::{File, Part};
use porter::{Porter, Verdict};
use users::Users;

/// Most bytes of a file.
const MOST_BYTES: u64 = 1 << 20;

/// Everything that a web configuration consists of, as it was read.
#[derive(PartialEq, Eq)]
struct Material {
    text: String,
    contents: tls::Contents,
}

/// A web configuration in force.
#[derive(Debug, Default)]
struct Rules {
    tls: Option<Arc<ServerConfig>>,
    headers: HeaderMap,
    users: Users,
    bucket: Option<Mutex<Bucket>>,
}

/// Stands at the door.
pub struct Guard {
    /// None if there is no web configuration: then everybody may come in.
    file: Option<PathBuf>,
    rules: RwLock<Arc<Rules>>,
    porter: Porter,
    /// What the file was last found to be, whether it could be used or not.
    seen: Mutex<Result<Material, String>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("file", &self.file).finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Welcome,
    /// Status 401: say who you are.
    Stranger,
    /// Status 429.
    Crowded,
}

/// What a look at the files has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Unchanged,
    /// The new rules are in force.
    Taken,
    /// The new files cannot be used, and why; the rules before stay in force.
    Refused(String),
}

impl Guard {
    /// Reads the web configuration, if there is one. An error says what is wrong with it.
    pub fn new(file: Option<PathBuf>) -> Result<Self, String> {
        let porter = Porter::start().map_err(|error| format!("cannot start a thread: {}", error.kind()))?;
        let (rules, seen) = match &file {
            Some(path) => {
                let material = gather(path)?;
                (rules(path, &material)?, Ok(material))
            }
            None => (Rules::default(), Err(String::new())),
        };
        Ok(Self { file, rules: RwLock::new(Arc::new(rules)), porter, seen: Mutex::new(seen) })
    }

    /// What is wrong with the text of a web configuration, as far as that shows without the files that it names.
    pub fn examine(text: &str) -> Result<(), String> {
        let name = "the web configuration";
        let file = File::parse(name, text)?;
        let told = |problems: Vec<_>| crate::document::Problems::from(problems).render(name, text);
        file.headers().map_err(told)?;
        file.limit().map_err(|problem| refused(name, text, problem))?;
        Ok(())
    }

    /// Takes in what has changed.
    pub fn look(&self) -> Look {
        let Some(path) = &self.file else { return Look::Unchanged };
        let found = gather(path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if found == *seen {
            return Look::Unchanged;
        }
        let taken = match &found {
            Ok(material) => rules(path, material),
            Err(why) => Err(why.clone()),
        };
        *seen = found;
        let taken = taken.and_then(|rules| self.put(rules));
        taken.map_or_else(Look::Refused, |()| Look::Taken)
    }

    fn put(&self, mut new: Rules) -> Result<(), String> {
        let old = self.rules();
        if old.tls.is_some() != new.tls.is_some() {
            return Err("TLS cannot be turned on or off while it runs: restart the exporter for that".to_owned());
        }
        // what was taken out of a bucket stays out
        if let (Some(old), Some(new)) = (&old.bucket, &mut new.bucket) {
            let old = *old.lock().unwrap_or_else(PoisonError::into_inner);
            let new = new.get_mut().unwrap_or_else(PoisonError::into_inner);
            if (old.interval, old.burst) == (new.interval, new.burst) {
                *new = old;
            }
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(())
    }

    fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a handshake needs; none if connections are not encrypted.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.rules().tls.clone()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls().is_some() { "https" } else { "http" }
    }

    /// What becomes of a request with these headers, over a connection that does this.
    pub(super) async fn admits(&self, headers: &HeaderMap, visitor: &Activity, now: BootTime) -> Admission {
        let rules = self.rules();
        if let Some(bucket) = &rules.bucket
            && !bucket.lock().unwrap_or_else(PoisonError::into_inner).take(now)
        {
            return Admission::Crowded;
        }
        if rules.users.is_empty() {
            return Admission::Welcome;
        }
        let Some(claim) = rules.users.claim(headers) else { return Admission::Stranger };
        match self.porter.admits(claim, visitor).await {
            Verdict::Right => Admission::Welcome,
            Verdict::Wrong => Admission::Stranger,
            Verdict::Busy => Admission::Crowded,
        }
    }

    /// Adds the configured headers. What an answer says for itself stays: it is stricter.
    pub(super) fn adorn(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.rules().headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }
}

fn gather(path: &Path) -> Result<Material, String> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|why| format!("{name}: the web configuration {why}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: the web configuration is not valid UTF-8"))?;
    let file = File::parse(&name, &text)?;
    let mut contents = [None, None, None];
    if let Some(tls) = &file.tls_server_config {
        for (content, (key, part)) in contents.iter_mut().zip(tls.parts()) {
            *content = match part {
                Some(Part::Text(text)) => Some(text.as_bytes().to_vec()),
                Some(Part::File(file)) => {
                    let file = path.parent().unwrap_or(Path::new(".")).join(file);
                    Some(
                        read(&file)
                            .map_err(|why| refused(&name, &text, file::problem(key, &format!("the file {why}"))))?,
                    )
                }
                None => None,
            };
        }
    }
    Ok(Material { text, contents })
}

fn rules(path: &Path, material: &Material) -> Result<Rules, String> {
    let Material { text, contents } = material;
    let name = path.display().to_string();
    let file = File::parse(&name, text)?;
    let tls = file.tls_server_config.as_ref().map(|tls| tls::config(tls, contents)).transpose();
    let tls = tls.map_err(|problem| refused(&name, text, problem))?.map(Arc::new);
    let several = |problems: Vec<_>| crate::document::Problems::from(problems).render(&name, text);
    let headers = file.headers().map_err(several)?;
    let limit = file.limit().map_err(|problem| refused(&name, text, problem))?;
    let bucket = limit.map(|(interval, burst)| Mutex::new(Bucket::new(interval, burst)));
    Ok(Rules { tls, headers, users: Users::new(file.basic_auth_users), bucket })
}

fn refused(name: &str, text: &str, problem: crate::document::Problem) -> String {
    crate::document::Problems::from(vec![problem]).render(name, text)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| format!("cannot be read: {}", error.kind());
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(told)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("is larger than 1 MiB".to_owned());
    }
    Ok(bytes)
}
