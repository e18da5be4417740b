//! Opening a log: reading what is there, telling a torn tail from damage.
//!
//! Rules (see the crate's front page for why they are enough):
//! * A segment has its name only since its header, its first batch and all that lies before it
//!   are durable. So a bad header, a gap between generations, or a bad record in any segment but
//!   the newest is damage.
//! * In the newest segment a bad record is damage if a valid batch behind it says that the log
//!   was durable beyond the bad record's start; else it is the torn end of a write.
//! * A torn end is overwritten with zeros, so that nothing of it can be taken for valid when
//!   later records end exactly where it starts; and the segment is synced, because what was read
//!   may so far only be in the page cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nexusbase_io::Fs;

use crate::error::{Damage, OpenError};
use crate::group::GroupState;
use crate::log::TornTail;
use crate::record::{
    ALIGNMENT, BATCH_BYTES, BadRecord, Decoded, Group, Position, Record, decode, may_be_batch,
};
use crate::segment::{self, RECORDS_AT, Segment};

/// What was found in a log's folder.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) groups: BTreeMap<Group, GroupState>,
    pub(crate) end: Position,
    pub(crate) torn: Option<TornTail>,
}

/// Reads and checks the log in `dir`, and cuts off a torn tail.
pub(crate) fn recover(fs: &dyn Fs, dir: &Path, database: [u8; 16]) -> Result<Recovered, OpenError> {
    let mut recovered = Recovered::default();
    let segments = open_segments(fs, dir, false)?;
    if let Some(other) = segments.iter().find(|s| s.header.database != database) {
        return Err(OpenError::OtherDatabase {
            path: other.path.clone(),
            expected: segment::hex(&database),
            found: segment::hex(&other.header.database),
        });
    }
    let mut torn = None;
    for (number, segment) in segments.iter().enumerate() {
        let next = segments.get(number + 1).map(|next| next.header.base);
        let groups = &mut recovered.groups;
        let scan = scan(segment, next, &mut |position, found| {
            note(groups, segment, position, &found.record)
        })?;
        recovered.end = scan.end;
        if next.is_some() {
            let lasts = groups
                .iter()
                .map(|(group, state)| (*group, state.view.last.index));
            // Nobody else has the segment yet.
            let _ = segment.sealed.set(lasts.collect());
        } else {
            torn = scan.torn;
        }
    }
    check_complete(&recovered, &segments)?;
    if let Some(newest) = segments.last() {
        // The first change to any file, after all that can be refused was checked.
        recovered.torn = torn
            .map(|bad| cut_off(newest, recovered.end, &bad))
            .transpose()?;
        newest.file.sync_data()?;
    }
    recovered.segments = segments;
    Ok(recovered)
}

/// Opens all segments of a folder, oldest first.
pub(crate) fn open_segments(
    fs: &dyn Fs,
    dir: &Path,
    read_only: bool,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let generations = segment::generations(fs, dir)?;
    for pair in generations.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(OpenError::Missing {
                path: segment::path_of(dir, pair[0] + 1),
            });
        }
    }
    generations
        .iter()
        .map(|&generation| {
            let path = segment::path_of(dir, generation);
            Segment::open(fs, path, generation, read_only).map(Arc::new)
        })
        .collect()
}

fn note(
    groups: &mut BTreeMap<Group, GroupState>,
    segment: &Segment,
    position: Position,
    record: &Record<'_>,
) -> Result<(), Box<Damage>> {
    let Some(group) = record.group() else {
        return Ok(());
    };
    let state = groups.entry(group).or_default();
    if let Record::Checkpoint {
        last, purged, vote, ..
    } = *record
        && state.view != crate::GroupView::default()
        && (state.view.last, state.view.purged, state.view.vote) != (last, purged, vote)
    {
        let expected = format!("a checkpoint that says {:?}", state.view);
        return Err(segment.damage(position, expected, format!("{record:?}")));
    }
    state
        .note(group, record, position, segment.header.base)
        .map_err(|refused| {
            segment.damage(
                position,
                "a record that follows the one before",
                refused.to_string(),
            )
        })
}

fn check_complete(recovered: &Recovered, segments: &[Arc<Segment>]) -> Result<(), OpenError> {
    for (group, state) in &recovered.groups {
        if let (Some(missing), Some(oldest)) = (state.missing(), segments.first()) {
            let expected = format!("entry {missing} of group {group}");
            let found = "a later entry: an older segment is missing";
            return Err(oldest.damage(oldest.header.base, expected, found).into());
        }
    }
    Ok(())
}

fn cut_off(segment: &Segment, end: Position, bad: &BadRecord) -> Result<TornTail, OpenError> {
    let offset = segment.offset(end);
    let rest = usize::try_from(segment.header.file_bytes - offset).unwrap_or(usize::MAX);
    segment.file.write_at(&vec![0; rest], offset)?;
    Ok(TornTail {
        path: segment.path.clone(),
        offset,
        reason: format!("expected {}, found {}", bad.expected, bad.found),
    })
}

/// Where a segment's records end.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) end: Position,
    /// What was wrong with the bytes behind the end, if they are not just unused.
    pub(crate) torn: Option<BadRecord>,
}

/// Called for each record; what it returns ends the scan.
pub(crate) type Visit<'a> = dyn FnMut(Position, &Decoded<'_>) -> Result<(), Box<Damage>> + 'a;

/// Reads all records of a segment. `next` is where the following segment starts, if there is one.
pub(crate) fn scan(
    segment: &Segment,
    next: Option<Position>,
    visit: &mut Visit<'_>,
) -> Result<Scan, OpenError> {
    let base = segment.header.base;
    let mut bytes = Vec::new();
    let all = usize::try_from(segment.header.file_bytes - RECORDS_AT).unwrap_or(usize::MAX);
    segment.read(base, all, &mut bytes)?;
    let mut at = 0;
    let mut left_in_batch = 0;
    loop {
        let position = base.plus(at);
        if next == Some(position) && left_in_batch == 0 {
            return Ok(Scan {
                end: position,
                torn: None,
            });
        }
        let bad = match decode(&bytes[at..], segment.seed, position)
            .and_then(|found| in_its_batch(position, found, &mut left_in_batch))
        {
            Ok(found) => {
                visit(position, &found)?;
                at += found.size;
                continue;
            }
            Err(bad) => bad,
        };
        if next.is_some() || claimed(&bytes, at, segment, position) {
            return Err(segment.damage(position, bad.expected, bad.found).into());
        }
        let unused = bytes[at..].iter().take(BATCH_BYTES).all(|&byte| byte == 0);
        let followed = unused && batches_after(&bytes, at, segment).next().is_some();
        return Ok(Scan {
            end: position,
            torn: (!unused || followed).then_some(bad),
        });
    }
}

/// Checks that batches and their records alternate as each batch says.
fn in_its_batch<'a>(
    position: Position,
    found: Decoded<'a>,
    left: &mut u32,
) -> Result<Decoded<'a>, BadRecord> {
    let refuse = |expected: &str| {
        Err(BadRecord {
            expected: expected.to_owned(),
            found: format!("a valid {} record", found.record.kind()),
        })
    };
    match found.record {
        Record::Batch { durable, .. } if *left > 0 || durable > position => {
            refuse("the next record of a batch")
        }
        Record::Batch { records, .. } => {
            *left = records;
            Ok(found)
        }
        _ if *left == 0 => refuse("the start of a batch"),
        _ => {
            *left -= 1;
            Ok(found)
        }
    }
}

/// Whether a valid batch behind the bad record at `at` says that the log was durable beyond it.
fn claimed(bytes: &[u8], at: usize, segment: &Segment, position: Position) -> bool {
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
