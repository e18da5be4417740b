//! Bodies that say what is to be done, taken apart member by member.
//!
//! They are read as documents, not as plain JSON, because what they hold goes into filters and
//! documents: extended JSON means in them what it means there. Nothing unknown may stand in them,
//! and every refusal names its place in the body as a JSON pointer.

use nexusbase_documents::bson::raw::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::json::parse_document;
use nexusbase_documents::sort::Sort;
use nexusbase_documents::store::Selection;
use nexusbase_documents::{Error, ValueError};

use crate::problem::{Kind, Problem, json_error, of_error};

/// The body as a document.
pub(crate) fn body_document(bytes: &[u8]) -> Result<RawDocumentBuf, Problem> {
    parse_document(bytes).map_err(|error| json_error(&error))
}

/// A body, or a part of one, that says something that the request does not take.
pub(super) fn invalid(at: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidBody, detail).with("at", at)
}

/// The members of an object.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    /// Where the object stands, as a JSON pointer.
    at: String,
    fields: Vec<(&'a str, RawBsonRef<'a>)>,
}

impl<'a> Members<'a> {
    /// Takes an object apart, in which only the names in `known` may stand.
    pub(crate) fn of(
        object: &'a RawDocument,
        at: impl Into<String>,
        known: &[&str],
    ) -> Result<Self, Problem> {
        let mut members = Self {
            at: at.into(),
            fields: Vec::new(),
        };
        for field in object {
            let (name, value) = field.map_err(ValueError::from)?;
            let name = name.as_str();
            if !known.contains(&name) {
                let list = known.join(", ");
                let detail = format!("there is no member {name:?} here; known are: {list}");
                return Err(invalid(&members.place(name), detail));
            }
            members.fields.push((name, value));
        }
        Ok(members)
    }

    /// Where a member stands, or would.
    pub(crate) fn place(&self, name: &str) -> String {
        let step = name.replace('~', "~0").replace('/', "~1");
        format!("{}/{step}", self.at)
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(crate) fn get(&self, name: &str) -> Option<RawBsonRef<'a>> {
        let found = self.fields.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    /// Which of these names stand there.
    pub(super) fn present(&self, names: &[&'static str]) -> Vec<&'static str> {
        let is_there = |name: &&&str| self.get(name).is_some();
        names.iter().filter(is_there).copied().collect()
    }

    /// The problem that a member must be there.
    pub(super) fn missing(&self, name: &str, expected: &str) -> Problem {
        let detail = format!("the member {name:?} is missing: {expected} is expected");
        invalid(&self.at, detail)
    }

    fn wrong(&self, name: &str, expected: &str) -> Problem {
        let detail = format!("{name:?} must be {expected}");
        invalid(&self.place(name), detail)
    }

    pub(super) fn document(&self, name: &str) -> Result<Option<&'a RawDocument>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(RawBsonRef::Document(document)) => Ok(Some(document)),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    pub(super) fn array(&self, name: &str) -> Result<Option<&'a RawArray>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(RawBsonRef::Array(array)) => Ok(Some(array)),
            Some(_) => Err(self.wrong(name, "an array")),
        }
    }

    /// An array of objects; empty if it is not there.
    pub(super) fn documents(&self, name: &str) -> Result<Vec<&'a RawDocument>, Problem> {
        let mut documents = Vec::new();
        let Some(array) = self.array(name)? else {
            return Ok(documents);
        };
        for (number, element) in array.into_iter().enumerate() {
            match element.map_err(ValueError::from)? {
                RawBsonRef::Document(document) => documents.push(document),
                _ => {
                    let at = format!("{}/{number}", self.place(name));
                    return Err(invalid(&at, format!("{name:?} holds objects")));
                }
            }
        }
        Ok(documents)
    }

    /// Yes or no; no if it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        Ok(self.choice(name)?.unwrap_or(false))
    }

    /// Yes or no, if it is there.
    pub(crate) fn choice(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(RawBsonRef::Boolean(value)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A text, which must be there.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, Problem> {
        match self.get(name) {
            None => Err(self.missing(name, "a string")),
            Some(RawBsonRef::String(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// One of several words, if it is there.
    pub(super) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let known = |(word, _): &&(&str, T)| value.as_str() == Some(word);
        match words.iter().find(known) {
            Some((_, meaning)) => Ok(Some(*meaning)),
            None => {
                let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.wrong(name, &format!("one of: {}", list.join(", "))))
            }
        }
    }

    /// The documents that the member `filter` finds, which must be there.
    pub(super) fn selection(&self) -> Result<Selection, Problem> {
        let filter = self.document("filter")?.ok_or_else(|| {
            self.missing("filter", "an object with conditions, {} for all documents,")
        })?;
        Selection::new(filter)
            .map_err(|error| of_error(&Error::Filter(error)).in_body(&self.place("filter")))
    }

    /// The order that the member `sort` says, as an object or as text.
    pub(super) fn sort(&self) -> Result<Option<Sort>, Problem> {
        let sort = match self.get("sort") {
            None => return Ok(None),
            Some(RawBsonRef::String(text)) => Sort::parse(text),
            Some(value) => Sort::from_value(value),
        };
        let sort = sort.map_err(|error| {
            let problem = of_error(&Error::Sort(error));
            problem.in_body(&self.place("sort"))
        })?;
        Ok((!sort.keys().is_empty()).then_some(sort))
    }
}
