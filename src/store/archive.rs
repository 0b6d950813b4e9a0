//! The files of the state, and the thread that writes them: a slow disk keeps nobody waiting but who asks for it.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use super::state_file::StateFile;

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What was sent to the providers: must be true before the next request leaves.
    Limits,
    /// What is known of the accounts: may be some seconds old.
    Accounts,
    /// Tokens that a provider has replaced: must be there before they are used.
    Sessions,
}

/// One of each.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) limits: StateFile,
    pub(super) accounts: StateFile,
    pub(super) sessions: StateFile,
}

/// Makes the content, on whatever thread writes it.
pub(super) type Content = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// One replacement to be made.
pub(super) struct Job {
    part: Part,
    content: Content,
    done: oneshot::Sender<io::Result<()>>,
}

/// Writes the files, one replacement after the other.
pub(super) enum Archive {
    /// On a thread of its own.
    Thread(mpsc::Sender<Job>),
    /// At once, for simulated time, in which no other thread has a place.
    Inline(Mutex<Box<Files>>),
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

impl Files {
    fn of(&mut self, part: Part) -> &mut StateFile {
        match part {
            Part::Limits => &mut self.limits,
            Part::Accounts => &mut self.accounts,
            Part::Sessions => &mut self.sessions,
        }
    }

    fn replace(&mut self, part: Part, content: Content) -> io::Result<()> {
        let file = self.of(part);
        let outcome = file.replace(content());
        if outcome.is_err() && part == Part::Limits {
            // what it says is about to become less than what was sent
            file.forget();
        }
        outcome
    }
}

impl Archive {
    /// With a thread, which ends when this is dropped.
    pub(super) fn start(mut files: Files) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::Builder::new().name("state".to_owned()).spawn(move || {
            for Job { part, content, done } in inbox {
                // whoever asked may have gone; the content is as true without them
                let _ = done.send(files.replace(part, content));
            }
        })?;
        Ok(Self::Thread(jobs))
    }

    /// Replaces one file; returns when it is durable.
    pub(super) async fn replace(&self, part: Part, content: Content) -> io::Result<()> {
        let jobs = match self {
            Self::Inline(files) => return files.lock().unwrap_or_else(PoisonError::into_inner).replace(part, content),
            Self::Thread(jobs) => jobs,
        };
        let gone = || io::Error::other("the thread that writes it has ended; this is a bug");
        let (done, outcome) = oneshot::channel();
        jobs.send(Job { part, content, done }).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}
