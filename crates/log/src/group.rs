//! What the log knows of one group: its last entry, its vote, what was purged, where entries are.
//!
//! One function, [`GroupView::step`], says what may follow what, for the writer and for the
//! recovery alike, so that what was accepted is what is rebuilt. Positions of entries are
//! sampled, not kept one by one: a million entries cost kilobytes here.

use crate::error::AppendError;
use crate::record::{Group, Index, LogId, Position, Record, Vote};

/// An entry's position is kept whenever this many bytes of log lie behind the last one kept.
const SAMPLE_BYTES: u64 = 64 << 10;

/// A group's state, as far as the log knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// The last entry; the purged one if nothing follows it.
    pub last: LogId,
    /// Entries up to this one may be gone.
    pub purged: LogId,
    /// The last vote.
    pub vote: Option<Vote>,
}

impl GroupView {
    /// Takes `record` into account, if it may follow.
    pub(crate) fn step(&mut self, group: Group, record: &Record<'_>) -> Result<(), AppendError> {
        match *record {
            Record::Batch { .. } => {}
            Record::Entry { id, .. } => {
                if id.index != self.last.index.next() {
                    let last = self.last.index;
                    return Err(AppendError::Gap {
                        group,
                        last,
                        found: id.index,
                    });
                }
                self.last = id;
            }
            Record::Vote { vote, .. } => self.vote = Some(vote),
            Record::TruncateAfter { last, .. } => {
                let purged = self.purged.index;
                if last.index < purged {
                    return Err(AppendError::BelowPurged {
                        group,
                        last: last.index,
                        purged,
                    });
                }
                if last.index < self.last.index {
                    self.last = last;
                }
            }
            Record::PurgeUpTo { up_to, .. } => {
                if up_to.index > self.purged.index {
                    self.purged = up_to;
                }
                if up_to.index > self.last.index {
                    self.last = up_to;
                }
            }
            Record::Checkpoint {
                last, purged, vote, ..
            } => *self = Self { last, purged, vote },
        }
        Ok(())
    }
}

/// Entries with contiguous indices that lie in the log in their order.
#[derive(Clone, Debug)]
struct Run {
    first: Index,
    last: Index,
    /// Where some of the entries are; the first entry always is among them, and the first of
    /// each segment.
    samples: Vec<(Index, Position)>,
    /// Cut back: what follows in the file is not what follows by index.
    closed: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct GroupState {
    pub(crate) view: GroupView,
    /// Where the last purge record lies.
    pub(crate) purge_at: Position,
    runs: Vec<Run>,
}

impl GroupState {
    /// Takes note of `record`, which lies at `position` in the segment that starts at `base`.
    pub(crate) fn note(
        &mut self,
        group: Group,
        record: &Record<'_>,
        position: Position,
        base: Position,
    ) -> Result<(), AppendError> {
        self.view.step(group, record)?;
        match *record {
            Record::Entry { id, .. } => self.note_entry(id.index, position, base),
            Record::TruncateAfter { .. } => self.cut_back(self.view.last.index),
            Record::PurgeUpTo { .. } => self.purge_at = position,
            Record::Batch { .. } | Record::Vote { .. } | Record::Checkpoint { .. } => {}
        }
        Ok(())
    }

    fn note_entry(&mut self, index: Index, position: Position, base: Position) {
        if let Some(run) = self.runs.last_mut()
            && run.last.next() == index
            && !run.closed
        {
            run.last = index;
            let sampled = run.samples.last().map_or(Position::ZERO, |sample| sample.1);
            if sampled < base || position.get() - sampled.get() >= SAMPLE_BYTES {
                run.samples.push((index, position));
            }
        } else {
            let samples = vec![(index, position)];
            self.runs.push(Run {
                first: index,
                last: index,
                samples,
                closed: false,
            });
        }
    }

    fn cut_back(&mut self, last: Index) {
        self.runs.retain(|run| run.first <= last);
        if let Some(run) = self.runs.last_mut() {
            run.last = run.last.min(last);
            run.samples.retain(|sample| sample.0 <= last);
            run.closed = true;
        }
    }

    /// Forgets where entries before `base` were, because their segment is gone.
    pub(crate) fn forget_before(&mut self, base: Position) {
        for run in &mut self.runs {
            run.samples.retain(|sample| sample.1 >= base);
            if let Some(sample) = run.samples.first() {
                run.first = sample.0;
            }
        }
        self.runs.retain(|run| !run.samples.is_empty());
    }

    /// Where to start reading to find entry `index`: at it or before it; and the last index of
    /// the entries that lie in order from there.
    pub(crate) fn locate(&self, index: Index) -> Option<(Position, Index)> {
        let run = self
            .runs
            .iter()
            .rev()
            .find(|run| run.first <= index && index <= run.last)?;
        let after = run.samples.partition_point(|sample| sample.0 <= index);
        Some((run.samples[after.checked_sub(1)?].1, run.last))
    }

    /// The first entry that should be there and is not.
    pub(crate) fn missing(&self) -> Option<Index> {
        let mut expected = self.view.purged.index.next();
        for run in &self.runs {
            if run.last < expected {
                continue;
            }
            if run.first > expected {
                return Some(expected);
            }
            expected = run.last.next();
        }
        (expected <= self.view.last.index).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Term;

    const GROUP: Group = Group::ZERO;

    fn id(index: u64) -> LogId {
        LogId {
            index: Index::new(index),
            term: Term::new(1),
        }
    }

    fn entry(state: &mut GroupState, index: u64, at: u64) -> Result<(), AppendError> {
        let record = Record::Entry {
            group: GROUP,
            id: id(index),
            payload: &[],
        };
        state.note(GROUP, &record, Position::new(at), Position::ZERO)
    }

    fn note(state: &mut GroupState, record: Record<'_>, at: u64) {
        state
            .note(GROUP, &record, Position::new(at), Position::ZERO)
            .unwrap();
    }

    #[test]
    fn an_index_that_skips_or_repeats_is_refused() {
        let mut state = GroupState::default();
        entry(&mut state, 1, 0).unwrap();
        assert!(matches!(
            entry(&mut state, 3, 40),
            Err(AppendError::Gap { .. })
        ));
        assert!(matches!(
            entry(&mut state, 1, 40),
            Err(AppendError::Gap { .. })
        ));
        entry(&mut state, 2, 40).unwrap();
    }

    #[test]
    fn after_a_truncation_the_newer_entry_is_found() {
        let mut state = GroupState::default();
        (1..=5).for_each(|i| entry(&mut state, i, i * 100).unwrap());
        note(
            &mut state,
            Record::TruncateAfter {
                group: GROUP,
                last: id(3),
            },
            600,
        );
        assert_eq!(state.locate(Index::new(4)), None);
        entry(&mut state, 4, 700).unwrap();
        assert_eq!(
            state.locate(Index::new(4)),
            Some((Position::new(700), Index::new(4)))
        );
        assert_eq!(
            state.locate(Index::new(3)),
            Some((Position::new(100), Index::new(3)))
        );
        assert_eq!(state.missing(), None);
    }

    #[test]
    fn a_purge_may_lie_beyond_the_last_entry() {
        let mut state = GroupState::default();
        entry(&mut state, 1, 0).unwrap();
        note(
            &mut state,
            Record::PurgeUpTo {
                group: GROUP,
                up_to: id(9),
            },
            40,
        );
        assert_eq!(state.view.last, id(9));
        entry(&mut state, 10, 80).unwrap();
        assert_eq!(state.missing(), None);
    }

    #[test]
    fn a_truncation_below_what_is_purged_is_refused() {
        let mut state = GroupState::default();
        (1..=5).for_each(|i| entry(&mut state, i, i * 100).unwrap());
        note(
            &mut state,
            Record::PurgeUpTo {
                group: GROUP,
                up_to: id(4),
            },
            600,
        );
        let cut = Record::TruncateAfter {
            group: GROUP,
            last: id(3),
        };
        let refused = state.note(GROUP, &cut, Position::new(640), Position::ZERO);
        assert!(matches!(refused, Err(AppendError::BelowPurged { .. })));
    }

    #[test]
    fn entries_lost_with_their_segment_are_missed_unless_purged() {
        let mut state = GroupState::default();
        entry(&mut state, 1, 0).unwrap();
        let base = Position::new(500);
        for i in 2..=4 {
            let record = Record::Entry {
                group: GROUP,
                id: id(i),
                payload: &[],
            };
            state
                .note(GROUP, &record, Position::new(500 + i), base)
                .unwrap();
        }
        state.forget_before(base);
        assert_eq!(state.missing(), Some(Index::new(1)));
        note(
            &mut state,
            Record::PurgeUpTo {
                group: GROUP,
                up_to: id(1),
            },
            600,
        );
        assert_eq!(state.missing(), None);
        assert_eq!(
            state.locate(Index::new(2)),
            Some((Position::new(502), Index::new(4)))
        );
    }
}
