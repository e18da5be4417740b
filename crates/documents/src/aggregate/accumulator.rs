//! Accumulators: what `$group` makes of the values of a group.

use std::collections::HashSet;

use bson::raw::{RawArrayBuf, RawBson, RawBsonRef};

use super::error::ExpressionError;
use super::expression::{Value, check_size, merge};
use super::sum::Sum;
use crate::value::key;

/// Which accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AddToSet,
    Avg,
    Count,
    First,
    Last,
    Max,
    MergeObjects,
    Min,
    Push,
    StdDevPop,
    StdDevSamp,
    Sum,
}

/// All of them by name.
const KINDS: [(&str, Kind); 12] = [
    ("$addToSet", Kind::AddToSet),
    ("$avg", Kind::Avg),
    ("$count", Kind::Count),
    ("$first", Kind::First),
    ("$last", Kind::Last),
    ("$max", Kind::Max),
    ("$mergeObjects", Kind::MergeObjects),
    ("$min", Kind::Min),
    ("$push", Kind::Push),
    ("$stdDevPop", Kind::StdDevPop),
    ("$stdDevSamp", Kind::StdDevSamp),
    ("$sum", Kind::Sum),
];

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        let known = KINDS.iter().find(|known| known.0 == name);
        known.map(|known| known.1)
    }

    pub(super) fn names() -> Vec<&'static str> {
        KINDS.iter().map(|known| known.0).collect()
    }

    /// Before the first value.
    pub(super) fn start(self) -> Accumulator {
        match self {
            Self::AddToSet => Accumulator::Set {
                seen: HashSet::new(),
                values: RawArrayBuf::new(),
            },
            Self::Avg => Accumulator::Average(Sum::default()),
            Self::Count | Self::Sum => Accumulator::Sum(Sum::default()),
            Self::First => Accumulator::First(None),
            Self::Last => Accumulator::Last(RawBson::Null),
            Self::Max => Accumulator::Extreme {
                largest: true,
                value: None,
            },
            Self::Min => Accumulator::Extreme {
                largest: false,
                value: None,
            },
            Self::MergeObjects => Accumulator::Merged(RawBson::Null),
            Self::Push => Accumulator::List(RawArrayBuf::new()),
            Self::StdDevPop => Accumulator::Deviation(Deviation::new(false)),
            Self::StdDevSamp => Accumulator::Deviation(Deviation::new(true)),
        }
    }
}

/// What a group's values have come to so far.
#[derive(Clone, Debug)]
pub(super) enum Accumulator {
    Sum(Sum),
    Average(Sum),
    First(Option<RawBson>),
    Last(RawBson),
    Extreme {
        largest: bool,
        value: Option<RawBson>,
    },
    List(RawArrayBuf),
    Set {
        /// The keys of the values, of which equal ones count once.
        seen: HashSet<Vec<u8>>,
        values: RawArrayBuf,
    },
    Merged(RawBson),
    Deviation(Deviation),
}

/// How the memory that a group holds changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// So many bytes more.
    pub(super) more: usize,
    /// So many of those held before are given back.
    pub(super) less: usize,
}

impl Held {
    const fn more(more: usize) -> Self {
        Self { more, less: 0 }
    }

    /// From so many bytes to so many.
    const fn change(before: usize, after: usize) -> Self {
        Self {
            more: after.saturating_sub(before),
            less: before.saturating_sub(after),
        }
    }
}

impl Accumulator {
    /// Takes in a value. Returns how many more bytes are held now than before, at most, and how
    /// many of those that were held are given back.
    pub(super) fn take(&mut self, value: Value<'_>) -> Result<Held, ExpressionError> {
        match self {
            Self::Sum(sum) | Self::Average(sum) => sum.add(value.or_null()),
            Self::Deviation(deviation) => deviation.add(value.or_null()),
            Self::First(first @ None) => {
                let value = value.into_owned().unwrap_or(RawBson::Null);
                let bytes = bytes_of(&value);
                *first = Some(value);
                return Ok(Held::more(bytes));
            }
            Self::First(Some(_)) => {}
            Self::Last(last) => {
                let before = bytes_of(last);
                *last = value.into_owned().unwrap_or(RawBson::Null);
                return Ok(Held::change(before, bytes_of(last)));
            }
            Self::Extreme {
                largest,
                value: best,
            } => return improve(best, *largest, value),
            Self::List(list) => {
                let Some(value) = value.get() else {
                    return Ok(Held::default());
                };
                let before = list.as_bytes().len();
                list.push(value);
                check_size("$push", list.as_bytes().len())?;
                return Ok(Held::change(before, list.as_bytes().len()));
            }
            Self::Set { seen, values } => return add_to_set(seen, values, &value),
            Self::Merged(merged) => {
                let before = bytes_of(merged);
                let old = std::mem::replace(merged, RawBson::Null);
                let new = merge("$mergeObjects", Value::Owned(old), value)?;
                *merged = new.into_owned().unwrap_or(RawBson::Null);
                return Ok(Held::change(before, bytes_of(merged)));
            }
        }
        Ok(Held::default())
    }

    /// What all of the values come to.
    pub(super) fn finish(self) -> RawBson {
        match self {
            Self::Sum(sum) => sum.total(),
            Self::Average(sum) => sum.average(),
            Self::First(value) | Self::Extreme { value, .. } => value.unwrap_or(RawBson::Null),
            Self::Last(value) => value,
            Self::List(values) | Self::Set { values, .. } => RawBson::Array(values),
            Self::Merged(RawBson::Null) => RawBson::Document(bson::RawDocumentBuf::new()),
            Self::Merged(merged) => merged,
            Self::Deviation(deviation) => deviation.finish(),
        }
    }
}

/// What a value takes beside its place.
fn bytes_of(value: &RawBson) -> usize {
    match value {
        RawBson::String(text) | RawBson::Symbol(text) | RawBson::JavaScriptCode(text) => text.len(),
        RawBson::Document(object) => object.as_bytes().len(),
        RawBson::Array(array) => array.as_bytes().len(),
        RawBson::Binary(binary) => binary.bytes.len(),
        RawBson::RegularExpression(regex) => {
            regex.pattern.as_str().len() + regex.options.as_str().len()
        }
        RawBson::JavaScriptCodeWithScope(code) => code.code.len() + code.scope.as_bytes().len(),
        _ => 0,
    }
}

fn improve(
    best: &mut Option<RawBson>,
    largest: bool,
    value: Value<'_>,
) -> Result<Held, ExpressionError> {
    if value.is_nullish() {
        return Ok(Held::default());
    }
    if let Some(best) = best {
        let order = crate::value::compare(value.or_null(), best.as_raw_bson_ref())?;
        let better = if largest {
            order.is_gt()
        } else {
            order.is_lt()
        };
        if !better {
            return Ok(Held::default());
        }
    }
    let before = best.as_ref().map_or(0, bytes_of);
    *best = value.into_owned();
    Ok(Held::change(before, best.as_ref().map_or(0, bytes_of)))
}

fn add_to_set(
    seen: &mut HashSet<Vec<u8>>,
    values: &mut RawArrayBuf,
    value: &Value<'_>,
) -> Result<Held, ExpressionError> {
    const ENTRY_BYTES: usize = 48;
    let Some(value) = value.get() else {
        return Ok(Held::default());
    };
    let mut identity = Vec::new();
    key::encode(value, &mut identity)?;
    if seen.contains(&identity) {
        return Ok(Held::default());
    }
    let before = values.as_bytes().len();
    let bytes = identity.len() + ENTRY_BYTES;
    seen.insert(identity);
    values.push(value);
    check_size("$addToSet", values.as_bytes().len())?;
    Ok(Held::more(bytes + values.as_bytes().len() - before))
}

/// A standard deviation in the making, by the method of Welford, which does not lose small
/// differences of large numbers.
#[derive(Clone, Debug)]
pub(super) struct Deviation {
    of_sample: bool,
    count: u64,
    mean: f64,
    squares: f64,
}

impl Deviation {
    fn new(of_sample: bool) -> Self {
        Self {
            of_sample,
            count: 0,
            mean: 0.0,
            squares: 0.0,
        }
    }

    fn add(&mut self, value: RawBsonRef<'_>) {
        let Some(number) = super::expression::as_double(value) else {
            return;
        };
        self.count += 1;
        let from_old = number - self.mean;
        self.mean += from_old / self.count as f64;
        self.squares += from_old * (number - self.mean);
    }

    fn finish(self) -> RawBson {
        let divisor = self.count.saturating_sub(u64::from(self.of_sample));
        if divisor == 0 {
            return RawBson::Null;
        }
        RawBson::Double((self.squares / divisor as f64).sqrt())
    }
}
