//! Compaction: what is worth rewriting, and what of it survives.

pub(crate) mod picker;
pub(crate) mod sieve;
