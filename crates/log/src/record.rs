//! Records: what the log is made of, and their bytes.
//!
//! A record is a header of 32 bytes, a payload, and zeros up to a multiple of 8. Its checksum is
//! seeded with the database's id, the segment's generation and the record's position, so a record
//! of a recycled segment's former life, of another database or of another place is never taken
//! for one of this log. Decoding trusts nothing: any bytes give a record or an error.

use std::fmt;

/// Size of a record's header in bytes.
pub(crate) const HEADER_BYTES: usize = 32;
/// Records start at multiples of this many bytes.
pub(crate) const ALIGNMENT: usize = 8;
/// The largest payload that a record may have: a transaction of 64 MiB and its framing.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 80 << 20;
/// Size of a whole batch record.
pub(crate) const BATCH_BYTES: usize = HEADER_BYTES + 16;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// The lowest value.
            pub const ZERO: Self = Self(0);

            /// Wraps a number.
            #[must_use]
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A Raft group that keeps its entries in the log; 0 when a database is alone.
    Group(u32)
);
number!(
    /// A Raft term; 0 when a database is alone.
    Term(u64)
);
number!(
    /// The place of an entry in its group's order. The first entry has index 1.
    Index(u64)
);
number!(
    /// A byte position in the log as a whole, from its first record ever. Segments follow one
    /// another without a gap; their headers do not count.
    Position(u64)
);

impl Index {
    /// The index after this one.
    ///
    /// Indices are given one by one, so 2^64 of them are out of reach; the addition saturates
    /// and the check for contiguity would refuse the entry.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Position {
    pub(crate) const fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// An entry's full name: its index, and the term it was written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogId {
    /// The entry's index.
    pub index: Index,
    /// The term of the leader that wrote it.
    pub term: Term,
}

/// A Raft vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term voted in.
    pub term: Term,
    /// The node voted for.
    pub node: u64,
    /// Whether a quorum has granted it.
    pub committed: bool,
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// Opens a batch; written by the log itself.
    Batch {
        /// Everything before this position was durable when the batch was written.
        durable: Position,
        /// Bytes of the records that follow in the batch.
        bytes: u32,
        /// Number of records that follow in the batch.
        records: u32,
    },
    /// An entry of a group.
    Entry {
        /// The group it belongs to.
        group: Group,
        /// Its index and term.
        id: LogId,
        /// What it says: opaque to the log.
        payload: &'a [u8],
    },
    /// A vote given in a group.
    Vote {
        /// The group voted in.
        group: Group,
        /// The vote.
        vote: Vote,
    },
    /// The group's entries after `last` are no more.
    TruncateAfter {
        /// The group truncated.
        group: Group,
        /// The last entry that stays.
        last: LogId,
    },
    /// The group's entries up to `up_to` are no longer needed. May lie beyond the last entry.
    PurgeUpTo {
        /// The group purged.
        group: Group,
        /// The last entry that may go.
        up_to: LogId,
    },
    /// A group's state where a segment starts; written by the log itself.
    Checkpoint {
        /// The group.
        group: Group,
        /// Its last entry.
        last: LogId,
        /// What was purged.
        purged: LogId,
        /// The last vote, if any was given.
        vote: Option<Vote>,
    },
}

const KIND_BATCH: u8 = 1;
const KIND_ENTRY: u8 = 2;
const KIND_VOTE: u8 = 3;
const KIND_TRUNCATE: u8 = 4;
const KIND_PURGE: u8 = 5;
const KIND_CHECKPOINT: u8 = 6;

impl Record<'_> {
    /// The record's kind as a word, as `log dump` shows it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Batch { .. } => "batch",
            Self::Entry { .. } => "entry",
            Self::Vote { .. } => "vote",
            Self::TruncateAfter { .. } => "truncate-after",
            Self::PurgeUpTo { .. } => "purge-up-to",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }

    /// The group that the record speaks of; none for a batch.
    #[must_use]
    pub const fn group(&self) -> Option<Group> {
        match *self {
            Self::Batch { .. } => None,
            Self::Entry { group, .. }
            | Self::Vote { group, .. }
            | Self::TruncateAfter { group, .. }
            | Self::PurgeUpTo { group, .. }
            | Self::Checkpoint { group, .. } => Some(group),
        }
    }

    /// The index and term in the record's header: an entry's own, or the last one that it
    /// speaks of.
    #[must_use]
    pub const fn id(&self) -> LogId {
        match *self {
            Self::Batch { .. } => LogId {
                index: Index::ZERO,
                term: Term::ZERO,
            },
            Self::Entry { id, .. } => id,
            Self::Vote { vote, .. } => LogId {
                index: Index::ZERO,
                term: vote.term,
            },
            Self::TruncateAfter { last, .. } | Self::Checkpoint { last, .. } => last,
            Self::PurgeUpTo { up_to, .. } => up_to,
        }
    }

    /// Size of the payload in bytes.
    #[must_use]
    pub const fn payload_len(&self) -> usize {
        match self {
            Self::Batch { .. } => 16,
            Self::Entry { payload, .. } => payload.len(),
            Self::Vote { .. } => 9,
            Self::TruncateAfter { .. } | Self::PurgeUpTo { .. } => 0,
            Self::Checkpoint { .. } => 34,
        }
    }

    /// Size of the whole record on disk, padding included.
    pub(crate) const fn encoded_len(&self) -> usize {
        padded(self.payload_len())
    }

    const fn kind_byte(&self) -> u8 {
        match self {
            Self::Batch { .. } => KIND_BATCH,
            Self::Entry { .. } => KIND_ENTRY,
            Self::Vote { .. } => KIND_VOTE,
            Self::TruncateAfter { .. } => KIND_TRUNCATE,
            Self::PurgeUpTo { .. } => KIND_PURGE,
            Self::Checkpoint { .. } => KIND_CHECKPOINT,
        }
    }

    /// Appends the record's bytes for `position` to `out`.
    pub(crate) fn encode(&self, seed: Seed, position: Position, out: &mut Vec<u8>) {
        let start = out.len();
        let length = u32::try_from(self.payload_len()).unwrap_or(u32::MAX);
        debug_assert!(
            self.payload_len() <= PAYLOAD_BYTES_MAX,
            "checked when appended"
        );
        let id = self.id();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[self.kind_byte(), 0, 0, 0]);
        out.extend_from_slice(&self.group().unwrap_or_default().get().to_le_bytes());
        out.extend_from_slice(&id.term.get().to_le_bytes());
        out.extend_from_slice(&id.index.get().to_le_bytes());
        match *self {
            Self::Batch {
                durable,
                bytes,
                records,
            } => {
                out.extend_from_slice(&durable.get().to_le_bytes());
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend_from_slice(&records.to_le_bytes());
            }
            Self::Entry { payload, .. } => out.extend_from_slice(payload),
            Self::Vote { vote, .. } => {
                out.extend_from_slice(&vote.node.to_le_bytes());
                out.push(u8::from(vote.committed));
            }
            Self::TruncateAfter { .. } | Self::PurgeUpTo { .. } => {}
            Self::Checkpoint { purged, vote, .. } => {
                out.extend_from_slice(&purged.index.get().to_le_bytes());
                out.extend_from_slice(&purged.term.get().to_le_bytes());
                let given = vote.unwrap_or(Vote {
                    term: Term::ZERO,
                    node: 0,
                    committed: false,
                });
                out.extend_from_slice(&[u8::from(vote.is_some()), u8::from(given.committed)]);
                out.extend_from_slice(&given.term.get().to_le_bytes());
                out.extend_from_slice(&given.node.to_le_bytes());
            }
        }
        let checksum = seed.checksum(position, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        out.resize(start + self.encoded_len(), 0);
    }
}

/// A record found on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoded<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) checksum: u32,
    /// Bytes to the next record.
    pub(crate) size: usize,
}

/// Why the bytes at a position are not a record of this log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRecord {
    pub(crate) expected: String,
    pub(crate) found: String,
}

fn bad(expected: impl Into<String>, found: impl Into<String>) -> BadRecord {
    BadRecord {
        expected: expected.into(),
        found: found.into(),
    }
}

/// Reads the record that starts at the first byte of `bytes`, which lies at `position`.
pub(crate) fn decode(
    bytes: &[u8],
    seed: Seed,
    position: Position,
) -> Result<Decoded<'_>, BadRecord> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(bad(
            format!("a record header of {HEADER_BYTES} bytes"),
            format!("{} bytes to the end of the segment", bytes.len()),
        ));
    };
    let checksum = u32_at(header, 0);
    let length = u32_at(header, 4) as usize;
    if length > PAYLOAD_BYTES_MAX || HEADER_BYTES + length > bytes.len() {
        return Err(bad(
            "a record that fits into its segment",
            format!("a payload length of {length} bytes"),
        ));
    }
    let computed = seed.checksum(position, &bytes[4..HEADER_BYTES + length]);
    if computed != checksum {
        return Err(bad(
            format!("checksum {computed:08x}"),
            format!("checksum {checksum:08x}"),
        ));
    }
    let payload = &bytes[HEADER_BYTES..HEADER_BYTES + length];
    let record = interpret(header, payload)?;
    Ok(Decoded {
        record,
        checksum,
        size: padded(length).min(bytes.len()),
    })
}

fn interpret<'a>(header: &[u8; HEADER_BYTES], payload: &'a [u8]) -> Result<Record<'a>, BadRecord> {
    let group = Group::new(u32_at(header, 12));
    let id = LogId {
        term: Term::new(u64_at(header, 16)),
        index: Index::new(u64_at(header, 24)),
    };
    let record = match header[8] {
        KIND_ENTRY => Record::Entry { group, id, payload },
        KIND_TRUNCATE => Record::TruncateAfter { group, last: id },
        KIND_PURGE => Record::PurgeUpTo { group, up_to: id },
        KIND_BATCH if payload.len() == 16 => Record::Batch {
            durable: Position::new(u64_at(payload, 0)),
            bytes: u32_at(payload, 8),
            records: u32_at(payload, 12),
        },
        KIND_VOTE if payload.len() == 9 => Record::Vote {
            group,
            vote: Vote {
                term: id.term,
                node: u64_at(payload, 0),
                committed: payload[8] != 0,
            },
        },
        KIND_CHECKPOINT if payload.len() == 34 => Record::Checkpoint {
            group,
            last: id,
            purged: LogId {
                index: Index::new(u64_at(payload, 0)),
                term: Term::new(u64_at(payload, 8)),
            },
            vote: (payload[16] != 0).then(|| Vote {
                committed: payload[17] != 0,
                term: Term::new(u64_at(payload, 18)),
                node: u64_at(payload, 26),
            }),
        },
        kind => {
            return Err(bad(
                "a record kind of format 1",
                format!("kind {kind} with {} bytes", payload.len()),
            ));
        }
    };
    if record.payload_len() != payload.len() {
        let expected = format!(
            "{} bytes in a {} record",
            record.payload_len(),
            record.kind()
        );
        return Err(bad(expected, format!("{} bytes", payload.len())));
    }
    Ok(record)
}

/// Whether `bytes` could start with a batch record; cheap, to search for one.
pub(crate) fn may_be_batch(bytes: &[u8]) -> bool {
    bytes.len() >= BATCH_BYTES && bytes[4..12] == [16, 0, 0, 0, KIND_BATCH, 0, 0, 0]
}

/// What a segment's checksums are seeded with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(database: [u8; 16], generation: u64) -> Self {
        let with_database = crc32c::crc32c(&database);
        Self(crc32c::crc32c_append(
            with_database,
            &generation.to_le_bytes(),
        ))
    }

    pub(crate) fn checksum(self, position: Position, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(
            crc32c::crc32c_append(self.0, &position.get().to_le_bytes()),
            bytes,
        )
    }
}

const fn padded(payload: usize) -> usize {
    (HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// Reads four bytes at `at`; 0 where they are missing, which no caller lets happen.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_le_bytes(*b))
}

/// Reads eight bytes at `at`; 0 where they are missing, which no caller lets happen.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: [u8; 16] = [7; 16];

    fn log_id() -> impl Strategy<Value = LogId> {
        (any::<u64>(), any::<u64>()).prop_map(|(i, t)| LogId {
            index: Index::new(i),
            term: Term::new(t),
        })
    }

    fn vote() -> impl Strategy<Value = Vote> {
        (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(t, node, committed)| Vote {
            term: Term::new(t),
            node,
            committed,
        })
    }

    fn check(record: Record<'_>, position: u64) {
        let seed = Seed::new(SEED, 3);
        let mut bytes = Vec::new();
        record.encode(seed, Position::new(position), &mut bytes);
        assert_eq!(bytes.len(), record.encoded_len());
        let decoded = decode(&bytes, seed, Position::new(position)).unwrap();
        assert_eq!(decoded.record, record);
        assert_eq!(decoded.size, bytes.len());
        assert!(decode(&bytes, Seed::new(SEED, 4), Position::new(position)).is_err());
        assert!(decode(&bytes, seed, Position::new(position + 8)).is_err());
        for bit in 0..(HEADER_BYTES + record.payload_len()) * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                decode(&flipped, seed, Position::new(position)).is_err(),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn records_come_back_and_only_at_their_place(
            id in log_id(), purged in log_id(), vote in vote(), group in any::<u32>(),
            payload in proptest::collection::vec(any::<u8>(), 0..60), position in 0u64..1 << 40,
        ) {
            let group = Group::new(group);
            check(Record::Entry { group, id, payload: &payload }, position);
            check(Record::Vote { group, vote }, position);
            check(Record::TruncateAfter { group, last: id }, position);
            check(Record::PurgeUpTo { group, up_to: id }, position);
            check(Record::Checkpoint { group, last: id, purged, vote: Some(vote) }, position);
            check(Record::Checkpoint { group, last: id, purged, vote: None }, position);
            check(Record::Batch { durable: Position::new(position), bytes: 9, records: 2 }, position);
        }

        #[test]
        fn random_bytes_are_an_error_and_never_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(decode(&bytes, Seed::new(SEED, 1), Position::ZERO).is_err());
        }
    }

    #[test]
    fn zeros_are_not_a_record() {
        assert!(decode(&[0; 64], Seed::new(SEED, 1), Position::ZERO).is_err());
    }
}
