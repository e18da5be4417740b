//! The rows of a document in a text index: one for each of its words.
//!
//! A row's key is the word, encoded as a string, and the encoded `_id`, so the rows of one word lie
//! in the order of `_id`; its value is empty. There is nothing in it of where and how often the
//! word stands: every answer is checked on its document, which says that as well. So a change of
//! one word writes one row, and not all of the document's.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bson::raw::{RawBsonRef, RawDocument};

use super::IndexSpec;
use super::row::Rows;
use crate::ValueError;
use crate::path::Path;
use crate::store::definition::{Definition, IndexDefinition};
use crate::store::error::Error;
use crate::text::{each_string, each_word};
use crate::value::key;

/// How many different words one document may have in a text index.
pub const INDEX_WORDS_MAX: usize = 100_000;

/// The rows of `document` in a text index; none if the index leaves it out, or it has no words.
pub(super) fn rows(index: &IndexDefinition, document: &RawDocument) -> Result<Rows, Error> {
    let spec = &index.spec;
    let mut rows = Rows {
        values: Vec::new(),
        multikey: vec![false; spec.parts.len()],
    };
    if let Some(partial) = &spec.partial
        && !partial.filter.matches(document)?
    {
        return Ok(rows);
    }
    let mut words: BTreeSet<Box<str>> = BTreeSet::new();
    each_string(&fields(spec), document, &mut |text| {
        each_word(text, &mut |word| {
            if !words.contains(word) {
                words.insert(word.into());
            }
            if words.len() > INDEX_WORDS_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    })?;
    if words.len() > INDEX_WORDS_MAX {
        return Err(Error::TooManyWords {
            index: index.name().to_owned(),
            limit: INDEX_WORDS_MAX,
        });
    }
    let values = words.iter().map(|word| word_key(word));
    rows.values = values.collect::<Result<_, _>>()?;
    // The order of keys is that of the words, but this is the place to rely on nothing.
    rows.values.sort_unstable();
    Ok(rows)
}

/// Whether the index is a text index in which two documents have the same rows for sure, because
/// they have the same strings: most changes of a document are of something else, and finding words
/// costs more than comparing.
pub(super) fn is_same(
    index: &IndexDefinition,
    before: &RawDocument,
    after: &RawDocument,
) -> Result<bool, Error> {
    let spec = &index.spec;
    if !spec.is_text || spec.partial.is_some() {
        return Ok(false);
    }
    let fields = fields(spec);
    Ok(strings(&fields, before)? == strings(&fields, after)?)
}

fn strings<'d>(fields: &[Path], document: &'d RawDocument) -> Result<Vec<&'d str>, ValueError> {
    let mut strings = Vec::new();
    each_string(fields, document, &mut |text| {
        strings.push(text);
        ControlFlow::Continue(())
    })?;
    Ok(strings)
}

/// What the rows of a word begin with.
pub(crate) fn word_key(word: &str) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::with_capacity(word.len() + 4);
    key::encode(RawBsonRef::String(word), &mut bytes)?;
    Ok(bytes)
}

/// The paths whose strings are searched.
pub(crate) fn fields(spec: &IndexSpec) -> Vec<Path> {
    spec.parts.iter().map(|part| part.path.clone()).collect()
}

/// Refuses a second text index.
pub(super) fn refuse_second(definition: &Definition, spec: &IndexSpec) -> Result<(), Error> {
    let other = definition.text_index().filter(|_| spec.is_text);
    match other {
        None => Ok(()),
        Some((_, other)) => Err(Error::IndexSpec {
            index: spec.name().to_owned(),
            reason: format!(
                "the collection has the text index {:?} already, and can have only one: drop it \
                 first",
                other.name()
            ),
        }),
    }
}

impl Definition {
    /// The text index, ready or not, and its number.
    pub(crate) fn text_index(&self) -> Option<(usize, &IndexDefinition)> {
        let mut indexes = self.indexes.iter().enumerate();
        indexes.find(|(_, index)| index.spec.is_text)
    }
}

#[cfg(test)]
mod tests {
    use nexusbase_db::TreeId;

    use super::*;
    use crate::store::index::id_key;

    #[test]
    fn the_bytes_of_rows_do_not_change() {
        let document = bson::rawdoc! { "_id": "k", "t": ["Sea, sea", 5, "b\0a"] };
        let spec = IndexSpec::full_text(&["t", "u"]).unwrap();
        let index = IndexDefinition::new(spec, TreeId::new(9));
        let id = id_key(RawBsonRef::String("k")).unwrap();
        let rows = rows(&index, &document).unwrap();
        assert_eq!(rows.multikey, [false, false]);
        let found: Vec<_> = rows
            .values
            .iter()
            .map(|word| index.row(word, &id))
            .collect();
        let row = |word: &[u8]| {
            let key = [&b"\x40"[..], word, b"\0\0\x40k\0\0"].concat();
            (key, Vec::new())
        };
        assert_eq!(found, [row(b"a"), row(b"b"), row(b"sea")]);
        let split = index.split_row(&found[2].0, &[]);
        assert_eq!(split, Some((&*rows.values[2], &*id)));
    }
}
