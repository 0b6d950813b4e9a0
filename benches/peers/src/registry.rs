//! The account series of a scrape, held by a registry and rendered by it for each scrape.

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::Fallible;

pub trait Registry: Send + Sync + 'static {
    fn text(&self) -> Vec<u8>;
}

/// Serves until it is killed; the first line on stdout is its address.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(registry: impl Registry) -> Fallible<()> {
    let registry = Arc::new(registry);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/metrics", listener.local_addr()?);
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let registry = registry.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<hyper::body::Incoming>| {
                let registry = registry.clone();
                async move {
                    let text = registry.text();
                    let packed = request.headers().get(ACCEPT_ENCODING).is_some_and(|value| value.as_bytes() == b"gzip");
                    let mut response = Response::new(Full::new(Bytes::from(if packed { gzip(&text) } else { text })));
                    if packed {
                        response.headers_mut().insert(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"));
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// At the level that the exporter itself uses.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(2));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

struct Series<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

/// The series about accounts. The rig's labels need no unescaping.
fn series(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter(|line| line.contains(",account=\"")).filter_map(|line| {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        let labels = labels.trim_end_matches('"').split("\",").filter_map(|label| label.split_once("=\"")).collect();
        Some(Series { name, labels, value: value.parse().ok()? })
    })
}

pub struct Prometheus(prometheus::Registry);

impl Prometheus {
    pub fn load(text: &str) -> Fallible<Self> {
        let registry = prometheus::Registry::new();
        let mut known: Option<(String, prometheus::GaugeVec)> = None;
        for series in series(text) {
            if known.as_ref().is_none_or(|(name, _)| name != series.name) {
                let names: Vec<&str> = series.labels.iter().map(|(name, _)| *name).collect();
                let family = prometheus::GaugeVec::new(prometheus::Opts::new(series.name, "see the exporter"), &names)?;
                registry.register(Box::new(family.clone()))?;
                known = Some((series.name.to_owned(), family));
            }
            let values: Vec<&str> = series.labels.iter().map(|(_, value)| *value).collect();
            if let Some((_, family)) = &known {
                // an info metric may have fewer labels on some accounts
                if let Ok(gauge) = family.get_metric_with_label_values(&values) {
                    gauge.set(series.value);
                }
            }
        }
        Ok(Self(registry))
    }
}

impl Registry for Prometheus {
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        prometheus::Encoder::encode(&prometheus::TextEncoder::new(), &self.0.gather(), &mut text).unwrap();
        text
    }
}

/// Labels as that crate's guide has them: a type per family would be `EncodeLabelSet` derived; one list of pairs writes
/// the same text at the same cost.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Pairs(Vec<(String, String)>);

impl EncodeLabelSet for Pairs {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

pub struct Client(prometheus_client::registry::Registry);

impl Client {
    pub fn load(text: &str) -> Fallible<Self> {
        let mut registry = prometheus_client::registry::Registry::default();
        let mut known: Option<(String, Family<Pairs, Gauge<f64, AtomicU64>>)> = None;
        for series in series(text) {
            if known.as_ref().is_none_or(|(name, _)| name != series.name) {
                let family = Family::default();
                registry.register(series.name, "see the exporter", family.clone());
                known = Some((series.name.to_owned(), family));
            }
            let pairs = series.labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            if let Some((_, family)) = &known {
                family.get_or_create(&Pairs(pairs)).set(series.value);
            }
        }
        Ok(Self(registry))
    }
}

impl Registry for Client {
    fn text(&self) -> Vec<u8> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.0).unwrap();
        text.into_bytes()
    }
}
