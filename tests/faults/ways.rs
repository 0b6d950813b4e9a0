//! Ways to a provider: proxies, pins, client certificates, and what does not count as one.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;

use balance_exporter::clock::{Clock as _, SystemClock};
use balance_exporter::failure::ErrorReason::{self, Connect, Dns, Tls};
use tokio::net::TcpListener;

use crate::api::{ALL, Api, FIRST, SECOND, token_for};
use crate::proxy::{Manner, Proxy};
use crate::scene::{ACCOUNT, Answer, Scene, Setting, World, no_secret};
use crate::server::{Behaviour, say};
use crate::table::equal;

/// Tells the child which API it is about.
const API: &str = "FAULTS_TEST_API";

/// The poll fails, the number from before stays, and the provider hears nothing.
async fn fails(scene: &mut Scene, reason: ErrorReason) -> Result<(), String> {
    let status = scene.poll().await?;
    let (_, failure) = status.last_failure.as_deref().ok_or("the poll does not fail")?;
    no_secret("the failure", &format!("{failure:?}"))?;
    equal(&format!("the reason ({failure})"), failure.reason, reason)?;
    let told = scene.scrape()?;
    let counted = told.value("balance_poll_failures_total", &[("account", ACCOUNT), ("reason", reason.as_str())]);
    equal("the count of failures", counted, Some("1"))?;
    equal("the number after a failure", scene.figure(&told), Some(FIRST))?;
    equal("bytes of a request", scene.server.seen.bytes(), 0)
}

async fn reads(scene: &mut Scene, figure: &str) -> Result<(), String> {
    let status = scene.poll().await?;
    if let Some((_, failure)) = status.last_failure.as_deref() {
        return Err(format!("the poll fails: {failure}"));
    }
    let told = scene.scrape()?;
    equal("the number", scene.figure(&told), Some(figure))
}

fn over_tls(world: &World, api: Api, figure: &str) -> Behaviour {
    Behaviour { tls: Some(world.certificates.good()), ..Behaviour::good(api, figure) }
}

/// A scene behind a proxy, after its first poll.
async fn proxied(world: &World, api: Api) -> Result<(Scene, Proxy), String> {
    let proxy = Proxy::start().await;
    let setting =
        Setting { tls: true, provider_keys: format!("proxy: http://{}", proxy.address), ..Setting::default() };
    let mut scene = Scene::open(world, api, setting, over_tls(world, api, FIRST)).await?;
    // nobody but the proxy could find the provider
    world.names.answer(&scene.host, Answer::Failure);
    reads(&mut scene, FIRST).await?;
    let asked = proxy.asked();
    equal("requests to the proxy", asked.len(), scene.server.seen.connections())?;
    let line = format!("CONNECT {}:{} HTTP/1.1\r\n", scene.host, scene.server.address.port());
    if !asked.iter().all(|head| head.starts_with(&line)) {
        return Err(format!("the proxy was asked {asked:?}"));
    }
    no_secret("what the proxy was asked", &asked.concat())?;
    scene.server.behave(over_tls(world, api, SECOND));
    Ok((scene, proxy))
}

pub(crate) async fn proxy_refuses(world: &World, api: Api, status: &str) -> Result<(), String> {
    let (mut scene, proxy) = proxied(world, api).await?;
    // a way around the proxy would be open
    world.names.answer(&scene.host, Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()]));
    proxy.behave(Manner::Refuses(status.to_owned()));
    fails(&mut scene, Connect).await?;
    equal("requests to the proxy", proxy.asked().len(), 1)?;
    equal("connections around the proxy", scene.server.seen.connections(), 0)
}

pub(crate) async fn proxy_stalls(world: &World, api: Api) -> Result<(), String> {
    let (mut scene, proxy) = proxied(world, api).await?;
    world.names.answer(&scene.host, Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()]));
    proxy.behave(Manner::Stalls);
    scene.reload("1s").await?;
    fails(&mut scene, Connect).await?;
    equal("connections around the proxy", scene.server.seen.connections(), 0)
}

pub(crate) async fn proxy_is_gone(world: &World, api: Api) -> Result<(), String> {
    let (mut scene, proxy) = proxied(world, api).await?;
    world.names.answer(&scene.host, Answer::Addresses(vec![Ipv4Addr::LOCALHOST.into()]));
    drop(proxy);
    // the listener goes with its task
    tokio::task::yield_now().await;
    fails(&mut scene, Connect).await?;
    equal("connections around the proxy", scene.server.seen.connections(), 0)
}

/// http is for this machine only, whatever a resolver says of its name.
pub(crate) async fn localhost_stays_here(world: &World, api: Api) -> Result<(), String> {
    let world = World::new(world.keep_alive);
    let setting = Setting { localhost: true, ..Setting::default() };
    let mut scene = Scene::open(&world, api, setting, Behaviour::good(api, FIRST)).await?;
    reads(&mut scene, FIRST).await?;
    scene.server.behave(Behaviour::good(api, SECOND));
    world.names.answer("localhost", Answer::Addresses(vec![Ipv4Addr::new(192, 0, 2, 1).into()]));
    fails(&mut scene, Dns).await
}

/// A hundred accounts find their session over: one of them logs in for all.
pub(crate) async fn one_login_for_all(world: &World, api: Api) -> Result<(), String> {
    let brief = |figure| Behaviour::good(api, figure).logging_in(vec![say(token_for(30).bytes())]);
    let setting = Setting { others: 99, ..Setting::default() };
    let mut scene = Scene::open(world, api, setting, brief(FIRST)).await?;
    for figure in [FIRST, SECOND] {
        // some of the first polls may have begun already
        if figure != FIRST {
            scene.server.behave(brief(figure));
        }
        reads(&mut scene, figure).await?;
        let seen = &scene.server.seen;
        equal("logins", seen.logins(), 1)?;
        equal("inquiries", seen.requests().len() - seen.logins(), 100)?;
    }
    Ok(())
}

/// Runs the test below in a process whose environment names proxies and a time zone, since those are read by the
/// process.
pub(crate) async fn environment_is_ignored(api: Api) -> Result<(), String> {
    let proxy = TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = proxy.local_addr().map_err(|error| error.to_string())?;
    let mut child = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    child.args(["--ignored", "--exact", "ways::reads_in_an_odd_environment"]);
    child.env(API, api.name()).env("TZ", "Asia/Colombo");
    for name in ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"] {
        child.env(name, format!("http://{address}"));
        child.env(name.to_ascii_lowercase(), format!("http://{address}"));
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    let output = tokio::task::spawn_blocking(move || child.output()).await;
    let output = output.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !said.contains("1 passed") {
        return Err(said);
    }
    let called = tokio::time::timeout(std::time::Duration::from_millis(1), proxy.accept()).await.is_ok();
    equal("calls of the proxy", called, false)
}

#[tokio::test]
#[ignore = "run by the table, in an environment that names proxies and a time zone"]
#[expect(clippy::disallowed_methods, reason = "the parent says by the environment which API is meant")]
async fn reads_in_an_odd_environment() {
    let name = std::env::var(API).unwrap();
    let api = *ALL.iter().find(|api| api.name() == name).unwrap();
    let world = World::new(false);
    for tls in [false, true] {
        let behaviour = if tls { over_tls(&world, api, FIRST) } else { Behaviour::good(api, FIRST) };
        let offset = if api == Api::Bridge { "request_time_offset: '-05:30'" } else { "" };
        let setting = Setting { tls, provider_keys: offset.to_owned(), ..Setting::default() };
        let before = SystemClock.now().wall;
        let mut scene = Scene::open(&world, api, setting, behaviour).await.unwrap();
        reads(&mut scene, FIRST).await.unwrap();
        if api == Api::Bridge {
            let request = scene.server.seen.requests().concat();
            // the poll began somewhere between these
            let expected = [before, scene.clock.now().wall].map(|time| {
                let local = time - jiff::SignedDuration::from_mins(5 * 60 + 30);
                local.strftime("\"request_time\":\"%Y-%m-%d %H:%M\"").to_string()
            });
            assert!(expected.iter().any(|minute| request.contains(minute)), "{expected:?} is not in {request}");
        }
    }
}

/// A provider that asks who we are is told, if the configuration says so; one that is told something else, or
/// nothing, does not get as far as a request.
#[tokio::test]
async fn a_client_certificate_opens_the_door() {
    for keep_alive in [false, true] {
        let world = World::new(keep_alive);
        let (mutual, certificate, key) = world.certificates.mutual();
        let (strange, strange_key) = world.certificates.strange_client();
        let keys = "tls: { client_certificate: { env: CERTIFICATE }, client_key: { env: KEY } }";
        for api in ALL.iter().copied() {
            for (keys, certificate, key, known) in [
                (keys, &certificate, &key, true),
                (keys, &strange, &strange_key, false),
                ("", &certificate, &key, false),
            ] {
                let setting = Setting {
                    tls: true,
                    provider_keys: keys.to_owned(),
                    secrets: [("CERTIFICATE", certificate), ("KEY", key)]
                        .map(|(name, value)| (name.to_owned(), value.clone()))
                        .into(),
                    ..Setting::default()
                };
                let behaviour = Behaviour { tls: Some(mutual.clone()), ..Behaviour::good(api, FIRST) };
                let mut scene = Scene::open(&world, api, setting, behaviour).await.unwrap();
                let status = scene.poll().await.unwrap();
                let told = scene.scrape().unwrap();
                if known {
                    assert_eq!(scene.figure(&told), Some(FIRST), "{api:?}: {:?}", status.last_failure);
                } else {
                    let (_, failure) = status.last_failure.as_deref().unwrap();
                    assert_eq!(failure.reason, Tls, "{api:?}: {failure}");
                    assert_eq!(scene.figure(&told), None);
                    assert_eq!(scene.server.seen.requests().len(), 0);
                }
            }
        }
    }
}

/// A certificate that was renewed is shown from the next poll on, in sessions of its own.
#[tokio::test]
async fn a_renewed_certificate_is_in_use_at_once() {
    for keep_alive in [false, true] {
        let world = World::new(keep_alive);
        let (mutual, certificate, key) = world.certificates.mutual();
        let (strange, strange_key) = world.certificates.strange_client();
        let pair = |certificate: &String, key: &String| {
            [("CERTIFICATE", certificate), ("KEY", key)].map(|(name, value)| (name.to_owned(), value.clone()))
        };
        for api in ALL.iter().copied() {
            let setting = Setting {
                tls: true,
                provider_keys: "tls: { client_certificate: { env: CERTIFICATE }, client_key: { env: KEY } }".to_owned(),
                secrets: pair(&certificate, &key).into(),
                ..Setting::default()
            };
            let behaviour = Behaviour { tls: Some(mutual.clone()), ..Behaviour::good(api, FIRST) };
            let mut scene = Scene::open(&world, api, setting, behaviour).await.unwrap();
            reads(&mut scene, FIRST).await.unwrap();
            scene.server.seen.forget();
            scene.renew(pair(&strange, &strange_key).into()).await.unwrap();
            fails(&mut scene, Tls).await.unwrap();
            let refused = scene.renew(pair(&certificate, &strange_key).into()).await.unwrap_err();
            assert!(refused.contains("tls.client_key: this is not the key of the client certificate"), "{refused}");
        }
    }
}

/// What is pinned is trusted, and nobody else: neither whom everybody trusts here, nor the other way round.
#[tokio::test]
async fn a_pin_replaces_whom_the_system_trusts() {
    for keep_alive in [false, true] {
        let world = World::new(keep_alive);
        let pin = [("PIN".to_owned(), world.certificates.other_pem())];
        for api in ALL.iter().copied() {
            for (keys, by_the_other, trusted) in [
                ("tls: { ca: { env: PIN } }", true, true),
                ("tls: { ca: { env: PIN } }", false, false),
                ("", true, false),
                ("", false, true),
            ] {
                let setting = Setting {
                    tls: true,
                    provider_keys: keys.to_owned(),
                    secrets: pin.clone().into(),
                    ..Setting::default()
                };
                let tls = if by_the_other { world.certificates.by_the_other() } else { world.certificates.good() };
                let behaviour = Behaviour { tls: Some(tls), ..Behaviour::good(api, FIRST) };
                let mut scene = Scene::open(&world, api, setting, behaviour).await.unwrap();
                let status = scene.poll().await.unwrap();
                let reason = status.last_failure.as_deref().map(|(_, failure)| failure.reason);
                assert_eq!(reason, (!trusted).then_some(Tls), "{api:?} {keys} {by_the_other}");
                assert_eq!(scene.server.seen.bytes() > 0, trusted, "{api:?} {keys} {by_the_other}");
            }
        }
    }
}

/// Both at once: the session is made with the provider through the proxy, and not with the proxy.
#[tokio::test]
async fn a_proxy_and_a_client_certificate_go_together() {
    for keep_alive in [false, true] {
        let world = Arc::new(World::new(keep_alive));
        let (mutual, certificate, key) = world.certificates.mutual();
        let proxy = Proxy::start().await;
        for api in ALL.iter().copied() {
            let setting = Setting {
                tls: true,
                provider_keys: format!(
                    "proxy: http://{}\ntls: {{ client_certificate: {{ env: CERTIFICATE }}, client_key: {{ env: KEY }} }}",
                    proxy.address
                ),
                secrets: [("CERTIFICATE".to_owned(), certificate.clone()), ("KEY".to_owned(), key.clone())].into(),
                ..Setting::default()
            };
            let behaviour = Behaviour { tls: Some(mutual.clone()), ..Behaviour::good(api, FIRST) };
            let mut scene = Scene::open(&world, api, setting, behaviour).await.unwrap();
            reads(&mut scene, FIRST).await.unwrap();
        }
    }
}
