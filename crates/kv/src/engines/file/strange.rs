//! Finds out that somebody else has changed the file of an open store, and loses nothing by it.
//!
//! Most editors save a file by putting another one in its place, others write it again where it is.
//! Either way what is appended would be lost: it goes to a file without a name, or into the middle of
//! lines. So a writer compares how long the file is with how long it should be: its own file before
//! each change, the one that has the name once in a while and before the store is closed. If it is
//! another length, what was edited is set aside, and the file is written anew from memory, where
//! everything is that was acknowledged.

use std::time::Duration;

use nexusbase_io as io;

use super::aside;
use super::backing::{FileBacking, Health, failed};
use super::load::load;
use super::names::Kind;
use crate::domain::{Operation, Result};
use crate::keyspace::State;

/// The file that has the name is looked at when the last time was so long ago.
const PAUSE: Duration = Duration::from_secs(1);

impl FileBacking {
    /// Makes sure that what is appended can be found. Within the writer's turn.
    pub(super) fn keep_writable(&self, operation: Operation, newest: &State) -> Result<()> {
        let now = self.common.env.clock.monotonic();
        let is_time = {
            let looked = self.looked.lock();
            now.saturating_sub(*looked) >= PAUSE
        };
        if is_time {
            return self.keep_own_file(operation, newest);
        }
        let is_strange = {
            let tail = self.tail.lock();
            // When nobody can say how long it is, the write will tell what is wrong.
            let length = tail.file.len().unwrap_or(tail.end);
            matches!(tail.health, Health::Good) && length != tail.end
        };
        if is_strange {
            self.recover(operation, newest)?;
        }
        Ok(())
    }

    /// Makes sure that the file that has the store's name is its own. Within the writer's turn.
    pub(super) fn keep_own_file(&self, operation: Operation, newest: &State) -> Result<()> {
        *self.looked.lock() = self.common.env.clock.monotonic();
        if self.is_strange() {
            self.recover(operation, newest)?;
        }
        Ok(())
    }

    /// Sets aside what somebody has written into the store's file, which is about to be replaced.
    pub(super) fn set_strange_aside(&self, operation: Operation, newest: &State) -> Result<()> {
        if self.is_strange() {
            self.set_aside(newest).map_err(failed(operation))?;
        }
        Ok(())
    }

    /// Whether the file that has the store's name is not as long as it was written.
    fn is_strange(&self) -> bool {
        let tail = self.tail.lock();
        // Of others it is unknown how long they should be.
        if !matches!(tail.health, Health::Good) {
            return false;
        }
        let path = self.common.path(&self.store, Kind::Main);
        let named = self.common.env.fs.open_read_only(&path);
        match named.and_then(|file| file.len()) {
            Ok(length) => length != tail.end || tail.file.len().is_ok_and(|own| own != tail.end),
            Err(error) => error.is_not_found(),
        }
    }

    fn recover(&self, operation: Operation, newest: &State) -> Result<()> {
        self.set_aside(newest).map_err(failed(operation))?;
        self.replace_with(operation, newest)?;
        let path = self.common.path(&self.store, Kind::Main);
        self.damage.lock().push(format!(
            "{}: somebody else has changed it while the store was open; it was written anew",
            path.display()
        ));
        Ok(())
    }

    fn set_aside(&self, newest: &State) -> io::Result<()> {
        let fs = &self.common.env.fs;
        let file = match fs.open_read_only(&self.common.path(&self.store, Kind::Main)) {
            Ok(file) => file,
            // Somebody has taken it away, and all of it is in memory.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let length = file.len()?;
        let loaded = load(&file, length, 0)?;
        let to = self.common.path(&self.store, Kind::Damaged);
        let before = aside::Before {
            state: newest,
            now_ms: self.common.env.clock.unix_ms(),
        };
        aside::append(fs, &to, &file, &loaded.report, &self.id, before)
    }
}
