//! Birth and death: opening, with faults on the way, replaying the log, and the ends of lives.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use nexusbase_forest::{Broken, Compression, Forest, ForestOptions, OpenError, Scan, Seqno};

use super::{DIR, Sim, kinds};
use crate::world::{Death, Simulation, World};
use crate::{Check, Defect};

/// An open forest.
pub(super) struct Life {
    pub(super) forest: Forest,
    pub(super) scans: Vec<HeldScan>,
    /// A fault was met: the manifest may refuse to go on.
    pub(super) faulted: bool,
    /// The manifest has refused: only opening anew helps.
    pub(super) at_its_end: bool,
}

/// A scan that lives on while things change, and what it has yet to show.
pub(super) struct HeldScan {
    pub(super) scan: Scan,
    pub(super) expected: VecDeque<(Bytes, Bytes)>,
}

impl Simulation for Sim {
    const NAME: &'static str = "forest";

    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn try_open(&mut self) -> Check<bool> {
        let options = self.options();
        let before = self.world.disk.operations();
        let fs = Arc::new(self.world.disk.for_this_life());
        let opened = Forest::open(fs, Path::new(DIR), options).and_then(|forest| {
            forest.remove_unreferenced()?;
            Ok(forest)
        });
        match opened {
            // It was the last operation, and it did not matter.
            Ok(_) if self.world.disk.is_crashed() => Ok(false),
            Ok(forest) => {
                self.begin(forest)?;
                Ok(true)
            }
            Err(OpenError::Disk(error)) => {
                self.excuse(before, "open", &error)?;
                Ok(false)
            }
            Err(error) => Err(format!("cannot open: {error}")),
        }
    }

    fn compare(&mut self) -> Check {
        let Some(life) = self.life.take() else {
            return Err("there is no life".to_owned());
        };
        let (floor, last) = (life.forest.oldest_needed(), self.model.last());
        let between = floor.get() + self.world.rng.below(last.get() - floor.get() + 1);
        let mut at = vec![last, floor, Seqno::new(between)];
        at.extend(&self.pins);
        for at in at {
            self.look_at(&life, at)?;
        }
        self.life = Some(life);
        self.look_at_copies()
    }

    fn step(&mut self) -> Check {
        self.act()?;
        let mut life = self.life.take();
        if let Some(life) = &mut life {
            self.note_faults(life);
            let stats = life.forest.stats();
            if stats.weight_faults > 0 {
                return Err(format!("{} weights are wrong", stats.weight_faults));
            }
            if life.at_its_end && self.world.rng.chance(0.2) {
                // Nothing but a restart helps.
                self.world.plan_end(3);
            }
        }
        self.life = life;
        Ok(())
    }

    fn die(&mut self) {
        if self.world.die() == Death::PowerCut {
            let lost = self.world.rng.index(self.model.not_durable() + 1);
            if lost > 0 {
                self.world.story.tell(format!("{lost} entries are lost"));
            }
            self.model.lose(lost);
            let last = self.model.last();
            self.pins.retain(|pin| *pin <= last);
        }
        self.model.sync();
        self.life = None;
    }
}

impl Sim {
    /// Tiny everything, so that everything happens.
    fn options(&mut self) -> ForestOptions {
        let rng = &mut self.world.rng;
        let mut options = kinds::options();
        options.memory_bytes = [64 << 10, 1 << 20][rng.index(2)];
        options.memtable_bytes = [500, 1_500, 4_000][rng.index(3)];
        options.block_bytes = [64, 150, 600][rng.index(3)];
        options.restart_interval = [1, 3, 16][rng.index(3)];
        options.filter_bits = [0, 4, 10][rng.index(3)];
        let compressions = [Compression::None, Compression::Lz4, Compression::Zstd];
        options.compression = compressions[rng.index(3)];
        options.bottom_compression = compressions[rng.index(3)];
        options.blob_bytes = [None, Some(20), Some(60)][rng.index(3)];
        options.l0_tables = [1, 2, 4][rng.index(3)];
        options.base_bytes = [300, 1_000, 5_000][rng.index(3)];
        options.level_ratio = 2 + rng.below(3);
        options.table_bytes = [200, 600, 3_000][rng.index(3)];
        if self.wide {
            options.memtable_bytes = 20_000;
            options.table_bytes = 40_000;
        }
        options.manifest_bytes = [200, 1_000, 5_000][rng.index(3)];
        options.broken = match self.world.defect {
            Defect::Forest(broken) => broken,
            _ => Broken::Nothing,
        };
        options
    }

    /// Begins a life with a forest that was just opened.
    fn begin(&mut self, forest: Forest) -> Check {
        let (found, last) = (forest.flushed_through(), self.model.last());
        self.world
            .story
            .tell(format!("opened, flushed through {found}"));
        if found < self.flushed || found > last {
            let before = self.flushed;
            return Err(format!(
                "flushed through {found} after opening, {before} before; the log has {last}"
            ));
        }
        if forest.applied() != found || forest.oldest_needed() != found {
            let (applied, needed) = (forest.applied(), forest.oldest_needed());
            return Err(format!("applied {applied}, needed {needed}, not {found}"));
        }
        self.flushed = found;
        self.world.story.report.opened += 1;
        let rng = &mut self.world.rng;
        if rng.chance(0.3) {
            self.pins.clear();
        }
        forest.restore_pins(&self.pins);
        forest.note_time(self.now_ms);
        let mut life = Life {
            forest,
            scans: Vec::new(),
            faulted: false,
            at_its_end: false,
        };
        self.note_faults(&mut life);
        if !life.faulted {
            self.check_files(&life.forest)?;
        }
        self.replay(&life.forest, found)?;
        self.life = Some(life);
        Ok(())
    }

    /// Applies what the log has and the tables have not.
    fn replay(&mut self, forest: &Forest, from: Seqno) -> Check {
        let last = self.model.last();
        let bad = |e| format!("replay: {e}");
        // The first part at once, the rest one by one.
        let through = from.get() + self.world.rng.below(last.get() - from.get() + 1);
        let through = Seqno::new(through);
        if through > from {
            let (mut trees, mut changes) = (Vec::new(), Vec::new());
            let part = self.model.behind(from);
            for (at, entry) in part.take_while(|(at, _)| *at <= through) {
                trees.extend(entry.trees.iter().map(|change| (at, change.clone())));
                changes.extend(entry.mutations.iter().map(|change| (at, change.clone())));
            }
            forest.replay(through, &trees, changes).map_err(bad)?;
        }
        for (at, entry) in self.model.behind(through) {
            let changes = entry.mutations.iter().cloned();
            forest.apply(at, &entry.trees, changes).map_err(bad)?;
        }
        Ok(())
    }
}
