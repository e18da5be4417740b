//! Makes something of damaged lines: where they are to be cut, and what they were.

use std::ops::Range;

use super::line::{SUM_DIGITS, SUM_END, SUM_START};
use super::parse::split_sum;

/// Whether a damaged line was the last of a group. Little damage leaves one of its fields.
pub(super) fn was_end(bytes: &[u8]) -> bool {
    let fields: [&[u8]; 3] = [b",\"commit\":", b",\"lines\":", b",\"all\":\""];
    // Inside of a string they would be escaped. They stand at the end of the line.
    let tail = bytes.len().saturating_sub(120);
    let tail = bytes.get(tail..).unwrap_or_default();
    fields
        .iter()
        .any(|field| tail.windows(field.len()).any(|found| found == *field))
}

/// Cuts a line where checksums end: they cannot stand inside of a string.
pub(super) fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let tail = SUM_START.len() + SUM_DIGITS + SUM_END.len();
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= tail) {
        let Some(found) = rest.iter().position(|byte| *byte == b',') else {
            break;
        };
        at += found;
        let end = at + tail;
        let candidate = bytes.get(start..end).unwrap_or_default();
        if candidate.ends_with(SUM_END) && split_sum(candidate).is_some() {
            parts.push(start..end);
            // What has become of the end of the line.
            let brace = bytes.get(end..).unwrap_or_default();
            let skipped = brace.iter().take(2).position(|byte| *byte == b'{');
            start = end + skipped.unwrap_or_default();
            at = start;
        } else {
            at += 1;
        }
    }
    if start < bytes.len() {
        parts.push(start..bytes.len());
    }
    parts
}
