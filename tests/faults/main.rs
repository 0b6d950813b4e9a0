//! A provider that misbehaves in every way that has a name, from its configuration to `/metrics`: no number that it
//! did not say, no number that is old, no series that is missing, no secret that is told, one reason each.
//!
//! The table is in the files that are named after what goes wrong: `network` (rows P), `http` (H), `body` (B),
//! `identity` (G) and `oauth` (O). Rows that are decided otherwise than one might expect, or cannot be tried here, say
//! why. `TRIED=1 cargo test --test faults -- --nocapture` prints what was tried.

#![expect(clippy::unwrap_used, clippy::format_push_string, reason = "a test may be plain")]

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

mod api;
mod body;
mod certificates;
mod http;
mod identity;
mod network;
mod oauth;
mod proxy;
mod redirects;
mod scene;
mod server;
mod table;
mod ways;

use api::Api;
use scene::{World, no_secret};
use table::{Row, Trial};

/// Scenes at once.
const AT_ONCE: usize = 32;
/// What cannot be tried here. The row says why.
const LEFT_OUT: [&str; 1] = ["O08"];

fn rows() -> Vec<Row> {
    [network::rows(), http::rows(), body::rows(), identity::rows(), oauth::rows()].into_iter().flatten().collect()
}

#[test]
fn every_row_is_in_the_table_once() {
    let mut wanted = Vec::new();
    for (letter, last) in [("P", 18), ("H", 30), ("B", 27), ("G", 19), ("O", 14)] {
        wanted.extend((1..=last).map(|number| format!("{letter}{number:02}")));
    }
    wanted.sort();
    let rows = rows();
    let mut found: Vec<_> = rows.iter().map(|row| row.id.to_owned()).collect();
    found.sort();
    assert_eq!(found, wanted);
    let untried: Vec<_> = rows.iter().filter(|row| row.trials.is_empty()).collect();
    assert_eq!(untried.iter().map(|row| row.id).collect::<Vec<_>>(), LEFT_OUT);
    assert!(untried.iter().all(|row| row.note.len() > 20), "a row that is left out says why");
}

/// All that is logged while the table is tried.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_row_ends_as_the_table_says() {
    let log = Log::default();
    let writer = log.clone();
    let levels = Targets::new().with_default(LevelFilter::WARN).with_target("balance_exporter", LevelFilter::TRACE);
    let records = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(levels).with(records);
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // what becomes of connections changes nothing
    let worlds = [false, true].map(|keep_alive| Arc::new(World::new(keep_alive)));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut scenes = JoinSet::new();
    let mut tried = Vec::new();
    for row in rows() {
        for trial in row.trials {
            let trial = Arc::new(trial);
            let (name, apis) = match &*trial {
                Trial::Case(case) => (case.name.clone(), case.apis),
                Trial::Shown(shown) => (shown.name.to_owned(), shown.apis),
            };
            for (api, world) in apis.iter().flat_map(|api| worlds.iter().map(|world| (*api, world))) {
                let kept = if world.keep_alive { ", connections kept" } else { "" };
                let what = format!("{} {}: {name}{kept}", row.id, api.name());
                tried.push(what.clone());
                let (world, trial, at_once) = (world.clone(), trial.clone(), at_once.clone());
                scenes.spawn(async move {
                    let _place = at_once.acquire_owned().await;
                    (what, played(&world, &trial, api).await)
                });
            }
        }
    }
    let mut wrong = Vec::new();
    while let Some(ended) = scenes.join_next().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((what, Err(why))) => wrong.push(format!("{what}: {}", why.chars().take(600).collect::<String>())),
            Err(panicked) => wrong.push(panicked.to_string()),
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), tried.len(), wrong.join("\n"));
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("cannot be read"), "nothing was logged");
    no_secret("the log", &logged).unwrap();
    println!("{} pairs of a behaviour and an API", tried.len());
    #[expect(clippy::disallowed_methods, reason = "asked by whoever runs the tests")]
    if std::env::var_os("TRIED").is_some() {
        println!("{}", tried.join("\n"));
    }
}

async fn played(world: &Arc<World>, trial: &Trial, api: Api) -> Result<(), String> {
    match trial {
        Trial::Case(case) => case.run(world, api).await,
        Trial::Shown(shown) => (shown.show)(world.clone(), api).await,
    }
}
