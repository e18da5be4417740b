//! The four number types as one line, compared exactly.
//!
//! Casting to a double would make 2^53 and 2^53 + 1 equal and an index disagree with a scan, so
//! no comparison here rounds. NaN is equal to itself and below all other numbers; -0 is 0.

use std::cmp::Ordering;

use bson::raw::RawBsonRef;

use super::decimal::Decimal;

/// A number of any of the types; int32 is widened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    /// int32 or int64.
    Int(i64),
    /// double.
    Double(f64),
    /// decimal128.
    Decimal(Decimal),
}

impl Number {
    /// The number that a value is, if it is one.
    pub(crate) fn of(value: RawBsonRef<'_>) -> Option<Self> {
        Some(match value {
            RawBsonRef::Int32(n) => Self::Int(i64::from(n)),
            RawBsonRef::Int64(n) => Self::Int(n),
            RawBsonRef::Double(n) => Self::Double(n),
            RawBsonRef::Decimal128(n) => Self::Decimal(Decimal::from_bytes(n.bytes())),
            _ => return None,
        })
    }

    /// Whether it is not a number.
    pub(crate) fn is_nan(self) -> bool {
        match self {
            Self::Int(_) => false,
            Self::Double(n) => n.is_nan(),
            Self::Decimal(n) => n.is_nan(),
        }
    }

    /// The number without its fraction, if that fits into 64 bits.
    pub(crate) fn truncated(self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(n),
            Self::Double(n) => truncated_double(n),
            Self::Decimal(n) => n.truncated(),
        }
    }

    /// The number without its fraction, or the nearest of 64 bits; NaN counts as 0.
    pub(crate) fn saturated(self) -> i64 {
        self.truncated()
            .unwrap_or_else(|| match self.compare(Self::Int(0)) {
                _ if self.is_nan() => 0,
                Ordering::Less => i64::MIN,
                Ordering::Equal | Ordering::Greater => i64::MAX,
            })
    }

    /// The number, if it is whole and fits into 64 bits.
    pub(crate) fn whole(self) -> Option<i64> {
        let whole = self.truncated()?;
        self.compare(Self::Int(whole)).is_eq().then_some(whole)
    }

    /// The exact order.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self.is_nan(), other.is_nan()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Double(a), Self::Double(b)) => compare_doubles(a, b),
            (Self::Int(a), Self::Double(b)) => compare_int_double(a, b),
            (Self::Double(a), Self::Int(b)) => compare_int_double(b, a).reverse(),
            (Self::Decimal(a), Self::Decimal(b)) => a.compare(b),
            (Self::Decimal(a), Self::Int(b)) => a.compare(Decimal::from_i64(b)),
            (Self::Int(a), Self::Decimal(b)) => Decimal::from_i64(a).compare(b),
            (Self::Decimal(a), Self::Double(b)) => a.compare_double(b),
            (Self::Double(a), Self::Decimal(b)) => b.compare_double(a).reverse(),
        }
    }

    /// The largest double that is not above the number, and, when the two are not equal, the
    /// number as a decimal. The number must not be NaN.
    pub(crate) fn floor(self) -> (f64, Option<Decimal>) {
        let (nearest, decimal, ordering) = match self {
            Self::Double(n) => return (n, None),
            Self::Int(n) => {
                // Rounds to nearest, which may be above or below.
                let nearest = n as f64;
                (
                    nearest,
                    Decimal::from_i64(n),
                    compare_int_double(n, nearest),
                )
            }
            Self::Decimal(n) => {
                let nearest = n.nearest_double();
                (nearest, n, n.compare_double(nearest))
            }
        };
        match ordering {
            Ordering::Equal => (nearest, None),
            Ordering::Greater => (nearest, Some(decimal)),
            Ordering::Less => (nearest.next_down(), Some(decimal)),
        }
    }
}

fn truncated_double(double: f64) -> Option<i64> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    let fits = (-TWO_TO_63..TWO_TO_63).contains(&double); // which NaN is not
    #[expect(clippy::cast_possible_truncation, reason = "in the range of i64")]
    let whole = double.trunc() as i64;
    fits.then_some(whole)
}

/// Neither is NaN.
fn compare_doubles(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Compares an integer with a double that is not NaN, by exact value.
fn compare_int_double(int: i64, double: f64) -> Ordering {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if double >= TWO_TO_63 {
        return Ordering::Less;
    }
    if double < -TWO_TO_63 {
        return Ordering::Greater;
    }
    let whole = double.trunc();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number in the range of i64"
    )]
    let by_whole = int.cmp(&(whole as i64));
    by_whole.then_with(|| compare_doubles(whole, double))
}
