//! Text: what words it consists of, what a search asks of them, and how well a document answers.
//!
//! A collection may have one text index ([`IndexSpec::full_text`](crate::IndexSpec::full_text)).
//! It is a simple inverted index on the forest: a row for each word of a document, with the
//! document's `_id` behind the word. A library such as `tantivy` commits outside the log, to files
//! and merges of its own. It cannot be made part of one atomic entry: a crash between the two
//! commits would leave answers that disagree with documents, and snapshots could not see it at
//! their index.
//!
//! What it does not do: stems, stop words, synonyms, languages, or finding parts of words.

mod score;
mod search;
mod tokens;

pub use search::{SEARCH_BYTES_MAX, SEARCH_WORDS_MAX, Search};
pub use tokens::WORD_CHARS_MAX;

pub(crate) use score::{Collected, Statistics};
pub(crate) use tokens::{VERSION, each_string, each_word};
