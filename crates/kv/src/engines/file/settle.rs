//! Ends what was interrupted: half-written files, drops and renames.
//!
//! A store is dropped when its main file has another name, and renamed when its main file has the
//! new name; the other files follow. Which store they belong to is said by the id in their first
//! lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nexusbase_io as io;

use super::aside;
use super::backing::Common;
use super::names::{Kind, classify};
use super::reader::Lines;
use super::versions::read_head;

/// The files of each store.
type Files = BTreeMap<String, Vec<Kind>>;

impl Common {
    /// The files of all stores. Removes what was being written.
    fn files(&self, removes: bool) -> io::Result<Files> {
        let mut files = Files::new();
        for name in self.env.fs.list(&self.folder)? {
            match classify(&name) {
                Some((_, Kind::New)) if removes => self.env.fs.remove(&self.folder.join(&name))?,
                Some((_, Kind::New)) | None => {}
                Some((store, kind)) => files.entry(store.to_owned()).or_default().push(kind),
            }
        }
        Ok(files)
    }

    /// Ends what was interrupted. With `removes` also what was being written is removed: only when
    /// nobody writes.
    pub(super) fn settle(&self, removes: bool) -> io::Result<()> {
        let fs = &self.env.fs;
        // What another process has left in the memory of the machine is made to last.
        fs.sync_dir(&self.folder)?;
        let files = self.files(removes)?;
        let mains: BTreeSet<&str> = files
            .iter()
            .filter(|(_, kinds)| kinds.contains(&Kind::Main))
            .map(|(store, _)| store.as_str())
            .collect();
        for (store, kinds) in &files {
            if kinds.contains(&Kind::Dropped) {
                self.finish_drop(store, kinds)?;
            } else if !mains.contains(store.as_str()) {
                self.finish_rename(store, kinds, &mains)?;
            }
        }
        Ok(())
    }

    /// The files of `store` beside its main file, but for what is being written.
    pub(super) fn others(&self, store: &str) -> io::Result<Vec<Kind>> {
        let mut kinds = self.files(false)?.remove(store).unwrap_or_default();
        kinds.retain(|kind| !matches!(kind, Kind::Main | Kind::New));
        Ok(kinds)
    }

    /// Removes the files of a store that was dropped; its former main file last.
    pub(super) fn finish_drop(&self, store: &str, kinds: &[Kind]) -> io::Result<()> {
        let fs = &self.env.fs;
        // With a main file there is a new store: what else there is is that one's.
        if !kinds.contains(&Kind::Main) {
            let mut others = kinds
                .iter()
                .filter(|kind| **kind != Kind::Dropped)
                .peekable();
            if others.peek().is_some() {
                for kind in others {
                    fs.remove(&self.path(store, *kind))?;
                }
                fs.sync_dir(&self.folder)?;
            }
        }
        fs.remove(&self.path(store, Kind::Dropped))?;
        fs.sync_dir(&self.folder)
    }

    /// Lets the files of a store follow its main file, if it was renamed.
    fn finish_rename(&self, store: &str, kinds: &[Kind], mains: &BTreeSet<&str>) -> io::Result<()> {
        let mut id = None;
        for kind in kinds {
            if id.is_none() {
                id = self.id(store, *kind)?;
            }
        }
        let Some(id) = id else { return Ok(()) };
        let mut found = Vec::new();
        for main in mains {
            if self.id(main, Kind::Main)?.as_ref() == Some(&id) {
                found.push(*main);
            }
        }
        // Several have it when a file was copied by hand: then nobody knows.
        if let [to] = found.as_slice() {
            self.follow(store, to, kinds)?;
        }
        Ok(())
    }

    /// Renames the files of `from` beside its main file.
    pub(super) fn follow(&self, from: &str, to: &str, kinds: &[Kind]) -> io::Result<()> {
        let fs = &self.env.fs;
        for kind in kinds {
            let target = self.path(to, *kind);
            if !fs.exists(&target)? {
                fs.rename(&self.path(from, *kind), &target)?;
            }
        }
        fs.sync_dir(&self.folder)
    }

    /// Whose file it is.
    fn id(&self, store: &str, kind: Kind) -> io::Result<Option<String>> {
        let path = self.path(store, kind);
        let file = self.env.fs.open_read_only(Path::new(&path))?;
        if kind == Kind::Damaged {
            let length = file.len()?.min(1 << 20);
            let mut lines = Lines::new(file, length);
            return Ok(lines.next()?.and_then(|line| aside::id(line.bytes)));
        }
        let head = read_head(&file)?;
        Ok(head.header.map(|header| header.id))
    }
}
