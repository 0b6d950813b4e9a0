//! What the next start makes of files that are not the last ones.

use jiff::Timestamp;

use super::brittle_disk::BrittleDisk;
use super::*;
use crate::clock::Now;
use crate::rate_limit::{Quota, Window};

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
    let windows = vec![Window { requests: 10, per: Duration::from_secs(60) }];
    let limiter = Arc::new(Mutex::new(RateLimiter::new(Quota { windows })));
    store.know(&"p".into(), &limiter);
    let limiter = limiter.lock().unwrap();
    limiter.remaining(Frozen.now().boot)[0]
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
