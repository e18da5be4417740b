//! Forests laid out at random, all of them tiny: much happens with little data.

use std::sync::Arc;

use nexusbase_forest::{Compression, ForestOptions};
use nexusbase_io::sim::SimRng;

use super::kinds::KINDS;

fn one_of<T: Copy>(rng: &mut SimRng, choices: &[T]) -> T {
    choices[rng.index(choices.len())]
}

/// A layout with many levels, tables and blocks.
pub(crate) fn random_options(seed: u64) -> ForestOptions {
    let mut rng = SimRng::new(seed ^ 0x6c61_796f_7574);
    let rng = &mut rng;
    let compressions = [Compression::None, Compression::Lz4, Compression::Zstd];
    let memtable_bytes = one_of(rng, &[4_000, 8_000, 16_000, 64_000]);
    ForestOptions {
        kinds: Arc::new(KINDS),
        // Eight times is the least with which memtables may become as large.
        memory_bytes: memtable_bytes * one_of(rng, &[8, 9, 40]),
        memtable_bytes,
        block_bytes: one_of(rng, &[64, 128, 256, 512]),
        restart_interval: one_of(rng, &[1, 2, 4, 16]),
        filter_bits: one_of(rng, &[0, 5, 10, 20]),
        // Zstandard costs much with such small blocks.
        compression: one_of(rng, &compressions[..2]),
        bottom_compression: match rng.below(8) {
            0 => Compression::Zstd,
            _ => one_of(rng, &compressions[..2]),
        },
        blob_bytes: one_of(rng, &[None, Some(20), Some(40), Some(100)]),
        l0_tables: one_of(rng, &[2, 2, 3]),
        base_bytes: one_of(rng, &[1_500, 4_000, 20_000]),
        level_ratio: one_of(rng, &[2, 2, 3, 4]),
        table_bytes: one_of(rng, &[1_500, 4_000, 20_000]),
        ..ForestOptions::new([7; 16])
    }
}

/// A layout where everything stays in one memtable until it is asked for.
pub(crate) fn roomy_options() -> ForestOptions {
    ForestOptions {
        kinds: Arc::new(KINDS),
        filter_bits: 0,
        blob_bytes: None,
        ..ForestOptions::new([7; 16])
    }
}
