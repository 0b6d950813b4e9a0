//! Everybody who is connected, and who has to go when there are too many.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::activity::{Activity, Events};

/// Everybody who is connected.
#[derive(Debug)]
pub(super) struct Crowd {
    connections: usize,
    /// Scrapes that may be on their way at once; 0 is any number.
    scrapes: usize,
    events: Events,
    present: Mutex<Vec<Arc<Activity>>>,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(connections: usize, scrapes: usize) -> Self {
        Self { connections, scrapes, events: Events::default(), present: Mutex::default() }
    }

    /// Lets one more in. If there are too many, the one goes who has not got on for longest.
    ///
    /// That is neither the oldest nor the one who waits: who holds a connection open without asking, asks byte by byte
    /// or does not take the answer falls behind, and who asks and reads does not, however long the answer is. Who keeps
    /// a connection from one scrape to the next may find it closed, as after any other pause, and opens another.
    pub(super) fn enter(&self) -> Arc<Activity> {
        let new = Arc::new(Activity::new(&self.events));
        let mut present = self.present();
        if present.len() >= self.connections {
            expel(&mut present, |_| true);
        }
        present.push(new.clone());
        new
    }

    /// One begins a scrape. If there are too many, the one goes whose reader has taken nothing for longest.
    pub(super) fn begin_scrape(&self, of: &Activity) {
        let mut present = self.present();
        let under_way = present.iter().filter(|each| each.is_scraping()).count();
        if self.scrapes > 0 && under_way >= self.scrapes && !of.is_scraping() {
            expel(&mut present, Activity::is_scraping);
        }
        of.begin_scrape();
    }

    /// One has gone.
    pub(super) fn leave(&self, gone: &Arc<Activity>) {
        self.present().retain(|each| !Arc::ptr_eq(each, gone));
    }

    fn present(&self) -> MutexGuard<'_, Vec<Arc<Activity>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expel(present: &mut Vec<Arc<Activity>>, may_go: impl Fn(&Activity) -> bool) {
    let candidates = present.iter().enumerate().filter(|(_, each)| may_go(each));
    if let Some((place, _)) = candidates.max_by_key(|(_, each)| each.age()) {
        present.remove(place).cut_off();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who of these is still there.
    fn left(crowd: &Crowd, all: &[Arc<Activity>]) -> Vec<usize> {
        let present = crowd.present();
        (0..all.len()).filter(|number| present.iter().any(|each| Arc::ptr_eq(each, &all[*number]))).collect()
    }

    #[test]
    fn who_has_not_got_on_for_longest_makes_room() {
        let crowd = Crowd::new(4, 0);
        let mut all: Vec<_> = (0..4).map(|_| crowd.enter()).collect();
        all[0].gets_on();
        all[2].gets_on();
        all.push(crowd.enter());
        assert_eq!(left(&crowd, &all), [0, 2, 3, 4], "the oldest that has never asked");
        all.push(crowd.enter());
        assert_eq!(left(&crowd, &all), [0, 2, 4, 5]);
        all[0].gets_on();
        all.push(crowd.enter());
        assert_eq!(left(&crowd, &all), [0, 4, 5, 6], "who asked and does not read falls behind, too");
        all[0].gets_on();
        all.push(crowd.enter());
        assert_eq!(left(&crowd, &all), [0, 5, 6, 7], "who reads stays, however old");
    }

    #[test]
    fn a_scrape_too_many_takes_the_place_of_the_slowest() {
        let crowd = Crowd::new(9, 2);
        let all: Vec<_> = (0..4).map(|_| crowd.enter()).collect();
        for each in &all[..2] {
            each.gets_on();
            crowd.begin_scrape(each);
        }
        all[0].gets_on();
        all[2].gets_on();
        crowd.begin_scrape(&all[2]);
        assert_eq!(left(&crowd, &all), [0, 2, 3], "who scrapes nothing takes no place");
        all[0].end();
        all[3].gets_on();
        crowd.begin_scrape(&all[3]);
        assert_eq!(left(&crowd, &all), [0, 2, 3], "a scrape that has ended takes no place");
    }

    #[tokio::test]
    async fn who_has_to_go_is_told() {
        let crowd = Crowd::new(1, 0);
        let first = crowd.enter();
        let _second = crowd.enter();
        first.is_cut_off().await;
    }

    #[test]
    fn who_has_gone_takes_no_room() {
        let crowd = Crowd::new(2, 0);
        let mut all = vec![crowd.enter(), crowd.enter()];
        crowd.leave(&all[0]);
        all.push(crowd.enter());
        assert_eq!(left(&crowd, &all), [1, 2]);
    }
}
