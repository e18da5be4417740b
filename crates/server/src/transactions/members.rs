//! The members of an object in a body: nothing unknown, and each of its type, or a problem that
//! says where.

use nexusbase_documents::Error;
use nexusbase_documents::bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::filter::Filter;

use crate::problem::{Kind, Problem};

/// The members of an object at a place in the body.
pub(super) struct Members<'a> {
    at: String,
    all: Vec<(&'a str, RawBsonRef<'a>)>,
}

/// A body that is not what this request takes.
pub(super) fn invalid(detail: &str, at: &str) -> Problem {
    Problem::new(Kind::InvalidBody, detail).with("at", at)
}

/// The same problem, of a place in the body.
pub(super) fn placed(problem: Problem, at: &str) -> Problem {
    problem.within(at)
}

impl<'a> Members<'a> {
    pub(super) fn of(object: &'a RawDocument, at: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut all = Vec::new();
        for element in object {
            let (name, value) = element.map_err(|error| {
                Problem::from(Error::from(nexusbase_documents::ValueError::from(error)))
            })?;
            let name = name.as_str();
            if !known.contains(&name) {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                let detail = format!("there is no {name:?} here; known are: {}", known.join(", "));
                return Err(invalid(&detail, &format!("{at}/{escaped}")));
            }
            all.push((name, value));
        }
        let at = at.to_owned();
        Ok(Self { at, all })
    }

    pub(super) fn at(&self) -> &str {
        &self.at
    }

    pub(super) fn get(&self, name: &str) -> Option<RawBsonRef<'a>> {
        let found = self.all.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    fn wrong(&self, name: &str, what: &str) -> Problem {
        invalid(&format!("{name} is {what}"), &format!("{}/{name}", self.at))
    }

    pub(super) fn document(&self, name: &str) -> Result<Option<&'a RawDocument>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(RawBsonRef::Document(document)) => Ok(Some(document)),
            Some(_) => Err(self.wrong(name, "an object")),
        }
    }

    pub(super) fn documents(&self, name: &str) -> Result<Vec<RawDocumentBuf>, Problem> {
        let Some(list) = self.get(name) else {
            return Ok(Vec::new());
        };
        let wrong = || self.wrong(name, "an array of objects");
        let RawBsonRef::Array(list) = list else {
            return Err(wrong());
        };
        let one = |element| match element {
            Ok(RawBsonRef::Document(document)) => Ok(document.to_owned()),
            _ => Err(wrong()),
        };
        list.into_iter().map(one).collect()
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(RawBsonRef::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string")),
        }
    }

    /// Whether a member that may be left out is true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None => Ok(false),
            Some(RawBsonRef::Boolean(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(name, "true or false")),
        }
    }

    /// A whole number, at least `min`.
    pub(super) fn number(&self, name: &str, min: usize) -> Result<Option<usize>, Problem> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(RawBsonRef::Int32(number)) => usize::try_from(number).ok(),
            Some(RawBsonRef::Int64(number)) => usize::try_from(number).ok(),
            Some(_) => None,
        };
        let number = number.filter(|number| *number >= min);
        let what = format!("a whole number, at least {min}");
        number.map(Some).ok_or_else(|| self.wrong(name, &what))
    }

    /// The filter; without one, everything matches.
    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let Some(filter) = self.document("filter")? else {
            return Ok(Filter::default());
        };
        let at = format!("{}/filter", self.at);
        Filter::parse(filter).map_err(|error| placed(Error::from(error).into(), &at))
    }
}
