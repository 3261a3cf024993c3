//! Progress on a terminal; nothing where standard error is none.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

use crate::stage::Counters;

/// The bar of one stage; gone when dropped.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// `until` 0: how far it is cannot be told.
    pub fn new(name: &'static str, until: u64) -> Progress {
        if !stderr().is_terminal() {
            return Progress(None);
        }
        let (bar, template) = if until == 0 {
            (
                ProgressBar::new_spinner(),
                "{prefix:>12} {spinner} {elapsed}  {msg}",
            )
        } else {
            (
                ProgressBar::new(until),
                "{prefix:>12} [{bar:30}] {pos}/{len} {elapsed}  {msg}",
            )
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name);
        Progress(Some(bar))
    }

    /// Shows how far it is, and the counters beside it.
    pub fn show(&self, position: u64, counters: &Counters) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(position.min(bar.length().unwrap_or(u64::MAX)));
        let of = Counters::of;
        let mut line = format!("{} online", of(&counters.online));
        for (count, what) in [
            (of(&counters.delivered), "delivered"),
            (of(&counters.notified), "notified"),
            (of(&counters.faults), "FAULTS"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        bar.set_message(line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
