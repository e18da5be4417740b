//! Server-sent events: lines of a stream that stays open.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::odd;
use crate::cli::failure::{Failure, Outcome};

/// The longest event; one with more keys was no single change.
const EVENT_BYTES_MAX: u64 = 512 << 20;

/// Something that happened on a server.
#[derive(Debug)]
pub(in crate::cli::kv) struct Event {
    /// What: `changed`, `dropped` …
    pub(in crate::cli::kv) kind: String,
    /// What the server says about it: an object.
    pub(in crate::cli::kv) data: Value,
}

/// Gives each event of a stream to `take`, until it ends.
pub(super) fn read(
    mut reader: impl BufRead,
    broken: impl Fn(io::Error) -> Failure,
    take: &mut dyn FnMut(&Event) -> Outcome,
) -> Outcome {
    let (mut kind, mut data) = (String::new(), String::new());
    loop {
        let mut line = Vec::new();
        let read = (&mut reader)
            .take(EVENT_BYTES_MAX)
            .read_until(b'\n', &mut line);
        if read.map_err(&broken)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches(['\n', '\r']);
        // A colon at the start is a comment, sent to keep the connection alive.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut kind),
            "data" => data.push_str(value),
            "" if line.is_empty() && !data.is_empty() => {
                let event = Event {
                    kind: std::mem::take(&mut kind),
                    data: serde_json::from_str(&std::mem::take(&mut data))
                        .map_err(|_| odd("an event that is no JSON"))?,
                };
                take(&event)?;
            }
            "" if line.is_empty() => kind.clear(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_stands_between_them() {
        let stream = ": hello\n\nevent: changed\ndata: {\"store\":\"a\",\ndata: \"put\":[\"k\"]}\n\n\
                      : still here\nevent:dropped\r\nid: 5\r\ndata:{\"store\":\"b\"}\r\n\r\n\
                      event: lost\n\nevent: cut\ndata: {";
        let mut events = Vec::new();
        let outcome = read(stream.as_bytes(), Failure::from, &mut |event| {
            events.push(format!("{} {}", event.kind, event.data));
            Ok(())
        });
        assert!(outcome.is_ok());
        let expected = [
            r#"changed {"store":"a","put":["k"]}"#,
            r#"dropped {"store":"b"}"#,
        ];
        assert_eq!(events, expected);
    }
}
