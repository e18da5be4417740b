//! The index of a table, in two storeys: the top names the partitions, a partition its blocks.
//!
//! Both are lists of entries: a separator, a place in the file, and the aggregate of what lies
//! there. A partition also has the filter over its keys, so that a point read looks at one
//! partition for both. The top is in memory while the table is open; partitions come and go with
//! the cache.
//!
//! Payload of a top (`T`) or partition (`P`) block:
//!
//! | size | field |
//! | --- | --- |
//! | 1 | `T` or `P` |
//! | varint | number of entries |
//! | varint | offset in the file of the first entry's block; the others follow it without gaps, unless the entry says so |
//! | varint, … | length of the filter, filter (in a top, one that lets everything through) |
//! | … | entries |
//!
//! Entry:
//!
//! | size | field |
//! | --- | --- |
//! | 1 | flags: 1 separator has a seqno, 2 plain, 4 other sums than `rows` and zero follow |
//! | varint, varint, … | bytes shared with the separator before, number of others, others |
//! | varint | only with flag 1: seqno |
//! | varint | bytes between the end of the block before and this one |
//! | varint | length of the block's frame |
//! | varint | rows |
//! | varint, varint | least seqno, greatest minus least seqno |
//! | varint | only with flag 4: weight (zigzag); without it, weight = rows |
//! | 32 | only if the kind has fingerprints: their sum |
//! | varint, varint | for each zone of the kind: least value, greatest minus least |

use crate::Seqno;
use crate::aggregate::{Aggregate, FingerprintSum};
use crate::kind::TreeKind;
use crate::table::filter::Filter;
use crate::table::frame::Handle;
use crate::table::separators::{Separator, Separators, shared};
use crate::wire::{Reader, put_bytes, put_number, put_signed};

pub(crate) const TOP: u8 = b'T';
pub(crate) const PARTITION: u8 = b'P';

const HAS_SEQNO: u8 = 1;
const PLAIN: u8 = 2;
const HAS_WEIGHT: u8 = 4;

/// An entry of an index that is being written.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) separator: Vec<u8>,
    pub(crate) seqno: Seqno,
    pub(crate) handle: Handle,
    pub(crate) aggregate: Aggregate,
}

/// Encodes a top or a partition.
pub(crate) fn encode(marker: u8, kind: &TreeKind, filter: &[u8], entries: &[Entry]) -> Vec<u8> {
    let mut out = vec![marker];
    let mut end = entries.first().map_or(0, |first| first.handle.offset);
    put_number(&mut out, entries.len() as u64);
    put_number(&mut out, end);
    put_bytes(&mut out, filter);
    let mut before: &[u8] = &[];
    for entry in entries {
        let aggregate = &entry.aggregate;
        let has_weight = i128::from(aggregate.weight) != i128::from(aggregate.rows);
        let flag = |set, bit| if set { bit } else { 0 };
        out.push(
            flag(entry.seqno != Seqno::ZERO, HAS_SEQNO)
                | flag(aggregate.plain, PLAIN)
                | flag(has_weight, HAS_WEIGHT),
        );
        let same = shared(before, &entry.separator);
        put_number(&mut out, same as u64);
        put_bytes(&mut out, &entry.separator[same..]);
        before = &entry.separator;
        if entry.seqno != Seqno::ZERO {
            put_number(&mut out, entry.seqno.get());
        }
        put_number(&mut out, entry.handle.offset - end);
        put_number(&mut out, u64::from(entry.handle.length));
        end = entry.handle.offset + u64::from(entry.handle.length);
        encode_aggregate(kind, aggregate, has_weight, &mut out);
    }
    out
}

fn encode_aggregate(kind: &TreeKind, aggregate: &Aggregate, has_weight: bool, out: &mut Vec<u8>) {
    let (least, greatest) = (aggregate.min_seqno.get(), aggregate.max_seqno.get());
    put_number(out, aggregate.rows);
    put_number(out, least);
    put_number(out, greatest.saturating_sub(least));
    if has_weight {
        put_signed(out, aggregate.weight);
    }
    if kind.fingerprint.is_some() {
        out.extend_from_slice(&aggregate.fingerprint.to_bytes());
    }
    for (least, greatest) in &aggregate.zones[..kind.zones.len()] {
        put_number(out, *least);
        put_number(out, greatest.saturating_sub(*least));
    }
}

/// An index that was read and checked.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) filter: Filter,
    pub(crate) separators: Separators,
    pub(crate) handles: Box<[Handle]>,
    /// Where the aggregate of each entry starts in `aggregates`, and its flags.
    places: Box<[(u32, u8)]>,
    /// The aggregates as they are on disk: they are seldom asked for.
    aggregates: Box<[u8]>,
}

impl Index {
    /// Reads an index and checks that its entries ascend and lie within `file_bytes`.
    pub(crate) fn parse(
        raw: &[u8],
        marker: u8,
        kind: &TreeKind,
        file_bytes: u64,
    ) -> Result<Self, String> {
        let mut input = Reader::new(raw);
        let found = input.byte()?;
        if found != marker {
            return Err(format!(
                "a block of kind {:?}, expected {:?}",
                char::from(found),
                char::from(marker)
            ));
        }
        let count = length(&mut input)?;
        // An entry takes at least eight bytes: a damaged count cannot ask for much memory.
        if count > raw.len() / 8 + 1 {
            return Err(format!("it cannot have {count} entries"));
        }
        let mut end = input.number()?;
        let filter = Filter::parse(input.bytes()?)?;
        let mut parsed = Parsed::default();
        for _ in 0..count {
            parsed.entry(&mut input, kind, &mut end, file_bytes)?;
        }
        if input.left() != 0 {
            return Err(format!("{} bytes follow its last entry", input.left()));
        }
        let separators = parsed.separators();
        Ok(Self {
            filter,
            separators: Separators::new(separators),
            handles: parsed.handles.into(),
            places: parsed.places.into(),
            aggregates: parsed.aggregates.into(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    /// What is known of entry `at`.
    pub(crate) fn aggregate(&self, kind: &TreeKind, at: usize) -> Aggregate {
        let (start, flags) = self.places[at];
        let mut input = Reader::new(&self.aggregates[start as usize..]);
        // Parsing has shown that it can be read; nothing is known of what cannot.
        decode_aggregate(&mut input, kind, flags).unwrap_or_default()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.filter.memory_bytes()
            + self.separators.memory_bytes()
            + self.handles.len() * (size_of::<Handle>() + size_of::<(u32, u8)>())
            + self.aggregates.len()
    }
}

/// Entries as far as they were read.
#[derive(Default)]
struct Parsed {
    keys: Vec<u8>,
    ends: Vec<(usize, Seqno)>,
    handles: Vec<Handle>,
    places: Vec<(u32, u8)>,
    aggregates: Vec<u8>,
}

impl Parsed {
    fn entry(
        &mut self,
        input: &mut Reader<'_>,
        kind: &TreeKind,
        end: &mut u64,
        file_bytes: u64,
    ) -> Result<(), String> {
        let flags = input.byte()?;
        if flags & !(HAS_SEQNO | PLAIN | HAS_WEIGHT) != 0 {
            return Err(format!("an entry has flags {flags:#x}"));
        }
        self.key(input, flags)?;
        let gap = input.number()?;
        let offset = end.checked_add(gap).ok_or("an offset is too large")?;
        let handle = Handle {
            offset,
            length: length32(input)?,
        };
        *end = offset
            .checked_add(u64::from(handle.length))
            .filter(|end| *end <= file_bytes)
            .ok_or_else(|| format!("a block at {offset} leads beyond the file"))?;
        self.handles.push(handle);
        let before = input.clone();
        decode_aggregate(input, kind, flags)?;
        let mut taken = before;
        let bytes = taken.take(taken.left() - input.left())?;
        let start = u32::try_from(self.aggregates.len()).map_err(|_| "it is too long")?;
        self.places.push((start, flags));
        self.aggregates.extend_from_slice(bytes);
        Ok(())
    }

    fn key(&mut self, input: &mut Reader<'_>, flags: u8) -> Result<(), String> {
        let same = length(input)?;
        let rest = input.bytes()?;
        let (start, end) = self.last_range();
        if same > end - start {
            return Err(format!(
                "a separator shares {same} bytes with a shorter one"
            ));
        }
        if same + rest.len() > MAX_KEY {
            return Err("a separator is too long".to_owned());
        }
        let at = self.keys.len();
        if at + same + rest.len() > KEYS_MAX {
            return Err("its separators take too much memory".to_owned());
        }
        self.keys.extend_from_within(start..start + same);
        self.keys.extend_from_slice(rest);
        let seqno = if flags & HAS_SEQNO == 0 {
            Seqno::ZERO
        } else {
            Seqno::new(input.number()?)
        };
        let before = self
            .ends
            .last()
            .map(|(_, seqno)| (&self.keys[start..end], *seqno));
        let this: Separator<'_> = (&self.keys[at..], seqno);
        if before.is_some_and(|before| crate::row::compare_rows(before, this).is_ge()) {
            return Err("its separators do not ascend".to_owned());
        }
        self.ends.push((self.keys.len(), seqno));
        Ok(())
    }

    fn last_range(&self) -> (usize, usize) {
        match self.ends.as_slice() {
            [] => (0, 0),
            [(end, _)] => (0, *end),
            [.., (start, _), (end, _)] => (*start, *end),
        }
    }

    fn separators(&self) -> impl Iterator<Item = Separator<'_>> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts
            .zip(&self.ends)
            .map(|(start, (end, seqno))| (&self.keys[start..*end], *seqno))
    }
}

fn length(input: &mut Reader<'_>) -> Result<usize, String> {
    usize::try_from(input.number()?).map_err(|_| "a length is too large".to_owned())
}

fn length32(input: &mut Reader<'_>) -> Result<u32, String> {
    u32::try_from(input.number()?).map_err(|_| "a length is too large".to_owned())
}

/// The longest key, and so separator, in bytes.
const MAX_KEY: usize = 1 << 16;
/// The most memory that separators may take together. A few bytes can stand for a long one, so an
/// index that is small on disk could be gigabytes.
const KEYS_MAX: usize = 256 << 20;

fn decode_aggregate(
    input: &mut Reader<'_>,
    kind: &TreeKind,
    flags: u8,
) -> Result<Aggregate, String> {
    let mut aggregate = Aggregate {
        rows: input.number()?,
        ..Aggregate::default()
    };
    let least = input.number()?;
    let over = "a greatest value is too large";
    let greatest = least.checked_add(input.number()?).ok_or(over)?;
    aggregate.min_seqno = Seqno::new(least);
    aggregate.max_seqno = Seqno::new(greatest);
    aggregate.plain = flags & PLAIN != 0;
    aggregate.weight = if flags & HAS_WEIGHT == 0 {
        i64::try_from(aggregate.rows).map_err(|_| "it has too many rows")?
    } else {
        input.signed()?
    };
    if kind.fingerprint.is_some() {
        let mut words = [0; 4];
        for word in &mut words {
            let bytes = input.take(8)?;
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        aggregate.fingerprint = FingerprintSum(words);
    }
    for zone in &mut aggregate.zones[..kind.zones.len()] {
        let least = input.number()?;
        *zone = (least, least.checked_add(input.number()?).ok_or(over)?);
    }
    Ok(aggregate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_that_would_take_too_much_memory_are_an_error() {
        let entries = |count: u32| -> Vec<Entry> {
            let entry = |number: u32| {
                let mut separator = vec![0; MAX_KEY];
                separator[MAX_KEY - 4..].copy_from_slice(&number.to_be_bytes());
                Entry {
                    separator,
                    seqno: Seqno::ZERO,
                    handle: Handle {
                        offset: 0,
                        length: 0,
                    },
                    aggregate: Aggregate::default(),
                }
            };
            (0..count).map(entry).collect()
        };
        let most = KEYS_MAX / MAX_KEY;
        let parse = |raw: &[u8]| Index::parse(raw, TOP, &TreeKind::ROWS, 0).map(|read| read.len());
        // An entry beyond the first is a few bytes: repeat what encoding would have said.
        let long = encode(TOP, &TreeKind::ROWS, &[0], &entries(2));
        let first = encode(TOP, &TreeKind::ROWS, &[0], &entries(1));
        assert_eq!(parse(&long), Ok(2));
        assert!(long.len() - first.len() < 32);
        let mut many = vec![TOP];
        put_number(&mut many, most as u64 + 1);
        many.extend_from_slice(&first[2..]);
        let next = &long[first.len()..];
        for number in 1..=u16::try_from(most).unwrap_or(u16::MAX) {
            // The last two bytes of the separator instead of the last one.
            many.push(next[0]);
            put_number(&mut many, MAX_KEY as u64 - 2);
            put_bytes(&mut many, &number.to_be_bytes());
            let shared_and_rest = 1 + 3 + 2;
            many.extend_from_slice(&next[shared_and_rest..]);
        }
        assert!(many.len() < 1 << 20);
        let error = parse(&many).unwrap_err();
        assert_eq!(error, "its separators take too much memory");
    }
}
