//! Every decoder of the forest as a function of any bytes. For fuzzing only: no promise is made
//! to anybody else.
//!
//! A function says whether the bytes could be read. If so, it has also walked what came out,
//! asked it whatever a block or an index is asked, encoded it again and compared: it panics where
//! something does not agree. Where a checksum stands before the decoder, the bytes are read
//! twice: as they are, and with a checksum that fits, or nothing behind it would ever be reached.

mod blobs;
mod manifests;
mod tables;

pub use blobs::{blob_file, blob_frame};
pub use manifests::{manifest_edit, manifest_file};
pub use tables::{block_frame, filter, footer, index_partition, index_top, meta_block, row_block};

use crate::row::FileId;

/// The file that everything lies in.
const FILE: FileId = FileId(0x2a);

/// A decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called, also in the folder of the fuzzer.
    pub name: &'static str,
    /// Whether these bytes could be read; panics if that was done wrong.
    pub run: fn(&[u8]) -> bool,
    /// Bytes that can be read.
    pub samples: fn() -> Vec<Vec<u8>>,
}

/// All decoders of this crate.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "row_block",
        run: row_block,
        samples: tables::row_blocks,
    },
    Target {
        name: "index_partition",
        run: index_partition,
        samples: tables::partitions,
    },
    Target {
        name: "index_top",
        run: index_top,
        samples: tables::tops,
    },
    Target {
        name: "filter",
        run: filter,
        samples: tables::filters,
    },
    Target {
        name: "block_frame",
        run: block_frame,
        samples: tables::block_frames,
    },
    Target {
        name: "footer",
        run: footer,
        samples: tables::footers,
    },
    Target {
        name: "meta_block",
        run: meta_block,
        samples: tables::meta_blocks,
    },
    Target {
        name: "manifest_edit",
        run: manifest_edit,
        samples: manifests::edits,
    },
    Target {
        name: "manifest_file",
        run: manifest_file,
        samples: manifests::files,
    },
    Target {
        name: "blob_frame",
        run: blob_frame,
        samples: blobs::frames,
    },
    Target {
        name: "blob_file",
        run: blob_file,
        samples: blobs::files,
    },
];

/// Bytes that compress, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|number: u64| format!("word {} ", number % 91).into_bytes());
    words.take(length).collect()
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    nexusbase_io::sim::SimRng::new(length as u64).fill(&mut bytes);
    bytes
}
