//! What the next start makes of files that are not the last ones.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use jiff::Timestamp;

use super::brittle_disk::BrittleDisk;
use super::*;
use crate::clock::{Now, SystemClock};
use crate::rate_limit::{Quota, Window};
use crate::secret::Secret;

#[derive(Debug)]
struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_800_000_000).unwrap();
        Now { boot: BootTime::from_boot(Duration::from_secs(1_000_000)), wall }
    }
}

fn open(disk: &Arc<BrittleDisk>, is_new: bool) -> Store {
    disk.set_time(Frozen.now().wall);
    let place = Place { path: "/state".into(), disk: disk.clone(), clock: Arc::new(Frozen), boot: "b".to_owned() };
    Store::open_inline(place, is_new, Box::new(|_| ()))
}

/// How many requests a provider could be sent now.
fn room(store: &Store) -> u32 {
    room_at(store, Frozen.now().boot)
}

fn room_at(store: &Store, now: BootTime) -> u32 {
    let windows = vec![Window { requests: 10, per: Duration::from_secs(60) }];
    let limiter = Arc::new(Mutex::new(RateLimiter::new(Quota { windows })));
    store.know(&"p".into(), &limiter);
    let limiter = limiter.lock().unwrap();
    limiter.remaining(now)[0]
}

#[test]
fn only_the_last_book_is_believed_and_only_in_its_place() {
    let limits = Path::new("/state.limits");
    let start = || {
        let disk = Arc::new(BrittleDisk::default());
        assert_eq!(room(&open(&disk, true)), 10, "nothing was ever sent");
        assert_eq!(room(&open(&disk, false)), 10, "and that is written");
        disk
    };
    let disk = start();
    disk.remove(limits).unwrap();
    assert_eq!(room(&open(&disk, false)), 0, "the generation before the last one");

    let disk = start();
    let bytes = disk.read(limits).unwrap().unwrap();
    let hour = Duration::from_secs(3_600);
    disk.set_time(Frozen.now().wall + hour);
    disk.write(limits, &bytes).unwrap();
    assert_eq!(room(&open(&disk, false)), 0, "a copy");

    let disk = start();
    disk.rename(limits, Path::new("/state.limits.new")).unwrap();
    assert_eq!(room(&open(&disk, false)), 10, "a replacement that had no time to take its name");
}

/// How many requests a provider could be sent by a real state in this folder, and that state.
fn started(folder: &Path) -> (Store, u32) {
    let (path, clock) = (folder.join("state"), Arc::new(SystemClock));
    let place = Place { path, disk: Arc::new(SystemDisk), clock: clock.clone(), boot: "b".to_owned() };
    let store = Store::open(place, Box::new(|_| ())).unwrap();
    let room = room_at(&store, clock.now().boot);
    (store, room)
}

#[tokio::test]
async fn a_state_that_can_be_used_after_all_says_nothing_of_before() {
    let folder = tempfile::tempdir().unwrap();
    let (board, lock) = (Board::default(), folder.path().join("state.lock"));
    let (store, room) = started(folder.path());
    assert_eq!(room, 10, "nothing was ever sent");
    store.close(&board, Duration::from_secs(1)).await;
    drop(store);
    let (_, room) = started(folder.path());
    assert_eq!(room, 10, "and that is written");
    // where a folder stands no file can be opened
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    let (store, room) = started(folder.path());
    assert_eq!(room, 0, "nobody knows");
    let inner = store.0.as_ref().unwrap();
    inner.take_over().await;
    let before = std::fs::read(folder.path().join("state.limits")).unwrap();
    std::fs::remove_dir(&lock).unwrap();
    std::fs::write(&lock, "").unwrap();
    inner.take_over().await;
    inner.make_up().await;
    let after = std::fs::read(folder.path().join("state.limits")).unwrap();
    assert_ne!(before, after, "it is written again");
    // killed
    drop(store);
    let (_, room) = started(folder.path());
    assert_eq!(room, 0, "what was not known then is not known now");
}

fn session() -> Session {
    let lifetime = Duration::from_secs(3_600);
    Session { token: Secret::new("access"), refresh: Some(Secret::new("refresh")), lifetime }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_disk_refused_is_kept_as_soon_as_it_takes_it() {
    let disk = Arc::new(BrittleDisk::default());
    let store = open(&disk, true);
    disk.fail_with(Some(io::ErrorKind::StorageFull));
    store.keep_session(&"p".into(), "settings", &session(), Frozen.now().boot).await;
    disk.fail_with(None);
    assert!(open(&disk, false).session("p", "settings").is_none());
    let board = Board::default();
    assert!(tokio::time::timeout(Duration::from_secs(10), store.follow(&board)).await.is_err(), "it goes on for ever");
    assert!(open(&disk, false).session("p", "settings").is_some());
}

/// Takes nothing from a certain moment on, and does not say so either.
#[derive(Debug)]
struct StuckDisk {
    disk: BrittleDisk,
    stuck: Mutex<Option<Receiver<()>>>,
}

impl Disk for StuckDisk {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.disk.read(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Some(stuck) = self.stuck.lock().unwrap().take() {
            // until the other end is dropped
            let _ = stuck.recv();
        }
        self.disk.write(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }

    fn changed(&self, path: &Path) -> io::Result<Timestamp> {
        self.disk.changed(path)
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_nothing_does_not_hold_up_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(StuckDisk { disk: BrittleDisk::default(), stuck: Mutex::default() });
    let path = directory.path().join("state");
    let place = Place { path, disk: disk.clone(), clock: Arc::new(Frozen), boot: "b".to_owned() };
    let store = Store::open(place, Box::new(|_| ())).unwrap();
    let (release, stuck): (Sender<()>, _) = channel();
    *disk.stuck.lock().unwrap() = Some(stuck);
    let patience = Duration::from_millis(500);
    let board = Board::default();
    let closing = store.close(&board, patience);
    assert!(tokio::time::timeout(patience * 2, closing).await.is_ok(), "it waits for the disk");
    drop(release);
}
