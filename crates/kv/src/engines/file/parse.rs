//! How lines are read: what a line says, and whether its checksum is right.
//!
//! [`parse`] takes any order of fields and any white space, so that a line written by hand is
//! understood; what the engine itself writes takes a short way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::CAPABILITIES;
use super::line::{self, SUM_DIGITS, SUM_END, SUM_START, plain_length, unhex};
use crate::domain::engine::CopyMark;
use crate::domain::{Entry, Operation, Retention, StoreOptions, Version};

/// What the first line calls the format.
pub(super) const FORMAT: &str = "nexusbase-kv";
/// The number of the format that is written, and the highest that is read.
pub(super) const FORMAT_NUMBER: u64 = 1;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) body: Body,
    /// It ends a group.
    pub(super) commit: Option<Commit>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Body {
    Header(Box<Header>),
    Put(Bytes, Entry),
    Delete(Bytes),
    Clear,
    NextVersion(u64),
    /// Here ends what a rewrite has written, and what the first line says is said again.
    End(Option<Box<Header>>),
}

/// What the last line of a group says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) number: u64,
    /// Its lines.
    pub(super) lines: u64,
    /// The running checksum over all lines before.
    pub(super) all: u32,
}

/// What the first line of a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header {
    pub(super) store: String,
    /// Chosen by chance when the store was created; a renamed store keeps it.
    pub(super) id: String,
    pub(super) created_ms: u64,
    pub(super) next_version: u64,
    pub(super) options: StoreOptions,
    /// Which version the file is, if it is one.
    pub(super) version: Option<Version>,
}

/// Cuts a line into what its checksum covers and the checksum. None if there is none at its end.
pub(super) fn split_sum(line: &[u8]) -> Option<(&[u8], &[u8], u32)> {
    let rest = line.strip_suffix(SUM_END)?;
    let (rest, sum) = rest.split_at_checked(rest.len().checked_sub(SUM_DIGITS)?)?;
    let covered = rest.strip_suffix(SUM_START)?;
    Some((covered, sum, unhex(sum)?))
}

/// Reads a line, with or without a checksum, which is not looked at.
pub(super) fn parse(line: &[u8]) -> Result<Line, String> {
    if let Some(line) = split_sum(line).and_then(|(covered, _, _)| usual(covered)) {
        return Ok(line);
    }
    let wire: Wire<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    wire.line()
}

/// The short way for `{"key":"…","value":"…"` without escapes, perhaps as the last line of a group.
fn usual(line: &[u8]) -> Option<Line> {
    let (key, rest) = plain(line.strip_prefix(b"{\"key\":\"")?)?;
    let (value, rest) = plain(rest.strip_prefix(b",\"value\":\"")?)?;
    let commit = if rest.is_empty() {
        None
    } else {
        let (number, rest) = digits(rest.strip_prefix(b",\"commit\":")?)?;
        let (lines, rest) = digits(rest.strip_prefix(b",\"lines\":")?)?;
        let all = rest.strip_prefix(b",\"all\":\"")?.strip_suffix(b"\"")?;
        let all = unhex(all)?;
        Some(Commit { number, lines, all })
    };
    let limits = CAPABILITIES.limits;
    if key.len() > limits.key_bytes || value.len() > limits.value_bytes {
        return None;
    }
    // What is no text would be base64.
    std::str::from_utf8(key).ok()?;
    std::str::from_utf8(value).ok()?;
    let entry = Entry {
        value: Bytes::copy_from_slice(value),
        expires_ms: None,
        media_type: None,
    };
    let body = Body::Put(Bytes::copy_from_slice(key), entry);
    Some(Line { body, commit })
}

/// A string without escapes, and what stands behind its end.
fn plain(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (string, rest) = text.split_at_checked(plain_length(text))?;
    Some((string, rest.strip_prefix(b"\"")?))
}

fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// A string, or bytes in base64.
#[derive(Debug)]
pub(super) struct Text<'a>(Cow<'a, [u8]>);

impl Text<'_> {
    fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.0.into_owned()
    }
}

impl<'a, 'de: 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, or {\"base64\":\"...\"}")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text.as_bytes())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.as_bytes().to_vec())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let Some(("base64", text)) = map.next_entry::<&str, &str>()? else {
                    return Err(A::Error::custom("expected the field base64"));
                };
                let bytes = BASE64_STANDARD.decode(text).map_err(A::Error::custom)?;
                if map.next_key::<&str>()?.is_some() {
                    return Err(A::Error::custom("expected nothing but the field base64"));
                }
                Ok(Text(Cow::Owned(bytes)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// All that a line can say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    key: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Text<'a>>,
    expires_ms: Option<u64>,
    #[serde(rename = "type")]
    media_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delete: Option<Text<'a>>,
    clear: Option<bool>,
    rows: Option<u64>,
    head: Option<WireHead>,
    format: Option<Cow<'a, str>>,
    number: Option<u64>,
    store: Option<String>,
    id: Option<String>,
    created_ms: Option<u64>,
    next_version: Option<u64>,
    options: Option<WireOptions>,
    version: Option<WireVersion>,
    commit: Option<u64>,
    lines: Option<u64>,
    all: Option<Cow<'a, str>>,
    #[serde(rename = "sum")]
    _sum: Option<Cow<'a, str>>,
}

impl Wire<'_> {
    fn line(self) -> Result<Line, String> {
        let commit = match (self.commit, self.lines, &self.all) {
            (None, _, _) => None,
            (Some(number), Some(lines), Some(all)) => {
                let all = unhex(all.as_bytes()).ok_or("\"all\" is no checksum")?;
                Some(Commit { number, lines, all })
            }
            (Some(_), _, _) => return Err("\"commit\" without \"lines\" or \"all\"".to_owned()),
        };
        let body = self.body()?;
        // What is larger cannot be written either, and others could not take it.
        let limits = CAPABILITIES.limits;
        let size = match &body {
            Body::Put(key, entry) => limits.check_put(Operation::Check, key, &entry.as_put()),
            Body::Delete(key) => limits.check_key(Operation::Check, key),
            _ => Ok(0),
        };
        size.map_err(|error| error.kind().to_string())?;
        Ok(Line { body, commit })
    }

    fn body(self) -> Result<Body, String> {
        if let Some(format) = &self.format {
            if format != FORMAT || self.number != Some(FORMAT_NUMBER) {
                return Err(format!(
                    "the format is {format:?} number {:?}, not {FORMAT:?} number {FORMAT_NUMBER}",
                    self.number
                ));
            }
            return Ok(Body::Header(Box::new(self.header())));
        }
        match (
            &self.key,
            &self.delete,
            self.clear,
            self.rows,
            self.next_version,
        ) {
            (Some(_), None, None, None, None) => self.put(),
            (None, Some(key), None, None, None) => Ok(Body::Delete(key.bytes())),
            (None, None, Some(true), None, None) => Ok(Body::Clear),
            (None, None, None, Some(_), None) => {
                Ok(Body::End(self.head.map(|head| Box::new(head.into()))))
            }
            (None, None, None, None, Some(next)) => Ok(Body::NextVersion(next)),
            _ => Err("expected one of: key, delete, clear, rows, next_version".to_owned()),
        }
    }

    fn put(self) -> Result<Body, String> {
        let (Some(key), Some(value)) = (self.key, self.value) else {
            return Err("a key without a value".to_owned());
        };
        let entry = Entry {
            value: value.bytes(),
            expires_ms: self.expires_ms,
            media_type: self.media_type.as_deref().map(Arc::from),
        };
        Ok(Body::Put(key.bytes(), entry))
    }

    fn header(self) -> Header {
        Header {
            store: self.store.unwrap_or_default(),
            id: self.id.unwrap_or_default(),
            created_ms: self.created_ms.unwrap_or_default(),
            next_version: self.next_version.unwrap_or(1),
            options: self.options.unwrap_or_default().into(),
            version: self.version.map(Version::from),
        }
    }
}

/// What the first line says, in the line that ends the base part.
#[derive(Deserialize)]
struct WireHead {
    store: String,
    id: String,
    created_ms: u64,
    next_version: u64,
    #[serde(default)]
    options: WireOptions,
    version: Option<WireVersion>,
}

impl From<WireHead> for Header {
    fn from(wire: WireHead) -> Self {
        Self {
            store: wire.store,
            id: wire.id,
            created_ms: wire.created_ms,
            next_version: wire.next_version,
            options: wire.options.into(),
            version: wire.version.map(Version::from),
        }
    }
}

/// A store's options as they are written.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct WireOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_of: Option<WireCopy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
struct WireCopy {
    store: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    token: String,
}

/// What a version file says of its version.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireVersion {
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
    time_ms: u64,
    keys: u64,
    bytes: u64,
}

impl From<WireOptions> for StoreOptions {
    fn from(wire: WireOptions) -> Self {
        Self {
            ttl_ms: wire.ttl_ms,
            retention: Retention {
                count: wire.keep_count,
                age_ms: wire.keep_age_ms,
            },
            read_only: wire.read_only,
            copy_of: wire.copy_of.map(|copy| CopyMark {
                store: copy.store,
                version: copy.version,
                token: copy.token,
            }),
            labels: wire.labels,
        }
    }
}

impl From<&StoreOptions> for WireOptions {
    fn from(options: &StoreOptions) -> Self {
        Self {
            ttl_ms: options.ttl_ms,
            keep_count: options.retention.count,
            keep_age_ms: options.retention.age_ms,
            read_only: options.read_only,
            copy_of: options.copy_of.as_ref().map(|copy| WireCopy {
                store: copy.store.clone(),
                version: copy.version,
                token: copy.token.clone(),
            }),
            labels: options.labels.clone(),
        }
    }
}

impl From<WireVersion> for Version {
    fn from(wire: WireVersion) -> Self {
        Self {
            number: wire.number,
            name: wire.name,
            note: wire.note,
            time_ms: wire.time_ms,
            keys: wire.keys,
            bytes: wire.bytes,
            exact: true,
        }
    }
}

#[derive(Serialize)]
struct WireHeader<'a> {
    format: &'static str,
    number: u64,
    store: &'a str,
    id: &'a str,
    created_ms: u64,
    next_version: u64,
    options: WireOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<WireVersion>,
}

/// The beginning of a file's first line.
pub(super) fn write_header(out: &mut Vec<u8>, header: &Header) {
    write_whole(out, header);
    // The checksum comes before the brace.
    out.pop();
}

/// The beginning of the line that ends what a rewrite has written. It says again what the first line
/// says: without it, part of a copy would be taken for the whole, and numbers be used again.
pub(super) fn write_end(out: &mut Vec<u8>, rows: u64, header: &Header) {
    line::end(out, rows);
    out.extend_from_slice(b",\"head\":");
    write_whole(out, header);
}

fn write_whole(out: &mut Vec<u8>, header: &Header) {
    let wire = WireHeader {
        format: FORMAT,
        number: FORMAT_NUMBER,
        store: &header.store,
        id: &header.id,
        created_ms: header.created_ms,
        next_version: header.next_version,
        options: (&header.options).into(),
        version: header.version.as_ref().map(|version| WireVersion {
            number: version.number,
            name: version.name.clone(),
            note: version.note.clone(),
            time_ms: version.time_ms,
            keys: version.keys,
            bytes: version.bytes,
        }),
    };
    // Strings and numbers can always be written, and memory takes them.
    let _ = serde_json::to_writer(&mut *out, &wire);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Put;
    use crate::engines::file::line::Chain;
    use crate::engines::file::line::Encoder;
    use proptest::prelude::*;

    fn written(commit: Option<u64>, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut encoder = Encoder::after(Chain::default());
        match commit {
            Some(commit) => encoder.last_line(commit, body),
            None => encoder.line(body),
        }
        assert_eq!(encoder.bytes.pop(), Some(b'\n'));
        encoder.bytes
    }

    proptest! {
        #[test]
        fn every_entry_is_read_as_it_was_written(
            key in prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), ".*".prop_map(String::into_bytes)],
            value in prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), ".*".prop_map(String::into_bytes)],
            expires_ms in proptest::option::of(any::<u64>()),
            media_type in proptest::option::of(".{0,9}"),
            commit in proptest::option::of(any::<u64>()),
        ) {
            let entry = Put { value: &value, expires_ms, media_type: media_type.as_deref() };
            let text = written(commit, |out| line::put(out, &key, entry));
            prop_assert!(std::str::from_utf8(&text).is_ok_and(|text| !text.contains('\n')));
            let (covered, _, sum) = split_sum(&text).unwrap();
            prop_assert_eq!(crc32c::crc32c(covered), sum);
            let line = parse(&text).unwrap();
            prop_assert_eq!(line.commit.map(|commit| commit.number), commit);
            prop_assert_eq!(line.body, Body::Put(Bytes::from(key), entry.to_entry()));
        }

        #[test]
        fn no_line_makes_the_reader_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }
    }

    #[test]
    fn lines_by_hand_may_have_white_space_and_any_order() {
        let line = parse(br#" { "value" : "b", "key" : {"base64": "YQ=="} } "#).unwrap();
        let entry = Put::new(b"b").to_entry();
        assert_eq!(line.body, Body::Put(Bytes::from_static(b"a"), entry));
        for wrong in [
            "{}",
            "[]",
            r#"{"key":"a"}"#,
            r#"{"key":"a","value":1}"#,
            r#"{"key":"a","value":"b","colour":"red"}"#,
            r#"{"key":"a","value":"b","delete":"a"}"#,
            r#"{"key":"a","value":{"base64":"!"}}"#,
            r#"{"format":"nexusbase-kv","number":2}"#,
            r#"{"delete":"a","commit":1}"#,
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
