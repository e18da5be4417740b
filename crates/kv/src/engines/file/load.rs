//! Makes a state in memory of a file.

use std::ops::Range;
use std::sync::Arc;

use nexusbase_io as io;

use super::line::Chain;
use super::parse::Header;
use super::report::Report;
use super::scan::{Group, Scan};
use crate::keyspace::{Change, State};

/// What a file says.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    /// What its first line says, or the line that ends its base part. None if both are damaged.
    pub(super) header: Option<Header>,
    /// Its first line is damaged.
    pub(super) is_head_damaged: bool,
    pub(super) chain: Chain,
    pub(super) base_end: u64,
    pub(super) last_group: Option<Range<u64>>,
    pub(super) report: Report,
    /// Its first line is right and says that it is of another format: a newer engine has written it.
    pub(super) foreign_format: Option<String>,
}

impl Loaded {
    /// Whether there is nothing in it that an engine wrote: it is somebody else's.
    pub(super) const fn is_foreign(&self) -> bool {
        self.report.good == 0
    }
}

/// Reads the first `length` bytes of `file`. The cells of the state get `stamp`, if nothing was
/// appended.
pub(super) fn load(file: &Arc<dyn io::File>, length: u64, stamp: u64) -> io::Result<Loaded> {
    if let Some(loaded) = load_in_order(file, length, stamp, false)? {
        return Ok(loaded);
    }
    let loaded = load_in_order(file, length, stamp, true)?;
    loaded.ok_or_else(|| {
        let source = std::io::Error::other("it changes while it is read");
        io::Error::new("read", std::path::Path::new(""), source)
    })
}

fn load_in_order(
    file: &Arc<dyn io::File>,
    length: u64,
    stamp: u64,
    sorts: bool,
) -> io::Result<Option<Loaded>> {
    let mut scan = Scan::new(file, length, sorts);
    let rows = std::iter::from_fn(|| scan.row().transpose());
    let mut state = State::from_rows::<io::Error>(rows, stamp)?;
    while let Some(Group {
        mut changes,
        is_misplaced,
    }) = scan.group()?
    {
        if is_misplaced {
            changes.retain(|change| is_new(change, &state));
        }
        // Nothing expires while it is read: what is in the file counts.
        drop(state.apply(changes, || 0));
    }
    let judge = scan.end();
    if judge.is_disordered && !sorts {
        return Ok(None);
    }
    let is_head_damaged = judge.header.is_none();
    let mut header = judge.header.or(judge.foot);
    if let Some(header) = &mut header {
        header.next_version = header.next_version.max(judge.next_version);
    }
    Ok(Some(Loaded {
        state,
        header,
        is_head_damaged,
        chain: judge.chain,
        base_end: judge.base_end,
        last_group: judge.last_group,
        report: judge.report,
        foreign_format: judge.foreign_format,
    }))
}

fn is_new(change: &Change, state: &State) -> bool {
    match change {
        Change::Put(key, _) => state.cell(key).is_none(),
        Change::Delete(_) | Change::Clear => false,
    }
}
