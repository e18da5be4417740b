//! Progress on standard error, for whoever waits before a terminal. Elsewhere nothing is drawn.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Terminal;

const REDRAWS_PER_SECOND: u8 = 10;
const KNOWN: &str =
    "{prefix} {wide_bar:.cyan} {percent:>3}%  {msg}  {binary_bytes_per_sec}  {eta} left";
const UNKNOWN: &str = "{prefix} {spinner}  {msg}  {binary_bytes}  {binary_bytes_per_sec}";
const COUNTED: &str = "{prefix} {spinner}  {human_pos} documents  {per_sec}";

impl Terminal {
    /// Progress in bytes of an input, whose length may not be known.
    pub(super) fn bytes_progress(self, what: &str, length: Option<u64>) -> ProgressBar {
        let bar = self.bar(length);
        style(&bar, if length.is_some() { KNOWN } else { UNKNOWN });
        bar.with_prefix(what.to_owned())
    }

    /// Progress in documents, when nobody knows how many there are.
    pub(super) fn document_progress(self, what: &str) -> ProgressBar {
        let bar = self.bar(None);
        style(&bar, COUNTED);
        bar.with_prefix(what.to_owned())
    }

    fn bar(self, length: Option<u64>) -> ProgressBar {
        let target = if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND)
        };
        let bar = ProgressBar::with_draw_target(length, target);
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        bar
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // The templates are the constants above; a test draws them.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_understood() {
        for template in [KNOWN, UNKNOWN, COUNTED] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
