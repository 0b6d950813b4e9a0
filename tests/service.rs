//! The real binary and who starts it: what it tells systemd, the sockets that it is given, and where it listens.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// After this long something that should happen has not happened.
const PATIENCE: Duration = Duration::from_secs(60);

const BINARY: &str = env!("CARGO_BIN_EXE_balance-exporter");

/// A running demo, which needs no configuration. It is killed if a test fails before it is stopped.
struct Demo {
    child: Child,
    log: Receiver<String>,
}

impl Demo {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Self { child, log }
    }

    /// The address and the path of the next page that it says it serves.
    fn page(&self) -> (SocketAddr, String) {
        let said = loop {
            let line = self.log.recv_timeout(PATIENCE).expect("it says where it serves");
            if let Some((_, page)) = line.split_once("serving on http://") {
                break page.to_owned();
            }
        };
        let (address, path) = said.split_at(said.find('/').unwrap());
        (address.parse().unwrap(), path.to_owned())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // it has ended already if the test went well
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").args(arguments);
    command
}

/// The whole answer to a GET.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn systemd_is_told_how_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let hears = UnixDatagram::bind(&path).unwrap();
    hears.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut buffer = [0; 512];
        let length = hears.recv(&mut buffer).expect("something must be told");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let news = || std::iter::repeat_with(next).find(|message| message != "WATCHDOG=1").unwrap();
    let mut command = demo(&["--web.listen-address", "127.0.0.1:0"]);
    let demo = Demo::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000"));
    let (address, _) = demo.page();

    assert_eq!(next(), "READY=1\nSTATUS=polling 12 accounts of 4 provider entries");
    assert!(get(address, "/-/healthy").starts_with("HTTP/1.1 200"), "it serves when it says so");
    for _ in 0..5 {
        assert_eq!(next(), "WATCHDOG=1");
    }
    demo.signal(Signal::HUP);
    let reloading = news();
    let monotonic = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    let (monotonic, _) = monotonic.split_once("\nSTATUS=").unwrap();
    assert!(monotonic.parse::<u64>().unwrap() > 0);
    assert_eq!(news(), "READY=1\nSTATUS=polling 12 accounts of 4 provider entries");
    demo.signal(Signal::TERM);
    assert_eq!(news(), "STOPPING=1\nSTATUS=waiting for the polls under way");
}

#[test]
fn a_socket_that_systemd_passes_is_served_on() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // the first passed socket is number 3, and the number of the process is known to itself only
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh", BINARY, "demo"])
        .arg("--web.systemd-socket")
        .stdin(OwnedFd::from(socket));
    let demo = Demo::start(&mut command);
    assert_eq!(demo.page().0, address);
    assert!(get(address, "/metrics").contains("\nbalance_fresh{"));
}

#[test]
fn without_a_usable_socket_it_does_not_start() {
    let file = File::open("/dev/null").unwrap();
    let mut passed = Command::new("sh");
    passed
        .args(["-c", "exec 3</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"", "sh", BINARY, "demo"])
        .arg("--web.systemd-socket")
        .stdin(file);
    for (mut command, status, says) in [
        (demo(&["--web.systemd-socket"]), 1, "no socket was passed"),
        (passed, 1, "a passed socket is not for TCP"),
        (demo(&["--web.systemd-socket", "--web.listen-address", "127.0.0.1:0"]), 2, "cannot be used with"),
    ] {
        let (code, said) = ended(&mut command);
        assert!(code == Some(status) && said.contains(says), "{code:?}: {said}");
    }
    let (code, said) = ended(demo(&["--web.systemd-socket"]).env("LISTEN_FDS", "1").env("LISTEN_PID", "1"));
    assert!(code == Some(1) && said.contains("no socket was passed"), "sockets of somebody else: {said}");
}

#[test]
fn it_serves_on_every_address_or_not_at_all() {
    let both = ["--web.listen-address", "127.0.0.1:0", "--web.listen-address", "127.0.0.1:0"];
    let demo_on_both = Demo::start(&mut demo(&both));
    let (first, second) = (demo_on_both.page().0, demo_on_both.page().0);
    assert_ne!(first, second);
    for address in [first, second, first] {
        assert!(get(address, "/-/healthy").starts_with("HTTP/1.1 200"));
    }
    let taken = second.to_string();
    let (code, said) = ended(&mut demo(&["--web.listen-address", "127.0.0.1:0", "--web.listen-address", &taken]));
    assert!(code == Some(1) && said.contains(&format!("cannot listen on {taken}: ")), "{code:?}: {said}");
}

#[test]
fn everything_is_below_the_prefix() {
    let arguments = ["--web.listen-address", "127.0.0.1:0", "--web.external-url", "https://example.com/balances/"];
    let demo = Demo::start(&mut demo(&arguments));
    let (address, page) = demo.page();
    assert_eq!(page, "/balances/");
    for (path, starts, contains) in [
        ("/balances/metrics", "HTTP/1.1 200", "\nbalance_fresh{"),
        ("/balances/-/healthy", "HTTP/1.1 200", "is healthy"),
        ("/balances/", "HTTP/1.1 200", "<a href=\"/balances/-/ready\">"),
        ("/balances", "HTTP/1.1 302", "location: /balances/\r\n"),
        ("/", "HTTP/1.1 302", "location: /balances/\r\n"),
        ("/metrics", "HTTP/1.1 404", "nothing here"),
        ("/balancesheet/metrics", "HTTP/1.1 404", "nothing here"),
    ] {
        let answer = get(address, path);
        assert!(answer.starts_with(starts) && answer.contains(contains), "{path}: {answer}");
    }
}
