//! Bars: what can be spent beside its thresholds, and how much of a limit is used.

use std::fmt::{self, Write};

use super::words::{Grouped, Per, Text};
use crate::web::told::{Level, Wallet, Window};

/// What a bar is drawn on.
const TRACK: &str = "<rect class=\"track\" y=\"2\" width=\"1000\" height=\"6\"/>";

/// What can be spent beside its thresholds, which are also told in words. Nothing if there are none.
pub(super) fn write_funds(html: &mut String, wallet: &Wallet) -> fmt::Result {
    let Some(thresholds) = &wallet.thresholds else { return Ok(()) };
    let levels = [("warning", &thresholds.warning), ("critical", &thresholds.critical)];
    let told = levels.iter().filter_map(|(name, level)| Some((*name, level.as_deref()?)));
    let words: Vec<_> = told.map(|(name, level)| format!("{name} below {}", Grouped(level))).collect();
    if words.is_empty() {
        return Ok(());
    }
    let words = words.join(", ");
    if let (Some(bar), Some(spendable)) = (&wallet.bar, &wallet.spendable) {
        let tone = match wallet.below {
            None => "good",
            Some(Level::Warning) => "note",
            Some(Level::Critical) => "bad",
        };
        write!(
            html,
            "<svg class=\"bar {tone}\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{} {}: {words}\">{TRACK}\
             <rect class=\"fill\" y=\"2\" width=\"{}\" height=\"6\"/>",
            Grouped(spendable),
            Text(&wallet.currency),
            bar.filled,
        )?;
        for mark in [bar.critical, bar.warning].into_iter().flatten() {
            write!(html, "<path d=\"M{mark} 0V10\"/>")?;
        }
        html.push_str("</svg>");
    }
    write!(html, "<small class=\"levels\">{words}</small>")
}

/// How much of a window of a limit is used, in words and as a bar.
pub(super) fn write_limit(html: &mut String, window: &Window) -> fmt::Result {
    let filled = window.used_permille().min(1_000);
    let tone = if filled == 1_000 { "note" } else { "plain" };
    write!(
        html,
        "<p class=\"limit\"><svg class=\"bar {tone}\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\">{TRACK}<rect class=\"fill\" y=\"2\" width=\"{filled}\" height=\"6\"/></svg> {}</p>",
        Used(window),
    )
}

/// How much of a window is used, in words.
pub(super) struct Used<'a>(pub(super) &'a Window);

impl fmt::Display for Used<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { requests, used, per, .. } = self.0;
        let (used, all) = (used.to_string(), requests.to_string());
        write!(f, "{} of {} per {} used", Grouped(&used), Grouped(&all), Per(*per))
    }
}
