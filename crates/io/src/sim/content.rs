//! The content of one simulated file: what is durable, what reads see, and the pieces between.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::random::SimRng;

/// How much a device writes as one: all of it or nothing.
pub(super) const SECTOR_BYTES: usize = 512;

/// What a power cut does to things that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// All of them are lost.
    Lost,
    /// All of them had reached the disk.
    Kept,
    /// Each is kept with this probability.
    Mixed(f64),
}

impl Fate {
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        match rng.below(4) {
            0 => Self::Lost,
            1 => Self::Kept,
            _ => Self::Mixed([0.1, 0.5, 0.5, 0.9][rng.index(4)]),
        }
    }

    pub(super) fn keeps(self, rng: &mut SimRng) -> bool {
        match self {
            Self::Lost => false,
            Self::Kept => true,
            Self::Mixed(p) => rng.chance(p),
        }
    }

    /// How many of a sector's `pieces` versions, oldest first, reached the disk.
    fn versions(self, pieces: usize, rng: &mut SimRng) -> usize {
        let mut kept = pieces;
        while kept > 0 && !self.keeps(rng) {
            kept -= 1;
        }
        kept
    }
}

/// Bytes written to one sector by one write.
#[derive(Clone, Debug)]
struct Piece {
    /// Where in the sector they start.
    start: usize,
    bytes: Box<[u8]>,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// Replaces the bytes that `newer` also covers.
    fn patch(&mut self, newer: &Self) {
        let (from, to) = (self.start.max(newer.start), self.end().min(newer.end()));
        if from < to {
            self.bytes[from - self.start..to - self.start]
                .copy_from_slice(&newer.bytes[from - newer.start..to - newer.start]);
        }
    }
}

/// A file's bytes by sector; a missing sector is zeros, so that allocated space costs nothing.
#[derive(Clone, Debug, Default)]
struct Image {
    length: u64,
    sectors: BTreeMap<u64, Arc<[u8; SECTOR_BYTES]>>,
}

impl Image {
    fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let available = self.length.saturating_sub(offset);
        let wanted = buffer
            .len()
            .min(usize::try_from(available).unwrap_or(usize::MAX));
        buffer[..wanted].fill(0);
        for (sector, start, range) in split(offset, wanted) {
            if let Some(bytes) = self.sectors.get(&sector) {
                buffer[range.clone()].copy_from_slice(&bytes[start..start + range.len()]);
            }
        }
        wanted
    }

    fn write(&mut self, sector: u64, piece: &Piece) {
        let bytes = self
            .sectors
            .entry(sector)
            .or_insert_with(|| Arc::new([0; SECTOR_BYTES]));
        Arc::make_mut(bytes)[piece.start..piece.end()].copy_from_slice(&piece.bytes);
        self.length = self
            .length
            .max(sector * SECTOR_BYTES as u64 + piece.end() as u64);
    }

    fn flip(&mut self, offset: u64, bit: u8) {
        for (sector, start, _) in split(offset, 1) {
            let bytes = self
                .sectors
                .entry(sector)
                .or_insert_with(|| Arc::new([0; SECTOR_BYTES]));
            Arc::make_mut(bytes)[start] ^= 1 << bit;
        }
    }
}

/// Cuts `length` bytes at `offset` by sector: (sector, start in it, range of the bytes).
fn split(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let sector = at / SECTOR_BYTES as u64;
        let start = usize::try_from(at % SECTOR_BYTES as u64).unwrap_or(0);
        let step = (SECTOR_BYTES - start).min(length - done);
        done += step;
        Some((sector, start, done - step..done))
    })
}

/// The content of a simulated file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    durable: Image,
    visible: Image,
    /// Unsynced pieces by sector, oldest first.
    pending: BTreeMap<u64, Vec<Piece>>,
}

impl Content {
    /// A file whose bytes are all durable.
    pub(super) fn durable(bytes: &[u8]) -> Self {
        let mut content = Self::default();
        content.write(bytes, 0);
        content.sync();
        content
    }

    pub(super) fn length(&self) -> u64 {
        self.visible.length
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.visible.read(buffer, offset)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.length()).unwrap_or(0)];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Writes without making durable.
    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        self.write_where(data, offset, || true);
    }

    /// Writes the sectors for which `keep` says so.
    pub(super) fn write_where(&mut self, data: &[u8], offset: u64, mut keep: impl FnMut() -> bool) {
        for (sector, start, range) in split(offset, data.len()) {
            if keep() {
                let piece = Piece {
                    start,
                    bytes: data[range].into(),
                };
                self.visible.write(sector, &piece);
                self.pending.entry(sector).or_default().push(piece);
            }
        }
    }

    /// Writes, and makes exactly these bytes durable.
    pub(super) fn write_durable(&mut self, data: &[u8], offset: u64) {
        for (sector, start, range) in split(offset, data.len()) {
            let piece = Piece {
                start,
                bytes: data[range].into(),
            };
            self.visible.write(sector, &piece);
            self.durable.write(sector, &piece);
            // Older pieces of the sector stay unsynced, but cannot come back over these bytes.
            for older in self.pending.get_mut(&sector).into_iter().flatten() {
                older.patch(&piece);
            }
        }
    }

    /// Makes the file at least `length` long; what is new is zero and not durable.
    pub(super) fn grow(&mut self, length: u64) {
        self.visible.length = self.visible.length.max(length);
    }

    /// Makes everything written durable, except what an earlier failed sync has lost.
    pub(super) fn sync(&mut self) {
        for (sector, pieces) in std::mem::take(&mut self.pending) {
            for piece in &pieces {
                self.durable.write(sector, piece);
            }
        }
        self.durable.length = self.visible.length;
    }

    /// A sync that failed: of each sector in `range` some version is durable now, and the newer
    /// ones never will be.
    pub(super) fn fail_sync(&mut self, range: Range<u64>, rng: &mut SimRng) {
        let first = range.start / SECTOR_BYTES as u64;
        let last = range.end.div_ceil(SECTOR_BYTES as u64);
        let sectors: Vec<u64> = self
            .pending
            .range(first..last)
            .map(|(sector, _)| *sector)
            .collect();
        for sector in sectors {
            let pieces = self.pending.remove(&sector).unwrap_or_default();
            let kept = Fate::Mixed(0.5).versions(pieces.len(), rng);
            for piece in &pieces[..kept] {
                self.durable.write(sector, piece);
            }
        }
    }

    /// A power cut.
    pub(super) fn crash(&mut self, fate: Fate, rng: &mut SimRng) {
        for (sector, pieces) in std::mem::take(&mut self.pending) {
            let kept = fate.versions(pieces.len(), rng);
            for piece in &pieces[..kept] {
                self.durable.write(sector, piece);
            }
        }
        let growth = self.visible.length - self.durable.length;
        if growth > 0 && fate.keeps(rng) {
            let part = if fate.keeps(rng) {
                growth
            } else {
                rng.below(growth)
            };
            self.durable.length += part;
        }
        self.visible = self.durable.clone();
    }

    /// Flips one bit, wherever the byte at `offset` is stored.
    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) {
        self.visible.flip(offset, bit);
        if offset < self.durable.length {
            self.durable.flip(offset, bit);
        }
        for (sector, start, _) in split(offset, 1) {
            for piece in self.pending.get_mut(&sector).into_iter().flatten() {
                if (piece.start..piece.end()).contains(&start) {
                    piece.bytes[start - piece.start] ^= 1 << bit;
                }
            }
        }
    }
}
