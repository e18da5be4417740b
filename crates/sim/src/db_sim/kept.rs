//! Kept versions: transactions that keep and release them, and what can be read at them.

use std::collections::BTreeSet;

use nexusbase_db::{Database, Direction, Index, Transaction, View};

use super::look::compare_all;
use super::model::{Op, Step, Timeline, same};
use super::reads::{Read, again};
use super::transaction::{Dice, Work};
use crate::Check;
use crate::world::World;

const OWNERS: [&str; 3] = ["a", "ab", "b"];

/// Transactions that see so many keep no more.
const KEPT_MAX: usize = 4;

impl Work {
    /// Keeps a version, releases one, or looks at all.
    pub(super) fn versions(
        &mut self,
        world: &mut World,
        tx: &mut Transaction,
        dice: &mut Dice,
    ) -> Check {
        let owner = OWNERS[dice.rng.index(OWNERS.len())];
        let own = tx.snapshot_index().get();
        match dice.rng.below(10) {
            0..=4 if self.local.kept.len() < KEPT_MAX => {
                let Some(version) = again(world, || Ok(tx.keep_version(owner)?))? else {
                    return Ok(());
                };
                same("the version that is kept", &own, &version.get())?;
                let before = self.is_kept(own, owner);
                if !before {
                    self.change(Op::Keep(own, owner.to_owned()));
                }
                Ok(())
            }
            0..=8 => {
                let mut kept = self.local.kept.iter();
                let kept = kept.nth(dice.rng.index(KEPT_MAX)).cloned();
                let (version, owner) = kept.unwrap_or((own, owner.to_owned()));
                let release = || Ok(tx.release_version(Index::new(version), &owner)?);
                let Some(found) = again(world, release)? else {
                    return Ok(());
                };
                same("a release", &self.is_kept(version, &owner), &found)?;
                if found {
                    self.change(Op::Release(version, owner));
                }
                Ok(())
            }
            _ => {
                let prefix = &owner[..dice.rng.index(owner.len() + 1)];
                let Some(found) = again(world, || Ok(tx.kept_versions(prefix)?))? else {
                    return Ok(());
                };
                let found = found.into_iter();
                let found: Vec<_> = found.map(|(at, owner)| (at.get(), owner)).collect();
                same("kept versions", &self.local.kept_by(prefix), &found)?;
                self.steps.push(Step::Kept(prefix.to_owned(), found));
                Ok(())
            }
        }
    }

    /// Whether a version should be seen as kept, which is remembered.
    fn is_kept(&mut self, version: u64, owner: &str) -> bool {
        let kept = self.local.is_kept(version, owner);
        let step = Step::IsKept(version, owner.to_owned(), kept);
        self.steps.push(step);
        kept
    }
}

/// Compares every version that is kept just now with what it should show. Returns how many.
pub(super) fn compare_kept(
    db: &Database,
    timeline: &mut Timeline,
    direction: Direction,
) -> Read<u64> {
    let visible = db.snapshot().index().get();
    let kept = timeline.state_at(visible).kept.into_iter();
    let kept: BTreeSet<u64> = kept.map(|(version, _)| version).collect();
    same("kept versions", &kept.len(), &db.stats().kept_versions)?;
    if !kept.contains(&visible) && db.snapshot_at(Index::new(visible)).is_some() {
        return Err(format!("version {visible}, which nobody keeps, can be read").into());
    }
    for version in &kept {
        let state = timeline.state_at(*version);
        let snapshot = db.snapshot_at(Index::new(*version));
        let snapshot = snapshot.ok_or_else(|| format!("version {version} is not kept"))?;
        same("the index", version, &snapshot.index().get())?;
        compare_all(&snapshot, &state, direction).map_err(|unread| unread.of(*version))?;
    }
    Ok(kept.len() as u64)
}
