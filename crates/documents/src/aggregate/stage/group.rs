//! `$group`: one document for all with the same key.

use std::collections::HashMap;
use std::rc::Rc;

use bson::raw::{CString, RawBson, RawBsonRef, RawDocumentBuf, cstr};

use super::{check_made, expected, failed, field_name};
use crate::aggregate::accumulator::{Accumulator, Kind};
use crate::aggregate::error::{ExpressionError, PipelineError};
use crate::aggregate::expression::{
    Expression, ObjectBuilder, Parser, Value, check_duplicates, mistake,
};
use crate::aggregate::run::{Context, Documents, Reservation, lazily};
use crate::pointer::join;
use crate::store::Error;
use crate::value::{Class, key};

/// What a group takes beside its key and what its accumulators hold.
const GROUP_BYTES: usize = 128;

/// One document for all with the same key.
#[derive(Clone, Debug)]
pub(in crate::aggregate) struct Group {
    at: String,
    id: Expression,
    fields: Vec<Field>,
}

/// A field of the documents that are made.
#[derive(Clone, Debug)]
struct Field {
    name: CString,
    kind: Kind,
    of: Expression,
}

/// A group in the making.
struct Members<'v> {
    id: RawBson,
    fields: Vec<Accumulator>,
    held: Reservation<'v>,
}

impl Group {
    pub(super) fn parse(value: RawBsonRef<'_>, at: String) -> Result<Self, PipelineError> {
        let Some(object) = value.as_document() else {
            return Err(mistake(&at, "an object with _id and accumulators", value));
        };
        check_duplicates(object, &at)?;
        let mut parser = Parser::default();
        let (mut id, mut fields) = (None, Vec::new());
        for (name, value) in object.iter().flatten() {
            let here = join(&at, name.as_str());
            if name.as_str() == "_id" {
                check_id(value, &here)?;
                id = Some(parser.expression(value, &here)?);
            } else {
                fields.push(field(&mut parser, name.as_str(), value, &here)?);
            }
        }
        let id = id.ok_or_else(|| expected(&at, "an _id, the key of the groups,", "none"))?;
        Ok(Self { at, id, fields })
    }

    /// Groups by a value, with their number as `count`.
    pub(super) fn counting(id: RawBsonRef<'_>, at: String) -> Result<Self, PipelineError> {
        Ok(Self {
            id: Parser::default().expression(id, &at)?,
            fields: vec![Field {
                name: cstr!("count").to_owned(),
                kind: Kind::Count,
                of: one(),
            }],
            at,
        })
    }

    pub(super) fn run<'v>(
        &'v self,
        documents: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Documents<'v> {
        let context = Rc::clone(context);
        lazily(move || {
            let groups = self.collect(documents, &context)?;
            Ok(Box::new(
                groups.into_iter().map(|group| self.document(group)),
            ))
        })
    }

    fn collect<'v>(
        &'v self,
        documents: Documents<'v>,
        context: &Rc<Context<'v>>,
    ) -> Result<Vec<Members<'v>>, Error> {
        let mut numbers: HashMap<Box<[u8]>, usize> = HashMap::new();
        let mut groups: Vec<Members<'v>> = Vec::new();
        let mut identity = Vec::new();
        for document in documents {
            let document = document?;
            let failed = |source| failed(&self.at, source);
            let id = self.id.value(&document, &**context).map_err(failed)?;
            identity.clear();
            key::encode(id.or_null(), &mut identity)?;
            let number = match numbers.get(&*identity) {
                Some(number) => *number,
                None => {
                    let accumulators = self.fields.len() * size_of::<Accumulator>();
                    let mut held = Reservation::new(context, &self.at);
                    held.grow(2 * identity.len() + GROUP_BYTES + accumulators)?;
                    numbers.insert(identity.as_slice().into(), groups.len());
                    groups.push(Members {
                        id: id.into_owned().unwrap_or(RawBson::Null),
                        fields: self.fields.iter().map(|field| field.kind.start()).collect(),
                        held,
                    });
                    groups.len() - 1
                }
            };
            let Some(group) = groups.get_mut(number) else {
                continue; // numbers are only given out for groups
            };
            for (field, accumulator) in self.fields.iter().zip(&mut group.fields) {
                let value = field.of.value(&document, &**context).map_err(failed)?;
                let change = accumulator.take(value).map_err(failed)?;
                group.held.grow(change.more)?;
                group.held.shrink(change.less);
            }
        }
        Ok(groups)
    }

    fn document(&self, group: Members<'_>) -> Result<RawDocumentBuf, Error> {
        let made = self
            .made(group)
            .map_err(|source| failed(&self.at, source))?;
        check_made(&self.at, &made)?;
        Ok(made)
    }

    fn made(&self, group: Members<'_>) -> Result<RawDocumentBuf, ExpressionError> {
        let mut made = ObjectBuilder::new("$group");
        made.append_ref(cstr!("_id"), group.id.as_raw_bson_ref())?;
        for (field, accumulator) in self.fields.iter().zip(group.fields) {
            made.append_ref(&field.name, accumulator.finish().as_raw_bson_ref())?;
        }
        Ok(made.into_document())
    }
}

fn one() -> Expression {
    Expression::Constant(Value::Ref(RawBsonRef::Int32(1)))
}

/// Refuses a key that looks as if it named fields to keep.
fn check_id(id: RawBsonRef<'_>, at: &str) -> Result<(), PipelineError> {
    let Some(object) = id.as_document() else {
        return Ok(());
    };
    for (name, value) in object.iter().flatten() {
        let flag = matches!(Class::of(value), Class::Number | Class::Boolean);
        if flag && !name.as_str().starts_with('$') {
            let expected = "an expression such as \"$field\", or {\"$literal\": …}";
            return Err(mistake(&join(at, name.as_str()), expected, value));
        }
    }
    Ok(())
}

fn field(
    parser: &mut Parser,
    name: &str,
    value: RawBsonRef<'_>,
    at: &str,
) -> Result<Field, PipelineError> {
    const SHAPE: &str = "an accumulator such as {\"$sum\": \"$size\"}";
    let name = field_name(name, at)?;
    let Some(object) = value.as_document() else {
        return Err(mistake(at, SHAPE, value));
    };
    let operators: Vec<_> = object.iter().flatten().take(2).collect();
    let [(operator, operand)] = operators[..] else {
        return Err(expected(at, SHAPE, "another number of fields"));
    };
    let here = join(at, operator.as_str());
    let Some(kind) = Kind::named(operator.as_str()) else {
        return Err(PipelineError::UnknownOperator {
            operator: operator.as_str().to_owned(),
            at: here,
            supported: Kind::names(),
        });
    };
    let of = match (kind, operand) {
        (Kind::Count, RawBsonRef::Document(empty)) if empty.is_empty() => one(),
        (Kind::Count, other) => return Err(mistake(&here, "an empty object", other)),
        (_, RawBsonRef::Array(_)) => {
            return Err(mistake(&here, "one expression, not in an array,", operand));
        }
        (_, operand) => parser.expression(operand, &here)?,
    };
    Ok(Field { name, kind, of })
}
