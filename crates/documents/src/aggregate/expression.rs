//! Expressions: values made from a document.
//!
//! A string that begins with `$` is the path of a field, one that begins with `$$` a variable; an
//! object whose name begins with `$` is an operator; other objects and arrays are made field by
//! field and element by element; everything else is itself. Expressions are read once
//! ([`parse`]), which finds all mistakes that do not depend on a document, and evaluated per
//! document, whose fields are read in place.
//!
//! A path meets arrays in the middle by making an array of what it finds in their objects. Unlike
//! the path of a filter it never means an index. A missing field is not null: it leaves no field
//! in an object, and null in an array.
//!
//! No expression makes a value that is larger than a document may be, or recurses deeper than the
//! pipeline is nested.

mod arithmetic;
mod arrays;
mod build;
mod calendar;
mod convert;
mod dates;
mod operators;
mod parse;
mod path;
mod text;
mod value;

use bson::raw::{CString, RawBsonRef, RawDocument};

pub(crate) use arrays::merge;
pub(crate) use build::{ArrayBuilder, ObjectBuilder, Unrolled, check_size, fields_in_place};
pub(crate) use convert::{as_double, as_whole};
pub(crate) use operators::Operator;
pub(crate) use parse::{Parser, check_duplicates, check_path, field_path, mistake};
pub(crate) use path::FieldPath;
use value::Elements;
pub(crate) use value::Value;

use super::error::ExpressionError;

/// An expression, parsed and checked.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    /// Always the same value.
    Constant(Value<'static>),
    /// What a path finds in a variable.
    Path { variable: Variable, path: FieldPath },
    /// An object made field by field.
    Object(Vec<(CString, Expression)>),
    /// An array made element by element.
    Array(Vec<Expression>),
    /// An operator on values.
    Call {
        operator: &'static Operator,
        arguments: Vec<Expression>,
    },
    /// An operator that does not evaluate all of its operands, or some of them several times.
    Control(Box<Control>),
}

/// Where a path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// At the document.
    Root,
    /// At a variable that an operator around has defined; counted from outside.
    Local(usize),
}

/// An operator that decides itself what is evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Control {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Cond {
        condition: Expression,
        then: Expression,
        otherwise: Expression,
    },
    IfNull(Vec<Expression>),
    Switch {
        branches: Vec<(Expression, Expression)>,
        default: Option<Expression>,
    },
    Let {
        variables: Vec<Expression>,
        body: Expression,
    },
    Filter {
        input: Expression,
        condition: Expression,
        limit: Option<Expression>,
    },
    Map {
        input: Expression,
        body: Expression,
    },
    Reduce {
        input: Expression,
        initial: Expression,
        body: Expression,
    },
}

/// Somebody who knows whether the value of an expression is still wanted.
pub(crate) trait Watch {
    /// Whether to go on. Asked once per element that an expression goes through.
    fn goes_on(&self) -> bool;
}

/// What an expression sees.
pub(crate) struct Scope<'a> {
    root: &'a RawDocument,
    locals: Vec<Value<'a>>,
    watch: &'a dyn Watch,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(root: &'a RawDocument, watch: &'a dyn Watch) -> Self {
        Self {
            root,
            locals: Vec::new(),
            watch,
        }
    }

    /// Evaluates with more variables.
    fn with(
        &mut self,
        variables: impl IntoIterator<Item = Value<'a>>,
        body: &'a Expression,
    ) -> Result<Value<'a>, ExpressionError> {
        if !self.watch.goes_on() {
            return Err(ExpressionError::Cancelled);
        }
        let before = self.locals.len();
        self.locals.extend(variables);
        let value = body.evaluate(self);
        self.locals.truncate(before);
        value
    }
}

impl Expression {
    pub(crate) const MISSING: Self = Self::Constant(Value::Missing);

    /// The value for a document alone.
    pub(crate) fn value<'a>(
        &'a self,
        document: &'a RawDocument,
        watch: &'a dyn Watch,
    ) -> Result<Value<'a>, ExpressionError> {
        self.evaluate(&mut Scope::new(document, watch))
    }

    pub(crate) fn evaluate<'a>(
        &'a self,
        scope: &mut Scope<'a>,
    ) -> Result<Value<'a>, ExpressionError> {
        match self {
            Self::Constant(value) => Ok(value.get().into()),
            Self::Path { variable, path } => match variable {
                Variable::Root => path.find(RawBsonRef::Document(scope.root)),
                Variable::Local(number) => match scope.locals.get(*number) {
                    Some(Value::Ref(value)) => path.find(*value),
                    Some(Value::Owned(value)) => {
                        let found = path.find(value.as_raw_bson_ref())?;
                        Ok(found.into_owned().map_or(Value::Missing, Value::Owned))
                    }
                    Some(Value::Missing) | None => Ok(Value::Missing),
                },
            },
            Self::Object(fields) => {
                let mut object = ObjectBuilder::new("an object");
                for (name, expression) in fields {
                    object.append(name, &expression.evaluate(scope)?)?;
                }
                Ok(object.finish())
            }
            Self::Array(elements) => {
                let mut array = ArrayBuilder::new("an array");
                for element in elements {
                    array.push(element.evaluate(scope)?.or_null())?;
                }
                Ok(array.finish())
            }
            Self::Call {
                operator,
                arguments,
            } => {
                let arguments = arguments.iter().map(|argument| argument.evaluate(scope));
                let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
                operator.call(arguments)
            }
            Self::Control(control) => control.evaluate(scope),
        }
    }
}

impl Control {
    fn evaluate<'a>(&'a self, scope: &mut Scope<'a>) -> Result<Value<'a>, ExpressionError> {
        match self {
            Self::And(operands) => Ok(boolean(!any_is(operands, false, scope)?)),
            Self::Or(operands) => Ok(boolean(any_is(operands, true, scope)?)),
            Self::Cond {
                condition,
                then,
                otherwise,
            } => {
                if condition.evaluate(scope)?.is_true()? {
                    then.evaluate(scope)
                } else {
                    otherwise.evaluate(scope)
                }
            }
            Self::IfNull(operands) => {
                let mut value = Value::Missing;
                for operand in operands {
                    value = operand.evaluate(scope)?;
                    if !value.is_nullish() {
                        break;
                    }
                }
                Ok(value)
            }
            Self::Switch { branches, default } => {
                for (condition, then) in branches {
                    if condition.evaluate(scope)?.is_true()? {
                        return then.evaluate(scope);
                    }
                }
                let default = default.as_ref().ok_or(ExpressionError::NoBranch)?;
                default.evaluate(scope)
            }
            Self::Let { variables, body } => {
                let values = variables.iter().map(|variable| variable.evaluate(scope));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                scope.with(values, body)
            }
            Self::Filter {
                input,
                condition,
                limit,
            } => filter(input, condition, limit.as_ref(), scope),
            Self::Map { input, body } => {
                let Some(elements) = elements("$map", input, scope)? else {
                    return Ok(Value::NULL);
                };
                let mut array = ArrayBuilder::new("$map");
                for element in elements {
                    array.push(scope.with([element?], body)?.or_null())?;
                }
                Ok(array.finish())
            }
            Self::Reduce {
                input,
                initial,
                body,
            } => {
                let Some(elements) = elements("$reduce", input, scope)? else {
                    return Ok(Value::NULL);
                };
                let mut value = initial.evaluate(scope)?;
                for element in elements {
                    value = scope.with([value, element?], body)?;
                }
                Ok(value)
            }
        }
    }
}

fn boolean<'a>(value: bool) -> Value<'a> {
    Value::Ref(RawBsonRef::Boolean(value))
}

fn any_is<'a>(
    operands: &'a [Expression],
    wanted: bool,
    scope: &mut Scope<'a>,
) -> Result<bool, ExpressionError> {
    for operand in operands {
        if operand.evaluate(scope)?.is_true()? == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The elements of what must be an array; none where there is no value.
fn elements<'a>(
    operator: &'static str,
    input: &'a Expression,
    scope: &mut Scope<'a>,
) -> Result<Option<Elements<'a>>, ExpressionError> {
    let value = input.evaluate(scope)?;
    if value.is_nullish() {
        return Ok(None);
    }
    match value.elements() {
        Some(elements) => Ok(Some(elements)),
        None => Err(ExpressionError::Operand {
            operator,
            expected: "an array",
            found: value.described(),
        }),
    }
}

fn filter<'a>(
    input: &'a Expression,
    condition: &'a Expression,
    limit: Option<&'a Expression>,
    scope: &mut Scope<'a>,
) -> Result<Value<'a>, ExpressionError> {
    let Some(elements) = elements("$filter", input, scope)? else {
        return Ok(Value::NULL);
    };
    let mut left = match limit.map(|limit| limit.evaluate(scope)).transpose()? {
        None => i64::MAX,
        Some(limit) if limit.is_nullish() => i64::MAX,
        Some(limit) => convert::whole_number("$filter", &limit)?,
    };
    if left < 1 {
        return Err(ExpressionError::Operand {
            operator: "$filter",
            expected: "a limit of at least 1",
            found: "less",
        });
    }
    let mut array = ArrayBuilder::new("$filter");
    for element in elements {
        let element = element?;
        if left > 0 && scope.with([element.clone()], condition)?.is_true()? {
            array.push(element.or_null())?;
            left -= 1;
        }
    }
    Ok(array.finish())
}
