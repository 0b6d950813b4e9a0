//! Who asks the web side: requests one by one, answers byte by byte, each scrape strictly read.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use super::PATIENCE;
use crate::exposition::{Format, checker};
use crate::web::Handle;

pub(super) fn connect(server: &Handle) -> TcpStream {
    let stream = TcpStream::connect(server.addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the server says until it closes the connection. A reset after that is how it refuses the rest of a request.
pub(super) fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    if let Err(problem) = stream.read_to_end(&mut said) {
        assert_eq!(problem.kind(), io::ErrorKind::ConnectionReset, "{problem}");
    }
    said
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self { status, headers: lines.map(header).collect(), body: bytes[end + 4..].to_vec() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One request on a connection of its own; `more` are further header lines.
pub(super) fn ask(server: &Handle, method: &str, path: &str, more: &[&str]) -> Reply {
    let mut stream = connect(server);
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for line in more {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let reply = Reply::parse(&rest(stream));
    let is_plain = method == "GET" && reply.status == 200 && reply.header("content-encoding").is_none();
    if is_plain && reply.header("content-type") == Some(Format::Text.content_type()) {
        checker::check(reply.text(), Format::Text).unwrap_or_else(|problem| panic!("{path}: {problem}"));
    }
    reply
}
