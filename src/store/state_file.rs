//! One file of the state: replaced as a whole, checked as a whole, with the generation before it at hand.
//!
//! The first line says what it is, and its checksum; the rest is JSON. A replacement is written beside the file and
//! synced, the file becomes the previous generation, the replacement takes its name, and the directory is synced.
//! Wherever that is cut, one of the three names holds the old content or the new one, whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::disk::Disk;

/// How the first line begins.
const MAGIC: &str = "balance-exporter-state";
/// The version of the format.
const VERSION: u32 = 1;

/// One file, and where it stands.
#[derive(Debug)]
pub(super) struct StateFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    kind: &'static str,
    generation: u64,
    /// Where the content was found.
    found_at: PathBuf,
    /// Somebody else's file, or a newer version's: it is left as it is.
    untouchable: Option<String>,
}

/// What was there at the start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No file of this name, in any generation.
    Nothing,
    /// The last content that was written.
    Last(Vec<u8>),
    /// The content before it: the last one was lost.
    Earlier(Vec<u8>),
    /// There is something, and none of it can be used: why, for people.
    Unusable(String),
}

impl Found {
    /// The newest content that there is, be it the last one or not.
    pub(super) fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Last(body) | Self::Earlier(body) => Some(body),
            Self::Nothing | Self::Unusable(_) => None,
        }
    }
}

/// What one name holds.
enum Content {
    Absent,
    Sound { generation: u64, body: Vec<u8> },
    Corrupt(String),
    Untouchable(String),
}

impl StateFile {
    /// Looks at what is there. A corrupt file is set aside under another name, ending in `suffix`.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf, kind: &'static str, suffix: &str) -> (Self, Found) {
        let mut file = Self { disk, found_at: path.clone(), path, kind, generation: 0, untouchable: None };
        let current = file.look(&file.path);
        let replacement = file.look(&file.named("new"));
        let previous = file.look(&file.named("previous"));
        let lost = match &current {
            Content::Untouchable(why) => {
                file.untouchable = Some(why.clone());
                return (file, Found::Unusable(why.clone()));
            }
            Content::Corrupt(why) => {
                let aside = file.named(&format!("corrupt-{suffix}"));
                let kept = file.disk.rename(&file.path, &aside);
                let kept = kept.map_or_else(|_| "it could not be set aside".to_owned(), |()| "it was set aside".into());
                Some(format!("{why}; {kept}"))
            }
            Content::Absent | Content::Sound { .. } => None,
        };
        let sound = |content, is_last| match content {
            Content::Sound { generation, body } => Some((generation, body, is_last)),
            Content::Absent | Content::Corrupt(_) | Content::Untouchable(_) => None,
        };
        // of a whole replacement beside a whole file nobody has been told: either will do
        let intact = lost.is_none();
        let candidates = [sound(current, intact), sound(replacement, intact), sound(previous, false)];
        if candidates[0].is_none() && candidates[1].is_some() {
            file.found_at = file.named("new");
        }
        let best = candidates.into_iter().flatten().max_by_key(|(generation, _, is_last)| (*generation, *is_last));
        let found = match (best, lost) {
            (Some((generation, body, is_last)), _) => {
                file.generation = generation;
                if is_last { Found::Last(body) } else { Found::Earlier(body) }
            }
            (None, Some(why)) => Found::Unusable(why),
            (None, None) => Found::Nothing,
        };
        (file, found)
    }

    /// Where the last content was found: a replacement may not have had the time to take its name.
    pub(super) fn found_at(&self) -> &Path {
        &self.found_at
    }

    /// The file itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content; after `Ok` it survives anything but the loss of the disk.
    pub(super) fn replace(&mut self, body: impl Into<Vec<u8>>) -> io::Result<()> {
        if let Some(why) = &self.untouchable {
            return Err(io::Error::other(why.clone()));
        }
        let generation = self.generation + 1;
        let mut bytes = body.into();
        let digest = digest(self.kind, generation, &bytes);
        // a body can be large: there is no second one
        let line = format!("{MAGIC} {VERSION} {} {generation} {digest}\n", self.kind);
        drop(bytes.splice(..0, line.into_bytes()));
        let new = self.named("new");
        self.disk.write(&new, &bytes)?;
        match self.disk.rename(&self.path, &self.named("previous")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.disk.rename(&new, &self.path)?;
        self.generation = generation;
        self.disk.sync_directory(self.directory())
    }

    /// Makes the content unknown to the next start, as far as that can be done: it is no longer true.
    pub(super) fn forget(&mut self) {
        if self.untouchable.is_some() {
            return;
        }
        for path in [self.path.clone(), self.named("new"), self.named("previous")] {
            // whoever cannot remove it cannot replace it either, and the next start finds that out
            let _ = self.disk.remove(&path);
        }
        // a loss of power must not bring it back
        let _ = self.disk.sync_directory(self.directory());
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn look(&self, path: &Path) -> Content {
        match self.disk.read(path) {
            Ok(None) => Content::Absent,
            Ok(Some(bytes)) => self.check(&bytes),
            Err(error) => Content::Corrupt(format!("it cannot be read: {error}")),
        }
    }

    fn check(&self, bytes: &[u8]) -> Content {
        let corrupt = || Content::Corrupt("it is damaged".to_owned());
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return corrupt() };
        let (line, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
        let words: Vec<_> = line.split(' ').collect();
        let [magic, version, kind, generation, sum] = words[..] else {
            return if line.starts_with(MAGIC) { corrupt() } else { foreign() };
        };
        if magic != MAGIC {
            return foreign();
        }
        match (version.parse::<u32>(), generation.parse()) {
            (Ok(version), _) if version > VERSION => Content::Untouchable(format!(
                "it was written by a newer balance-exporter (format {version}, this one knows {VERSION})"
            )),
            (Ok(VERSION), Ok(generation)) if kind == self.kind && sum == digest(kind, generation, body) => {
                Content::Sound { generation, body: body.to_vec() }
            }
            _ => corrupt(),
        }
    }

    fn named(&self, ending: &str) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    }
}

fn foreign() -> Content {
    Content::Untouchable("it is not a state file of balance-exporter".to_owned())
}

/// Over everything that the first line says, and the body.
fn digest(kind: &str, generation: u64, body: &[u8]) -> String {
    let sum = Sha256::new().chain_update(format!("{VERSION} {kind} {generation}\n")).chain_update(body).finalize();
    sum.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::brittle_disk::{BrittleDisk, Crash};

    const PATH: &str = "/state/limits";

    fn open(disk: &Arc<BrittleDisk>) -> (StateFile, Found) {
        StateFile::open(disk.clone(), PATH.into(), "limits", "1")
    }

    #[test]
    fn what_was_written_is_found() {
        let disk = Arc::new(BrittleDisk::default());
        let (mut file, found) = open(&disk);
        assert_eq!(found, Found::Nothing);
        for body in ["one", "two", "three"] {
            file.replace(body.as_bytes()).unwrap();
            assert_eq!(open(&disk).1, Found::Last(body.into()));
        }
    }

    /// Cut at every operation, with nothing, a part and all of what was not synced left behind.
    #[test]
    fn a_crash_leaves_the_old_content_or_the_new_one() {
        let mut cuts = 0;
        for crash in [Crash::LosesAll, Crash::KeepsAPart, Crash::KeepsAll] {
            for cut in 0.. {
                let disk = Arc::new(BrittleDisk::default());
                let mut file = open(&disk).0;
                file.replace(b"old").unwrap();
                file.replace(b"current").unwrap();
                disk.crash_after(cut);
                let written = file.replace(b"new");
                disk.restart(crash);
                let (mut file, found) = open(&disk);
                match (&written, &found) {
                    (Ok(()), Found::Last(body)) => assert_eq!(body, b"new", "{crash:?} at {cut}"),
                    (Err(_), Found::Last(body)) => {
                        assert!(body == b"current" || body == b"new", "{crash:?} at {cut}: {body:?}");
                    }
                    other => panic!("{crash:?} at {cut}: {other:?}"),
                }
                file.replace(b"next").unwrap();
                assert_eq!(open(&disk).1, Found::Last(b"next".to_vec()), "{crash:?} at {cut}");
                cuts += 1;
                if written.is_ok() {
                    break;
                }
            }
        }
        assert!(cuts >= 3 * 5, "{cuts}");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let disk = Arc::new(BrittleDisk::default());
        let mut file = open(&disk).0;
        file.replace(b"old").unwrap();
        file.replace(b"{\"a\":1}").unwrap();
        let whole = disk.read(Path::new(PATH)).unwrap().unwrap();
        let damaged = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        for bytes in damaged.chain((0..whole.len()).map(|length| whole[..length].to_vec())) {
            let disk = Arc::new(disk.copied());
            disk.write(Path::new(PATH), &bytes).unwrap();
            let (mut file, found) = open(&disk);
            match found {
                Found::Earlier(body) => assert_eq!(body, b"old"),
                // a first line that does not look like ours at all
                Found::Unusable(_) => {
                    assert!(file.replace(b"x").is_err());
                    assert_eq!(disk.read(Path::new(PATH)).unwrap().unwrap(), bytes, "left as it is");
                    continue;
                }
                Found::Nothing | Found::Last(_) => panic!("{:?}", String::from_utf8_lossy(&bytes)),
            }
            let aside = disk.read(Path::new("/state/limits.corrupt-1")).unwrap();
            assert_eq!(aside, Some(bytes), "kept for people");
        }
    }

    #[test]
    fn a_newer_or_foreign_file_is_left_alone() {
        for text in ["balance-exporter-state 2 limits 1 abc\n{}", "#!/bin/sh\necho hello\n", "a b c d e\n"] {
            let disk = Arc::new(BrittleDisk::default());
            disk.write(Path::new(PATH), text.as_bytes()).unwrap();
            let (mut file, found) = open(&disk);
            assert!(matches!(found, Found::Unusable(_)), "{found:?}");
            assert!(file.replace(b"x").is_err());
            file.forget();
            assert_eq!(disk.read(Path::new(PATH)).unwrap().unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_file_of_another_kind_is_no_state_of_this_one() {
        let disk = Arc::new(BrittleDisk::default());
        StateFile::open(disk.clone(), PATH.into(), "accounts", "1").0.replace(b"x").unwrap();
        assert!(matches!(open(&disk).1, Found::Unusable(_)));
    }

    #[test]
    fn what_was_forgotten_is_not_found() {
        let disk = Arc::new(BrittleDisk::default());
        let mut file = open(&disk).0;
        file.replace(b"one").unwrap();
        file.replace(b"two").unwrap();
        file.forget();
        assert_eq!(open(&disk).1, Found::Nothing);
        disk.restart(Crash::LosesAll);
        assert_eq!(open(&disk).1, Found::Nothing, "nor after a loss of power");
    }
}
