//! Sorted tables: files of rows that are written once and never changed.

pub(crate) mod meta;
