//! What befalls the world while somebody lives in it, and between two lives.

use std::io;
use std::path::Path;

use tokio::time::sleep;

use super::super::desk::Desk;
use super::super::diary::note;
use super::super::stage::secs;
use super::{LIMITS, Life, PROVIDERS, SESSIONS, SOON, World};
use crate::store::Disk;

impl World {
    /// Now and then something happens.
    pub(super) async fn meddle(&mut self, life: &Life) {
        match self.rng.u8(..) {
            0..3 => {
                let nth = self.rng.usize(..9);
                self.written.configured[nth] = !self.written.configured[nth];
                if !self.written.configured[nth] {
                    let (provider, names) = PROVIDERS[nth / 3];
                    self.removed.extend([provider, names[nth % 3]]);
                }
                self.reload(life).await;
            }
            3 => {
                let nth = self.rng.usize(..3);
                self.written.slow[nth] = !self.written.slow[nth];
                self.reload(life).await;
            }
            4 => {
                let mut full = self.drive.full.lock().unwrap();
                *full = !*full;
                self.tally.disk_troubles += u64::from(*full);
                drop(full);
                self.sound_since = None;
            }
            5 => {
                self.drive.disk.fail_with(Some(io::ErrorKind::ReadOnlyFilesystem));
                self.tally.disk_troubles += 1;
                self.sound_since = None;
            }
            6..9 => {
                note(self.clocks.real(), format_args!("the disk is mended"));
                self.drive.disk.fail_with(None);
                let full = *self.drive.full.lock().unwrap();
                let healed = self.sound_since.is_none() && !full;
                self.sound_since = self.sound_since.or((!full).then(|| self.clocks.real()));
                if healed {
                    // what went on while nothing could be written or removed is known to nobody after an end that comes
                    // before the next write: see "What is not kept" in docs/ARCHITECTURE.md
                    sleep(SOON).await;
                }
            }
            9 => {
                let furthest = *self.rng.choice(&[100, 7_200, 100_000]).unwrap();
                let by = self.rng.i64(-furthest..furthest);
                self.clocks.change(|shift| shift.wall += by);
                self.stepped = self.clocks.real();
                if by < 0 {
                    self.judge.set_back.push((self.clocks.real(), secs(by.unsigned_abs())));
                }
                self.tally.clock_events += 1;
            }
            10 | 11 => {
                let longest = *self.rng.choice(&[60, 600, 10_000]).unwrap();
                let span = secs(self.rng.u64(1..longest));
                self.clocks.change(|shift| shift.slept += span);
                self.suspended += span;
                // nothing was written meanwhile
                self.sound_since = self.sound_since.map(|_| self.clocks.real());
                self.tally.clock_events += 1;
            }
            12 => {
                let name = *self.rng.choice(&["q", "r"]).unwrap();
                let anew = self.rng.bool();
                self.reconnect(life, name, anew).await;
            }
            13..15 => {
                let name = *self.rng.choice(&["q", "r"]).unwrap();
                let mut log = self.wire.log.lock().unwrap();
                let refusing = self.rng.u8(..) < 80;
                log.desk(name).refusing = refusing;
            }
            15.. => {}
        }
    }

    async fn reload(&mut self, life: &Life) {
        {
            let mut log = self.wire.log.lock().unwrap();
            log.not_before.clear();
            log.desks.values_mut().for_each(Desk::reloaded);
        }
        let fleet = self.fleet();
        note(self.clocks.real(), format_args!("reload: {:?}", self.written));
        life.handle.configure(fleet).await;
        self.tally.reloads += 1;
    }

    /// The secrets of an entry are replaced by others that are as good, and the token to begin with as well, or not.
    pub(super) async fn reconnect(&mut self, life: &Life, name: &'static str, anew: bool) {
        {
            let mut log = self.wire.log.lock().unwrap();
            log.not_before.clear();
            let desk = log.desk(name);
            if anew && desk.configured.is_some() {
                desk.operator_logs_in();
            }
        }
        let connection = self.fleet().into_iter().find(|(provider, _)| &*provider.name == name);
        if let Some((provider, connection)) = connection {
            {
                let mut log = self.wire.log.lock().unwrap();
                let life_now = log.life;
                let desk = log.desk(name);
                desk.reconnected(self.clocks.real());
                if anew || desk.configured.is_none() {
                    desk.begins_anew(self.clocks.real(), life_now);
                }
            }
            note(self.clocks.real(), format_args!("other secrets for {name}, anew: {anew}"));
            life.handle.reconnect(provider.name.clone(), connection).await;
        }
    }

    /// While nothing runs, somebody may remove, damage or restore a file.
    pub(super) fn let_somebody_in(&mut self) {
        if self.sound_since.is_none() || self.rng.u8(..) >= 40 {
            return;
        }
        let path = *self.rng.choice(&[LIMITS, SESSIONS]).unwrap();
        let Some(mut bytes) = self.drive.disk.read(Path::new(path)).unwrap() else { return };
        let wall = self.clocks.1.lock().unwrap().wall;
        match self.rng.u8(..3) {
            0 => self.drive.plant(Path::new(path), None),
            1 => {
                let at = self.rng.usize(..bytes.len());
                // not in the first words: a file that is not ours is never touched again
                let at = at.max(bytes.len() / 2);
                bytes[at] ^= 1;
                self.drive.plant(Path::new(path), Some(&bytes));
            }
            _ => {
                let now = self.clocks.real();
                let Some((path, old, at, shift)) = self.backup.take() else {
                    self.backup = Some((path, bytes, now, wall));
                    return;
                };
                // one that is put back in the minute of its writing passes for the last one
                if now.saturating_sub(at) > secs(62) && shift == wall {
                    self.drive.plant(Path::new(path), Some(&old));
                    if path == SESSIONS {
                        self.spoil_sessions();
                    }
                    self.tally.vandals += 1;
                }
                return;
            }
        }
        self.tally.vandals += 1;
        if path == SESSIONS {
            self.spoil_sessions();
        }
    }

    fn spoil_sessions(&self) {
        for desk in self.wire.log.lock().unwrap().desks.values_mut() {
            desk.spoiled(self.clocks.real());
        }
    }

    pub(super) fn heal(&mut self) {
        *self.drive.full.lock().unwrap() = false;
        self.drive.disk.fail_with(None);
        self.drive.disk.crash_after(usize::MAX);
        self.sound_since = self.sound_since.or(Some(self.clocks.real()));
    }
}
