//! Ranges of keys that hold everything a filter can match under one path.
//!
//! Bounds may hold more than what matches (an open bound is taken as closed, an intersection as
//! its smaller part), because every document read is checked against the whole filter. They never
//! hold less.

use std::ops::Bound;

use bson::raw::RawBsonRef;
use nexusbase_db::KeyRange;

use crate::ValueError;
use crate::filter::{Comparison, Constraint, Filter, Literal, Test};
use crate::json::{Form, write_value};
use crate::value::{Class, key};

/// Ranges of encoded values, in order and apart from each other.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) ranges: Vec<KeyRange>,
    /// Every range is one value.
    pub(crate) points: bool,
    /// What was asked, for people.
    pub(crate) text: String,
}

/// The bounds that `filter` sets on `path`; none if it says nothing that a range could express.
///
/// Where documents can have several values (`multikey`), two conditions may be met by two of
/// them, so only one condition is used.
pub(crate) fn of(
    filter: &Filter,
    path: &str,
    multikey: bool,
) -> Result<Option<Bounds>, ValueError> {
    let constraints: Vec<Constraint<'_>> = filter.constraints(path).collect();
    if let Some(points) = points(&constraints)? {
        return Ok(Some(points));
    }
    let mut range: Option<Interval<'_>> = None;
    for constraint in &constraints {
        let Test::Compare(comparison, literal) = constraint.test else {
            continue;
        };
        let Some(interval) = Interval::of(*comparison, literal) else {
            continue;
        };
        range = Some(match range {
            None => interval,
            Some(known) if multikey => known,
            Some(known) => known.narrowed(interval),
        });
    }
    range.map(Interval::bounds).transpose()
}

/// Equality and `$in`: the shortest list of points.
fn points(constraints: &[Constraint<'_>]) -> Result<Option<Bounds>, ValueError> {
    let lists = constraints
        .iter()
        .filter_map(|constraint| match constraint.test {
            Test::Compare(Comparison::Eq, literal) => Some(std::slice::from_ref(literal)),
            Test::In(literals) => Some(literals.as_slice()),
            _ => None,
        });
    let Some(literals) = lists.min_by_key(|literals| literals.len()) else {
        return Ok(None);
    };
    let mut prefixes = Vec::with_capacity(literals.len());
    let mut text = String::from("= ");
    for (number, literal) in literals.iter().enumerate() {
        push_points(literal.value(), &mut prefixes)?;
        if number > 0 {
            text.push_str(" or ");
        }
        write_value(literal.value(), Form::Relaxed, &mut text)?;
    }
    // The keys are what has to be in order; a filter's literals are in order already.
    prefixes.sort_unstable();
    prefixes.dedup();
    let ranges = prefixes
        .iter()
        .map(|prefix| KeyRange::prefix(prefix))
        .collect();
    Ok(Some(Bounds {
        ranges,
        points: true,
        text: shorten(text),
    }))
}

/// The points at which documents stand that have this value. An array stands by its elements, the
/// empty one as undefined, and as a whole where it is an element itself.
fn push_points(value: RawBsonRef<'_>, points: &mut Vec<Vec<u8>>) -> Result<(), ValueError> {
    if let RawBsonRef::Array(array) = value {
        let first = array.into_iter().next().transpose()?;
        points.push(encoded(first.unwrap_or(RawBsonRef::Undefined))?);
    }
    points.push(encoded(value)?);
    Ok(())
}

/// A range of values of one class.
#[derive(Clone, Copy)]
struct Interval<'f> {
    class: Class,
    low: Option<(&'f Literal, &'static str)>,
    high: Option<(&'f Literal, &'static str)>,
}

impl<'f> Interval<'f> {
    fn of(comparison: Comparison, literal: &'f Literal) -> Option<Self> {
        let class = Class::of(literal.value());
        // The first two compare with values of every class; arrays have no row as a whole.
        if matches!(class, Class::MinKey | Class::MaxKey | Class::Array) {
            return None;
        }
        let (low, high) = match comparison {
            Comparison::Gt => (Some((literal, ">")), None),
            Comparison::Gte => (Some((literal, ">=")), None),
            Comparison::Lt => (None, Some((literal, "<"))),
            Comparison::Lte => (None, Some((literal, "<="))),
            Comparison::Eq => return None,
        };
        Some(Self { class, low, high })
    }

    /// The first bound on each side; whichever is tighter, both must hold.
    fn narrowed(self, other: Self) -> Self {
        if self.class != other.class {
            return self;
        }
        Self {
            class: self.class,
            low: self.low.or(other.low),
            high: self.high.or(other.high),
        }
    }

    fn bounds(self) -> Result<Bounds, ValueError> {
        let class = [self.class.byte()];
        let mut text = String::new();
        let start = match self.low {
            Some((literal, _)) => encoded(literal.value())?,
            None => class.to_vec(),
        };
        let last = match self.high {
            Some((literal, _)) => encoded(literal.value())?,
            None => class.to_vec(),
        };
        for (literal, sign) in [self.low, self.high].into_iter().flatten() {
            if !text.is_empty() {
                text.push_str(" and ");
            }
            text.push_str(sign);
            text.push(' ');
            write_value(literal.value(), Form::Relaxed, &mut text)?;
        }
        let end = KeyRange::prefix(&last).end().map(<[u8]>::to_vec);
        let range = KeyRange::from_bounds(Bound::Included(start), end);
        Ok(Bounds {
            ranges: vec![range],
            points: false,
            text: shorten(text),
        })
    }
}

fn encoded(value: RawBsonRef<'_>) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    key::encode(value, &mut bytes)?;
    Ok(bytes)
}

/// Long lists and values do not help a reader of `explain`.
fn shorten(mut text: String) -> String {
    const CHARACTERS: usize = 120;
    if let Some((cut, _)) = text.char_indices().nth(CHARACTERS) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
