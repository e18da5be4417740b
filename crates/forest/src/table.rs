//! Sorted tables: files of rows that are written once and never changed.

pub(crate) mod block;
pub(crate) mod cursor;
pub(crate) mod filter;
pub(crate) mod footer;
pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod meta;
pub(crate) mod reader;
pub(crate) mod row_block;
pub(crate) mod separators;
pub(crate) mod varint;
pub(crate) mod writer;
