//! Makes and opens the file of a store, and puts right what is wrong with it.

use std::sync::Arc;

use nexusbase_io as io;

use super::aside::{self, Before};
use super::backing::{Common, FileBacking, Health, Tail, failed};
use super::load::{Loaded, load};
use super::names::Kind;
use super::parse::Header;
use super::reader::read;
use super::versions::read_head;
use crate::domain::{Error, ErrorKind, Operation, Result, StoreOptions};
use crate::keyspace::{Keyspace, State};

type FileKeyspace = Keyspace<FileBacking>;

/// Makes a store: its file gets its name when it is complete.
pub(super) fn create(
    common: &Arc<Common>,
    store: &str,
    options: &StoreOptions,
) -> Result<FileKeyspace> {
    let io = failed(Operation::CreateStore);
    let mut header = new_header(common, store).map_err(&io)?;
    header.options = options.clone();
    let state = State::default();
    let mut image = common.image(store).map_err(&io)?;
    image.write(&header, &state, 0, 0).map_err(&io)?;
    let path = common.path(store, Kind::Main);
    image.name(&path).map_err(|named| io(named.into_error()))?;
    let tail = Tail::of(&image, image.end(), header, &common.options);
    Ok(keyspace(common, store, state, tail, Vec::new()))
}

fn new_header(common: &Common, store: &str) -> io::Result<Header> {
    let mut id = [0; 8];
    common.env.random.fill(&mut id)?;
    Ok(Header {
        store: store.to_owned(),
        id: format!("{:016x}", u64::from_be_bytes(id)),
        created_ms: common.env.clock.unix_ms(),
        next_version: 1,
        options: StoreOptions::default(),
        version: None,
    })
}

fn keyspace(
    common: &Arc<Common>,
    store: &str,
    mut state: State,
    tail: Tail,
    damage: Vec<String>,
) -> FileKeyspace {
    let clock = Arc::clone(&common.env.clock);
    state.drop_expired(clock.unix_ms(), usize::MAX);
    Keyspace::new(state, clock, FileBacking::new(common, store, tail, damage))
}

/// Opens a store. What is damaged is set aside, and its file written anew without it.
pub(super) fn open(
    common: &Arc<Common>,
    operation: Operation,
    store: &str,
) -> Result<FileKeyspace> {
    let io = failed(operation);
    let path = common.path(store, Kind::Main);
    let (file, loaded) = read_main(common, operation, store)?;
    let length = file.len().map_err(&io)?;
    let mut damage = loaded.report.texts(&path);
    let Loaded {
        state,
        header,
        is_head_damaged,
        chain,
        base_end,
        last_group,
        report,
        foreign_format: _,
    } = loaded;
    let is_clean = report.is_clean() && !is_head_damaged;
    if is_head_damaged {
        let more = what_is_known(header.is_some());
        damage.push(format!(
            "{}: its first line is damaged{more}",
            path.display()
        ));
    }
    let mut header = match header {
        Some(header) => header,
        None => found_header(common, store).map_err(&io)?,
    };
    // A version that was copied by hand to be the store is the store.
    header.version = None;
    store.clone_into(&mut header.store);
    let mut tail = Tail {
        file: Arc::clone(&file),
        end: length,
        chain,
        base: base_end,
        patience: common.options.rewrite_bytes_min.max(base_end),
        header,
        health: Health::Good,
        epoch: 0,
    };
    if is_clean {
        // It may have been seen by nobody but the process that wrote it: the power may go before it
        // is on disk, and then nobody may have read it.
        if let Some(last) = last_group {
            let bytes = read(&*file, last.start, last.end.saturating_sub(last.start));
            let bytes = bytes.map_err(&io)?;
            file.write_durable_at(&bytes, last.start).map_err(&io)?;
        }
    } else {
        // What is set aside is durable before it is gone from here.
        let to = common.path(store, Kind::Damaged);
        let before = Before {
            state: &state,
            now_ms: common.env.clock.unix_ms(),
        };
        let mended = aside::append(&common.env.fs, &to, &file, &report, &tail.header.id, before)
            .and_then(|()| mend(common, store, &state, &tail));
        match mended {
            Ok(mended) => tail = mended,
            // It can be read, if not written.
            Err(error) if error.is_no_space() => tail.breaks(&error),
            Err(error) => return Err(io(error)),
        }
    }
    Ok(keyspace(common, store, state, tail, damage))
}

const fn what_is_known(is_said_again: bool) -> &'static str {
    if is_said_again {
        "; all that it said was found elsewhere"
    } else {
        ", and so is what was said of it elsewhere; its options are not known any more, so it is \
         read-only until it gets new ones"
    }
}

/// The options of a store that does not say which it has: it may be part of a copy, or have been
/// read-only. So nothing is written until somebody has looked at it.
fn unknown_options() -> StoreOptions {
    StoreOptions {
        read_only: true,
        ..StoreOptions::default()
    }
}

/// A first line for a store that has none any more. Its versions know which store they belong to.
fn found_header(common: &Common, store: &str) -> io::Result<Header> {
    let mut header = new_header(common, store)?;
    header.options = unknown_options();
    for number in common.numbers(store)? {
        let path = common.path(store, Kind::Version(number));
        let head = read_head(&common.env.fs.open_read_only(&path)?)?;
        if let Some(version) = head.header {
            header.id = version.id;
            header.created_ms = version.created_ms;
            header.next_version = header.next_version.max(version.next_version);
        }
    }
    Ok(header)
}

/// Writes the main file anew.
fn mend(common: &Common, store: &str, state: &State, tail: &Tail) -> io::Result<Tail> {
    let mut image = common.image(store)?;
    image.write(&tail.header, state, tail.chain.commit, 0)?;
    let path = common.path(store, Kind::Main);
    image.name(&path).map_err(super::image::Named::into_error)?;
    let header = tail.header.clone();
    Ok(Tail::of(&image, image.end(), header, &common.options))
}

/// Reads a store's main file.
pub(super) fn read_main(
    common: &Common,
    operation: Operation,
    store: &str,
) -> Result<(Arc<dyn io::File>, Loaded)> {
    let io = failed(operation);
    let path = common.path(store, Kind::Main);
    if crate::domain::check_name(operation, store).is_err() {
        return Err(Error::new(operation, ErrorKind::StoreNotFound));
    }
    let file = common.env.fs.open(&path).map_err(|error| {
        if error.is_not_found() {
            return Error::new(operation, ErrorKind::StoreNotFound);
        }
        io(error)
    })?;
    let length = file.len().map_err(&io)?;
    let loaded = load(&file, length, 0).map_err(&io)?;
    if let Some(why) = loaded.foreign_format {
        let kind = ErrorKind::Corrupt {
            file: path,
            offset: 0,
            expected: "a file of a format that this version knows".to_owned(),
            found: why,
        };
        return Err(Error::new(operation, kind));
    }
    if loaded.is_foreign() {
        let findings = &loaded.report.findings;
        let found = findings.iter().find(|finding| finding.length > 0);
        let found = found.map_or_else(
            || "nothing".to_owned(),
            |finding| format!("a line of which {}", finding.why),
        );
        let kind = ErrorKind::Corrupt {
            file: path,
            offset: 0,
            expected: "a file of this engine".to_owned(),
            found,
        };
        return Err(Error::new(operation, kind));
    }
    Ok((file, loaded))
}

/// What a store was told, from its first line. None if the file is somebody else's.
pub(super) fn options(common: &Common, store: &str) -> io::Result<Option<StoreOptions>> {
    let is_nothing = |error: &io::Error| {
        error.is_not_found() || error.source.kind() == std::io::ErrorKind::IsADirectory
    };
    let looked = common
        .env
        .fs
        .open_read_only(&common.path(store, Kind::Main))
        .and_then(|file| {
            let head = read_head(&file)?;
            // A store that does not say what it is is one nevertheless.
            let is_own = head.is_own;
            let options = head.header.map(|header| header.options);
            Ok(options.or_else(|| is_own.then(unknown_options)))
        });
    match looked {
        Err(error) if is_nothing(&error) => Ok(None),
        looked => looked,
    }
}
