//! JSON text to BSON and back.
//!
//! Text is MongoDB's Extended JSON, version 2: plain JSON, plus objects such as
//! `{"$numberDecimal": "1.50"}` or `{"$date": "2026-01-01T00:00:00Z"}` for what JSON has no words
//! for. Both its relaxed and its canonical form are read, mixed as one likes; either can be
//! written ([`Form`]).
//!
//! [`parse_document`] writes BSON while it reads, without a tree in between. What it promises:
//! the order of fields is kept; integers become int32 where they fit and int64 otherwise, all
//! other numbers doubles. Refused, with line, column and JSON pointer: what is not JSON, names
//! that stand twice in one object, integers beyond 64 bits, half surrogate pairs, extended JSON
//! that does not say what it should, nesting beyond 100 levels, and documents beyond 16 MiB.
//!
//! What it does not check is whether field names may be stored: a filter is JSON too. That is
//! [`check_document`](crate::document::check_document).
//!
//! The parser is our own because it must write raw BSON, find duplicate names, tell an integer
//! that is too large from a double, and know where it is when something is wrong.

mod extended;
mod parse;
mod write;

pub use parse::{parse_document, parse_value};
pub use write::{Form, to_string, write_document, write_value};
