//! An HTTP proxy that connects, or does not.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with who asks for a connection.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Connects to the port on this machine, whatever the name is.
    Connects,
    /// Says this status and closes.
    Refuses(String),
    /// Says nothing.
    Stalls,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// What was asked: heads of requests.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    manner: Arc<Mutex<Manner>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, manner) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Mutex::new(Manner::Connects)));
        let accepting = tokio::spawn({
            let (asked, manner) = (asked.clone(), manner.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let manner = manner.lock().unwrap().clone();
                    tokio::spawn(serve(stream, manner, asked.clone()));
                }
            }
        });
        Self { address, asked, manner, accepting }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.asked.lock().unwrap().clear();
        *self.manner.lock().unwrap() = manner;
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let port = head.split_whitespace().nth(1).and_then(|target| target.rsplit_once(':')?.1.parse::<u16>().ok());
    asked.lock().unwrap().push(head);
    match manner {
        Manner::Connects => {
            let Some(port) = port else { return };
            let Ok(mut provider) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            if stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.is_ok() {
                // either side may end it in any way
                let _ = copy_bidirectional(&mut stream, &mut provider).await;
            }
        }
        Manner::Refuses(status) => {
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
        }
        Manner::Stalls => while let Ok(1..) = stream.read(&mut [0; 1024]).await {},
    }
}
