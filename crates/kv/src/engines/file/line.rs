//! How lines are written: escaping, checksums, groups.
//!
//! Every line ends in its own checksum. The last line of a group also carries the group's number,
//! the number of its lines, and a running checksum over the checksums of all lines before it in
//! the file: a line that is missing or moved is found, not only one that is changed.
//!
//! The writer is its own: it is several times faster than a general one, and the same data always
//! gives the same bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc32c::{crc32c, crc32c_append};

use crate::domain::Put;

/// What stands before a line's checksum.
pub(super) const SUM_START: &[u8] = b",\"sum\":\"";
/// What stands behind it.
pub(super) const SUM_END: &[u8] = b"\"}";
/// The bytes of a checksum, in hexadecimal.
pub(super) const SUM_DIGITS: usize = 8;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A checksum as it is written.
pub(super) fn hex(sum: u32) -> [u8; SUM_DIGITS] {
    let mut text = [0; SUM_DIGITS];
    for (at, digit) in text.iter_mut().enumerate() {
        let nibble = (sum >> (28 - 4 * at)) & 15;
        *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
    }
    text
}

/// The number that `text` writes, if it is written as [`hex`] does.
pub(super) fn unhex(text: &[u8]) -> Option<u32> {
    if text.len() != SUM_DIGITS {
        return None;
    }
    text.iter().try_fold(0, |number, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(nibble))
    })
}

/// Where a file is: its last group, and the running checksum over its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the last group.
    pub(super) commit: u64,
    /// The checksum over the checksums of all lines, each in hexadecimal.
    pub(super) all: u32,
}

impl Chain {
    /// Goes on with a line of that checksum.
    pub(super) fn add(&mut self, sum: &[u8]) {
        self.all = crc32c_append(self.all, sum);
    }
}

/// Writes lines into memory.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// The bytes so far.
    pub(super) bytes: Vec<u8>,
    /// Where the file will be behind them.
    pub(super) chain: Chain,
    /// Lines of the group that is being written.
    lines: u64,
}

impl Encoder {
    /// An encoder that goes on behind `chain`.
    pub(super) fn after(chain: Chain) -> Self {
        Self {
            chain,
            ..Self::default()
        }
    }

    /// A line of a group whose last line is another one. `body` writes everything from the brace
    /// to the checksum.
    pub(super) fn line(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        self.write(body, None);
    }

    /// The last line of a group.
    pub(super) fn last_line(&mut self, commit: u64, body: impl FnOnce(&mut Vec<u8>)) {
        self.write(body, Some(commit));
    }

    fn write(&mut self, body: impl FnOnce(&mut Vec<u8>), commit: Option<u64>) {
        let start = self.bytes.len();
        body(&mut self.bytes);
        self.lines += 1;
        if let Some(commit) = commit {
            self.bytes.extend_from_slice(b",\"commit\":");
            number(&mut self.bytes, commit);
            self.bytes.extend_from_slice(b",\"lines\":");
            number(&mut self.bytes, self.lines);
            self.bytes.extend_from_slice(b",\"all\":\"");
            self.bytes.extend_from_slice(&hex(self.chain.all));
            self.bytes.push(b'"');
            self.lines = 0;
            self.chain.commit = commit;
        }
        let sum = hex(crc32c(self.bytes.get(start..).unwrap_or_default()));
        self.chain.add(&sum);
        self.bytes.extend_from_slice(SUM_START);
        self.bytes.extend_from_slice(&sum);
        self.bytes.extend_from_slice(SUM_END);
        self.bytes.push(b'\n');
    }

    /// A line that is written already, with its checksum and without its end, as part of a group
    /// that goes on.
    pub(super) fn copy(&mut self, line: &[u8], sum: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.chain.add(sum);
        self.lines += 1;
    }
}

/// The beginning of a line that puts an entry.
pub(super) fn put(out: &mut Vec<u8>, key: &[u8], put: Put<'_>) {
    out.extend_from_slice(b"{\"key\":");
    text(out, key);
    out.extend_from_slice(b",\"value\":");
    text(out, put.value);
    if let Some(expires_ms) = put.expires_ms {
        out.extend_from_slice(b",\"expires_ms\":");
        number(out, expires_ms);
    }
    if let Some(media_type) = put.media_type {
        out.extend_from_slice(b",\"type\":");
        string(out, media_type.as_bytes());
    }
}

/// The beginning of a line that takes an entry away.
pub(super) fn delete(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(b"{\"delete\":");
    text(out, key);
}

/// The beginning of a line that takes everything away.
pub(super) fn clear(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"clear\":true");
}

/// The beginning of a line that says which number the next version gets.
pub(super) fn next_version(out: &mut Vec<u8>, next: u64) {
    out.extend_from_slice(b"{\"next_version\":");
    number(out, next);
}

/// The beginning of the line that ends what a rewrite has written.
pub(super) fn end(out: &mut Vec<u8>, rows: u64) {
    out.extend_from_slice(b"{\"rows\":");
    number(out, rows);
}

/// A number in decimal.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get((number % 10) as usize).copied().unwrap_or(b'0');
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// How many bytes escapes add to a text that is written as a string.
fn escapes(bytes: &[u8]) -> usize {
    let added = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 1,
        0..b' ' => 5,
        _ => 0,
    };
    bytes.iter().map(added).sum()
}

/// So many bytes at most are written for `length` bytes: what can be read by people may be somewhat
/// longer than base64.
pub(super) const fn text_max(length: usize) -> usize {
    length + length / 2 + 24
}

/// Any bytes: text as a string, others (and text that escapes would make half as long again) as
/// base64.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    let is_text = std::str::from_utf8(bytes).is_ok();
    if is_text && escapes(bytes) <= bytes.len() / 2 + 8 {
        string(out, bytes);
        return;
    }
    out.extend_from_slice(b"{\"base64\":\"");
    let start = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(start + length, b'=');
    let space = out.get_mut(start..).unwrap_or_default();
    // The space is what the encoding needs, so it is never short.
    let _ = BASE64_STANDARD.encode_slice(bytes, space);
    out.extend_from_slice(b"\"}");
}

/// Looked at at once, without a branch for each byte.
const BLOCK: usize = 32;

/// Whether a byte cannot stand in a string as it is.
const fn is_special(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// How many bytes of `text` can stand in a string as they are.
pub(super) fn plain_length(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let is_plain = |block: &&[u8; BLOCK]| {
        let any = |special, byte: &u8| special | is_special(*byte);
        !block.iter().fold(false, any)
    };
    let start = blocks.iter().take_while(is_plain).count() * BLOCK;
    let rest = text.get(start..).unwrap_or_default();
    let plain = rest.iter().position(|byte| is_special(*byte));
    start + plain.unwrap_or(rest.len())
}

/// UTF-8 text as a JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    loop {
        let (plain, behind) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((byte, behind)) = behind.split_first() else {
            break;
        };
        escape(out, *byte);
        rest = behind;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            out.extend_from_slice(b"\\u00");
            let sum = hex(u32::from(byte));
            out.extend_from_slice(sum.get(6..).unwrap_or_default());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_stays_readable_and_bytes_are_base64() {
        assert_eq!(
            shown(|out| text(out, "größe\n\"a\\".as_bytes())),
            "\"größe\\n\\\"a\\\\\""
        );
        assert_eq!(shown(|out| text(out, b"\x01")), "\"\\u0001\"");
        assert_eq!(shown(|out| text(out, b"\xff\x00")), "{\"base64\":\"/wA=\"}");
        assert_eq!(shown(|out| text(out, &[1; 6])), "{\"base64\":\"AQEBAQEB\"}");
        assert_eq!(shown(|out| number(out, 0)), "0");
        assert_eq!(shown(|out| number(out, u64::MAX)), u64::MAX.to_string());
    }

    #[test]
    fn no_text_becomes_longer_than_is_promised() {
        for byte in 0..=255 {
            for length in [0, 1, 2, 3, 7, 8, 9, 100, 1000] {
                for share in 1..4 {
                    let mut bytes = vec![b'a'; length];
                    bytes[..length / share].fill(byte);
                    let mut out = Vec::new();
                    text(&mut out, &bytes);
                    let (found, most) = (out.len(), text_max(length));
                    assert!(found <= most, "{length} of {byte}: {found} > {most}");
                }
            }
        }
    }

    #[test]
    fn checksums_are_read_as_they_are_written_and_in_no_other_form() {
        for sum in [0, 1, 0x1a2b_3c4d, u32::MAX] {
            assert_eq!(unhex(&hex(sum)), Some(sum));
        }
        for wrong in ["", "1234567", "123456789", "1234567G", "1A2B3C4D"] {
            assert_eq!(unhex(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
