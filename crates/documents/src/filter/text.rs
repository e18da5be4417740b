//! `$text`: a search in the text index of a collection.
//!
//! A filter is read without knowing any collection, so it does not know which fields the text
//! index has. Whoever asks a collection gives it a copy that does
//! ([`Filter::searching`](super::Filter)); until then matching is an error, never an answer.

use std::sync::Arc;

use bson::raw::{RawBsonRef, RawDocument};

use super::parse::{Parser, damaged, operand};
use super::{Condition, Filter};
use crate::ValueError;
use crate::error::FilterError;
use crate::path::Path;
use crate::pointer::Place;
use crate::text::Search;
use crate::value::type_name;

/// What `$text` consists of.
const OPTIONS: &[&str] = &[
    "$search",
    "$caseSensitive",
    "$diacriticSensitive",
    "$language",
];

/// What a document must have in the fields of its collection's text index.
#[derive(Clone, Debug)]
pub struct TextTest {
    search: Arc<Search>,
    /// Where; none before a collection is asked.
    fields: Option<Arc<[Path]>>,
}

impl TextTest {
    pub(crate) fn search(&self) -> &Arc<Search> {
        &self.search
    }

    /// Whether a document has what is searched for.
    pub(super) fn holds(&self, document: &RawDocument) -> Result<bool, ValueError> {
        match &self.fields {
            Some(fields) => self.search.matches(fields, document),
            None => Err(ValueError::TextSearch { what: "$text" }),
        }
    }
}

impl Filter {
    /// What it searches for by `$text`, if it does.
    pub(crate) fn text(&self) -> Option<&TextTest> {
        self.conjuncts.iter().find_map(|condition| match condition {
            Condition::Text(text) => Some(text),
            _ => None,
        })
    }

    /// The same, whose `$text` searches in `fields`.
    pub(crate) fn searching(&self, fields: &Arc<[Path]>) -> Self {
        let mut filter = self.clone();
        for condition in &mut filter.conjuncts {
            if let Condition::Text(text) = condition {
                text.fields = Some(Arc::clone(fields));
            }
        }
        filter
    }
}

impl Parser {
    /// Reads the operand of `$text`.
    pub(super) fn text(
        &mut self,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Condition, FilterError> {
        if !self.may_search {
            let expected = "to stand at the top of the filter, or in $and, once";
            return Err(operand("$text", at, expected, "it elsewhere or twice"));
        }
        let expected = "an object with $search";
        let Some(document) = value.as_document() else {
            return Err(operand("$text", at, expected, type_name(value)));
        };
        let mut search = None;
        for option in document {
            let (name, value) = option.map_err(|source| damaged(at, source))?;
            let here = at.name(name.as_str());
            match name.as_str() {
                "$search" => search = Some(parse(value, here)?),
                "$caseSensitive" => {
                    let expected = "false: words are compared in lower case";
                    no("$caseSensitive", value, here, expected)?;
                }
                "$diacriticSensitive" => {
                    let expected = "false: words are compared without accents";
                    no("$diacriticSensitive", value, here, expected)?;
                }
                "$language" if value == RawBsonRef::String("none") => {}
                "$language" => {
                    let expected = "\"none\": words are compared as they are in every language";
                    return Err(operand("$language", here, expected, "another"));
                }
                unknown => {
                    return Err(FilterError::UnknownOperator {
                        operator: unknown.to_owned(),
                        at: here.pointer(),
                        supported: OPTIONS,
                    });
                }
            }
        }
        let search = search.ok_or_else(|| operand("$text", at, expected, "one without"))?;
        self.may_search = false;
        Ok(Condition::Text(TextTest {
            search: Arc::new(search),
            fields: None,
        }))
    }
}

fn parse(value: RawBsonRef<'_>, at: Place<'_>) -> Result<Search, FilterError> {
    let RawBsonRef::String(text) = value else {
        return Err(operand("$search", at, "a string", type_name(value)));
    };
    Search::parse(text).map_err(|(expected, found)| operand("$search", at, expected, found))
}

fn no(
    option: &'static str,
    value: RawBsonRef<'_>,
    at: Place<'_>,
    expected: &'static str,
) -> Result<(), FilterError> {
    match value {
        RawBsonRef::Boolean(false) => Ok(()),
        RawBsonRef::Boolean(true) => Err(operand(option, at, expected, "true")),
        other => Err(operand(option, at, expected, type_name(other))),
    }
}
