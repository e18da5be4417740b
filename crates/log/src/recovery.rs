//! Opening a log: reading what is there, telling a torn tail from damage.
//!
//! Rules (see the crate's front page for why they are enough):
//! * A segment has its name only since its header, its first batch and all that lies before it
//!   are durable. So a bad header, a gap between generations, a bad first batch, or a bad record
//!   in any segment but the newest is damage.
//! * In the newest segment a bad record is damage if a valid batch behind it says that the log
//!   was durable beyond the bad record's start; else its batch is the torn end of a write.
//! * What was read may so far only be in the page cache, where it came from a life that ended
//!   before its sync, or whose sync has failed: then the pages count as clean, and another sync
//!   alone proves nothing. So what is not proven to have been durable is written again, then
//!   synced; and so are the names in the folder.
//! * A torn end is overwritten with zeros, so that nothing of it can be taken for valid when
//!   later records end exactly where it starts. A mark stays at its start until the zeros are
//!   durable, so that an opening that breaks off in between is begun again by the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nexusbase_io::Fs;

use crate::error::{Damage, OpenError};
use crate::group::GroupState;
use crate::log::TornTail;
use crate::record::{ALIGNMENT, BadRecord, Group, Position, Record};
use crate::scan::{Scan, scan};
use crate::segment::{self, Segment};

/// Stands where a torn end starts while the bytes behind it are being cleared. As a record it
/// would be too long.
const TORN_MARK: [u8; ALIGNMENT] = [0xff; ALIGNMENT];

/// What was found in a log's folder.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) groups: BTreeMap<Group, GroupState>,
    pub(crate) end: Position,
    /// The log says by itself that it is whole: no further claim is needed.
    pub(crate) claimed: bool,
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
    let mut newest = None;
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
            newest = Some((segment, scan));
        }
    }
    check_complete(&recovered, &segments)?;
    // The first change to anything, after all that can be refused was checked.
    fs.sync_dir(dir)?;
    if let Some((segment, scan)) = newest {
        recovered.claimed = scan.claimed && scan.torn.is_none();
        recovered.torn = settle(segment, scan)?;
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

/// Makes what was read durable, and clears a torn end.
fn settle(segment: &Segment, scan: Scan) -> Result<Option<TornTail>, OpenError> {
    let offset = segment.offset(scan.end);
    let unproven = scan.end.get() - scan.proven.get();
    let mut tail = Vec::new();
    segment.read(
        scan.proven,
        usize::try_from(unproven).unwrap_or(usize::MAX),
        &mut tail,
    )?;
    let rest = usize::try_from(segment.header.file_bytes - offset).unwrap_or(usize::MAX);
    let mark = &TORN_MARK[..TORN_MARK.len().min(rest)];
    let all = tail.len() + rest;
    if scan.torn.is_some() {
        tail.extend_from_slice(mark);
    }
    if scan.torn.is_some() || scan.dirty {
        // Whatever is left there could become a part of a batch that is torn later: a batch has
        // no checksum of its own, and a record of an interrupted write is valid in its place.
        tail.resize(all, 0);
    }
    if !tail.is_empty() {
        segment.file.write_at(&tail, segment.offset(scan.proven))?;
    }
    segment.file.sync_data()?;
    let Some(BadRecord { expected, found }) = scan.torn else {
        return Ok(None);
    };
    segment
        .file
        .write_durable_at(&[0; TORN_MARK.len()][..mark.len()], offset)?;
    Ok(Some(TornTail {
        path: segment.path.clone(),
        offset,
        reason: format!("expected {expected}, found {found}"),
    }))
}
