//! The keys that recent commits have written, each with the last commit that did.
//!
//! In order, and in blocks that know the newest commit within them: a range of any size is asked
//! by looking at some thousand blocks, and into the two that it cuts.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use nexusbase_forest::TreeId;
use nexusbase_log::Index;

use crate::span::Span;

/// A block of more keys is cut in two.
const BLOCK_KEYS_MAX: usize = 256;
/// Neighbours of fewer keys are made one.
const BLOCK_KEYS_FEW: usize = BLOCK_KEYS_MAX / 4;

pub(crate) type Key = (TreeId, Bytes);

#[derive(Debug, Default)]
struct Block {
    keys: BTreeMap<Key, Index>,
    /// The last commit that has written any of them.
    newest: Index,
}

impl Block {
    fn of(keys: BTreeMap<Key, Index>) -> Self {
        let newest = keys.values().copied().max().unwrap_or_default();
        Self { keys, newest }
    }
}

/// Keys and the last commit that has written each.
#[derive(Debug, Default)]
pub(crate) struct RecentKeys {
    /// By a lower bound: the keys of a block lie at it or behind, and before that of the next.
    blocks: BTreeMap<Key, Block>,
}

impl RecentKeys {
    /// The last commit that has written `key`.
    pub(crate) fn get(&self, key: &Key) -> Option<Index> {
        let (_, block) = self.blocks.range(..=key).next_back()?;
        block.keys.get(key).copied()
    }

    /// The last commit behind `since` that has written any key of a span.
    pub(crate) fn newest_in(&self, tree: TreeId, span: &Span, since: Index) -> Option<Index> {
        let start = (tree, span.start.clone());
        let end = match &span.end {
            Some(end) => Some((tree, end.clone())),
            None => tree
                .get()
                .checked_add(1)
                .map(|next| (TreeId::new(next), Bytes::new())),
        };
        let first = self.blocks.range(..=&start).next_back();
        let behind = match &end {
            Some(end) => (Bound::Excluded(&start), Bound::Excluded(end)),
            None => (Bound::Excluded(&start), Bound::Unbounded),
        };
        let mut newest = since;
        for (lowest, block) in first.into_iter().chain(self.blocks.range(behind)) {
            if block.newest <= newest {
                continue;
            }
            let last = block.keys.last_key_value();
            let ends_inside = |end: &Key| last.is_none_or(|(last, _)| last < end);
            if *lowest >= start && end.as_ref().is_none_or(ends_inside) {
                newest = block.newest;
                continue;
            }
            let from = block.keys.range(&start..);
            newest = from
                .take_while(|(key, _)| end.as_ref().is_none_or(|end| *key < end))
                .map(|(_, written)| *written)
                .fold(newest, Index::max);
        }
        (newest > since).then_some(newest)
    }

    /// Notes that `key` was written by the commit `index`.
    pub(crate) fn insert(&mut self, key: Key, index: Index) {
        let found = self.blocks.range_mut(..=&key).next_back();
        let block = match found {
            Some((_, block)) => block,
            None => self
                .blocks
                .entry((TreeId::new(0), Bytes::new()))
                .or_default(),
        };
        block.keys.insert(key, index);
        block.newest = block.newest.max(index);
        if block.keys.len() <= BLOCK_KEYS_MAX {
            return;
        }
        if let Some(middle) = block.keys.keys().nth(BLOCK_KEYS_MAX / 2).cloned() {
            let upper = Block::of(block.keys.split_off(&middle));
            *block = Block::of(std::mem::take(&mut block.keys));
            self.blocks.insert(middle, upper);
        }
    }

    /// Forgets `key` if `index` is the last commit that has written it. Commits are forgotten
    /// oldest first (or [`Self::recount`] is called afterwards): then a block's newest commit is
    /// one of those that stay, or the block is empty.
    pub(crate) fn remove(&mut self, key: &Key, index: Index) {
        let Some((lowest, block)) = self.blocks.range_mut(..=key).next_back() else {
            return;
        };
        if block.keys.get(key) != Some(&index) {
            return;
        }
        block.keys.remove(key);
        if block.keys.len() < BLOCK_KEYS_FEW {
            let lowest = lowest.clone();
            self.join(&lowest);
        }
    }

    /// Makes one of a block with few keys and of its neighbours, if those have few as well.
    fn join(&mut self, lowest: &Key) {
        let before = self.blocks.range(..lowest).next_back();
        let behind = (Bound::Excluded(lowest), Bound::Unbounded);
        let after = self.blocks.range(behind).next();
        let few = |found: Option<(&Key, &Block)>| {
            found
                .filter(|(_, block)| block.keys.len() < BLOCK_KEYS_FEW)
                .map(|(lowest, _)| lowest.clone())
        };
        let (before, after) = (few(before), few(after));
        let into = before.as_ref().unwrap_or(lowest).clone();
        let moved = [before.map(|_| lowest.clone()), after];
        for from in moved.into_iter().flatten() {
            let Some(mut block) = self.blocks.remove(&from) else {
                continue;
            };
            if let Some(target) = self.blocks.get_mut(&into) {
                target.keys.append(&mut block.keys);
                target.newest = target.newest.max(block.newest);
            }
        }
        if self.blocks.get(&into).is_some_and(|b| b.keys.is_empty()) {
            self.blocks.remove(&into);
        }
    }

    /// Finds out anew which commits are the newest, after any but the oldest were removed.
    pub(crate) fn recount(&mut self) {
        for block in self.blocks.values_mut() {
            *block = Block::of(std::mem::take(&mut block.keys));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexusbase_io::sim::SimRng;

    fn key(rng: &mut SimRng) -> Key {
        let tree = u32::try_from(rng.below(3)).unwrap();
        let number = u16::try_from(rng.below(2000)).unwrap();
        (
            TreeId::new(tree),
            Bytes::copy_from_slice(&number.to_be_bytes()),
        )
    }

    fn check(recent: &RecentKeys, model: &BTreeMap<Key, Index>, rng: &mut SimRng, newest: u64) {
        let (a, b) = (key(rng), key(rng));
        assert_eq!(recent.get(&a), model.get(&a).copied());
        let end = (a.1 < b.1).then_some(b.1);
        let span = Span { start: a.1, end };
        let since = Index::new(newest.saturating_sub(rng.below(40)));
        let inside = |key: &Key| {
            key.0 == a.0 && key.1 >= span.start && span.end.as_ref().is_none_or(|end| key.1 < *end)
        };
        let expected = model
            .iter()
            .filter(|(key, written)| inside(key) && **written > since)
            .map(|(_, written)| *written)
            .max();
        assert_eq!(recent.newest_in(a.0, &span, since), expected);
    }

    /// Against a plain map that is walked: whatever comes and goes, a range knows the newest
    /// commit in it; and the blocks stay few.
    #[test]
    fn a_range_knows_the_newest_commit_in_it() {
        for seed in 0..20 {
            let mut rng = SimRng::new(seed);
            let (mut recent, mut model) = (RecentKeys::default(), BTreeMap::new());
            let mut commits: std::collections::VecDeque<(Index, Vec<Key>)> = [].into();
            for at in 1..400u64 {
                let index = Index::new(at);
                let keys: Vec<Key> = (0..rng.below(40)).map(|_| key(&mut rng)).collect();
                for key in &keys {
                    recent.insert(key.clone(), index);
                    model.insert(key.clone(), index);
                }
                commits.push_back((index, keys));
                // Many commits, then few, and again.
                let kept = if at / 100 % 2 == 0 { 200 } else { 8 };
                for _ in 0..4 {
                    let oldest_first = commits.len() > kept;
                    let gone = if oldest_first {
                        commits.pop_front()
                    } else if rng.below(40) == 0 {
                        commits.pop_back()
                    } else {
                        None
                    };
                    let Some((index, keys)) = gone else { break };
                    for key in keys {
                        recent.remove(&key, index);
                        if model.get(&key) == Some(&index) {
                            model.remove(&key);
                        }
                    }
                    if !oldest_first {
                        recent.recount();
                    }
                }
                (0..5).for_each(|_| check(&recent, &model, &mut rng, at));
            }
            let blocks = recent.blocks.len();
            assert!(
                blocks <= 2 * (model.len() / BLOCK_KEYS_FEW + 1),
                "{blocks} blocks for {} keys",
                model.len()
            );
            for (index, keys) in commits {
                keys.iter().for_each(|key| recent.remove(key, index));
            }
            assert_eq!(recent.blocks.len(), 0);
        }
    }
}
