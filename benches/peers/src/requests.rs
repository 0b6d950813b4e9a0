//! A bare loop of requests: each account in a rhythm, with reqwest as it is set up by most, and nothing kept of the
//! replies.

use std::time::Duration;

use crate::Fallible;

#[tokio::main]
pub async fn run(base: &str, accounts: u64, interval_ms: u64, keep_alive: bool) -> Fallible<()> {
    let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy();
    if !keep_alive {
        builder = builder.pool_max_idle_per_host(0);
    }
    let client = builder.build()?;
    let begin = tokio::time::Instant::now();
    let mut polls = tokio::task::JoinSet::new();
    for account in 0..accounts {
        let client = client.clone();
        // the same addresses as those of the exporter's providers
        let base = base.replace("127.0.0.1", &format!("127.0.0.{}", 1 + account % 20));
        let url = format!("{base}/p{}/apicall/balancecheck/v3/{}/transactions/amount/balance", account % 20, 94_700_000_000 + account);
        polls.spawn(async move {
            // an interval of nothing is once, as fast as possible
            let every = Duration::from_millis(interval_ms.max(1));
            let mut due = begin + every.mul_f64(account as f64 / accounts as f64);
            if interval_ms == 0 {
                due = begin;
            }
            loop {
                tokio::time::sleep_until(due).await;
                let reply = client.get(&url).header("Authorization", "Bearer token-of-the-rig").send().await;
                if let Ok(reply) = reply {
                    let _ = reply.bytes().await;
                }
                if interval_ms == 0 {
                    return;
                }
                due += every;
            }
        });
    }
    while polls.join_next().await.is_some() {}
    println!("{}", begin.elapsed().as_secs_f64());
    Ok(())
}
