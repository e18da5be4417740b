//! How keys, values, times and labels are written: on the command line, for people, and as JSON.
//!
//! Keys and values are bytes. For people, what is no text is escaped so that it reads back
//! unambiguously and a terminal obeys nothing of it. As JSON they are a string, or
//! `{"base64":"…"}` for what is no text, just as a server writes them.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cli::failure::{Failure, Outcome};

/// A label and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) value: String,
}

/// What an option is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    None,
    Some(T),
}

impl<T> Setting<T> {
    pub(super) fn into_option(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::Some(value) => Some(value),
        }
    }
}

/// Units of time, and their seconds; the longest first.
const UNITS: [(char, u64); 5] = [
    ('w', 7 * 24 * 60 * 60),
    ('d', 24 * 60 * 60),
    ('h', 60 * 60),
    ('m', 60),
    ('s', 1),
];

/// Reads a time like `10m`.
pub(in crate::cli) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit, such as 90s, 10m, 1h, 30d or 2w".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let (_, unit_seconds) = UNITS.iter().find(|(c, _)| *c == unit).ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if number == 0 {
        return Err("it must be at least 1s".to_owned());
    }
    // In milliseconds it must fit into 64 bits, with room for the present time.
    let seconds = number.checked_mul(*unit_seconds);
    let seconds = seconds.filter(|seconds| *seconds < u64::MAX / 2000);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "that is longer than a time can be".to_owned())
}

/// A time in the largest unit in which it is a whole number.
pub(super) fn duration(ms: u64) -> String {
    let fits = |(_, seconds): &&(char, u64)| ms > 0 && ms.is_multiple_of(seconds * 1000);
    match UNITS.iter().find(fits) {
        Some((unit, seconds)) => format!("{}{unit}", ms / (seconds * 1000)),
        None => format!("{ms}ms"),
    }
}

/// So many milliseconds.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// When that is, for people; in UTC.
pub(in crate::cli) fn time(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let time = nexusbase::bson::DateTime::from_millis(ms / 1000 * 1000);
    time.try_to_rfc3339_string()
        .unwrap_or_else(|_| format!("{unix_ms} ms after 1970"))
}

/// Reads a number of at least 1.
pub(super) fn parse_count(text: &str) -> Result<u64, String> {
    let number: u64 = text
        .parse()
        .map_err(|_| "write a whole number".to_owned())?;
    if number == 0 {
        return Err("it must be at least 1".to_owned());
    }
    Ok(number)
}

/// Reads a label like `owner=web`.
pub(super) fn parse_label(text: &str) -> Result<Label, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("write it like owner=web".to_owned()),
    }
}

/// Reads what `parse` reads, or `none`.
pub(super) fn parse_setting<T>(
    parse: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<Setting<T>, String> + Clone {
    move |text| match text {
        "none" => Ok(Setting::None),
        text => parse(text).map(Setting::Some).map_err(|e| e + ", or none"),
    }
}

/// A key as it was written.
pub(super) fn key(text: &str, hex: bool) -> Outcome<Vec<u8>> {
    if !hex {
        return Ok(text.as_bytes().to_vec());
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    bytes.ok_or_else(|| {
        Failure::usage(format_args!("{text:?} is no key in hexadecimal"))
            .hint("write two digits per byte, such as 00ff17; without --hex, keys are text")
    })
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bytes on one line: text as it is, everything else escaped.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Beside the control characters: marks that turn the direction of writing.
            let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            match c {
                '\\' | '\n' | '\r' | '\t' => text.extend(c.escape_default()),
                c if c.is_control() || turns => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The same, cut behind `max` characters.
pub(super) fn shortened(bytes: &[u8], max: usize) -> String {
    // No character has more than four bytes.
    let start = &bytes[..bytes.len().min(4 * (max + 1))];
    let text = escaped(start);
    if start.len() == bytes.len() && text.chars().count() <= max {
        return text;
    }
    let cut: String = text.chars().take(max).collect();
    format!("{cut}… ({} bytes)", bytes.len())
}

/// Bytes as JSON: a string, or base64.
pub(super) fn to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Bytes from JSON; none if it is neither a string nor base64.
pub(super) fn from_json(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        other => STANDARD.decode(other.get("base64")?.as_str()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_a_number_and_a_unit() {
        let seconds = |text| parse_duration(text).map(|time| time.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("1h"), Ok(3600));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        assert_eq!(seconds("2w"), Ok(1_209_600));
        for wrong in [
            "",
            "5",
            "m",
            "-1h",
            "1.5h",
            "1 h",
            "0s",
            "10x",
            "5é",
            "99999999999999999999s",
            "18446744073709551615w",
        ] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
        for text in ["90s", "10m", "1h", "30d", "2w"] {
            assert_eq!(duration(milliseconds(parse_duration(text).unwrap())), text);
        }
        assert_eq!(duration(1500), "1500ms");
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn options_can_be_set_to_none() {
        let parse = parse_setting(parse_count);
        assert_eq!(parse("none"), Ok(Setting::None));
        assert_eq!(parse("3"), Ok(Setting::Some(3)));
        assert_eq!(parse("0"), Err("it must be at least 1, or none".to_owned()));
        assert!(parse_label("=x").is_err() && parse_label("x").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped_and_text_reads_as_it_is() {
        assert_eq!(escaped("Grüße 日本".as_bytes()), "Grüße 日本");
        assert_eq!(escaped(b"a\xff\x00b"), "a\\xff\\u{0}b");
        assert_eq!(escaped(b"C:\\x\n\t"), "C:\\\\x\\n\\t");
        assert_eq!(
            escaped("\u{202e}\u{1b}[2J".as_bytes()),
            "\\u{202e}\\u{1b}[2J"
        );
        assert_eq!(shortened(b"abcdef", 6), "abcdef");
        assert_eq!(shortened(b"abcdefg", 6), "abcdef… (7 bytes)");
        assert_eq!(shortened("éééé".as_bytes(), 3), "ééé… (8 bytes)");
    }

    #[test]
    fn keys_in_hexadecimal_are_any_bytes() {
        assert_eq!(key("00Ff17", true).unwrap(), b"\x00\xff\x17");
        assert_eq!(hex(b"\x00\xff\x17"), "00ff17");
        assert_eq!(key("00ff", false).unwrap(), b"00ff");
        for wrong in ["0", "0g", "0x00", "é"] {
            assert!(key(wrong, true).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_gives_back_the_same_bytes() {
        for bytes in [&b""[..], b"text", b"\xff\x00", "é".as_bytes()] {
            assert_eq!(from_json(&to_json(bytes)).unwrap(), bytes);
        }
        assert_eq!(to_json(b"\xff"), json!({"base64": "/w=="}));
        assert_eq!(from_json(&json!(5)), None);
    }
}
