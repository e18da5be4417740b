//! Reading one segment: whole batches, and what to make of the bytes where they end.
//!
//! A batch counts as a whole or not at all: it was one write, nobody was told that a part of it
//! is durable, and a later batch could not follow a part. So a batch in which anything is bad ends
//! the log at its start, if it is a torn end, and is damage at the bad record, if it is not.

use crate::error::{Damage, OpenError};
use crate::record::{
    ALIGNMENT, BATCH_BYTES, BadRecord, Decoded, Position, Record, decode, may_be_batch,
};
use crate::segment::{RECORDS_AT, Segment};

/// Where a segment's batches end.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) end: Position,
    /// Everything before it was durable once, by the word of a batch or of the segment itself.
    pub(crate) proven: Position,
    /// Nothing but claims lies behind what is proven: the log says by itself that it is whole.
    pub(crate) claimed: bool,
    /// What was wrong with the bytes behind the end, if they are not just unused.
    pub(crate) torn: Option<BadRecord>,
    /// Something is left behind the end, even if it starts with zeros.
    pub(crate) dirty: bool,
}

/// Called for each record; what it returns ends the scan.
pub(crate) type Visit<'a> = dyn FnMut(Position, &Decoded<'_>) -> Result<(), Box<Damage>> + 'a;

/// Reads all records of a segment. `next` is where the following segment starts, if there is one.
///
/// A bad record is damage if a following segment or a valid batch behind it says that the log was
/// durable beyond it, or if it is in the first batch, without which no segment gets its name.
pub(crate) fn scan(
    segment: &Segment,
    next: Option<Position>,
    visit: &mut Visit<'_>,
) -> Result<Scan, OpenError> {
    let base = segment.header.base;
    let mut bytes = Vec::new();
    let all = usize::try_from(segment.header.file_bytes - RECORDS_AT).unwrap_or(usize::MAX);
    segment.read(base, all, &mut bytes)?;
    let mut scan = Scan {
        end: base,
        proven: base,
        claimed: false,
        torn: None,
        dirty: false,
    };
    let mut records = Vec::new();
    let mut at = 0;
    while next != Some(scan.end) {
        match whole_batch(&bytes, at, segment, &mut records) {
            Ok(batch) => {
                for (start, found) in &records {
                    visit(base.plus(*start), found)?;
                }
                at += batch.size;
                scan.proven = if scan.end == base {
                    base.plus(at)
                } else {
                    scan.proven.max(batch.durable)
                };
                scan.claimed = records.len() == 1 && batch.durable == scan.end;
                scan.end = base.plus(at);
            }
            Err((bad_at, bad)) => {
                let position = base.plus(bad_at);
                if next.is_some() || at == 0 || claimed(&bytes, bad_at, segment) {
                    return Err(segment.damage(position, bad.expected, bad.found).into());
                }
                let rest = bytes.get(at..).unwrap_or_default();
                let unused = rest.iter().take(BATCH_BYTES).all(|&byte| byte == 0);
                let followed = unused && batches_after(&bytes, at, segment).next().is_some();
                scan.torn = (!unused || followed).then_some(bad);
                scan.dirty = rest.iter().any(|&byte| byte != 0);
                break;
            }
        }
    }
    Ok(scan)
}

/// A batch that was found whole.
struct Batch {
    durable: Position,
    size: usize,
}

/// Reads the batch at `at`: its own record and all that belong to it, into `records`, each with
/// where it starts in `bytes`. An error says which byte is bad and why.
fn whole_batch<'a>(
    bytes: &'a [u8],
    at: usize,
    segment: &Segment,
    records: &mut Vec<(usize, Decoded<'a>)>,
) -> Result<Batch, (usize, BadRecord)> {
    records.clear();
    let base = segment.header.base;
    let read = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        decode(rest, segment.seed, base.plus(at)).map_err(|bad| (at, bad))
    };
    let refuse = |at: usize, expected: &str, found: &Decoded<'_>| {
        let (expected, found) = (expected.to_owned(), format!("a valid {:?}", found.record));
        Err((at, BadRecord { expected, found }))
    };
    let head = read(at)?;
    let Record::Batch {
        durable,
        bytes: length,
        records: count,
    } = head.record
    else {
        return refuse(at, "the start of a batch", &head);
    };
    if durable > base.plus(at) {
        return refuse(at, "a batch that was durable before it was written", &head);
    }
    records.push((at, head));
    let mut size = head.size;
    for _ in 0..count {
        let found = read(at + size)?;
        if matches!(found.record, Record::Batch { .. }) {
            return refuse(at + size, "the next record of a batch", &found);
        }
        records.push((at + size, found));
        size += found.size;
    }
    if size - head.size != length as usize {
        return refuse(at, "a batch that is as long as its records", &head);
    }
    Ok(Batch { durable, size })
}

/// Whether a valid batch behind the bad record at `at` says that the log was durable beyond it.
fn claimed(bytes: &[u8], at: usize, segment: &Segment) -> bool {
    let position = segment.header.base.plus(at);
    batches_after(bytes, at, segment).any(|durable| durable > position)
}

/// The durable positions of all valid batches behind `at`.
fn batches_after<'a>(
    bytes: &'a [u8],
    at: usize,
    segment: &'a Segment,
) -> impl Iterator<Item = Position> + 'a {
    (at + ALIGNMENT..bytes.len())
        .step_by(ALIGNMENT)
        .filter_map(move |later| {
            if !may_be_batch(&bytes[later..]) {
                return None;
            }
            match decode(
                &bytes[later..],
                segment.seed,
                segment.header.base.plus(later),
            ) {
                Ok(Decoded {
                    record: Record::Batch { durable, .. },
                    ..
                }) => Some(durable),
                _ => None,
            }
        })
}
