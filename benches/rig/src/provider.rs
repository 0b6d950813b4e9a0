//! A provider that answers as it is told: after a delay, with another balance each time, and to some accounts with
//! nothing, with `429` or with garbage. It speaks as Dialog does to a GET and as Smilepayz does to a POST.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::{Fallible, Options};

/// It listens at so many addresses, each with the same port: connections to one of them use up the ports of the side
/// that makes them, if a hundred thousand come within a minute.
const HOSTS: u8 = 20;
/// How long a request and a refusal can pass each other by.
const CROSSING: Duration = Duration::from_secs(1);

struct Provider {
    delay: Duration,
    /// Percent of accounts that get nothing, 429, garbage.
    hang: u64,
    throttle: u64,
    garbage: u64,
    retry_after: u64,
    requests: AtomicU64,
    connections: AtomicU64,
    /// Requests that came before the time that Retry-After told, and not just after it was told.
    too_early: AtomicU64,
    /// Requests that can have been on their way when it was told.
    crossed: AtomicU64,
    /// When each throttled provider path was told to wait, and may be asked again.
    again: Mutex<HashMap<String, (Instant, Instant)>>,
    /// When each request came, by account: for comparison with when it was due, so in Unix time, in seconds.
    arrivals: Mutex<Vec<(u64, f64)>>,
    /// When the first balance was asked for, and when the last one was told.
    span: Mutex<Option<(Instant, Instant)>>,
}

/// Serves until it is killed. The first line on stdout is the first of its addresses.
pub async fn run(options: &Options) -> Fallible<()> {
    let provider = Arc::new(Provider {
        delay: Duration::from_millis(options.number("delay-ms", 0)?),
        hang: options.number("hang", 0)?,
        throttle: options.number("throttle", 0)?,
        garbage: options.number("garbage", 0)?,
        retry_after: options.number("retry-after", 60)?,
        requests: AtomicU64::new(0),
        connections: AtomicU64::new(0),
        too_early: AtomicU64::new(0),
        crossed: AtomicU64::new(0),
        again: Mutex::default(),
        arrivals: Mutex::default(),
        span: Mutex::default(),
    });
    let mut port = 0;
    for host in 1..=HOSTS {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, host], port)))?;
        let listener: TcpListener = socket.listen(16_384)?;
        port = listener.local_addr()?.port();
        tokio::spawn(listen(listener, provider.clone()));
    }
    println!("http://127.0.0.1:{port}");
    std::io::stdout().flush()?;
    std::future::pending().await
}

async fn listen(listener: TcpListener, provider: Arc<Provider>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        provider.connections.fetch_add(1, Relaxed);
        let provider = provider.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let provider = provider.clone();
                async move { Ok::<_, Infallible>(provider.answer(request).await) }
            });
            // whoever breaks off, breaks off
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Provider {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if path == "/stats" {
            return json(self.stats());
        }
        if path == "/arrivals" {
            return json(serde_json::json!(std::mem::take(&mut *self.arrivals.lock().unwrap())).to_string());
        }
        let asked = Instant::now();
        let arrived = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = self.requests.fetch_add(1, Relaxed);
        let is_signed = request.method() == Method::POST;
        let account = if is_signed {
            let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            body["accountNo"].as_str().unwrap_or_default().to_owned()
        } else {
            path.split('/').rev().nth(3).unwrap_or_default().to_owned()
        };
        let number_of_account = account.parse().unwrap_or_default();
        self.arrivals.lock().unwrap().push((number_of_account, arrived.as_secs_f64()));
        let place = number_of_account / 20 % 100;
        if place < self.hang {
            std::future::pending::<()>().await;
        }
        // a whole provider is throttled, since the exporter pauses a whole provider
        let entry = path.split('/').nth(1).unwrap_or_default();
        let throttled = entry.strip_prefix('p').and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n * 5 < self.throttle);
        if throttled {
            let now = Instant::now();
            let mut again = self.again.lock().unwrap();
            match again.get(entry) {
                Some((told, until)) if now < *until => {
                    let counter = if now - *told < CROSSING { &self.crossed } else { &self.too_early };
                    counter.fetch_add(1, Relaxed);
                }
                _ => drop(again.insert(entry.to_owned(), (now, now + Duration::from_secs(self.retry_after)))),
            }
            let mut refusal = Response::new(Full::default());
            *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            refusal.headers_mut().insert(RETRY_AFTER, self.retry_after.into());
            return refusal;
        }
        if place < self.hang + self.garbage {
            return json("{\"endUserId\":\"garbage".to_owned());
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        {
            let mut span = self.span.lock().unwrap();
            let (first, last) = span.unwrap_or((asked, asked));
            *span = Some((first.min(asked), last.max(Instant::now())));
        }
        let cents = 100_000 + number * 7_919 % 900_000;
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        json(if is_signed {
            format!(
                "{{\"code\":\"00\",\"message\":\"success\",\"accountNo\":\"{account}\",\"accountInfos\":{{\"balanceType\":\"BALANCE\",\
                 \"amount\":{{\"currency\":\"PEN\",\"value\":\"{amount}\"}},\"availableBalance\":{{\"currency\":\"PEN\",\"value\":\"{amount}\"}}}}}}"
            )
        } else {
            format!(
                "{{\"endUserId\":\"{account}\",\"referenceCode\":\"REF-{number:06}\",\"accountInfo\":{{\"accountType\":\"PREPAID\",\
                 \"accountStatus\":\"Active\",\"creditLimit\":{amount},\"balance\":{amount}}}}}"
            )
        })
    }

    fn stats(&self) -> String {
        let span = self.span.lock().unwrap().map_or(Duration::ZERO, |(first, last)| last - first);
        serde_json::json!({
            "requests": self.requests.load(Relaxed),
            "connections": self.connections.load(Relaxed),
            "too_early": self.too_early.load(Relaxed),
            "crossed": self.crossed.load(Relaxed),
            "span_s": span.as_secs_f64(),
        })
        .to_string()
    }
}

fn json(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    response
}
