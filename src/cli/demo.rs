//! `demo` and `sandbox`: pretend providers, with and without an exporter beside them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::web::listen_address;
use super::{Exit, LogArgs, WebArgs, complain, on_runtime, print};
use crate::app::{AppError, Origin};
use crate::clock::SystemClock;
use crate::config::SecretReader;
use crate::sandbox::{Sandbox, Settings};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Decides every balance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    web: WebArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Address to serve on; plain HTTP, so keep it on this machine
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10921")]
    listen_address: String,
    /// Write a matching exporter.yaml and its key files into this directory
    #[arg(long, value_name = "DIRECTORY")]
    write_config: Option<PathBuf>,
    /// Decides every balance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep balances as they are until someone sets them
    #[arg(long)]
    still: bool,
    /// How long a token of the provider that logs in is good for
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    token_lifetime: Duration,
    #[command(flatten)]
    log: LogArgs,
}

pub(super) fn demo(args: &DemoArgs) -> Exit {
    args.log.start();
    let telemetry = args.web.telemetry_path();
    on_runtime(async {
        let settings = Settings { seed: args.seed, ..Settings::default() };
        let (sandbox, listener, address) = open(settings, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let origin = Origin::Text {
            name: "demo configuration".to_owned(),
            text: sandbox.exporter_yaml(address),
            secrets: SecretReader::with_environment(sandbox.secrets()),
        };
        let app = args.web.app(origin).map_err(|(_, why)| AppError::Runtime(why))?;
        let providers = tokio::spawn(sandbox.serve(listener, std::future::pending()));
        let outcome = app
            .run(|pages| {
                let page = pages.first().map_or("", String::as_str);
                print(&format!(
                    "balance-exporter demo: four pretend providers, polled as the real ones would be\n\n  \
                     metrics    {}{telemetry}\n  \
                     page       {page}\n  \
                     providers  http://{address}/-/sandbox\n\n\
                     Stop it with Ctrl-C.\n",
                    page.trim_end_matches('/'),
                ));
            })
            .await;
        providers.abort();
        outcome
    })
}

pub(super) fn sandbox(args: &SandboxArgs) -> Exit {
    args.log.start();
    let listen = match listen_address(&args.listen_address) {
        Ok(listen) => listen,
        Err(why) => return complain(Exit::BadConfig, &why),
    };
    on_runtime(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| AppError::Runtime(error.to_string()))?;
        let settings =
            Settings { seed: args.seed, live: !args.still, token_lifetime: args.token_lifetime, ..Settings::default() };
        let (sandbox, listener, address) = open(settings, listen).await?;
        let mut told = format!("balance-exporter sandbox: four pretend providers on http://{address}/\n");
        if let Some(directory) = &args.write_config {
            sandbox
                .write_to(directory, address)
                .map_err(|error| AppError::Runtime(format!("cannot write to {}: {error}", directory.display())))?;
            let file = directory.join("exporter.yaml");
            told = format!("{told}poll them with: balance-exporter --config.file {}\n", file.display());
        }
        print(&told);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        sandbox
            .serve(listener, stop)
            .await
            .map_err(|error| AppError::Runtime(format!("the sandbox has stopped: {error}")))
    })
}

async fn open(settings: Settings, listen: SocketAddr) -> Result<(Arc<Sandbox>, TcpListener, SocketAddr), AppError> {
    let clock = Arc::new(SystemClock);
    let sandbox =
        Sandbox::new(settings, clock).map_err(|error| AppError::Runtime(format!("cannot make keys: {error}")))?;
    let cannot_listen = |error| AppError::Runtime(format!("cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    Ok((Arc::new(sandbox), listener, address))
}
