//! The page as it is told, row by row.

use super::*;
use crate::board::Board;
use crate::exposition::sample::{at, board, config, snapshot};
use crate::failure::{ErrorReason, Failure};

fn paths(telemetry: &str) -> Paths {
    Paths::new(telemetry, None, None)
}

/// The page at so many seconds.
fn page(board: &Board, query: &str, seconds: u64) -> String {
    render(&board.view(), &Query::parse(Some(query)), &at(seconds), &paths("/metrics"), false)
}

/// The row of one account.
fn row<'a>(page: &'a str, account: &str) -> &'a str {
    let (_, from) = page.split_once(&format!("id=\"account-{account}\"")).expect("a row");
    from.split_once("</tr>").expect("the end of it").0
}

#[test]
fn every_account_is_told_of() {
    let board = board();
    let page = page(&board, "", 100);
    for expected in [
        "<title>balance-exporter: 2 of 4 accounts to look at</title>",
        "<span class=\"bad\">2 accounts need attention.</span> 2 of 4 accounts are fresh.",
        "<a href=\"/metrics\">Metrics</a> <a href=\"/api/v1/accounts\">JSON</a>",
        "As of <time datetime=\"2023-11-14T22:15:00Z\"",
        ">throttled <span class=\"count\">3</span>",
        "</svg> 0 of 30 per minute used",
        "0 of 2 per second used",
        "until <time datetime=\"2023-11-14T22:16:00Z\" title=\"2023-11-14 22:16:00 UTC\">22:16:00 UTC, in 1 minute</time>",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    for (account, expected) in [
        ("payby-uae/settlement", "<span class=\"name\">settlement</span>"),
        ("payby-uae/settlement", "<span class=\"provider\">payby-uae <span class=\"api\">PayBy</span></span>"),
        ("payby-uae/settlement", "<data class=\"amount\" value=\"99.05\">99.05</data>"),
        ("payby-uae/settlement", "aria-label=\"99.05 AED: warning below 50,000, critical below 0.50\""),
        ("payby-uae/settlement", "total 120.00, frozen 20.95, credit limit 0"),
        ("payby-uae/settlement", "href=\"#state-low\">low</a>"),
        ("payby-uae/settlement", "href=\"#state-throttled\">throttled until 22:16:00 UTC</a>"),
        ("payby-uae/settlement", "read <time datetime=\"2023-11-14T22:14:58Z\""),
        ("payby-uae/settlement", ">2 seconds ago</time>"),
        ("payby-uae/settlement", "aria-label=\"2 polls within 58 seconds, all good; what can be spent fell by 1.0 %\""),
        ("payby-uae/settlement", "every 30 seconds"),
        ("payby-uae/settlement", "limit: 0 of 30 per minute used"),
        ("payby-uae/settlement", "data-fresh-for=\"298\""),
        ("payby-uae/old", "<details class=\"failure current\"><summary>Failed <time"),
        ("payby-uae/old", "just now</time>: the provider refused the signature: &quot;&lt;b&gt;no&quot;</summary>"),
        ("payby-uae/old", "<p>The provider refused the credentials or the signature.</p><p>To do: check or rotate"),
        ("payby-uae/young", "href=\"#state-not_polled\">not polled yet</a>"),
        ("payby-uae/young", "<span class=\"unknown\">unknown</span> <span class=\"currency\">AED</span>"),
    ] {
        let row = row(&page, account);
        assert!(row.contains(expected), "{expected} is not in\n{row}");
    }
    for state in crate::web::told::State::ALL {
        assert!(page.contains(&format!("<div id=\"state-{}\"><dt>", state.as_str())), "{state:?} is not explained");
    }
    assert!(!page.contains("method=\"post\""), "polls cannot be asked for");
}

#[test]
fn a_balance_that_cannot_be_vouched_for_is_not_shown() {
    let board = board();
    let page = page(&board, "", 7_300);
    let settlement = row(&page, "payby-uae/settlement");
    for expected in ["href=\"#state-stale\">stale</a>", "withdrawn; last read <time", "2 hours ago", "unknown</span>"] {
        assert!(settlement.contains(expected), "{expected} is not in\n{settlement}");
    }
    for digits in ["99.05", "12.50", "120.00", "100.10"] {
        assert!(!page.contains(digits), "{digits} is in\n{page}");
    }
}

#[test]
fn the_worst_level_is_named() {
    let board = board();
    let config = board.view().accounts[2].config.clone();
    for (available, expected) in [
        ("50000", None),
        ("49999.99", Some("low")),
        ("0.50", Some("low")),
        ("0.49", Some("critical")),
        ("-1", Some("critical")),
    ] {
        board.file(&config, Ok(snapshot(available, at(100))), at(100));
        let page = page(&board, "", 100);
        for level in ["low", "critical"] {
            let named = row(&page, "payby-uae/settlement").contains(&format!("\"#state-{level}\""));
            assert_eq!(named, expected == Some(level), "{available} {level}");
        }
    }
}

/// Whatever the amounts are, nobody can tell from the page, in whatever order.
#[test]
fn hidden_amounts_change_nothing() {
    let told = |amounts: [&str; 3], query: &str| {
        let board = board();
        board.hide_amounts(true);
        let config = board.view().accounts[2].config.clone();
        for (amount, seconds) in amounts.iter().zip(100..) {
            board.file(&config, Ok(snapshot(amount, at(seconds))), at(seconds));
        }
        (page(&board, query, 110), crate::web::api::accounts(&board.view(), &Query::parse(Some(query)), &at(110)))
    };
    for query in ["", "sort=funds", "sort=-funds", "sort=name"] {
        let (page, json) = told(["400.20", "33.10", "1.25"], query);
        assert_eq!(
            (&page, &json),
            (&told(["7", "80", "49000"], query).0, &told(["7", "80", "49000"], query).1),
            "{query}"
        );
        assert!(row(&page, "payby-uae/settlement").contains("<span class=\"unknown\">hidden</span>"));
        assert!(page.contains("href=\"#state-low\""), "whether it is below a level is told");
        let body = page.split_once("</style>").unwrap().1.split_once("<script>").unwrap().0;
        for digits in ["50000", "50,000", "0.50", "1.25"] {
            assert!(!body.contains(digits) && !json.contains(digits), "{digits} is in\n{body}\n{json}");
        }
    }
}

#[test]
fn markup_is_shown_and_not_obeyed() {
    let board = board();
    let view = board.view();
    let query = Query::parse(Some("q=\"><script>alert(1)</script>"));
    let hostile = render(&view, &query, &at(100), &paths("/x\"onclick=\"y"), true);
    assert!(hostile.contains("href=\"/x&quot;onclick=&quot;y\""), "{hostile}");
    assert!(hostile.contains("value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""), "{hostile}");
    // a label of each account is hostile as well
    for page in [hostile, page(&board, "", 100)] {
        assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (1, 1));
        assert!(!page.contains("alert(1)<"));
    }
    assert!(sentence("<b>", &paths("/metrics")).contains("&lt;b&gt;"));
}

#[test]
fn style_and_script_need_no_exception() {
    let page = page(&board(), "", 100);
    let (markup, _) = page.split_once("<script>").unwrap();
    for inline in ["style=", " onclick", " onload", "javascript:", "http://", "https://"] {
        assert!(!markup.split_once("</style>").unwrap().1.contains(inline), "{inline}");
    }
    assert!(!STYLE.contains('<') && !STYLE.contains("url(") && !STYLE.contains("@import"));
    assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    assert_eq!(page.matches("<style>").count(), 1);
}

#[test]
fn many_accounts_come_page_by_page() {
    let board = Board::default();
    let configs: Vec<_> = (0..120).map(|number| config("p", &format!("a{number:03}"))).collect();
    board.configure(Vec::new(), &configs);
    let failed = || Err(Failure::new(ErrorReason::Connect, "nobody there"));
    board.file(&configs[77], failed(), at(1));
    let first = page(&board, "sort=name", 2);
    assert_eq!(first.matches("<tr role=\"row\" id=").count(), 50);
    for expected in [
        "Accounts 1 to 50 of 120",
        "href=\"/?sort=name&amp;page=3\" aria-label=\"Page 3\"",
        "aria-current=\"page\">1</a>",
    ] {
        assert!(first.contains(expected), "{expected}");
    }
    assert!(page(&board, "sort=name&page=3", 2).contains("Accounts 101 to 120 of 120"));
    assert!(page(&board, "", 2).find("account-p/a077").unwrap() < page(&board, "", 2).find("account-p/a000").unwrap());
    let one = page(&board, "q=a077&state=never_read", 2);
    assert_eq!(one.matches("<tr role=\"row\" id=").count(), 1);
    assert!(
        !one.contains("aria-label=\"Page ")
            && one.contains("<input type=\"hidden\" name=\"state\" value=\"never_read\">")
    );
    let none = page(&board, "q=nobody", 2);
    assert!(none.contains("No account is like that. <a href=\"/\">Show all</a>") && !none.contains("<table"));
}

#[test]
fn without_accounts_it_says_what_to_do() {
    let page = page(&Board::default(), "", 0);
    assert!(page.contains("No accounts yet.") && page.contains("The configuration has no accounts."));
    assert!(!page.contains("<form") && !page.contains("<table"));
}

#[test]
fn links_lead_where_a_proxy_shows_them() {
    let paths = Paths::new("/metrics", Some("/inner"), Some("/outer"));
    let page = render(&board().view(), &Query::default(), &at(100), &paths, true);
    for expected in [
        "action=\"/outer/\"",
        "href=\"/outer/?state=fresh\"",
        "href=\"/outer/api/v1/accounts\"",
        "method=\"post\" action=\"/outer/api/v1/accounts/payby-uae/settlement/poll\"",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    assert!(!page.contains("/inner"));
}
