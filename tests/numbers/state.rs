//! The state that a start finds, whatever is in its files: it is believed only if its checksum is right, and otherwise
//! nothing is shown and every limit is taken for spent.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balance_exporter::clock::{Clock, Now};
use balance_exporter::providers::Session;
use balance_exporter::rate_limit::{Quota, RateLimiter, Window};
use balance_exporter::secret::Secret;
use balance_exporter::store::{Disk, Place, Store};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::bench::{BRIDGE, Bench, at, reply};

/// Behind an input: give its first line the checksum that belongs to the rest.
pub(crate) const SUM: &[u8] = b"\n\0";

/// A disk that has these files, and takes whatever is written without a word.
#[derive(Debug, Default)]
struct Shelf(Mutex<BTreeMap<PathBuf, Vec<u8>>>);

impl Disk for Shelf {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(path).cloned())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn changed(&self, _: &Path) -> io::Result<Timestamp> {
        Ok(at(10).wall)
    }
}

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        at(10)
    }
}

const PARTS: [(&str, &str); 3] = [("accounts", ""), ("limits", ".limits"), ("sessions", ".sessions")];

fn open(shelf: Arc<Shelf>, is_new: bool) -> Store {
    let place = Place { path: "state".into(), disk: shelf, clock: Arc::new(Stopped), boot: "b".to_owned() };
    Store::open_inline(place, is_new, Box::new(|_| {}))
}

fn limiter() -> Arc<Mutex<RateLimiter>> {
    let windows = vec![Window { requests: 10, per: Duration::from_secs(60) }];
    Arc::new(Mutex::new(RateLimiter::new(Quota { windows })))
}

/// The three files of an exporter that has read an account, sent some requests and kept a session.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let shelf = Arc::new(Shelf::default());
    let store = open(shelf.clone(), true);
    let bench = Bench::new(BRIDGE, &["service_id: 1, currency: GHS".to_owned()]);
    let body = r#"{"response_code":"000","payout_balance":"12.50","collection_balance":"3","sms_balance":"0"}"#;
    let body = body.replace("\"response_code\":\"000\"", "\"response_code\":\"000\",\"response_message\":\"ok\"");
    bench.file(0, &reply(body), at(5));
    let limiter = limiter();
    let session = Session {
        token: Secret::new("access"),
        refresh: Some(Secret::new("refresh")),
        lifetime: Duration::from_secs(3_600),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let name: Arc<str> = "p".into();
        store.know(&name, &limiter);
        store.lease(&name).await;
        store.keep_session(&name, "settings", &session, at(5).boot).await;
        store.close(&bench.board, Duration::from_secs(60)).await;
    });
    let files = shelf.0.lock().unwrap();
    PARTS.iter().map(|(_, ending)| files[Path::new(&format!("state{ending}"))].clone()).collect()
}

/// True if the first line is what belongs before the rest, by a reading of our own.
fn is_sound(bytes: &[u8], kind: &str) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return false };
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return false };
    let words: Vec<_> = line.split(' ').collect();
    let [magic, version, named, generation, sum] = words[..] else { return false };
    magic == "balance-exporter-state"
        && version.parse() == Ok(1)
        && named == kind
        && generation.parse::<u64>().is_ok_and(|number| sum == sum_of(kind, number, &bytes[end + 1..]))
}

fn sum_of(kind: &str, generation: u64, body: &[u8]) -> String {
    let mut text = format!("1 {kind} {generation}\n").into_bytes();
    text.extend_from_slice(body);
    Sha256::digest(text).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Each of the three files in turn; the two others are not there.
pub(crate) fn state(data: &[u8]) -> bool {
    let (data, anew) = data.strip_suffix(SUM).map_or((data, false), |data| (data, true));
    let mut bytes = data.to_vec();
    let first = String::from_utf8_lossy(data.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let named = PARTS.iter().find(|(kind, _)| first.split(' ').nth(2) == Some(kind)).unwrap_or(&PARTS[0]);
    let (kind, ending) = *named;
    if anew && let Some(end) = data.iter().position(|byte| *byte == b'\n') {
        bytes = format!("balance-exporter-state 1 {kind} 7 {}\n", sum_of(kind, 7, &data[end + 1..])).into_bytes();
        bytes.extend_from_slice(&data[end + 1..]);
    }
    let sound = is_sound(&bytes, kind);
    let shelf = Arc::new(Shelf::default());
    shelf.0.lock().unwrap().insert(PathBuf::from(format!("state{ending}")), bytes);
    let store = open(shelf, false);
    let known = store.recalled().unwrap();
    let session = store.session("p", "settings");
    let limiter = limiter();
    store.know(&"p".into(), &limiter);
    let left = limiter.lock().unwrap().remaining(at(10).boot)[0];
    assert!(left <= 10);
    if !sound || kind != "limits" {
        // this is not the first start, and so a book that is not there has gone
        assert_eq!(left, 0, "a book that is not sound was believed");
    }
    if !sound {
        assert!(known.accounts.is_empty() && session.is_none(), "what is not sound was believed");
    }
    !known.accounts.is_empty() || session.is_some() || left > 0
}
