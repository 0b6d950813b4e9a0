//! The recent past of a wallet as a small line: what could be spent, and which polls failed.

use std::fmt::{self, Write};

use super::words::{Count, Length, between};
use crate::web::told::{PastPoll, TOP, Wallet};

/// Distance between two polls: few of them are drawn further apart.
const STEP: usize = 5;
const WIDEST_STEP: usize = 15;
/// Where the line is at its highest and at its lowest.
const HIGHEST: usize = 3;
const LOWEST: usize = 25;
/// Where failed polls are marked.
const FOOT: usize = 34;
/// Most polls that fit.
const MOST_POLLS: usize = 32;

/// The line of one wallet. Without heights only good and failed polls are told apart.
pub(super) fn write(html: &mut String, past: &[PastPoll], wallet: &Wallet) -> fmt::Result {
    let past = &past[past.len().saturating_sub(MOST_POLLS)..];
    let (Some(first), Some(last)) = (past.first(), past.last()) else { return Ok(()) };
    let width = (MOST_POLLS - 1) * STEP + 6;
    write!(
        html,
        "<svg class=\"past\" viewBox=\"0 0 {width} {FOOT}\" role=\"img\" aria-label=\"{}",
        Count(past.len(), "poll")
    )?;
    if past.len() > 1 {
        write!(html, " within {}", Length(between(first.ended, last.ended)))?;
    }
    match past.iter().filter(|poll| !poll.good).count() {
        0 => html.push_str(", all good"),
        failed => write!(html, ", {failed} failed")?,
    }
    match wallet.change_permille {
        None => {}
        Some(-5..=5) => html.push_str("; what can be spent hardly changed"),
        Some(change @ ..0) => write!(html, "; what can be spent fell by {} %", percent(change))?,
        Some(change) => write!(html, "; what can be spent rose by {} %", percent(change))?,
    }
    html.push_str("\">");
    // the newest is at the right edge
    let step = ((width - 6) / (past.len() - 1).max(1)).clamp(STEP, WIDEST_STEP);
    let x = |place: usize| width - 3 - (past.len() - 1 - place) * step;
    if let Some(heights) = &wallet.line {
        write_line(html, heights, x)?;
    } else {
        html.push_str("<path class=\"good\" d=\"");
        for (place, _) in past.iter().enumerate().filter(|(_, poll)| poll.good) {
            write!(html, "M{} {}v6", x(place), LOWEST - 14)?;
        }
        html.push_str("\"/>");
    }
    if past.iter().any(|poll| !poll.good) {
        html.push_str("<path class=\"failed\" d=\"");
        for (place, _) in past.iter().enumerate().filter(|(_, poll)| !poll.good) {
            write!(html, "M{} {}V{FOOT}", x(place), FOOT - 6)?;
        }
        html.push_str("\"/>");
    }
    html.push_str("</svg>");
    Ok(())
}

/// The line itself, with gaps where nothing is known, and a dot at what is known last.
fn write_line(html: &mut String, heights: &[Option<u8>], x: impl Fn(usize) -> usize) -> fmt::Result {
    let y = |height: u8| LOWEST - usize::from(height) * (LOWEST - HIGHEST) / usize::from(TOP);
    let points: Vec<_> = heights.iter().enumerate().map(|(place, height)| height.map(|h| (x(place), y(h)))).collect();
    html.push_str("<path class=\"line\" d=\"");
    let mut drawing = false;
    for point in &points {
        if let Some((x, y)) = point {
            write!(html, "{}{x} {y}", if drawing { "L" } else { "M" })?;
        }
        drawing = point.is_some();
    }
    html.push_str("\"/>");
    if let Some((x, y)) = points.iter().rev().flatten().next() {
        write!(html, "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>")?;
    }
    Ok(())
}

/// Thousandths as hundredths, rounded, without the sign.
fn percent(thousandths: i64) -> String {
    let tenths = thousandths.unsigned_abs();
    if tenths < 100 { format!("{}.{}", tenths / 10, tenths % 10) } else { (tenths / 10).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::clock::Now;
    use crate::exposition::sample::{at, config, snapshot};
    use crate::failure::{ErrorReason, Failure};
    use crate::web::told::{Listing, Query};

    /// The line after these polls, one a minute; none is a poll that failed.
    fn line(polls: &[Option<&str>], hidden: bool) -> String {
        let board = Board::default();
        let config = config("p", "a");
        board.configure(Vec::new(), std::slice::from_ref(&config));
        board.hide_amounts(hidden);
        for (minute, poll) in (0..).zip(polls) {
            let now: Now = at(minute * 60);
            let failed = || Failure::new(ErrorReason::Connect, "nobody there");
            board.file(&config, poll.map(|amount| snapshot(amount, now)).ok_or_else(failed), now);
        }
        let listing = Listing::of(&board.view(), &Query::default(), &at(60 * 60));
        let mut html = String::new();
        write(&mut html, &listing.accounts[0].past, &listing.accounts[0].wallets[0]).unwrap();
        html
    }

    #[test]
    fn a_line_goes_where_the_balance_went() {
        assert_eq!(line(&[], false), "");
        for (polls, label, path) in [
            (vec![Some("100")], "1 poll, all good", "d=\"M158 14\""),
            (vec![None], "1 poll, 1 failed", "class=\"line\" d=\"\""),
            (
                vec![Some("200"), Some("150"), None, Some("100")],
                "4 polls within 3 minutes, 1 failed; what can be spent fell by 50 %",
                "d=\"M113 3L128 14M158 25\"",
            ),
            (
                vec![Some("100"), Some("123.45")],
                "2 polls within 1 minute, all good; what can be spent rose by 23 %",
                "d=\"M143 25L158 3\"",
            ),
            (vec![Some("1000"), Some("1034.5")], "rose by 3.4 %", "d=\"M143 25L158 3\""),
            (vec![Some("100"), Some("100.01")], "hardly changed", "d=\"M143 15L158 14\""),
        ] {
            let html = line(&polls, false);
            assert!(html.contains(label) && html.contains(path), "{polls:?}: {html}");
        }
        assert!(line(&[Some("1"), None], false).contains("<path class=\"failed\" d=\"M158 28V34\"/>"));
    }

    #[test]
    fn a_hidden_line_tells_polls_apart_and_nothing_else() {
        let one = line(&[Some("200"), None, Some("100")], true);
        assert_eq!(one, line(&[Some("7"), None, Some("9")], true));
        assert!(one.contains("aria-label=\"3 polls within 2 minutes, 1 failed\"") && !one.contains("line"), "{one}");
    }
}
