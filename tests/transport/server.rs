//! A server that does exactly what a test says, byte by byte, and remembers what was said to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(20);
/// Nothing here lasts longer, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does on a connection, in order. After the last one it closes.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Reads one whole request.
    Read,
    /// Sends this.
    Say(Vec<u8>),
    /// Sends this one byte at a time, slowly.
    Drip(Vec<u8>),
    /// Sends this again and again until the client is gone.
    Flood(Vec<u8>),
    /// The same, slowly.
    Repeat(Vec<u8>),
    /// Tells that this point is reached.
    Tell(Arc<Notify>),
    /// Goes on once it is told to.
    Await(Arc<Notify>),
    /// Waits for the client to close.
    Wait,
    /// Closes without a goodbye: a TLS session is cut off instead of ended.
    Cut,
    /// Resets the connection.
    Reset,
}

/// What arrived.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// TCP connections.
    pub(crate) connections: AtomicUsize,
    /// Requests, whole ones only.
    pub(crate) requests: Mutex<Vec<Vec<u8>>>,
    /// Bytes that the script read, in the clear.
    pub(crate) bytes: AtomicUsize,
    /// Bytes of floods that the client took.
    pub(crate) flooded: AtomicUsize,
    /// Finished TLS handshakes.
    pub(crate) handshakes: Mutex<Vec<HandshakeKind>>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn flooded(&self) -> usize {
        self.flooded.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    open: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves every connection by the script.
    pub(crate) async fn start(script: Vec<Act>) -> Self {
        Self::listen(vec![script], None).await
    }

    /// Serves the first connection by the first script, the second by the second, and so on; the last one is for all
    /// that follow.
    pub(crate) async fn playing(config: Option<ServerConfig>, scripts: Vec<Vec<Act>>) -> Self {
        Self::listen(scripts, config.map(|config| TlsAcceptor::from(Arc::new(config)))).await
    }

    /// The same, inside TLS.
    pub(crate) async fn start_tls(config: ServerConfig, script: Vec<Act>) -> Self {
        Self::playing(Some(config), vec![script]).await
    }

    async fn listen(scripts: Vec<Vec<Act>>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, open) = (Arc::<Seen>::default(), Arc::<tokio::sync::Mutex<JoinSet<()>>>::default());
        let accepting = tokio::spawn({
            let (seen, open) = (seen.clone(), open.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let nth = seen.connections.fetch_add(1, Ordering::SeqCst);
                    let script = scripts.get(nth).or(scripts.last()).unwrap();
                    let connection = serve(stream, script.clone(), seen.clone(), tls.clone());
                    open.lock().await.spawn(connection);
                }
            }
        });
        Self { address, seen, open, accepting }
    }

    /// Returns when every connection has ended. If the client keeps one open, this says so.
    pub(crate) async fn ended(&self) {
        let all = async { while self.open.lock().await.join_next().await.is_some() {} };
        assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "the client keeps a connection open");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, script: Vec<Act>, seen: Arc<Seen>, tls: Option<TlsAcceptor>) {
    if let Some(Act::Reset) = script.first() {
        return stream.set_zero_linger().unwrap();
    }
    let Some(tls) = tls else {
        let mut stream = stream;
        match play(&mut stream, &script, &seen).await {
            Ending::Close | Ending::Cut => {}
            Ending::Reset => stream.set_zero_linger().unwrap(),
        }
        return;
    };
    let Ok(mut stream) = tls.accept(stream).await else { return };
    seen.handshakes.lock().unwrap().extend(stream.get_ref().1.handshake_kind());
    match play(&mut stream, &script, &seen).await {
        // the client may have gone first
        Ending::Close => drop(stream.shutdown().await),
        Ending::Cut => {}
        Ending::Reset => stream.get_ref().0.set_zero_linger().unwrap(),
    }
}

enum Ending {
    Close,
    Cut,
    Reset,
}

/// Ends early if the client goes.
async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), script: &[Act], seen: &Seen) -> Ending {
    for act in script {
        let went_on = match act {
            Act::Read => read_request(stream, seen).await,
            Act::Say(bytes) => say(stream, bytes).await,
            Act::Drip(bytes) => drip(stream, bytes).await,
            Act::Flood(bytes) => {
                while say(stream, bytes).await {
                    seen.flooded.fetch_add(bytes.len(), Ordering::SeqCst);
                }
                false
            }
            Act::Repeat(bytes) => {
                while say(stream, bytes).await {
                    tokio::time::sleep(DRIP).await;
                }
                false
            }
            Act::Tell(reached) => {
                reached.notify_one();
                true
            }
            Act::Await(go) => {
                go.notified().await;
                true
            }
            Act::Wait => {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    seen.bytes.fetch_add(n, Ordering::SeqCst);
                }
                false
            }
            Act::Cut => return Ending::Cut,
            Act::Reset => return Ending::Reset,
        };
        if !went_on {
            break;
        }
    }
    Ending::Close
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    for byte in bytes {
        if !say(stream, &[*byte]).await {
            return false;
        }
        tokio::time::sleep(DRIP).await;
    }
    true
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), seen: &Seen) -> bool {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(length) = length_of(&request)
            && request.len() >= length
        {
            seen.requests.lock().unwrap().push(request);
            return true;
        }
        match stream.read(&mut buffer).await {
            Ok(n @ 1..) => {
                seen.bytes.fetch_add(n, Ordering::SeqCst);
                request.extend_from_slice(&buffer[..n]);
            }
            Ok(_) | Err(_) => return false,
        }
    }
}

/// The length of the request that begins here, once its head is whole.
fn length_of(request: &[u8]) -> Option<usize> {
    let head = request.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(head + body.unwrap_or(0))
}
