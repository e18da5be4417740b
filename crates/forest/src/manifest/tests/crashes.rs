//! Power cuts, deaths and failures at every operation: before or after, never between.

use nexusbase_io::sim::FaultKind;

use super::*;

/// What must hold of the state after a restart: it is one of these two.
struct Known {
    /// After the last edit that `append` returned `Ok` for.
    confirmed: State,
    /// After one more that was begun.
    begun: Option<State>,
}

impl Known {
    fn check(&mut self, state: &State, what: &str) {
        let is_begun = self.begun.as_ref() == Some(state);
        assert!(*state == self.confirmed || is_begun, "{what}");
        // Once it was seen, it stays.
        self.confirmed = state.clone();
        self.begun = None;
    }

    /// Appends until it fails, or so many times.
    fn append(&mut self, manifest: &mut Manifest, edits: usize, rng: &mut SimRng) {
        for _ in 0..edits {
            let edit = some_edit(&self.confirmed, rng);
            let mut after = self.confirmed.clone();
            after.apply(&edit).unwrap();
            match manifest.append(&edit) {
                Ok(()) => self.confirmed = after,
                Err(AppendError::Unknown(_)) => {
                    self.begun = Some(after);
                    let error = manifest.append(&edit).unwrap_err();
                    assert!(
                        error.to_string().contains("until it is reopened"),
                        "{error}"
                    );
                    return;
                }
                // A roll behind the edit before.
                Err(AppendError::Poisoned(_)) => return,
                Err(AppendError::NotWritten(_)) => {}
                Err(AppendError::Refused(why)) => panic!("{why}"),
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_before_or_after() {
    let mut cuts = 0;
    for n in 1.. {
        let mut finished = true;
        for fate in 0..6 {
            let mut rng = SimRng::new(77);
            let disk = disk(n * 10 + fate);
            let mut known = Known {
                confirmed: State::default(),
                begun: None,
            };
            disk.crash_at(n);
            if let Ok((mut manifest, _)) = open_as(&disk, SHORT) {
                known.append(&mut manifest, 45, &mut rng);
            }
            finished &= !disk.is_crashed();
            disk.crash(fate);
            let what = format!("cut at {n}, fate {fate}");
            // And again, while it recovers.
            disk.crash_at(1 + fate * 2);
            if let Ok((manifest, _)) = open_as(&disk, SHORT) {
                known.check(manifest.state(), &what);
            }
            disk.crash(fate + 1);
            let mut manifest = open(&disk);
            known.check(manifest.state(), &what);
            known.append(&mut manifest, 3, &mut rng);
            disk.crash(fate + 2);
            known.check(open(&disk).state(), &what);
            cuts += 1;
        }
        if finished {
            break;
        }
    }
    assert!(cuts > 600, "{cuts}");
}

#[test]
fn what_a_dead_process_left_unsynced_is_made_durable_by_opening() {
    for n in 1..170 {
        for fate in 0..8 {
            let mut rng = SimRng::new(82);
            let disk = disk(n * 10 + fate);
            let mut known = Known {
                confirmed: State::default(),
                begun: None,
            };
            // The process dies in the middle of this, the machine lives on.
            disk.crash_at(n);
            if let Ok((mut manifest, _)) = open_as(&disk, SHORT) {
                known.append(&mut manifest, 60, &mut rng);
            }
            disk.kill();
            let what = format!("killed at {n}, fate {fate}");
            let mut manifest = open(&disk);
            known.check(manifest.state(), &what);
            known.append(&mut manifest, 1, &mut rng);
            disk.crash(fate);
            known.check(open(&disk).state(), &what);
        }
    }
}

#[test]
fn a_failure_at_any_operation_is_said_and_what_was_not_written_never_comes_back() {
    for kind in [FaultKind::Io, FaultKind::NoSpace] {
        for n in 1..130 {
            for fate in 0..4 {
                let mut rng = SimRng::new(78);
                let disk = disk(n * 10 + fate);
                let mut known = Known {
                    confirmed: State::default(),
                    begun: None,
                };
                disk.fail_at(n, kind);
                let what = format!("{kind:?} at {n}, fate {fate}");
                if let Ok((mut manifest, _)) = open_as(&disk, SHORT) {
                    // It stops after the failure, so that nothing covers what it left.
                    let failed_at = disk.operations();
                    let more = 1 + usize::try_from((n + 13).saturating_sub(failed_at)).unwrap() / 2;
                    known.append(&mut manifest, more.min(45), &mut rng);
                    if fate == 3 && known.begun.is_none() {
                        known.append(&mut manifest, 5, &mut rng);
                    }
                }
                if fate % 2 == 0 && disk.counters().failed_dir_syncs == 0 {
                    // Only the process dies. What it then reads, it must be able to rely on. (A
                    // file system that cannot sync a folder serves nobody any more.)
                    disk.kill();
                    known.check(open(&disk).state(), &what);
                }
                disk.crash(fate);
                known.check(open(&disk).state(), &what);
            }
        }
    }
}

#[test]
fn with_a_full_disk_edits_fail_and_go_on_when_there_is_room() {
    for spare in 0..400 {
        let disk = disk(spare);
        let mut rng = SimRng::new(79);
        let mut manifest = open(&disk);
        append_some(&mut manifest, 5, &mut rng);
        let used: usize = disk
            .paths()
            .iter()
            .map(|p| disk.file_bytes(p).unwrap().len())
            .sum();
        disk.set_capacity(Some(used as u64 + spare));
        let mut confirmed = manifest.state().clone();
        let mut failures = 0;
        for _ in 0..30 {
            let edit = some_edit(&confirmed, &mut rng);
            match manifest.append(&edit) {
                Ok(()) => confirmed.apply(&edit).unwrap(),
                Err(AppendError::NotWritten(error)) => {
                    assert!(error.is_no_space(), "{error}");
                    failures += 1;
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(*manifest.state(), confirmed);
        }
        assert!(failures > 0);
        // What failed is not there after a power cut, and does not hinder opening.
        let fork = disk.fork();
        fork.crash(spare);
        let (reopened, report) = open_as(&fork, SHORT).unwrap();
        assert_eq!((reopened.state(), report.torn), (&confirmed, None));
        disk.set_capacity(None);
        append_some(&mut manifest, 30, &mut rng);
        let confirmed = manifest.state().clone();
        disk.crash(spare);
        assert_eq!(*open(&disk).state(), confirmed);
    }
}

/// A crash test that does not notice a disk that lies proves nothing.
#[test]
fn without_syncs_edits_are_lost() {
    let lost = (0..30).filter(|seed| {
        let disk = disk(*seed);
        drop(open(&disk));
        disk.set_skip_syncs(true);
        let mut manifest = open_as(&disk, ManifestOptions::default()).unwrap().0;
        append_some(&mut manifest, 5, &mut SimRng::new(80));
        disk.crash(*seed);
        open_as(&disk, SHORT).map_or(true, |(reopened, _)| reopened.state() != manifest.state())
    });
    assert!(lost.count() > 5);
}

/// The step that `roll` must not forget: the new file's name is durable before CURRENT names it.
#[test]
fn without_syncs_of_the_folder_a_new_manifest_is_lost() {
    let lost = (0..60).filter(|seed| {
        let disk = disk(*seed);
        drop(open(&disk));
        disk.set_skip_dir_syncs(true);
        let mut manifest = open(&disk);
        append_some(&mut manifest, 60, &mut SimRng::new(81));
        disk.crash(*seed);
        open_as(&disk, SHORT).map_or(true, |(reopened, _)| reopened.state() != manifest.state())
    });
    assert!(lost.count() > 5);
}
