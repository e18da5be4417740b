//! The operations of an update and how their operands are read.

use std::collections::HashSet;

use bson::raw::{CStr, RawBson, RawBsonRef, RawDocument, cstr};

use super::error::UpdateError;
use crate::ValueError;
use crate::filter::Filter;
use crate::sort::{Sort, SortKey};
use crate::value::arithmetic::whole;
use crate::value::key::{Direction, encode};
use crate::value::{Class, type_name};

/// The operators of updates.
pub const OPERATORS: &[&str] = &[
    "$set",
    "$setOnInsert",
    "$unset",
    "$rename",
    "$currentDate",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$bit",
    "$push",
    "$addToSet",
    "$pop",
    "$pull",
    "$pullAll",
];

/// What is done to one place.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// The value becomes this.
    Set(RawBson),
    /// The value becomes this if the document is new.
    SetOnInsert(RawBson),
    /// The field goes away; an array element becomes null.
    Unset,
    /// The value becomes the one of the field with this number among those that move.
    Rename(usize),
    /// The value becomes the time as a date.
    Date,
    /// The value becomes the time as a timestamp.
    Timestamp,
    /// This is added.
    Add(RawBson),
    /// It is multiplied by this.
    Multiply(RawBson),
    /// It becomes this if this is smaller.
    Min(RawBson),
    /// It becomes this if this is larger.
    Max(RawBson),
    /// Bits change.
    Bits(Vec<Bits>),
    /// Elements are added to an array.
    Push(Push),
    /// Elements are added to an array that has none equal to them; each once, behind its key.
    AddToSet(Vec<(Vec<u8>, RawBson)>),
    /// The first element of an array goes away, or the last.
    Pop(End),
    /// The elements for which this holds go away.
    Pull(Pull),
    /// The elements whose keys are among these go away.
    PullAll(HashSet<Vec<u8>>),
}

/// A step of `$bit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    /// What is done.
    pub(super) operator: fn(i64, i64) -> i64,
    /// With this.
    pub(super) operand: i64,
    /// Whether it is an int32.
    pub(super) narrow: bool,
}

/// One end of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// `$push` with its modifiers.
#[derive(Clone, Debug, Default)]
pub(super) struct Push {
    /// What is added.
    pub(super) values: Vec<RawBson>,
    /// Before which element, counted from the end if negative; else at the end.
    pub(super) position: Option<i64>,
    /// How the array is then ordered.
    pub(super) order: Option<Order>,
    /// How many elements are kept: the first, or the last if negative.
    pub(super) slice: Option<i64>,
}

/// An order of array elements.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// By the elements themselves.
    Whole(Direction),
    /// By fields of the elements.
    Fields(Vec<SortKey>),
}

/// Which elements `$pull` removes.
#[derive(Clone, Debug)]
pub(super) enum Pull {
    /// Those that equal this.
    Equal(RawBson),
    /// Objects that match.
    Objects(Filter),
    /// Values that match as the field [`WRAPPED`] of an object.
    Values(Filter),
}

/// The name of the field as which an array element is put to a filter.
pub(super) const WRAPPED: &CStr = cstr!("value");

/// An operand, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) operator: &'static str,
    pub(super) path: &'a str,
    pub(super) value: RawBsonRef<'a>,
}

impl Operand<'_> {
    pub(super) fn refuse(&self, expected: &'static str, found: impl Into<String>) -> UpdateError {
        UpdateError::Operand {
            operator: self.operator,
            path: self.path.to_owned(),
            expected,
            found: found.into(),
        }
    }

    fn expected(&self, expected: &'static str) -> UpdateError {
        self.refuse(expected, type_name(self.value))
    }

    fn owned(&self) -> RawBson {
        RawBson::from(self.value)
    }

    fn number(&self) -> Result<RawBson, UpdateError> {
        if Class::of(self.value) == Class::Number {
            Ok(self.owned())
        } else {
            Err(self.expected("a number"))
        }
    }

    fn document(&self, expected: &'static str) -> Result<&RawDocument, UpdateError> {
        self.value
            .as_document()
            .ok_or_else(|| self.expected(expected))
    }

    /// Reads the operand of any operator but `$rename`.
    pub(super) fn operation(&self) -> Result<Operation, UpdateError> {
        Ok(match self.operator {
            "$set" => Operation::Set(self.owned()),
            "$setOnInsert" => Operation::SetOnInsert(self.owned()),
            "$unset" => Operation::Unset,
            "$currentDate" => self.current_date()?,
            "$inc" => Operation::Add(self.number()?),
            "$mul" => Operation::Multiply(self.number()?),
            "$min" => Operation::Min(self.owned()),
            "$max" => Operation::Max(self.owned()),
            "$bit" => Operation::Bits(self.bits()?),
            "$push" => Operation::Push(self.push()?),
            "$addToSet" => Operation::AddToSet(self.add_to_set()?),
            "$pop" => Operation::Pop(match whole(self.value) {
                Some(1) => End::Last,
                Some(-1) => End::First,
                Some(other) => return Err(self.refuse("1 or -1", other.to_string())),
                None => return Err(self.expected("1 or -1")),
            }),
            "$pull" => Operation::Pull(self.pull()?),
            "$pullAll" => {
                let values = self.values("an array of values")?;
                let keys = values.iter().map(|value| key_of(value.as_raw_bson_ref()));
                Operation::PullAll(keys.collect::<Result<_, _>>()?)
            }
            other => {
                return Err(UpdateError::UnknownOperator {
                    operator: other.to_owned(),
                    supported: OPERATORS,
                });
            }
        })
    }

    fn current_date(&self) -> Result<Operation, UpdateError> {
        const EXPECTED: &str = "true or {\"$type\": \"date\"} or {\"$type\": \"timestamp\"}";
        if let RawBsonRef::Boolean(_) = self.value {
            return Ok(Operation::Date);
        }
        let document = self.document(EXPECTED)?;
        let mut operation = None;
        for field in document {
            let (name, value) = field.map_err(ValueError::from)?;
            operation = match (name.as_str(), value) {
                ("$type", RawBsonRef::String("date")) => Some(Operation::Date),
                ("$type", RawBsonRef::String("timestamp")) => Some(Operation::Timestamp),
                ("$type", _) => return Err(self.refuse(EXPECTED, "another $type")),
                (other, _) => return Err(self.refuse(EXPECTED, format!("the field {other:?}"))),
            };
        }
        operation.ok_or_else(|| self.refuse(EXPECTED, "an empty object"))
    }

    fn bits(&self) -> Result<Vec<Bits>, UpdateError> {
        const EXPECTED: &str = "an object such as {\"and\": 5}, with and, or, or xor";
        let document = self.document(EXPECTED)?;
        let mut steps = Vec::new();
        for field in document {
            let (name, value) = field.map_err(ValueError::from)?;
            let operator: fn(i64, i64) -> i64 = match name.as_str() {
                "and" => |a, b| a & b,
                "or" => |a, b| a | b,
                "xor" => |a, b| a ^ b,
                other => return Err(self.refuse(EXPECTED, format!("the field {other:?}"))),
            };
            let (operand, narrow) = match value {
                RawBsonRef::Int32(n) => (i64::from(n), true),
                RawBsonRef::Int64(n) => (n, false),
                other => return Err(self.refuse("integers", type_name(other))),
            };
            steps.push(Bits {
                operator,
                operand,
                narrow,
            });
        }
        if steps.is_empty() {
            return Err(self.refuse(EXPECTED, "an empty object"));
        }
        Ok(steps)
    }

    fn values(&self, expected: &'static str) -> Result<Vec<RawBson>, UpdateError> {
        let array = self
            .value
            .as_array()
            .ok_or_else(|| self.expected(expected))?;
        let values = array
            .into_iter()
            .map(|value| Ok(RawBson::from(value.map_err(ValueError::from)?)));
        values.collect()
    }

    /// The operand of a modifier such as `$slice`, as an operand of its own.
    fn modifier<'a>(&'a self, operator: &'static str, value: RawBsonRef<'a>) -> Operand<'a> {
        Operand {
            operator,
            path: self.path,
            value,
        }
    }

    /// The values, each once: they may be added at many places.
    fn add_to_set(&self) -> Result<Vec<(Vec<u8>, RawBson)>, UpdateError> {
        let mut seen = HashSet::new();
        let mut distinct = Vec::new();
        for value in self.values_to_add()? {
            let key = key_of(value.as_raw_bson_ref())?;
            if seen.insert(key.clone()) {
                distinct.push((key, value));
            }
        }
        Ok(distinct)
    }

    fn values_to_add(&self) -> Result<Vec<RawBson>, UpdateError> {
        if let RawBsonRef::Document(document) = self.value {
            let mut fields = document.iter();
            if let Some(first) = fields.next() {
                let (name, value) = first.map_err(ValueError::from)?;
                if name.as_str() == "$each" {
                    if let Some(second) = fields.next() {
                        let (name, _) = second.map_err(ValueError::from)?;
                        let found = format!("{name} as well");
                        return Err(self.refuse("nothing besides $each", found));
                    }
                    return self.modifier("$each", value).values("an array of values");
                }
            }
        }
        Ok(vec![self.owned()])
    }

    fn push(&self) -> Result<Push, UpdateError> {
        let plain = || Push {
            values: vec![self.owned()],
            ..Push::default()
        };
        let RawBsonRef::Document(document) = self.value else {
            return Ok(plain());
        };
        let Some(values) = document.get("$each").map_err(ValueError::from)? else {
            return Ok(plain());
        };
        let mut push = Push {
            values: self
                .modifier("$each", values)
                .values("an array of values")?,
            ..Push::default()
        };
        for field in document {
            let (name, value) = field.map_err(ValueError::from)?;
            match name.as_str() {
                "$each" => {}
                "$position" => push.position = Some(self.modifier("$position", value).whole()?),
                "$slice" => push.slice = Some(self.modifier("$slice", value).whole()?),
                "$sort" => push.order = Some(self.modifier("$sort", value).order()?),
                other => {
                    let expected = "$each, $position, $slice and $sort";
                    return Err(self.refuse(expected, format!("{other} as well")));
                }
            }
        }
        Ok(push)
    }

    fn whole(&self) -> Result<i64, UpdateError> {
        whole(self.value).ok_or_else(|| self.expected("a whole number"))
    }

    fn order(&self) -> Result<Order, UpdateError> {
        const EXPECTED: &str = "1 or -1, or an object of fields with 1 or -1";
        match self.value {
            RawBsonRef::Document(document) if !document.is_empty() => {
                let fields = document.iter().count();
                let sort = Sort::from_document(document).map_err(|source| UpdateError::Sort {
                    path: self.path.to_owned(),
                    source,
                })?;
                if sort.is_by_score() {
                    return Err(self.expected(EXPECTED));
                }
                // An order of documents has the _id at its end, which elements do not need.
                Ok(Order::Fields(sort.keys()[..fields].to_vec()))
            }
            value => match whole(value) {
                Some(1) => Ok(Order::Whole(Direction::Ascending)),
                Some(-1) => Ok(Order::Whole(Direction::Descending)),
                _ => Err(self.expected(EXPECTED)),
            },
        }
    }

    fn pull(&self) -> Result<Pull, UpdateError> {
        let condition = |source| UpdateError::Condition {
            path: self.path.to_owned(),
            source,
        };
        let wrapped = || {
            let mut document = bson::raw::RawDocumentBuf::new();
            document.append(WRAPPED, self.value);
            Filter::parse(&document)
                .map(Pull::Values)
                .map_err(condition)
        };
        match self.value {
            RawBsonRef::Document(document) => {
                let first = document.iter().next().transpose();
                let first = first.map_err(ValueError::from)?;
                let first = first.map_or("", |(name, _)| name.as_str());
                // Conditions on the elements themselves, unless they combine whole filters.
                if first.starts_with('$') && !crate::filter::LOGICAL_OPERATORS.contains(&first) {
                    wrapped()
                } else {
                    let filter = Filter::parse(document).map_err(condition)?;
                    Ok(Pull::Objects(filter))
                }
            }
            RawBsonRef::RegularExpression(_) => wrapped(),
            _ => Ok(Pull::Equal(self.owned())),
        }
    }
}

/// A value as bytes that are equal where values are.
pub(super) fn key_of(value: RawBsonRef<'_>) -> Result<Vec<u8>, ValueError> {
    let mut key = Vec::new();
    encode(value, &mut key)?;
    Ok(key)
}
