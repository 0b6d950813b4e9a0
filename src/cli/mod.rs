//! The command line: what a person can ask the program to do.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::app::{App, AppError, Origin};

mod check;
mod demo;
mod disguise;
mod log;
mod masked;
mod poll;
mod seal;
mod web;

use log::LogArgs;
use web::WebArgs;

/// Polls payment and telecom providers for account balances and serves them to Prometheus.
///
/// Without a command it runs the exporter: every account of the configuration is polled at its own interval and
/// within its provider's limits, and what is known is served on /metrics.
#[derive(Debug, Parser)]
#[command(name = "balance-exporter", version, about, long_about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exporter (what happens without a command, too)
    Run(RunArgs),
    /// Read the configuration and its secrets, and say what will be polled, how often, and at which share of each limit
    ///
    /// It looks at each secret and shows none. A secret that is not there at all is reported and is no failure, so that
    /// a configuration can be checked where its secrets are not; with --require-secrets it is one. Exit status: 0 if
    /// nothing is wrong, 2 if something is.
    Check(check::CheckArgs),
    /// Poll one account once and show its balances
    ///
    /// The request counts at the provider like any other, and a running exporter does not know of it: leave room in
    /// the limit. Exit status: 0 if the account was read, 1 if not, 2 if the configuration is unusable.
    Poll(poll::PollArgs),
    /// Try it without credentials: pretend providers and an exporter that polls them, in one process
    Demo(demo::DemoArgs),
    /// Serve pretend providers to poll against, as strict as the real ones
    ///
    /// Balances move by themselves. GET /-/sandbox shows them; PUT /-/sandbox/accounts/PROVIDER/ACCOUNT sets a balance
    /// ({"available": "12.50"}) or a fault ({"fault": "hang"}); GET /-/sandbox/faults lists the faults.
    Sandbox(demo::SandboxArgs),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Print the reference of metrics, reasons, providers, configuration and command line as Markdown
    Reference {
        /// Print this file with its generated parts brought up to date, instead of the reference alone
        #[arg(long, value_name = "FILE")]
        update: Option<PathBuf>,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE", default_value = "exporter.yaml")]
    config_file: PathBuf,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Clone, Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    reload: ReloadArgs,
    #[command(flatten)]
    web: WebArgs,
}

/// Whether a changed configuration is taken in by itself.
#[derive(Clone, Debug, Args)]
struct ReloadArgs {
    /// Reload the configuration when its file changes
    #[arg(long = "config.enable-auto-reload")]
    enable: bool,
    /// How often to look for a change; it is taken in once two looks in a row find the same
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s", value_parser = interval)]
    interval: Duration,
}

/// What a command came to; the number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Fine = 0,
    Failed = 1,
    BadConfig = 2,
    Locked = 3,
}

/// The command line, for the reference and for tests of the documents.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    log::tell_of_panics();
    if let Err(why) = seal::seal() {
        complain(Exit::Fine, &why);
    }
    let exit = match Cli::parse() {
        Cli { command: None, run: args } => run(&args),
        Cli { command: Some(asked), .. } => match asked {
            Command::Run(args) => run(&args),
            Command::Check(args) => check::check(&args),
            Command::Poll(args) => poll::poll(&args),
            Command::Demo(args) => demo::demo(&args),
            Command::Sandbox(args) => demo::sandbox(&args),
            Command::Schema => print(&format!("{:#}", crate::config::schema())),
            Command::Reference { update: None } => print(&crate::reference::all(&command())),
            Command::Reference { update: Some(file) } => update(&file),
        },
    };
    ExitCode::from(exit as u8)
}

fn run(args: &RunArgs) -> Exit {
    args.config.log.start();
    match args.web.app(Origin::File(args.config.config_file.clone())) {
        Ok(app) => {
            let auto_reload = args.reload.enable.then_some(args.reload.interval);
            on_runtime(App { auto_reload, ..app }.run(|_| {}))
        }
        Err((exit, why)) => complain(exit, &why),
    }
}

/// A length of time such as `30s`, of a second at least.
fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(length) if length >= Duration::from_secs(1) => Ok(length),
        Ok(_) | Err(_) => Err("expected a second or more, such as 30s".to_owned()),
    }
}

/// Runs the daemon. Polls and the web side have a thread each; what is left for this one is done now and then.
fn on_runtime(daemon: impl Future<Output = Result<(), AppError>>) -> Exit {
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let outcome = runtime.block_on(daemon);
            // a configuration that is still being read must not hold up the exit
            runtime.shutdown_timeout(Duration::from_millis(100));
            outcome
        }
        Err(error) => return complain(Exit::Failed, &format!("cannot start the runtime: {error}")),
    };
    match outcome {
        Ok(()) => Exit::Fine,
        Err(error @ AppError::Config(_)) => complain(Exit::BadConfig, &error.to_string()),
        Err(error @ AppError::Locked(_)) => complain(Exit::Locked, &error.to_string()),
        Err(error @ AppError::Runtime(_)) => complain(Exit::Failed, &error.to_string()),
    }
}

fn update(file: &std::path::Path) -> Exit {
    let document = match std::fs::read_to_string(file) {
        Ok(document) => document,
        Err(error) => return complain(Exit::Failed, &format!("cannot read {}: {error}", file.display())),
    };
    match crate::reference::update(&document, &command()) {
        Ok(updated) => print(&updated),
        Err(why) => complain(Exit::Failed, &format!("{}: {why}", file.display())),
    }
}

/// Writes the answer of a command. A reader that has gone away is no failure of ours.
fn print(text: &str) -> Exit {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
    {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(_) => Exit::Failed,
    }
}

/// Writes what went wrong to standard error, in full lines that a person reads.
fn complain(exit: Exit, why: &str) -> Exit {
    // there is nobody left to tell
    let _ = writeln!(io::stderr().lock(), "balance-exporter: {why}");
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_what_happens_without_a_command() {
        let bare =
            Cli::try_parse_from(["balance-exporter", "--config.file", "a.yaml", "--web.enable-lifecycle"]).unwrap();
        assert!(bare.command.is_none() && bare.run.web.lifecycle());
        assert_eq!(bare.run.config.config_file, PathBuf::from("a.yaml"));
        let auto = ["balance-exporter", "--config.enable-auto-reload", "--config.auto-reload-interval"];
        for (interval, good) in [("1s", true), ("1m30s", true), ("999ms", false), ("30", false), ("-1s", false)] {
            let parsed = Cli::try_parse_from(auto.into_iter().chain([interval]));
            assert_eq!(parsed.is_ok(), good, "{interval}");
        }
        let named = Cli::try_parse_from(["balance-exporter", "run", "--web.listen-address", ":9000"]).unwrap();
        assert!(matches!(named.command, Some(Command::Run(args)) if args.web.listens_at() == [":9000"]));
    }
}
