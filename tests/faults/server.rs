//! A provider that does exactly what it is told, byte by byte, may be told otherwise at any time, and remembers what
//! was said to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::api::{Api, token_for};

/// Between two bytes of a drip.
const DRIP: Duration = Duration::from_millis(50);

/// What is done on a connection, in order. After the last one it is closed.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Sends this.
    Say(Vec<u8>),
    /// Sends this one byte at a time, slowly.
    Drip(Vec<u8>),
    /// Sends this again and again until the client is gone.
    Flood(Vec<u8>),
    /// The same, slowly.
    Repeat(Vec<u8>),
    /// Waits for the client to close.
    Wait,
    /// Closes without a goodbye: a TLS session is cut off instead of ended.
    Cut,
    /// Resets the connection.
    Reset,
}

pub(crate) fn say(bytes: impl Into<Vec<u8>>) -> Act {
    Act::Say(bytes.into())
}

/// How the provider behaves from now on.
#[derive(Clone)]
pub(crate) struct Behaviour {
    /// The sessions that it makes; none for plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Done instead of all the rest, before a byte is read.
    pub(crate) greeting: Option<Vec<Act>>,
    /// Done for the first login, the second, and so on; the last one for all that follow.
    pub(crate) logins: Vec<Vec<Act>>,
    /// The same for inquiries.
    pub(crate) inquiries: Vec<Vec<Act>>,
}

impl Behaviour {
    /// As it should be.
    pub(crate) fn good(api: Api, figure: &str) -> Self {
        Self {
            tls: None,
            greeting: None,
            logins: vec![vec![say(token_for(3600).bytes())]],
            inquiries: vec![vec![say(api.good(figure).bytes())]],
        }
    }

    pub(crate) fn answering(mut self, acts: Vec<Act>) -> Self {
        self.inquiries = vec![acts];
        self
    }

    pub(crate) fn logging_in(mut self, acts: Vec<Act>) -> Self {
        self.logins = vec![acts];
        self
    }

    pub(crate) fn greeting(mut self, acts: Vec<Act>) -> Self {
        self.greeting = Some(acts);
        self
    }
}

/// What arrived since it was last forgotten.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    /// Of requests, in the clear.
    pub(crate) bytes: AtomicUsize,
    /// Of floods that the client took.
    pub(crate) flooded: AtomicUsize,
    /// Whole ones.
    pub(crate) requests: Mutex<Vec<String>>,
}

impl Seen {
    pub(crate) fn forget(&self) {
        for number in [&self.connections, &self.bytes, &self.flooded] {
            number.store(0, Ordering::SeqCst);
        }
        self.requests.lock().unwrap().clear();
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn flooded(&self) -> usize {
        self.flooded.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn logins(&self) -> usize {
        self.requests().iter().filter(|request| is_login(request)).count()
    }
}

fn is_login(request: &str) -> bool {
    request.starts_with("POST /apicall/token ")
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    behaviour: Arc<Mutex<Behaviour>>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, behaviour) = (Arc::<Seen>::default(), Arc::new(Mutex::new(behaviour)));
        let accepting = tokio::spawn({
            let (seen, behaviour) = (seen.clone(), behaviour.clone());
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    seen.connections.fetch_add(1, Ordering::SeqCst);
                    let behaviour = behaviour.lock().unwrap().clone();
                    tokio::spawn(serve(stream, behaviour, seen.clone()));
                }
            }
        });
        Self { address, seen, behaviour, accepting }
    }

    /// Behaves like this from now on, and forgets what was.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.seen.forget();
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, behaviour: Behaviour, seen: Arc<Seen>) {
    let mut stream = stream;
    if let Some(acts) = &behaviour.greeting {
        if let Ending::Reset = play(&mut stream, acts, &seen).await {
            stream.set_zero_linger().unwrap();
        }
        return;
    }
    let Some(tls) = &behaviour.tls else {
        if let Ending::Reset = answer(&mut stream, &behaviour, &seen).await {
            stream.set_zero_linger().unwrap();
        }
        return;
    };
    let Ok(mut stream) = TlsAcceptor::from(tls.clone()).accept(stream).await else { return };
    match answer(&mut stream, &behaviour, &seen).await {
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

async fn answer(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), behaviour: &Behaviour, seen: &Seen) -> Ending {
    let Some(request) = read_request(stream, seen).await else { return Ending::Close };
    let login = is_login(&request);
    let position = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(request);
        requests.iter().filter(|known| is_login(known) == login).count() - 1
    };
    let scripts = if login { &behaviour.logins } else { &behaviour.inquiries };
    let script = scripts.get(position).or(scripts.last()).cloned().unwrap_or_default();
    play(stream, &script, seen).await
}

/// Ends early if the client goes.
async fn play(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), script: &[Act], seen: &Seen) -> Ending {
    for act in script {
        let went_on = match act {
            Act::Say(bytes) => send(stream, bytes).await,
            Act::Drip(bytes) => drip(stream, bytes).await,
            Act::Flood(bytes) => {
                while send(stream, bytes).await {
                    seen.flooded.fetch_add(bytes.len(), Ordering::SeqCst);
                }
                false
            }
            Act::Repeat(bytes) => {
                while send(stream, bytes).await {
                    tokio::time::sleep(DRIP).await;
                }
                false
            }
            Act::Wait => {
                let mut buffer = [0; 4096];
                while let Ok(1..) = stream.read(&mut buffer).await {}
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

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
    for byte in bytes {
        if !send(stream, &[*byte]).await {
            return false;
        }
        tokio::time::sleep(DRIP).await;
    }
    true
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), seen: &Seen) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if length_of(&request).is_some_and(|length| request.len() >= length) {
            return Some(String::from_utf8_lossy(&request).into_owned());
        }
        match stream.read(&mut buffer).await {
            Ok(n @ 1..) => {
                seen.bytes.fetch_add(n, Ordering::SeqCst);
                request.extend_from_slice(&buffer[..n]);
            }
            Ok(_) | Err(_) => return None,
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
