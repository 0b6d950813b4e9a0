//! Scrapes, interleaved: each round asks every target once, so that what else the machine does hits all alike.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Used, resident_kb};
use crate::{Fallible, Options};

struct Target {
    name: String,
    host: String,
    path: String,
    gzip: bool,
    pids: Vec<u32>,
    times_ms: Vec<f64>,
    rounds: Vec<Round>,
    bytes: usize,
}

/// What the processes of a target used while it was asked, and what they use when nobody asks.
struct Round {
    took: Duration,
    used_ms: f64,
    /// Milliseconds of processor time in a second of the pause before.
    idle_rate: f64,
}

/// `text` has a line for each target: its name, its URL, `gzip` or `plain`, and the processes that serve it. What was
/// measured goes to stdout as JSON. `--at-once` many connections ask together, after a pause of `--idle-ms` that tells
/// what the processes use for other things.
pub async fn run(options: &Options, text: &str) -> Fallible<()> {
    let rounds: usize = options.number("rounds", 20)?;
    let pause = Duration::from_millis(options.number("pause-ms", 0)?);
    let idle = Duration::from_millis(options.number("idle-ms", 200)?);
    let at_once: usize = options.number("at-once", 1)?;
    let mut targets: Vec<Target> = text.lines().filter(|line| !line.is_empty()).map(target).collect::<Fallible<_>>()?;
    for round in 0..rounds {
        for target in &mut targets {
            let (resting, began) = (Used::by(&target.pids), Instant::now());
            tokio::time::sleep(idle).await;
            let (before, rested) = (Used::by(&target.pids), began.elapsed());
            let began = Instant::now();
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..at_once {
                let (host, path, gzip) = (target.host.clone(), target.path.clone(), target.gzip);
                asked.spawn(async move { scrape(&host, &path, gzip).await });
            }
            let mut times = Vec::new();
            while let Some(outcome) = asked.join_next().await {
                let (took, bytes) = outcome??;
                times.push(took.as_secs_f64() * 1e3);
                target.bytes = bytes;
            }
            let used = before.until(Used::by(&target.pids));
            // the first round warms up
            if round > 0 || rounds == 1 {
                let idle_rate = resting.until(before) as f64 / 1e6 / rested.as_secs_f64().max(1e-3);
                target.times_ms.extend(times);
                target.rounds.push(Round { took: began.elapsed(), used_ms: used as f64 / 1e6, idle_rate });
            }
        }
        tokio::time::sleep(pause).await;
    }
    let report: Vec<_> = targets
        .iter_mut()
        .map(|target| {
            let (now, most) = target.pids.iter().map(|pid| resident_kb(*pid)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            let raw: Vec<f64> = target.rounds.iter().map(|round| round.used_ms).collect();
            let net = net(&target.rounds);
            let shares: Vec<f64> = raw.iter().zip(&net).map(|(raw, net)| 1.0 - net / raw.max(1e-6)).collect();
            json!({
                "name": target.name, "gzip": target.gzip, "bytes": target.bytes, "ms": spread(&target.times_ms),
                "raw_ms": spread(&raw), "raw_ms_each": raw, "net_ms": spread(&net), "net_ms_each": net,
                "taken_off": spread(&shares), "resident_kb": now, "most_resident_kb": most,
            })
        })
        .collect();
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// What each round used without what the processes would have used anyway. It must not flatter: no pause counts for more
/// than the usual one, and half of what was used is not taken off whatever they did.
fn net(rounds: &[Round]) -> Vec<f64> {
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.idle_rate).collect();
    rates.sort_by(f64::total_cmp);
    let usual = rates.get(rates.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    let of = |round: &Round| {
        let anyway = round.idle_rate.min(usual) * round.took.as_secs_f64();
        (round.used_ms - anyway).max(round.used_ms / 2.0)
    };
    rounds.iter().map(of).collect()
}

fn target(line: &str) -> Fallible<Target> {
    let mut words = line.split_whitespace();
    let mut next = |what: &str| words.next().map(str::to_owned).ok_or_else(|| format!("{line}: {what} is missing"));
    let (name, url, coding, pids) = (next("name")?, next("URL")?, next("coding")?, next("pids")?);
    let rest = url.strip_prefix("http://").ok_or("expected an http URL")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let pids = pids.split(',').map(str::parse).collect::<Result<_, _>>()?;
    Ok(Target {
        name,
        host: host.to_owned(),
        path: format!("/{path}"),
        gzip: coding == "gzip",
        pids,
        times_ms: Vec::new(),
        rounds: Vec::new(),
        bytes: 0,
    })
}

fn spread(values: &[f64]) -> serde_json::Value {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = ((sorted.len().max(1) - 1) as f64 * share).round() as usize;
        sorted.get(place).copied().unwrap_or_default()
    };
    json!({ "min": at(0.0), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}

/// One request on a connection of its own, as simply as can be: the client must not cost more than the server.
async fn scrape(host: &str, path: &str, gzip: bool) -> Fallible<(Duration, usize)> {
    let mut stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let coding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    let began = Instant::now();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain;version=0.0.4\r\n{coding}Connection: close\r\n\r\n").as_bytes())
        .await?;
    let mut buffer = vec![0; 256 * 1024];
    let mut total = stream.read(&mut buffer).await?;
    if !buffer.starts_with(b"HTTP/1.1 200") && !buffer.starts_with(b"HTTP/1.0 200") {
        let head = String::from_utf8_lossy(&buffer[..total.min(200)]).into_owned();
        return Err(format!("{host}{path}: {head}").into());
    }
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok((began.elapsed(), total));
        }
        total += read;
    }
}
