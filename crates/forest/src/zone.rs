//! Skipping blocks by attributes of their keys.
//!
//! An attribute is a function of the key alone, so all versions of a key, tombstones included,
//! have the same: whatever source a block lies in, skipping it takes whole keys out of the picture
//! and never uncovers an older version.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::kind::Zone;

/// Which keys are wanted: those that have each attribute within its bounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneFilter {
    wanted: Arc<[(usize, Zone, RangeInclusive<u64>)]>,
}

impl ZoneFilter {
    /// A filter by the zones of a kind, by their numbers. Zones that the kind has not are no
    /// condition.
    pub(crate) fn new(zones: &'static [Zone], wanted: &[(usize, RangeInclusive<u64>)]) -> Self {
        let wanted = wanted
            .iter()
            .filter_map(|(at, bounds)| Some((*at, *zones.get(*at)?, bounds.clone())));
        Self {
            wanted: wanted.collect(),
        }
    }

    /// Whether it lets everything through.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether a wanted key may be among those that the aggregate is of.
    pub(crate) fn may_match(&self, aggregate: &Aggregate) -> bool {
        self.wanted.iter().all(|(at, _, bounds)| {
            let (least, greatest) = aggregate.zones[*at];
            least <= *bounds.end() && greatest >= *bounds.start()
        })
    }

    /// Whether `key` is wanted.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        self.wanted
            .iter()
            .all(|(_, zone, bounds)| bounds.contains(&zone(key)))
    }
}
