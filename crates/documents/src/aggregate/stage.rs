//! The stages of a pipeline: reading each, and what each does to the documents that pass.

mod group;
mod lookup;
mod reshape;
mod set;
mod sorted;
mod unwind;

use std::rc::Rc;

use bson::raw::{CString, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::error::{AggregateError, ExpressionError, PipelineError};
use super::expression::{Expression, Parser, Value, Watch, as_whole, check_path, mistake};
use super::run::{Context, Documents, lazily};
use crate::document::check_structure;
use crate::filter::Filter;
use crate::pointer::join;
use crate::sort::Sort;
use crate::store::Error;
use crate::value::type_name;
use group::Group;
use lookup::Lookup;
use reshape::Reshape;
use unwind::Unwind;

/// The stages that exist.
const STAGES: &[&str] = &[
    "$match",
    "$project",
    "$addFields",
    "$set",
    "$unset",
    "$group",
    "$sort",
    "$limit",
    "$skip",
    "$unwind",
    "$count",
    "$lookup",
    "$sortByCount",
    "$replaceRoot",
    "$replaceWith",
];

/// A stage.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Lets through what matches.
    Match {
        filter: Filter,
        /// As it was written.
        written: RawDocumentBuf,
    },
    /// Makes other fields of each document.
    Reshape { at: String, reshape: Reshape },
    /// Replaces each document by an object made from it.
    Replace { at: String, by: Expression },
    /// Makes one document of all with the same key.
    Group(Group),
    /// Puts all in order.
    Sort {
        at: String,
        sort: Sort,
        /// How many are needed.
        keep: Option<usize>,
    },
    /// Leaves out the first ones.
    Skip(usize),
    /// Lets through the first ones only.
    Limit(usize),
    /// Makes one document per element of an array.
    Unwind(Unwind),
    /// Makes one document that says how many there are.
    Count { name: CString },
    /// Adds the documents of another collection that belong to each.
    Lookup(Box<Lookup>),
}

impl Stage {
    /// Reads a stage of a pipeline that lies in `depth` others, and appends it, or the stages
    /// that it stands for.
    pub(super) fn parse(
        stage: RawBsonRef<'_>,
        at: &str,
        depth: usize,
        out: &mut Vec<Self>,
    ) -> Result<(), PipelineError> {
        const SHAPE: &str = "a stage, which is an object with one field, its name,";
        let fields = stage.as_document().map(|document| document.iter().take(2));
        let Some(fields) = fields else {
            return Err(mistake(at, SHAPE, stage));
        };
        let fields: Vec<_> = fields.flatten().collect();
        let [(name, value)] = fields[..] else {
            return Err(expected(at, SHAPE, "another number of fields"));
        };
        let at = join(at, name.as_str());
        let stage = match name.as_str() {
            "$match" => matching(value, &at)?,
            "$project" => Self::reshape(Reshape::project(value, &at)?, at),
            "$addFields" | "$set" => Self::reshape(Reshape::add_fields(value, &at)?, at),
            "$unset" => Self::reshape(Reshape::unset(value, &at)?, at),
            "$group" => Self::Group(Group::parse(value, at)?),
            "$sort" => sort(value, at)?,
            "$skip" => Self::Skip(whole(value, &at, "an integer of at least 0", 0)?),
            "$limit" => Self::Limit(whole(value, &at, "an integer of at least 1", 1)?),
            "$unwind" => Self::Unwind(Unwind::parse(value, at)?),
            "$count" => count(value, &at)?,
            "$lookup" => Self::Lookup(Box::new(Lookup::parse(value, at, depth)?)),
            "$sortByCount" => {
                let (group, sort) = sorted::by_count(value, at)?;
                out.push(Self::Group(group));
                sort
            }
            "$replaceRoot" => replace_root(value, at)?,
            "$replaceWith" => {
                let by = Parser::default().expression(value, &at)?;
                Self::Replace { at, by }
            }
            unknown => {
                return Err(PipelineError::UnknownStage {
                    stage: unknown.to_owned(),
                    at,
                    supported: STAGES,
                });
            }
        };
        out.push(stage);
        Ok(())
    }

    fn reshape(reshape: Reshape, at: String) -> Self {
        Self::Reshape { at, reshape }
    }

    /// Sends documents through the stage.
    pub(super) fn run<'v>(
        &'v self,
        documents: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Documents<'v> {
        match self {
            Self::Match { filter, .. } => matches(documents, filter),
            Self::Reshape { at, reshape } => each(documents, at, context, |document, watch| {
                let reshaped = reshape.apply(document, watch)?;
                Ok((reshaped, reshape.computes()))
            }),
            Self::Replace { at, by } => each(documents, at, context, |document, watch| {
                replaced(document, by, watch)
            }),
            Self::Group(group) => group.run(documents, context),
            Self::Sort { at, sort, keep } => sorted::run(documents, at, sort, *keep, context),
            Self::Skip(number) => skip(documents, *number),
            Self::Limit(number) => Box::new(documents.take(*number)),
            Self::Unwind(unwind) => unwind.run(documents, context),
            Self::Count { name } => lazily(move || counted(documents, name)),
            Self::Lookup(lookup) => lookup.run(documents, context),
        }
    }
}

fn expected(at: &str, expected: &'static str, found: impl Into<String>) -> PipelineError {
    PipelineError::Expected {
        at: at.to_owned(),
        expected,
        found: found.into(),
    }
}

fn matching(value: RawBsonRef<'_>, at: &str) -> Result<Stage, PipelineError> {
    let Some(written) = value.as_document() else {
        return Err(mistake(at, "an object with conditions", value));
    };
    let filter = Filter::parse(written).map_err(|source| PipelineError::Filter {
        at: at.to_owned(),
        source,
    })?;
    let written = written.to_owned();
    Ok(Stage::Match { filter, written })
}

fn sort(value: RawBsonRef<'_>, at: String) -> Result<Stage, PipelineError> {
    let empty = value.as_document().is_some_and(RawDocument::is_empty);
    if empty {
        return Err(expected(&at, "an object of at least one sort key", "none"));
    }
    match Sort::from_value(value) {
        Ok(sort) => Ok(Stage::Sort {
            at,
            sort,
            keep: None,
        }),
        Err(source) => Err(PipelineError::Sort { at, source }),
    }
}

/// An integer of any type of number.
fn whole(
    value: RawBsonRef<'_>,
    at: &str,
    shape: &'static str,
    least: i64,
) -> Result<usize, PipelineError> {
    let number = as_whole(value).filter(|number| *number >= least);
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| mistake(at, shape, value))
}

/// A name of a field, not a path.
fn field_name(name: &str, at: &str) -> Result<CString, PipelineError> {
    if check_path(name, at)?.parts().len() > 1 {
        let found = format!("{name:?}");
        return Err(expected(at, "a field name without a dot", found));
    }
    c_string(name, at)
}

fn c_string(name: &str, at: &str) -> Result<CString, PipelineError> {
    let refused = |_| expected(at, "a name without NUL", format!("{name:?}"));
    CString::try_from(name).map_err(refused)
}

fn count(value: RawBsonRef<'_>, at: &str) -> Result<Stage, PipelineError> {
    match value {
        RawBsonRef::String("_id") => Err(expected(at, "a name other than _id", "\"_id\"")),
        RawBsonRef::String(name) => Ok(Stage::Count {
            name: field_name(name, at)?,
        }),
        other => Err(mistake(at, "the name of a field", other)),
    }
}

fn replace_root(value: RawBsonRef<'_>, at: String) -> Result<Stage, PipelineError> {
    const SHAPE: &str = "an object {\"newRoot\": expression}";
    let Some(object) = value.as_document() else {
        return Err(mistake(&at, SHAPE, value));
    };
    let fields: Vec<_> = object.iter().flatten().collect();
    let [(name, root)] = fields[..] else {
        return Err(mistake(&at, SHAPE, value));
    };
    if name.as_str() != "newRoot" {
        let found = format!("{:?}", name.as_str());
        return Err(expected(&at, SHAPE, found));
    }
    let by = Parser::default().expression(root, &join(&at, "newRoot"))?;
    Ok(Stage::Replace { at, by })
}

fn matches<'v>(documents: Documents<'v>, filter: &'v Filter) -> Documents<'v> {
    Box::new(documents.filter_map(|document| {
        let document = match document {
            Ok(document) => document,
            Err(error) => return Some(Err(error)),
        };
        match filter.matches(&document) {
            Ok(true) => Some(Ok(document)),
            Ok(false) => None,
            Err(error) => Some(Err(error.into())),
        }
    }))
}

/// Makes another document of each. The work says whether the new one can have become larger or
/// deeper.
fn each<'v>(
    documents: Documents<'v>,
    at: &'v str,
    context: &Rc<Context<'v>>,
    work: impl Fn(&RawDocument, &dyn Watch) -> Result<(RawDocumentBuf, bool), ExpressionError> + 'v,
) -> Documents<'v> {
    let context = Rc::clone(context);
    Box::new(documents.map(move |document| {
        let made = work(&document?, &*context);
        let (made, grown) = made.map_err(|source| failed(at, source))?;
        if grown {
            check_made(at, &made)?;
        }
        Ok(made)
    }))
}

/// An expression of the stage at `at` has no value.
fn failed(at: &str, source: ExpressionError) -> AggregateError {
    match source {
        ExpressionError::Cancelled => AggregateError::Cancelled,
        source => AggregateError::Expression {
            at: at.to_owned(),
            source,
        },
    }
}

/// Refuses a document that is larger or deeper than documents may be.
fn check_made(at: &str, document: &RawDocumentBuf) -> Result<(), AggregateError> {
    check_structure(document).map_err(|source| AggregateError::Document {
        at: at.to_owned(),
        source,
    })
}

fn replaced(
    document: &RawDocument,
    by: &Expression,
    watch: &dyn Watch,
) -> Result<(RawDocumentBuf, bool), ExpressionError> {
    match by.value(document, watch)? {
        Value::Ref(RawBsonRef::Document(object)) => Ok((object.to_owned(), false)),
        Value::Owned(RawBson::Document(object)) => Ok((object, true)),
        other => Err(ExpressionError::NotAnObject {
            found: other.get().map_or("nothing", type_name),
        }),
    }
}

fn skip(documents: Documents<'_>, number: usize) -> Documents<'_> {
    let mut left = number;
    Box::new(documents.filter(move |document| {
        let skipped = left > 0 && document.is_ok();
        left -= usize::from(skipped);
        !skipped
    }))
}

fn counted<'v>(documents: Documents<'v>, name: &CString) -> Result<Documents<'v>, Error> {
    let mut number = 0_i64;
    for document in documents {
        document?;
        number += 1;
    }
    let mut made = RawDocumentBuf::new();
    match i32::try_from(number) {
        Ok(small) => made.append(name, small),
        Err(_) => made.append(name, number),
    }
    let made = Some(Ok(made)).filter(|_| number > 0);
    Ok(Box::new(made.into_iter()))
}
