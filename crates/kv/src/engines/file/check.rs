//! Checks a store, and takes over what was edited by hand.
//!
//! Edits reach a store in two steps, whether it is open or not: what was edited is set aside as
//! when a store is opened, and taken over from there through the store's writer. So an edit goes
//! the way of every other change, and what it replaces is gone only when it is durable.

use std::sync::Arc;

use nexusbase_io as io;

use super::aside::{self, Aside, Before, Edit};
use super::backing::failed;
use super::load::{Loaded, load};
use super::names::Kind;
use super::open::read_main;
use super::report::Finding;
use super::{FileEngine, Handle, close, is_open};
use crate::domain::{CheckFinding, CheckReport, Error, ErrorKind, Operation, Result};

const OPERATION: Operation = Operation::Check;

impl FileEngine {
    /// Looks, and changes nothing.
    pub(super) fn look(&self, store: &str, slot: Option<&Handle>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        match self.read(store, slot) {
            Ok((_, loaded)) => {
                report.rows = loaded.state.len();
                self.add(&mut report, store, Kind::Main, &loaded, false);
            }
            Err(error) => report.findings.push(self.unreadable(store, &error)?),
        }
        if let Some(aside) = self.aside(store)? {
            let path = self.common.path(store, Kind::Damaged).display().to_string();
            for edit in &aside.edits {
                let what = "it was edited by hand and waits to be taken over".to_owned();
                report.findings.push(CheckFinding {
                    place: format!("{path}, {}", edit.place),
                    what,
                    mended: false,
                });
            }
            Self::add_rest(&mut report, path, &aside);
        }
        self.check_versions(&mut report, store)?;
        Ok(report)
    }

    /// Takes over what was edited.
    pub(super) fn accept(&self, store: &str, slot: &mut Option<Handle>) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let was_open = is_open(slot.as_ref());
        let handle = match self.handle(OPERATION, store, slot) {
            Ok(handle) => handle,
            Err(error) => {
                report.findings.push(self.unreadable(store, &error)?);
                return Ok(report);
            }
        };
        let outcome = self.accept_open(&mut report, store, &handle, was_open);
        if !was_open {
            close(slot)?;
        }
        outcome?;
        self.check_versions(&mut report, store)?;
        Ok(report)
    }

    fn accept_open(
        &self,
        report: &mut CheckReport,
        store: &str,
        handle: &Handle,
        was_open: bool,
    ) -> Result<()> {
        let io = failed(OPERATION);
        let keyspace = handle.keyspace();
        let backing = keyspace.backing();
        let _upkeep = backing.upkeep.lock();
        if was_open {
            let (file, loaded) = self.read(store, Some(handle))?;
            let fs = &self.common.env.fs;
            let to = self.common.path(store, Kind::Damaged);
            let state = keyspace.state();
            let before = Before {
                state: &state,
                now_ms: keyspace.now_ms(),
            };
            aside::append(fs, &to, &file, &loaded.report, &backing.id, before).map_err(&io)?;
            // What is in memory is right: the file is written anew from it.
            if !loaded.report.is_clean() || loaded.is_head_damaged {
                while !backing.rewrite(keyspace, OPERATION, None)? {}
            }
            self.add(report, store, Kind::Main, &loaded, true);
        } else {
            let path = self.common.path(store, Kind::Main).display().to_string();
            report
                .findings
                .extend(backing.damage.lock().iter().map(|what| CheckFinding {
                    place: path.clone(),
                    what: what.clone(),
                    mended: true,
                }));
        }
        if let Some(aside) = self.aside(store)? {
            self.take_over(report, store, handle, &aside)?;
        }
        report.rows = keyspace.state().len();
        Ok(())
    }

    fn take_over(
        &self,
        report: &mut CheckReport,
        store: &str,
        handle: &Handle,
        aside: &Aside,
    ) -> Result<()> {
        let path = self.common.path(store, Kind::Damaged);
        let shown = path.display().to_string();
        let keyspace = handle.keyspace();
        let outdated = keyspace.change(|state| {
            let now_ms = keyspace.now_ms();
            let is_outdated = |edit: &Edit| edit.is_outdated(Before { state, now_ms });
            let outdated: Vec<_> = aside.edits.iter().map(is_outdated).collect();
            let edits = aside.edits.iter().zip(&outdated);
            let changes = edits.filter(|(_, is_outdated)| !**is_outdated);
            let changes = changes.map(|(edit, _)| edit.change.borrowed()).collect();
            (changes, outdated)
        })?;
        let mut left = aside.rest.clone();
        for (edit, is_outdated) in aside.edits.iter().zip(&outdated) {
            let what = if *is_outdated {
                left.extend_from_slice(&edit.line);
                left.push(b'\n');
                "it was edited by hand, but its key was changed later, and that stays"
            } else {
                "it was edited by hand and is taken over"
            };
            report.findings.push(CheckFinding {
                place: format!("{shown}, {}", edit.place),
                what: what.to_owned(),
                mended: !*is_outdated,
            });
        }
        if outdated.contains(&false) {
            self.leave(store, &left).map_err(failed(OPERATION))?;
        }
        Self::add_rest(report, shown, aside);
        Ok(())
    }

    /// Leaves in the file of what was set aside only what was not taken over.
    fn leave(&self, store: &str, left: &[u8]) -> io::Result<()> {
        let path = self.common.path(store, Kind::Damaged);
        let fs = &self.common.env.fs;
        if left.is_empty() {
            fs.remove(&path)?;
        } else {
            let mut image = self.common.image(store)?;
            image.file.write_at(left, 0)?;
            image.name(&path).map_err(super::image::Named::into_error)?;
        }
        fs.sync_dir(&self.common.folder)
    }

    /// Reads the main file by its name, as far as it was written: an editor may have put another file
    /// in the place of the one that is open.
    fn read(&self, store: &str, handle: Option<&Handle>) -> Result<(Arc<dyn io::File>, Loaded)> {
        let io = failed(OPERATION);
        let Some(handle) = handle.filter(|handle| is_open(Some(handle))) else {
            return read_main(&self.common, OPERATION, store);
        };
        let path = self.common.path(store, Kind::Main);
        // Nothing is appended while it is looked how far it goes, and what is appended later is
        // behind that.
        let file = handle.keyspace().replace(|_| {
            let _tail = handle.keyspace().backing().tail.lock();
            let file = self.common.env.fs.open_read_only(&path).map_err(&io)?;
            let length = file.len().map_err(&io)?;
            Ok((None, (file, length)))
        });
        let (file, length) = file?;
        let loaded = load(&file, length, 0).map_err(&io)?;
        Ok((file, loaded))
    }

    fn aside(&self, store: &str) -> Result<Option<Aside>> {
        let path = self.common.path(store, Kind::Damaged);
        aside::read_all(&self.common.env.fs, &path).map_err(failed(OPERATION))
    }

    /// A store that is too damaged to be opened is a finding.
    fn unreadable(&self, store: &str, error: &Error) -> Result<CheckFinding> {
        if let ErrorKind::Corrupt { .. } = error.kind() {
            let path = self.common.path(store, Kind::Main);
            return Ok(CheckFinding {
                place: path.display().to_string(),
                what: error.kind().to_string(),
                mended: false,
            });
        }
        let kind = match error.kind() {
            ErrorKind::StoreNotFound => ErrorKind::StoreNotFound,
            other => ErrorKind::Failed(other.to_string().into()),
        };
        Err(Error::new(OPERATION, kind))
    }

    fn add(
        &self,
        report: &mut CheckReport,
        store: &str,
        kind: Kind,
        loaded: &Loaded,
        mended: bool,
    ) {
        let path = self.common.path(store, kind);
        let finding = |finding: &Finding| CheckFinding {
            place: finding.place(&path),
            what: finding.why.clone(),
            mended,
        };
        report
            .findings
            .extend(loaded.report.findings.iter().map(finding));
        let note = |note: &&str| CheckFinding {
            place: path.display().to_string(),
            what: (*note).to_owned(),
            mended,
        };
        report.findings.extend(loaded.report.notes.iter().map(note));
        if loaded.is_head_damaged {
            report.findings.push(CheckFinding {
                place: path.display().to_string(),
                what: "its first line is damaged".to_owned(),
                mended,
            });
        }
    }

    fn add_rest(report: &mut CheckReport, place: String, aside: &Aside) {
        if aside.rest_lines > 0 {
            report.findings.push(CheckFinding {
                place,
                what: format!(
                    "{} damaged lines were set aside here; remove the file when they are not needed",
                    aside.rest_lines
                ),
                mended: true,
            });
        }
    }

    fn check_versions(&self, report: &mut CheckReport, store: &str) -> Result<()> {
        let io = failed(OPERATION);
        for number in self.common.numbers(store).map_err(&io)? {
            let path = self.common.path(store, Kind::Version(number));
            let file = match self.common.env.fs.open_read_only(&path) {
                Ok(file) => file,
                // Deleted meanwhile.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(io(error)),
            };
            let length = file.len().map_err(&io)?;
            let loaded = load(&file, length, 0).map_err(&io)?;
            self.add(report, store, Kind::Version(number), &loaded, false);
        }
        Ok(())
    }
}
