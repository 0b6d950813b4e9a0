//! What a process has used, as the kernel counts it.

use std::fs;

/// What a process has used of processors so far, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// By the scheduler's own count, over the threads that live now.
    fine: u64,
    /// In ticks, with threads that have ended.
    coarse: u64,
}

/// A tick of `/proc`, in nanoseconds.
const TICK: u64 = 10_000_000;

impl Used {
    pub fn by(pids: &[u32]) -> Self {
        pids.iter().fold(Self::default(), |sum, pid| {
            let one = Self::by_one(*pid);
            Self { fine: sum.fine + one.fine, coarse: sum.coarse + one.coarse }
        })
    }

    fn by_one(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let counts = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        let fine = counts.sum();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>()).unwrap_or_default();
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Self { fine, coarse: (ticks(11) + ticks(12)) * TICK }
    }

    /// From here on: the fine count, unless threads have ended in between and taken theirs along.
    pub fn until(self, later: Self) -> u64 {
        later.fine.saturating_sub(self.fine).max(later.coarse.saturating_sub(self.coarse + TICK))
    }
}

/// Resident kilobytes now, and at their most.
pub fn resident_kb(pid: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}
