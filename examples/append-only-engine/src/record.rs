//! Records: how changes stand in a file, and how they are read back.
//!
//! A file is records one behind the other. A record is one batch of changes, so that a batch is
//! there as a whole or not at all:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | length of the changes |
//! | 4 | CRC-32C of the length |
//! | 4 | CRC-32C of the changes |
//! | … | the changes: fields, each a length of 4 bytes (`u32::MAX`: there is none) and its bytes |
//!
//! All numbers are little-endian. The length has a checksum of its own, so that it says where a
//! record ends whose end was never written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_kv::engine::CopyMark;
use nexusbase_kv::{Entry, Retention, StoreOptions};

/// What lies under each key.
pub(crate) type Rows = BTreeMap<Vec<u8>, Entry>;

const HEADER: usize = 12;
const NONE: u32 = u32::MAX;

/// One change of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Put(Vec<u8>, Entry),
    Delete(Vec<u8>),
    Clear,
    Options(StoreOptions),
}

impl Change {
    /// Does it.
    pub(crate) fn apply(self, rows: &mut Rows, options: &mut StoreOptions) {
        match self {
            Self::Put(key, entry) => drop(rows.insert(key, entry)),
            Self::Delete(key) => drop(rows.remove(&key)),
            Self::Clear => rows.clear(),
            Self::Options(new) => *options = new,
        }
    }
}

/// A record of `changes`.
pub(crate) fn encode(changes: &[Change]) -> Vec<u8> {
    let mut writer = Writer(vec![0; HEADER]);
    for change in changes {
        writer.change(change);
    }
    let mut record = writer.0;
    let length = length_of(&record[HEADER..]);
    record[..4].copy_from_slice(&length.to_le_bytes());
    for (at, crc) in [
        (4, crc32c::crc32c(&record[..4])),
        (8, crc32c::crc32c(&record[HEADER..])),
    ] {
        record[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    record
}

/// The length of the record that `bytes` begin with, whole or not; none if that is not known.
pub(crate) fn record_length(bytes: &[u8]) -> Option<usize> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let (length, crc) = (number_at(header, 0), number_at(header, 4));
    let is_right = crc32c::crc32c(&header[..4]) == crc;
    HEADER.checked_add(usize::try_from(length).ok().filter(|_| is_right)?)
}

/// The record that `bytes` begin with, and its length; none if there is no whole one.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Vec<Change>, usize)> {
    let end = record_length(bytes)?;
    let record = bytes.get(..end)?;
    if crc32c::crc32c(&record[HEADER..]) != number_at(record.first_chunk()?, 8) {
        return None;
    }
    let mut reader = Reader(&record[HEADER..]);
    let mut changes = Vec::new();
    while !reader.0.is_empty() {
        changes.push(reader.change()?);
    }
    Some((changes, end))
}

fn number_at(header: &[u8; HEADER], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The length of what is within the limits, and so far below 4 GiB.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(NONE)
}

struct Writer(Vec<u8>);

impl Writer {
    fn field(&mut self, field: Option<&[u8]>) {
        let length = field.map_or(NONE, length_of);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(field.unwrap_or_default());
    }

    fn number(&mut self, number: Option<u64>) {
        self.field(
            number
                .map(u64::to_le_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Put(key, entry) => {
                self.field(Some(b"put"));
                self.field(Some(key));
                self.field(Some(&entry.value));
                self.number(entry.expires_ms);
                self.field(entry.media_type.as_deref().map(str::as_bytes));
            }
            Change::Delete(key) => {
                self.field(Some(b"delete"));
                self.field(Some(key));
            }
            Change::Clear => self.field(Some(b"clear")),
            Change::Options(options) => {
                self.field(Some(b"options"));
                self.number(options.ttl_ms);
                self.number(options.retention.count);
                self.number(options.retention.age_ms);
                self.number(Some(u64::from(options.read_only)));
                let copy = options.copy_of.as_ref();
                self.field(copy.map(|copy| copy.store.as_bytes()));
                self.number(copy.and_then(|copy| copy.version));
                self.field(copy.map(|copy| copy.token.as_bytes()));
                self.number(Some(options.labels.len() as u64));
                for (label, value) in &options.labels {
                    self.field(Some(label.as_bytes()));
                    self.field(Some(value.as_bytes()));
                }
            }
        }
    }
}

/// Takes fields off. Each method answers none when there is no such field, which only happens
/// when a program has written nonsense: the checksum was right.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn field(&mut self) -> Option<Option<&'a [u8]>> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        let length = u32::from_le_bytes(*length);
        if length == NONE {
            return Some(None);
        }
        let (field, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Some(field))
    }

    fn text(&mut self) -> Option<Option<&'a str>> {
        let Some(text) = self.field()? else {
            return Some(None);
        };
        std::str::from_utf8(text).ok().map(Some)
    }

    fn number(&mut self) -> Option<Option<u64>> {
        let Some(number) = self.field()? else {
            return Some(None);
        };
        Some(Some(u64::from_le_bytes(number.try_into().ok()?)))
    }

    fn change(&mut self) -> Option<Change> {
        Some(match self.field()?? {
            b"put" => {
                let key = self.field()??.to_vec();
                // Memory of its own: whoever keeps the value must not keep the file alive.
                let value = Bytes::copy_from_slice(self.field()??);
                let expires_ms = self.number()?;
                let media_type = self.text()?.map(Arc::from);
                let entry = Entry {
                    value,
                    expires_ms,
                    media_type,
                };
                Change::Put(key, entry)
            }
            b"delete" => Change::Delete(self.field()??.to_vec()),
            b"clear" => Change::Clear,
            b"options" => Change::Options(self.options()?),
            _ => return None,
        })
    }

    fn options(&mut self) -> Option<StoreOptions> {
        let ttl_ms = self.number()?;
        let (count, age_ms) = (self.number()?, self.number()?);
        let read_only = self.number()?? != 0;
        let (store, version, token) = (self.text()?, self.number()?, self.text()?);
        let copy_of = store.map(|store| CopyMark {
            store: store.to_owned(),
            version,
            token: token.unwrap_or_default().to_owned(),
        });
        let mut labels = BTreeMap::new();
        for _ in 0..self.number()?? {
            labels.insert(self.text()??.to_owned(), self.text()??.to_owned());
        }
        let retention = Retention { count, age_ms };
        Some(StoreOptions {
            ttl_ms,
            retention,
            read_only,
            copy_of,
            labels,
        })
    }
}
