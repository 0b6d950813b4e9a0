//! What the service manager is told: ready, reloading, stopping, alive. This is systemd's protocol of datagrams.
//!
//! The watchdog is fed only while those that do the work answer. A timer of its own would go on feeding it when the
//! polls have long stopped.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// How long a message waits for room in the manager's queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager, if there is one that wants to know.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment of process `pid` names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn of(pid: u32, environment: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let number = |name| environment(name)?.to_str()?.parse::<u64>().ok();
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = UnixDatagram::unbound()?;
        // a manager that is slow for a moment must hear it all the same; one that is stuck must not hold up the work
        socket.set_write_timeout(Some(PATIENCE))?;
        let is_ours = environment("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0).map(Duration::from_micros);
        Ok(Self { socket: Some((socket, address(&name)?)), watchdog })
    }

    /// It serves, for the first time or after a reload.
    pub fn ready(&self, status: &str) {
        self.tell("READY=1", Some(status));
    }

    /// It reads its configuration again. `monotonic` is the time since boot without suspended time.
    pub fn reloading(&self, monotonic: Duration) {
        let state = format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic.as_micros());
        self.tell(&state, Some("reading the configuration again"));
    }

    /// It begins no more polls.
    pub fn stopping(&self) {
        self.tell("STOPPING=1", Some("waiting for the polls under way"));
    }

    /// Feeds the watchdog for as long as every pulse beats. Ends at once if nobody watches.
    pub async fn watch(&self, pulses: &[Pulse]) {
        let Some(watchdog) = self.watchdog else { return };
        let rhythm = watchdog / 2;
        loop {
            match timeout(rhythm, all(pulses)).await {
                Ok(true) => {
                    self.tell("WATCHDOG=1", None);
                    sleep(rhythm).await;
                }
                // its end is told by whoever waits for it
                Ok(false) => return,
                Err(_) => tracing::error!("the poller or the web side does not answer: the watchdog is not fed"),
            }
        }
    }

    fn tell(&self, state: &str, status: Option<&str>) {
        let Some((socket, address)) = &self.socket else { return };
        let mut message = state.to_owned();
        if let Some(status) = status {
            // writing to a String cannot fail
            let _ = write!(message, "\nSTATUS={status}");
        }
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::warn!("the service manager cannot be told: {}", error.kind());
        }
    }
}

/// A path, or a name in the abstract namespace, which begins with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(name)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "NOTIFY_SOCKET is neither a path nor an abstract name")),
    }
}

async fn all(pulses: &[Pulse]) -> bool {
    for pulse in pulses {
        if !pulse.beats().await {
            return false;
        }
    }
    true
}

/// Feels whether a loop still turns.
#[derive(Clone, Debug)]
pub struct Pulse(mpsc::Sender<oneshot::Sender<()>>);

/// The loop's side of its pulse.
#[derive(Debug)]
pub struct Heart(mpsc::Receiver<oneshot::Sender<()>>);

/// A pulse, and what the loop has to keep turning.
pub fn pulse() -> (Pulse, Heart) {
    let (ask, asked) = mpsc::channel(1);
    (Pulse(ask), Heart(asked))
}

impl Pulse {
    /// Resolves when the loop comes round: with true, or with false if it has ended.
    async fn beats(&self) -> bool {
        let (beat, has_beaten) = oneshot::channel();
        self.0.send(beat).await.is_ok() && has_beaten.await.is_ok()
    }
}

impl Heart {
    /// One beat, when somebody feels for it. Belongs into the `select!` of the loop; giving it up loses nothing.
    pub async fn beat(&mut self) {
        match self.0.recv().await {
            // whoever felt may have lost patience
            Some(felt) => drop(felt.send(())),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A manager with a watchdog of ten seconds, and the socket where it inbox.
    fn manager() -> (ServiceManager, UnixDatagram, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let inbox = UnixDatagram::bind(&path).unwrap();
        inbox.set_nonblocking(true).unwrap();
        let manager = ServiceManager::of(7, |name| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into()),
            "WATCHDOG_USEC" => Some("10000000".into()),
            _ => None,
        });
        (manager.unwrap(), inbox, directory)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        std::iter::from_fn(|| {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        })
        .collect()
    }

    #[test]
    fn it_is_told_in_its_own_words() {
        let (manager, inbox, _directory) = manager();
        manager.ready("serving");
        manager.reloading(Duration::from_micros(12));
        manager.stopping();
        assert_eq!(
            heard(&inbox),
            [
                "READY=1\nSTATUS=serving",
                "RELOADING=1\nMONOTONIC_USEC=12\nSTATUS=reading the configuration again",
                "STOPPING=1\nSTATUS=waiting for the polls under way",
            ]
        );
    }

    #[test]
    fn an_abstract_socket_is_found() {
        let name = format!("balance-exporter-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let inbox = UnixDatagram::bind_addr(&address).unwrap();
        let manager =
            ServiceManager::of(1, |asked| (asked == "NOTIFY_SOCKET").then(|| format!("@{name}").into())).unwrap();
        manager.ready("serving");
        inbox.set_nonblocking(true).unwrap();
        assert_eq!(heard(&inbox), ["READY=1\nSTATUS=serving"]);
    }

    #[test]
    fn the_environment_says_who_wants_to_know() {
        for (variables, expected) in [
            (vec![], Ok(None)),
            (vec![("NOTIFY_SOCKET", "")], Ok(None)),
            (vec![("WATCHDOG_USEC", "1000000")], Ok(None)),
            (vec![("NOTIFY_SOCKET", "/n"), ("WATCHDOG_USEC", "1000000")], Ok(Some(1))),
            (vec![("NOTIFY_SOCKET", "/n"), ("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "7")], Ok(Some(1))),
            (vec![("NOTIFY_SOCKET", "/n"), ("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "8")], Ok(None)),
            (vec![("NOTIFY_SOCKET", "/n"), ("WATCHDOG_USEC", "0")], Ok(None)),
            (vec![("NOTIFY_SOCKET", "/n"), ("WATCHDOG_USEC", "soon")], Ok(None)),
            (vec![("NOTIFY_SOCKET", "notify")], Err(io::ErrorKind::InvalidInput)),
            (vec![("NOTIFY_SOCKET", "vsock:2:1")], Err(io::ErrorKind::InvalidInput)),
        ] {
            let environment: BTreeMap<_, _> = variables.iter().copied().collect();
            let manager = ServiceManager::of(7, |name| environment.get(name).map(Into::into));
            let watchdog = manager.map(|manager| manager.watchdog.map(|span| span.as_secs()));
            assert_eq!(watchdog.map_err(|error| error.kind()), expected, "{variables:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_starves_when_a_loop_hangs_or_ends() {
        for ends in [false, true] {
            let (manager, inbox, _directory) = manager();
            let (well, mut beating) = pulse();
            let (ill, mut heart) = pulse();
            tokio::spawn(async move {
                loop {
                    beating.beat().await;
                }
            });
            let work = tokio::spawn(async move {
                for _ in 0..6 {
                    heart.beat().await;
                }
                if !ends {
                    // the loop is stuck, and its receiver is still there
                    sleep(Duration::from_secs(1 << 30)).await;
                }
                drop(heart);
            });
            let watching = timeout(Duration::from_secs(120), manager.watch(&[well, ill])).await;
            assert_eq!(watching.is_ok(), ends, "nothing is left to watch once a loop has ended");
            assert_eq!(heard(&inbox), ["WATCHDOG=1"; 6]);
            work.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_twice_as_often_as_it_asks() {
        let (manager, inbox, _directory) = manager();
        let (pulse, mut heart) = pulse();
        let turning = async {
            loop {
                heart.beat().await;
            }
        };
        tokio::select! {
            () = turning => {}
            () = manager.watch(std::slice::from_ref(&pulse)) => {}
            () = sleep(Duration::from_secs(41)) => {}
        }
        assert_eq!(heard(&inbox).len(), 9);
    }
}
