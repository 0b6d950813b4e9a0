//! The flags that say where and how to serve, and what systemd passes in the environment.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use listenfd::ListenFd;
use url::Url;

use super::Exit;
use crate::app::{App, Doors, Origin};
use crate::clock::SystemClock;
use crate::service::ServiceManager;
use crate::transport::HttpTransport;
use crate::web::{Guard, Paths};

/// How to serve.
#[derive(Clone, Debug, Args)]
pub(super) struct WebArgs {
    /// Address to serve on; may be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10920")]
    listen_address: Vec<String>,
    /// Serve on the sockets that systemd passes, instead of opening some
    #[arg(long = "web.systemd-socket", conflicts_with = "listen_address")]
    systemd_socket: bool,
    /// File that says who may come in and over what: TLS, client certificates, passwords, a limit
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<PathBuf>,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    telemetry_path: String,
    /// What all paths begin with; the path of --web.external-url unless given
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,
    /// URL by which people come here through a proxy, for the links of the page
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    /// Scrapes that are answered at once; one more ends the one that is read most slowly; 0 is any number
    #[arg(long = "web.max-requests", value_name = "NUMBER", default_value_t = 0)]
    max_requests: usize,
    /// Allow a reload by POST /-/reload, and polls before their time
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
}

impl WebArgs {
    /// The daemon that they ask for.
    pub(super) fn app(&self, origin: Origin) -> Result<App, (Exit, String)> {
        let paths = self.paths().map_err(|why| (Exit::BadConfig, why))?;
        let guard = Guard::new(self.web_config_file.clone()).map_err(|why| (Exit::BadConfig, why))?;
        let doors = self.doors()?;
        let manager = service_manager().map_err(|why| (Exit::Failed, why))?;
        let transport = HttpTransport::new().map_err(|error| (Exit::Failed, error.to_string()))?;
        Ok(App {
            origin,
            doors,
            paths,
            guard,
            max_requests: self.max_requests,
            lifecycle: self.enable_lifecycle,
            auto_reload: None,
            clock: Arc::new(SystemClock),
            transport: Arc::new(transport),
            manager,
        })
    }

    /// Under which paths things are.
    pub(super) fn paths(&self) -> Result<Paths, String> {
        for (flag, path) in
            [("--web.telemetry-path", Some(&self.telemetry_path)), ("--web.route-prefix", self.route_prefix.as_ref())]
        {
            if path.is_some_and(|path| !is_path(path)) {
                return Err(format!("{flag}: expected a path that begins with a slash, such as /metrics"));
            }
        }
        let external = self.external_url.as_deref().map(external_path).transpose()?;
        Ok(Paths::new(&self.telemetry_path, self.route_prefix.as_deref(), external.as_deref()))
    }

    /// Path of the metrics.
    pub(super) fn telemetry_path(&self) -> &str {
        &self.telemetry_path
    }

    fn doors(&self) -> Result<Doors, (Exit, String)> {
        if self.systemd_socket {
            return passed_sockets().map(Doors::Passed).map_err(|why| (Exit::Failed, why));
        }
        let addresses: Result<_, _> = self.listen_address.iter().map(|text| listen_address(text)).collect();
        addresses.map(Doors::At).map_err(|why| (Exit::BadConfig, why))
    }

    #[cfg(test)]
    pub(super) fn listens_at(&self) -> &[String] {
        &self.listen_address
    }

    #[cfg(test)]
    pub(super) const fn lifecycle(&self) -> bool {
        self.enable_lifecycle
    }
}

/// True for what can stand in a request as it is.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#%<>?\\^`{|}".contains(&byte))
}

/// The path of a URL by which a proxy shows this exporter.
fn external_path(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let bare = |url: &Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    match url.filter(bare) {
        Some(url) if is_path(url.path()) => Ok(url.path().to_owned()),
        Some(_) | None => {
            Err("--web.external-url: expected a URL such as https://example.com/balances, without user, \
            query or fragment; a path alone is for --web.route-prefix"
                .to_owned())
        }
    }
}

/// `127.0.0.1:10920`, `[::1]:10920`, `localhost:10920`, or `:10920` for every interface, as Prometheus people write it.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let every = text.strip_prefix(':').map(|port| format!("[::]:{port}"));
    let mut found = every.as_deref().unwrap_or(text).to_socket_addrs().map_err(|error| {
        format!("--web.listen-address: expected an address and port such as 127.0.0.1:10920 ({})", error.kind())
    })?;
    found.next().ok_or_else(|| "--web.listen-address: the name has no address".to_owned())
}

/// The sockets that systemd has opened for this process.
#[expect(clippy::disallowed_methods, reason = "the environment is read here")]
fn passed_sockets() -> Result<Vec<TcpListener>, String> {
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    let mut passed = if ours { ListenFd::from_env() } else { ListenFd::empty() };
    if passed.len() == 0 {
        return Err(
            "--web.systemd-socket: no socket was passed; start balance-exporter.socket, or leave the flag out \
            to open one"
                .to_owned(),
        );
    }
    let listeners = (0..passed.len()).filter_map(|place| passed.take_tcp_listener(place).transpose());
    listeners.collect::<Result<_, _>>().map_err(|_| {
        "--web.systemd-socket: a passed socket is not for TCP; the socket unit needs ListenStream= with a port"
            .to_owned()
    })
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here")]
fn service_manager() -> Result<ServiceManager, String> {
    ServiceManager::of(std::process::id(), |name| std::env::var_os(name))
        .map_err(|error| format!("cannot reach the service manager: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_read_as_prometheus_people_write_them() {
        assert_eq!(listen_address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(listen_address(":9000").unwrap().to_string(), "[::]:9000");
        assert_eq!(listen_address("[::1]:2").unwrap().to_string(), "[::1]:2");
        assert!(listen_address("9000").is_err() && listen_address("").is_err());
    }

    #[test]
    fn an_external_url_is_a_whole_url() {
        for (url, path) in [
            ("https://example.com", Some("/")),
            ("http://example.com:8080/a/b/", Some("/a/b/")),
            ("https://[::1]/a", Some("/a")),
            ("/balances", None),
            ("example.com/balances", None),
            ("ftp://example.com/", None),
            ("https://user@example.com/", None),
            ("https://example.com/?a=b", None),
            ("https://example.com/#a", None),
            ("https://example.com/a%20b", None),
            ("", None),
        ] {
            assert_eq!(external_path(url).ok().as_deref(), path, "{url}");
        }
    }

    #[test]
    fn a_path_can_stand_in_a_request() {
        for (path, good) in [("/", true), ("/a/b-c_d.e~f", true), ("a", false), ("", false), ("/a b", false)] {
            assert_eq!(is_path(path), good, "{path}");
        }
        for odd in ["/a?b", "/a#b", "/%61", "/a\"b", "/\u{e9}", "/a\n"] {
            assert!(!is_path(odd), "{odd}");
        }
    }
}
