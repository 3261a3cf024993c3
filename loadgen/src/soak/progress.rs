//! One line of a soak's progress on a terminal; nothing where standard error is none.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use super::worker::Board;

/// Gone when dropped.
pub struct Progress(Option<ProgressBar>);

impl Progress {
    pub fn new(end_us: u64) -> Progress {
        if !stderr().is_terminal() {
            return Progress(None);
        }
        let bar = ProgressBar::new(end_us / 1_000_000);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} s  {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress(Some(bar))
    }

    pub fn show(&self, at_us: u64, board: &Board, sessions: usize) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(at_us / 1_000_000);
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut line = format!(
            "{} online, {} heard, {} notified, {sessions} sessions end",
            of(&board.online),
            of(&board.heard),
            of(&board.notifies)
        );
        for (count, what) in [(of(&board.shed), "shed"), (of(&board.faults), "FAULTS")] {
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
