//! What the engine adds to a state in memory: a file to which every change is appended, and which
//! is written anew when it has grown.
//!
//! The writer's turn (lock `kv.turn`) and the tail of the file (lock `kv.file.tail`) are held while
//! a change is written: writers wait for writers. Readers take neither. A rewrite holds
//! `kv.file.upkeep`, which nobody waits for but another rewrite and a check.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nexusbase_io::{self as io, Env};
use parking_lot::{Mutex, MutexGuard};

use super::FileOptions;
use super::image::{Image, Named};
use super::line::{self, Chain, Encoder};
use super::names::{self, Kind};
use super::parse::Header;
use crate::domain::{
    Capabilities, Error, ErrorKind, EventKind, Events, Operation, Result, StoreOptions, Version,
};
use crate::keyspace::{Backing, Change, Keyspace, Label, State};

/// What the stores of an engine share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) env: Env,
    pub(super) folder: PathBuf,
    pub(super) options: FileOptions,
    /// Lock `kv.file.events`.
    pub(super) events: Mutex<Option<Arc<Events>>>,
    /// So that no two files that are being written have one name.
    pub(super) nonce: AtomicU64,
}

impl Common {
    pub(super) fn path(&self, store: &str, kind: Kind) -> PathBuf {
        names::path(&self.folder, store, kind)
    }

    /// Begins a file that is to be one of `store`.
    pub(super) fn image(&self, store: &str) -> io::Result<Image> {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let path = names::new_path(&self.folder, store, nonce);
        Image::create(&self.env.fs, path)
    }
}

/// Turns what the outside world says into an error of `operation`.
pub(super) fn failed(operation: Operation) -> impl Fn(io::Error) -> Error {
    move |error| Error::new(operation, ErrorKind::Io(error))
}

/// Whether a store's file can be appended to.
#[derive(Debug)]
pub(super) enum Health {
    Good,
    /// The disk was full: behind the end there may be a part of a group. What is before it has to be
    /// copied first.
    Behind,
    /// What is on disk is unknown.
    Broken(String),
    Closed,
    Gone,
}

/// Where a store's file ends.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Arc<dyn io::File>,
    pub(super) end: u64,
    pub(super) chain: Chain,
    /// Where the base part ends.
    pub(super) base: u64,
    /// The next rewrite by itself comes when so many bytes were appended.
    pub(super) patience: u64,
    pub(super) header: Header,
    pub(super) health: Health,
    /// Counts what has replaced the file.
    pub(super) epoch: u64,
}

/// A store's files.
#[derive(Debug)]
pub(super) struct FileBacking {
    pub(super) common: Arc<Common>,
    pub(super) store: String,
    /// Lock `kv.file.tail`.
    pub(super) tail: Mutex<Tail>,
    /// Lock `kv.file.upkeep`.
    pub(super) upkeep: Mutex<()>,
    /// Lock `kv.file.versions`: numbers and names are given one after the other.
    pub(super) versions: Mutex<()>,
    /// The length of the file.
    pub(super) disk_bytes: AtomicU64,
    /// Of the store; it never changes.
    pub(super) id: String,
    /// Lock `kv.file.damage`: what was found when it was opened, and since.
    pub(super) damage: Mutex<Vec<String>>,
    /// Lock `kv.file.looked`: when it was last looked whether the file is still the store's.
    pub(super) looked: Mutex<Duration>,
    has_ended: AtomicBool,
    /// Lock `kv.file.trouble`: why the last rewrite by itself failed.
    pub(super) trouble: Mutex<Option<String>>,
}

/// What a rewrite starts from.
struct Mark {
    state: State,
    file: Arc<dyn io::File>,
    end: u64,
    commit: u64,
    header: Header,
    epoch: u64,
}

impl Tail {
    /// The tail of a file that was just written.
    pub(super) fn of(image: &Image, base: u64, header: Header, options: &FileOptions) -> Self {
        Self {
            file: Arc::clone(&image.file),
            end: image.end(),
            chain: image.chain(),
            base,
            patience: options.rewrite_bytes_min.max(base),
            header,
            health: Health::Good,
            epoch: 0,
        }
    }

    fn check(&self, operation: Operation) -> Result<()> {
        let kind = match &self.health {
            Health::Good | Health::Behind => return Ok(()),
            Health::Broken(why) => ErrorKind::Failed(
                format!("an earlier write failed ({why}), so what is on disk is unknown; close the store and open it again")
                    .into(),
            ),
            Health::Closed => ErrorKind::Closed,
            Health::Gone => ErrorKind::StoreNotFound,
        };
        Err(Error::new(operation, kind))
    }

    pub(super) fn breaks(&mut self, error: &io::Error) {
        self.health = Health::Broken(error.to_string());
    }
}

impl FileBacking {
    pub(super) fn new(common: &Arc<Common>, store: &str, tail: Tail, damage: Vec<String>) -> Self {
        Self {
            common: Arc::clone(common),
            store: store.to_owned(),
            disk_bytes: AtomicU64::new(tail.end),
            id: tail.header.id.clone(),
            tail: Mutex::new(tail),
            upkeep: Mutex::default(),
            versions: Mutex::default(),
            damage: Mutex::new(damage),
            looked: Mutex::new(common.env.clock.monotonic()),
            has_ended: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Lets `work` take the files away. If it succeeds, nothing is written from now on. Within the
    /// writer's turn.
    pub(super) fn end_after(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        // Whoever deletes a version is done, or sees this.
        let _versions = self.versions.lock();
        work()?;
        self.end(Health::Gone);
        Ok(())
    }

    fn end(&self, health: Health) {
        let mut tail = self.tail.lock();
        if !matches!(tail.health, Health::Gone) {
            tail.health = health;
        }
        drop(tail);
        self.has_ended.store(true, Ordering::Release);
    }

    /// Whether nothing is written any more.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// What the first line of the file says, if the store can still be written.
    pub(super) fn header(&self, operation: Operation) -> Result<Header> {
        let tail = self.tail.lock();
        tail.check(operation)?;
        Ok(tail.header.clone())
    }

    fn put_in_place(&self, tail: &mut Tail, next: Tail) {
        let epoch = tail.epoch + 1;
        *tail = Tail { epoch, ..next };
        // It works again.
        *self.trouble.lock() = None;
        self.disk_bytes.store(tail.end, Ordering::Relaxed);
    }

    /// Appends one group and makes it durable. `done` is called before anybody else sees the tail.
    pub(super) fn append_group(
        &self,
        operation: Operation,
        write: impl FnOnce(&mut Encoder, u64),
        done: impl FnOnce(&mut Tail),
    ) -> Result<()> {
        let mut tail = self.tail.lock();
        tail.check(operation)?;
        if matches!(tail.health, Health::Behind) {
            self.copy_forward(&mut tail).map_err(failed(operation))?;
        }
        let mut encoder = Encoder::after(tail.chain);
        write(&mut encoder, tail.chain.commit.saturating_add(1));
        if let Err(error) = tail.file.write_durable_at(&encoder.bytes, tail.end) {
            if error.is_no_space() {
                tail.health = Health::Behind;
            } else {
                tail.breaks(&error);
            }
            return Err(failed(operation)(error));
        }
        tail.end += encoder.bytes.len() as u64;
        tail.chain = encoder.chain;
        done(&mut tail);
        self.disk_bytes.store(tail.end, Ordering::Relaxed);
        Ok(())
    }

    /// Copies what is good of the file to a new one, to go on there: what was written of a group when
    /// the disk got full cannot be cut off, and nothing may be appended behind it.
    fn copy_forward(&self, tail: &mut MutexGuard<'_, Tail>) -> io::Result<()> {
        let mut image = self.common.image(&self.store)?;
        image.copy_all(&tail.file, tail.end, tail.chain)?;
        self.name(tail, &mut image)?;
        tail.file = Arc::clone(&image.file);
        tail.health = Health::Good;
        tail.epoch += 1;
        Ok(())
    }

    /// Puts `image` in the place of the main file.
    fn name(&self, tail: &mut Tail, image: &mut Image) -> io::Result<()> {
        let path = self.common.path(&self.store, Kind::Main);
        image.name(&path).map_err(|named| {
            if let Named::Perhaps(error) = &named {
                // Either file may be the one that is found: neither can be appended to.
                tail.breaks(error);
            }
            named.into_error()
        })
    }

    /// Writes the file anew, with `options` if there are new ones. Writers go on meanwhile. Returns
    /// false when something else has replaced the file meanwhile.
    pub(super) fn rewrite(
        &self,
        keyspace: &Keyspace<Self>,
        operation: Operation,
        options: Option<&StoreOptions>,
    ) -> Result<bool> {
        let mut mark = self.mark(keyspace, operation)?;
        if let Some(options) = options {
            mark.header.options = options.clone();
        }
        let io = failed(operation);
        let mut image = self.common.image(&self.store).map_err(&io)?;
        let now_ms = keyspace.now_ms();
        image
            .write(&mark.header, &mark.state, mark.commit, now_ms)
            .map_err(&io)?;
        let base = image.end();
        // Most of what was appended meanwhile is caught up with before anybody has to wait.
        let mut end = mark.end;
        for _ in 0..3 {
            let newest = self.tail.lock().end;
            if newest.saturating_sub(end) < 1 << 16 || self.tail.lock().epoch != mark.epoch {
                break;
            }
            image.copy(&mark.file, end, newest).map_err(&io)?;
            end = newest;
        }
        image.file.sync_data().map_err(&io)?;
        let before = keyspace.replace(|_| {
            let before = self.swap(operation, &mark, image, base, end)?;
            Ok((None, before))
        })?;
        if let Some(before) = before {
            self.tell(before);
        }
        Ok(before.is_some())
    }

    /// The state, and which part of the file it is.
    fn mark(&self, keyspace: &Keyspace<Self>, operation: Operation) -> Result<Mark> {
        keyspace.replace(|state| {
            let tail = self.tail.lock();
            tail.check(operation)?;
            let mark = Mark {
                state: state.clone(),
                file: Arc::clone(&tail.file),
                end: tail.end,
                commit: tail.chain.commit,
                header: tail.header.clone(),
                epoch: tail.epoch,
            };
            Ok((None, mark))
        })
    }

    /// Puts a rewritten file in place. Returns how long the old one was; none if it is not the one
    /// that was rewritten.
    fn swap(
        &self,
        operation: Operation,
        mark: &Mark,
        mut image: Image,
        base: u64,
        copied: u64,
    ) -> Result<Option<u64>> {
        let mut tail = self.tail.lock();
        tail.check(operation)?;
        if tail.epoch != mark.epoch {
            return Ok(None);
        }
        let io = failed(operation);
        image.copy(&mark.file, copied, tail.end).map_err(&io)?;
        self.name(&mut tail, &mut image).map_err(&io)?;
        let before = tail.end;
        let mut header = mark.header.clone();
        // A version may have been deleted meanwhile: that line was copied.
        header.next_version = header.next_version.max(tail.header.next_version);
        let next = Tail::of(&image, base, header, &self.common.options);
        self.put_in_place(&mut tail, next);
        Ok(Some(before))
    }

    fn tell(&self, before: u64) {
        let events = self.common.events.lock().clone();
        let after = self.disk_bytes.load(Ordering::Relaxed);
        if let Some(events) = events {
            events.publish(&self.store, || EventKind::Compacted { before, after });
        }
    }

    /// Puts a file with `state` in the place of the main file. Within the writer's turn.
    pub(super) fn replace_with(&self, operation: Operation, state: &State) -> Result<()> {
        let mut tail = self.tail.lock();
        tail.check(operation)?;
        let io = failed(operation);
        let mut image = self.common.image(&self.store).map_err(&io)?;
        let commit = tail.chain.commit.saturating_add(1);
        image.write(&tail.header, state, commit, 0).map_err(&io)?;
        self.name(&mut tail, &mut image).map_err(&io)?;
        let header = tail.header.clone();
        let next = Tail::of(&image, image.end(), header, &self.common.options);
        self.put_in_place(&mut tail, next);
        Ok(())
    }
}

impl Backing for FileBacking {
    fn capabilities(&self) -> Capabilities {
        super::CAPABILITIES
    }

    fn append(&self, newest: &State, changes: &[Change<&[u8]>]) -> Result<()> {
        let operation = Operation::Write;
        self.keep_writable(operation, newest)?;
        let write = |encoder: &mut Encoder, commit| {
            let Some((last, others)) = changes.split_last() else {
                return;
            };
            for change in others {
                encoder.line(|out| write(out, change));
            }
            encoder.last_line(commit, |out| write(out, last));
        };
        self.append_group(operation, write, |_| {})
    }

    fn settle(&self, keyspace: &Keyspace<Self>) -> Result<()> {
        {
            let tail = self.tail.lock();
            let appended = tail.end.saturating_sub(tail.base);
            if appended <= tail.patience || !matches!(tail.health, Health::Good) {
                return Ok(());
            }
        }
        let Some(_upkeep) = self.upkeep.try_lock() else {
            return Ok(());
        };
        let own = keyspace.replace(|newest| {
            self.keep_own_file(Operation::Compact, newest)
                .map(|()| (None, ()))
        });
        let done = own.and_then(|()| self.rewrite(keyspace, Operation::Compact, None));
        if let Err(error) = done {
            // The change is made and durable: this is no failure of it. The next try is not the next
            // write.
            let mut tail = self.tail.lock();
            let appended = tail.end.saturating_sub(tail.base);
            tail.patience = appended.saturating_mul(2);
            drop(tail);
            *self.trouble.lock() = Some(error.to_string());
        }
        Ok(())
    }

    fn compact(&self, keyspace: &Keyspace<Self>) -> Result<bool> {
        let _upkeep = self.upkeep.lock();
        keyspace.replace(|newest| {
            self.keep_own_file(Operation::Compact, newest)
                .map(|()| (None, ()))
        })?;
        let has_expired = {
            let state = keyspace.state();
            state.count(keyspace.now_ms()) < state.len()
        };
        {
            let tail = self.tail.lock();
            tail.check(Operation::Compact)?;
            let is_short = tail.end == tail.base && matches!(tail.health, Health::Good);
            if is_short && !has_expired {
                return Ok(false);
            }
        }
        // Something else may replace the file meanwhile, which does not make it shorter.
        while !self.rewrite(keyspace, Operation::Compact, None)? {}
        Ok(true)
    }

    fn take_version(&self, state: &State, label: Label<'_>) -> Result<Version> {
        let operation = Operation::TakeVersion;
        self.keep_own_file(operation, state)?;
        self.write_version(operation, state, label)
    }

    fn versions(&self) -> Result<Vec<Version>> {
        self.list_versions(Operation::ListVersions)
    }

    fn read_version(&self, version: &Version, stamp: u64) -> Result<State> {
        self.load_version(version, stamp)
    }

    fn restore(&self, newest: &State, state: &State, label: Label<'_>) -> Result<Version> {
        let operation = Operation::RestoreVersion;
        self.tail.lock().check(operation)?;
        self.set_strange_aside(operation, newest)?;
        let version = self.write_version(operation, state, label)?;
        self.replace_with(operation, state).inspect_err(|_| {
            // Whether the state was replaced is unknown of a broken file: then the version stays.
            if !matches!(self.tail.lock().health, Health::Broken(_)) {
                self.take_back(&version);
            }
        })?;
        Ok(version)
    }

    fn delete_version(&self, version: &Version) -> Result<()> {
        self.remove_version(version)
    }

    fn disk_bytes(&self) -> Option<u64> {
        Some(self.disk_bytes.load(Ordering::Relaxed))
    }

    fn damage(&self) -> Vec<String> {
        let trouble = self.trouble.lock().clone();
        let trouble = trouble.map(|why| format!("the last rewrite failed: {why}"));
        let damage = self.damage.lock().clone();
        damage.into_iter().chain(trouble).collect()
    }

    fn close(&self, newest: &State) -> Result<()> {
        // Every change was made durable before it was acknowledged.
        let outcome = self.keep_own_file(Operation::Close, newest);
        let _versions = self.versions.lock();
        self.end(Health::Closed);
        outcome
    }
}

fn write(out: &mut Vec<u8>, change: &Change<&[u8]>) {
    match change {
        Change::Put(key, entry) => line::put(out, key, entry.as_put()),
        Change::Delete(key) => line::delete(out, key),
        Change::Clear => line::clear(out),
    }
}
