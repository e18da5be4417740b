//! `$lookup`: the documents of another collection that belong to each.
//!
//! A document belongs where its `foreignField` has a value that the `localField` has. An array
//! counts by its elements on either side, a missing field and undefined as null. The other
//! collection is read by queries in the same state of the database, so that its indexes help; what
//! they find can pass through a pipeline of its own.

use std::cell::OnceCell;
use std::rc::Rc;

use bson::raw::{CString, RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf, cstr};

use super::set::Place;
use super::{c_string, check_made, expected, failed};
use crate::ValueError;
use crate::aggregate::Pipeline;
use crate::aggregate::error::{AggregateError, ExpressionError, PipelineError};
use crate::aggregate::expression::{ArrayBuilder, check_path, mistake};
use crate::aggregate::run::{Context, Documents, Reservation, through};
use crate::path::{Found, Path};
use crate::pointer::join;
use crate::store::Error;

/// The documents of another collection that belong to each.
#[derive(Clone, Debug)]
pub(in crate::aggregate) struct Lookup {
    at: String,
    from: String,
    fields: Option<Fields>,
    pipeline: Pipeline,
    place: Place,
}

/// Where the values stand that must be equal.
#[derive(Clone, Debug)]
struct Fields {
    local: Path,
    foreign: CString,
}

/// The operands as they are written.
#[derive(Default)]
struct Operands<'a> {
    from: Option<RawBsonRef<'a>>,
    local: Option<RawBsonRef<'a>>,
    foreign: Option<RawBsonRef<'a>>,
    pipeline: Option<RawBsonRef<'a>>,
    place: Option<RawBsonRef<'a>>,
}

impl<'a> Operands<'a> {
    fn read(value: RawBsonRef<'a>, at: &str) -> Result<Self, PipelineError> {
        let Some(object) = value.as_document() else {
            return Err(mistake(
                at,
                "an object with from, as and how to join",
                value,
            ));
        };
        let mut operands = Self::default();
        for (name, value) in object.iter().flatten() {
            let operand = match name.as_str() {
                "from" => &mut operands.from,
                "localField" => &mut operands.local,
                "foreignField" => &mut operands.foreign,
                "pipeline" => &mut operands.pipeline,
                "as" => &mut operands.place,
                other => {
                    let options = "from, localField, foreignField, pipeline or as";
                    let here = join(at, other);
                    return Err(expected(&here, options, format!("{other:?}")));
                }
            };
            // Null is as good as nothing.
            *operand = Some(value).filter(|value| *value != RawBsonRef::Null);
        }
        Ok(operands)
    }
}

/// An operand that must be a string, with its place.
fn string<'a>(
    value: Option<RawBsonRef<'a>>,
    at: &str,
    name: &str,
) -> Result<(&'a str, String), PipelineError> {
    let here = join(at, name);
    match value.unwrap_or(RawBsonRef::Null) {
        RawBsonRef::String(text) => Ok((text, here)),
        other => Err(mistake(&here, "a string", other)),
    }
}

impl Lookup {
    /// Adds the names of the collections that it reads. Pipelines are nested to a limit.
    pub(in crate::aggregate) fn name_collections<'p>(&'p self, names: &mut Vec<&'p str>) {
        names.push(&self.from);
        self.pipeline.name_collections(names);
    }

    pub(super) fn parse(
        value: RawBsonRef<'_>,
        at: String,
        depth: usize,
    ) -> Result<Self, PipelineError> {
        let operands = Operands::read(value, &at)?;
        let (from, at_from) = string(operands.from, &at, "from")?;
        if from.is_empty() || from.starts_with('.') || from.contains('\0') {
            let found = format!("{from:?}");
            return Err(expected(&at_from, "the name of a collection", found));
        }
        let (place, at_place) = string(operands.place, &at, "as")?;
        let place = Place::parse(place, &at_place)?;
        let fields = match (operands.local, operands.foreign) {
            (None, None) if operands.pipeline.is_some() => None,
            (local, foreign) => {
                let (local, at_local) = string(local, &at, "localField")?;
                let (foreign, at_foreign) = string(foreign, &at, "foreignField")?;
                check_path(foreign, &at_foreign)?;
                Some(Fields {
                    local: check_path(local, &at_local)?,
                    foreign: c_string(foreign, &at_foreign)?,
                })
            }
        };
        let at_pipeline = join(&at, "pipeline");
        let empty = RawArrayBuf::new();
        let stages = match operands.pipeline {
            None => &*empty,
            Some(RawBsonRef::Array(stages)) => stages,
            Some(other) => return Err(mistake(&at_pipeline, "an array of stages", other)),
        };
        Ok(Self {
            from: from.to_owned(),
            fields,
            pipeline: Pipeline::parse_at(stages, &at_pipeline, depth + 1)?,
            place,
            at,
        })
    }

    pub(super) fn run<'v>(
        &'v self,
        documents: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Documents<'v> {
        let context = Rc::clone(context);
        let shared = OnceCell::new();
        let mut reservation = Reservation::new(&context, &self.at);
        Box::new(documents.map(move |document| {
            let document = document?;
            let joined = match &self.fields {
                Some(fields) => &self.belonging(&document, fields, &context)?,
                // Without fields it is the same for all.
                None => match shared.get() {
                    Some(joined) => joined,
                    None => {
                        let found = context.find(&self.from, self.pipeline.query())?;
                        let joined = self.gathered(found, &context)?;
                        reservation.grow(joined.as_bytes().len())?;
                        shared.get_or_init(|| joined)
                    }
                },
            };
            let made = self.place.set(&document, Some(RawBsonRef::Array(joined)));
            let made = made.map_err(|source| failed(&self.at, source))?;
            check_made(&self.at, &made)?;
            Ok(made)
        }))
    }

    /// The foreign documents of one document.
    fn belonging<'v>(
        &'v self,
        document: &RawDocument,
        fields: &Fields,
        context: &Rc<Context<'v>>,
    ) -> Result<RawArrayBuf, Error> {
        let Some(filter) = fields.filter(document)? else {
            return Ok(RawArrayBuf::new());
        };
        let found = context.find(&self.from, &self.pipeline.query_where(&filter)?)?;
        self.gathered(found, context)
    }

    /// All of what is found, behind the pipeline.
    fn gathered<'v>(
        &'v self,
        found: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Result<RawArrayBuf, Error> {
        let mut joined = ArrayBuilder::new("$lookup");
        for document in through(found, self.pipeline.rest(), context) {
            let pushed = joined.push(RawBsonRef::Document(&document?));
            pushed.map_err(|source: ExpressionError| -> AggregateError {
                failed(&self.at, source)
            })?;
        }
        Ok(joined.into_array())
    }
}

impl Fields {
    /// What a foreign document must match to belong to `document`; none where none can.
    fn filter(&self, document: &RawDocument) -> Result<Option<RawDocumentBuf>, ValueError> {
        let mut values = Vec::new();
        let (mut found, mut pattern) = (false, false);
        self.local.visit(document, &mut |place| {
            if let Found::Value { value, unwrap } = place {
                found = true;
                match value {
                    RawBsonRef::Array(array) if unwrap => {
                        for element in array {
                            values.push(element?);
                        }
                    }
                    value => values.push(value),
                }
            }
            Ok(false)
        })?;
        if !found {
            values.push(RawBsonRef::Null);
        }
        for value in &mut values {
            pattern |= matches!(value, RawBsonRef::RegularExpression(_));
            // No filter asks for undefined; null stands for what is missing.
            if *value == RawBsonRef::Undefined {
                *value = RawBsonRef::Null;
            }
        }
        let condition = |operator: &bson::raw::CStr, value: RawBsonRef<'_>| {
            let mut test = RawDocumentBuf::new();
            test.append(operator, value);
            let mut condition = RawDocumentBuf::new();
            condition.append(&self.foreign, &*test);
            condition
        };
        Ok(match &values[..] {
            [] => None,
            [value] => Some(condition(cstr!("$eq"), *value)),
            // In a list a regular expression would be a pattern.
            values if pattern => {
                let mut any = RawArrayBuf::new();
                for value in values {
                    any.push(&*condition(cstr!("$eq"), *value));
                }
                let mut filter = RawDocumentBuf::new();
                filter.append(cstr!("$or"), &*any);
                Some(filter)
            }
            values => {
                let list: RawArrayBuf = values.iter().copied().collect();
                Some(condition(cstr!("$in"), RawBsonRef::Array(&list)))
            }
        })
    }
}
