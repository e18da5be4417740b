//! What a filter says of the values under one path, as ranges of encoded values.
//!
//! A document stands in an index with a row for each value that the path finds: elements of an
//! array one by one, a missing field as null, and what finds nothing at all, or an empty array,
//! as undefined. Every document that meets the conditions has a row in the ranges that are made
//! of them. Where documents can have several values, two conditions may be met by two of them,
//! so only one condition makes the ranges; unless it is about one element.
//!
//! Bounds may hold too much, never too little, because every document is checked against the
//! whole filter; except where they are *exact*: there having a row in the ranges and meeting the
//! conditions is the same, and nothing has to be checked.

use bson::raw::RawBsonRef;

use super::interval::{Interval, Intervals, behind};
use crate::ValueError;
use crate::filter::{Comparison, Condition, Literal, Test};
use crate::json::{Form, write_value};
use crate::value::{Class, is_nan, key};

/// What conditions say of the values under a path.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) intervals: Intervals,
    /// A document meets the conditions exactly if one of its values is within.
    pub(crate) exact: bool,
    /// What was asked, for people.
    pub(crate) text: String,
}

/// How many conditions on one path are joined.
const CONDITIONS_MAX: usize = 64;
/// How many choices an `$or` may have to set bounds by itself; `$in` may have more.
const CHOICES_MAX: usize = 1000;

/// Bounds, and which of the conditions (by number) they stand for exactly.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) bounds: Bounds,
    pub(crate) met: Vec<usize>,
}

/// The bounds that `conditions`, which must all hold, set on `path`; none if they say nothing
/// that a range could express. `multikey`: documents may have several values.
pub(crate) fn of(
    conditions: &[Condition],
    path: &str,
    multikey: bool,
) -> Result<Option<Found>, ValueError> {
    let mut all = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        if let Some(bounds) = of_condition(condition, path, multikey)? {
            all.push((number, bounds));
            // Bounds may hold too much, and joining very many takes longer than it saves.
            if all.len() == CONDITIONS_MAX {
                break;
            }
        }
    }
    if multikey {
        // Values rather than ranges, and few of them.
        let rank = |bounds: &Bounds| {
            let count = bounds.intervals.as_slice().len();
            (!bounds.intervals.is_points(), count)
        };
        let best = all.into_iter().min_by_key(|(_, bounds)| rank(bounds));
        return Ok(best.map(|(number, bounds)| Found {
            met: bounds.exact.then_some(number).into_iter().collect(),
            bounds,
        }));
    }
    let met = all.iter().filter(|(_, bounds)| bounds.exact);
    let met = met.map(|(number, _)| *number).collect();
    let bounds = all.into_iter().map(|(_, bounds)| bounds);
    let bounds = bounds.reduce(|one, other| both(&one, &other));
    Ok(bounds.map(|bounds| Found { bounds, met }))
}

fn both(one: &Bounds, other: &Bounds) -> Bounds {
    Bounds {
        intervals: one.intervals.and(&other.intervals),
        exact: one.exact && other.exact,
        text: shorten(format!("{} and {}", one.text, other.text)),
    }
}

fn of_condition(
    condition: &Condition,
    path: &str,
    multikey: bool,
) -> Result<Option<Bounds>, ValueError> {
    match condition {
        Condition::Field { path: of, test } if of.as_str() == path => of_test(test),
        Condition::Field { .. } | Condition::Text(_) => Ok(None),
        Condition::All(all) => Ok(of(all, path, multikey)?.map(|found| Bounds {
            exact: found.met.len() == all.len(),
            ..found.bounds
        })),
        Condition::Any(any) if any.len() > CHOICES_MAX => Ok(None),
        Condition::Any(any) => {
            let mut union: Option<Bounds> = None;
            for branch in any {
                let Some(bounds) = of_condition(branch, path, multikey)? else {
                    return Ok(None);
                };
                union = Some(match union {
                    None => bounds,
                    Some(union) => Bounds {
                        intervals: union.intervals.or(bounds.intervals),
                        exact: union.exact && bounds.exact,
                        text: shorten(format!("{} or {}", union.text, bounds.text)),
                    },
                });
            }
            Ok(union)
        }
        Condition::Not(not) => of_negation(not, path, multikey),
    }
}

/// What holds for every value of a document that does not meet a condition, if that can be said.
fn of_negation(not: &Condition, path: &str, multikey: bool) -> Result<Option<Bounds>, ValueError> {
    let Condition::Field { path: of, test } = not else {
        return Ok(None);
    };
    if of.as_str() != path {
        return Ok(None);
    }
    if matches!(test, Test::Exists) {
        let points = [RawBsonRef::Undefined, RawBsonRef::Null].map(|value| {
            let value = encoded(value)?;
            Ok(Interval::point(value))
        });
        let points = points.into_iter().collect::<Result<_, ValueError>>()?;
        return Ok(Some(Bounds {
            intervals: Intervals::of(points),
            exact: false,
            text: "missing".to_owned(),
        }));
    }
    // An array may equal the literal as a whole, and its elements do not.
    let exact = of_test(test)?.filter(|bounds| bounds.exact && bounds.intervals.is_points());
    Ok(exact.map(|bounds| Bounds {
        intervals: bounds.intervals.not(),
        exact: !multikey,
        text: shorten(format!("not {}", bounds.text)),
    }))
}

fn of_test(test: &Test) -> Result<Option<Bounds>, ValueError> {
    if let Test::Compare(comparison, literal) = test {
        return match comparison {
            Comparison::Eq => equal_to(std::slice::from_ref(literal)).map(Some),
            range => of_range(*range, literal),
        };
    }
    if let Test::In(literals) = test {
        return equal_to(literals).map(Some);
    }
    Ok(None)
}

fn equal_to(literals: &[Literal]) -> Result<Bounds, ValueError> {
    let (mut points, mut exact) = (Vec::with_capacity(literals.len()), true);
    let mut text = String::from("= ");
    for (number, literal) in literals.iter().enumerate() {
        exact &= !matches!(literal.value(), RawBsonRef::Array(_));
        push_points(literal.value(), &mut points)?;
        if text.len() <= TEXT_CHARACTERS {
            if number > 0 {
                text.push_str(" or ");
            }
            write_value(literal.value(), Form::Relaxed, &mut text)?;
        }
    }
    Ok(Bounds {
        intervals: Intervals::of(points),
        exact,
        text: shorten(text),
    })
}

/// The points at which documents stand that have this value. An array stands by its elements, the
/// empty one as undefined, and as a whole where it is an element itself.
fn push_points(value: RawBsonRef<'_>, points: &mut Vec<Interval>) -> Result<(), ValueError> {
    if let RawBsonRef::Array(array) = value {
        let first = array.into_iter().next().transpose()?;
        let first = encoded(first.unwrap_or(RawBsonRef::Undefined))?;
        points.push(Interval::point(first));
    }
    points.push(Interval::point(encoded(value)?));
    Ok(())
}

/// What compares so with the literal, which is a range within its class.
fn of_range(comparison: Comparison, literal: &Literal) -> Result<Option<Bounds>, ValueError> {
    let value = literal.value();
    let class = Class::of(value);
    // The first two compare with values of every class; arrays have no row as a whole.
    if matches!(class, Class::MinKey | Class::MaxKey | Class::Array) {
        return Ok(None);
    }
    let own = encoded(value)?;
    let first = match class {
        // NaN is below all numbers, and in no range but its own.
        Class::Number => vec![class.byte(), 0, 1],
        class => vec![class.byte()],
    };
    let last = behind(&[class.byte()]);
    let (sign, interval) = match comparison {
        Comparison::Gt => (
            ">",
            Interval::between(behind(&own).unwrap_or_default(), last),
        ),
        Comparison::Gte => (">=", Interval::between(own, last)),
        Comparison::Lt => ("<", Interval::between(first, Some(own))),
        Comparison::Lte => ("<=", Interval::between(first, behind(&own))),
        Comparison::Eq => return Ok(None),
    };
    let interval = match comparison {
        _ if !is_nan(value) => Some(interval),
        Comparison::Gte | Comparison::Lte => Some(Interval::point(encoded(value)?)),
        _ => None,
    };
    let mut text = format!("{sign} ");
    write_value(value, Form::Relaxed, &mut text)?;
    Ok(Some(Bounds {
        intervals: Intervals::of(interval.into_iter().collect()),
        exact: true,
        text: shorten(text),
    }))
}

fn encoded(value: RawBsonRef<'_>) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    key::encode(value, &mut bytes)?;
    Ok(bytes)
}

/// How long the text of bounds gets. Long lists and values do not help a reader of `explain`.
const TEXT_CHARACTERS: usize = 120;

fn shorten(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(TEXT_CHARACTERS) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
