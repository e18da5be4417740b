//! Sums and averages that do not lose what comes late.
//!
//! Integers are added exactly; doubles in two parts, of which the second takes what the first
//! rounds away; decimals as decimals. Only the result is brought to one type: a decimal with any
//! decimal, else a double with any double, else an int64, or an int32 if there were only such and
//! the total fits. Integers beyond 64 bits become a double. What is no number is left out.

use bson::Decimal128;
use bson::raw::{RawBson, RawBsonRef};

use crate::value::decimal::Decimal;

/// The widest type so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    #[default]
    Int32,
    Int64,
    Double,
    Decimal,
}

/// A sum in the making.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    kind: Kind,
    count: u64,
    integers: i128,
    doubles: Doubles,
    decimals: Decimal,
}

/// A sum of doubles in two parts.
#[derive(Clone, Copy, Debug, Default)]
struct Doubles {
    high: f64,
    low: f64,
    /// The plain sum, which is the result where that is infinite or NaN.
    plain: f64,
}

impl Doubles {
    fn add(&mut self, number: f64) {
        self.plain += number;
        let sum = self.high + number;
        let part = sum - self.high;
        self.low += (self.high - (sum - part)) + (number - part);
        self.high = sum;
    }

    fn total(self) -> f64 {
        let total = self.high + self.low;
        if total.is_nan() { self.plain } else { total }
    }

    fn decimal(self) -> Decimal {
        if (self.high + self.low).is_nan() {
            return all_digits(self.plain);
        }
        all_digits(self.high).plus(all_digits(self.low))
    }
}

/// The decimal with the first 34 digits of a double, without zeros at the end.
fn all_digits(double: f64) -> Decimal {
    if !double.is_finite() || double == 0.0 {
        return Decimal::from_double(double);
    }
    let text = format!("{:.33e}", double.abs());
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let mut coefficient: u128 = digits.replace('.', "").parse().unwrap_or(0);
    let mut exponent = power.parse::<i32>().unwrap_or(0) - 33;
    while coefficient != 0 && coefficient.is_multiple_of(10) {
        coefficient /= 10;
        exponent += 1;
    }
    Decimal::Finite {
        negative: double < 0.0,
        coefficient,
        exponent,
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            count: 0,
            integers: 0,
            doubles: Doubles::default(),
            decimals: Decimal::from_i64(0),
        }
    }
}

impl Sum {
    /// Adds a value, if it is a number.
    pub(crate) fn add(&mut self, value: RawBsonRef<'_>) {
        let kind = match value {
            RawBsonRef::Int32(number) => {
                self.integers = self.integers.saturating_add(number.into());
                Kind::Int32
            }
            RawBsonRef::Int64(number) => {
                self.integers = self.integers.saturating_add(number.into());
                Kind::Int64
            }
            RawBsonRef::Double(number) => {
                self.doubles.add(number);
                Kind::Double
            }
            RawBsonRef::Decimal128(number) => {
                self.decimals = self.decimals.plus(Decimal::from_bytes(number.bytes()));
                Kind::Decimal
            }
            _ => return,
        };
        self.kind = self.kind.max(kind);
        self.count += 1;
    }

    /// The sum; an int32 zero of nothing.
    pub(crate) fn total(&self) -> RawBson {
        match self.kind {
            Kind::Decimal => decimal(self.decimal_total()),
            Kind::Double => RawBson::Double(self.double_total()),
            Kind::Int32 | Kind::Int64 => match i64::try_from(self.integers) {
                Ok(total) => match i32::try_from(total) {
                    Ok(small) if self.kind == Kind::Int32 => RawBson::Int32(small),
                    _ => RawBson::Int64(total),
                },
                Err(_) => RawBson::Double(self.double_total()),
            },
        }
    }

    /// The sum over the count; null of nothing.
    pub(crate) fn average(&self) -> RawBson {
        if self.count == 0 {
            return RawBson::Null;
        }
        if self.kind == Kind::Decimal {
            let count = Decimal::from_i64(i64::try_from(self.count).unwrap_or(i64::MAX));
            return decimal(self.decimal_total().divided_by(count));
        }
        RawBson::Double(self.double_total() / self.count as f64)
    }

    fn double_total(&self) -> f64 {
        let mut total = self.doubles;
        let high = self.integers as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a sum of integers is far within i128"
        )]
        let low = self.integers.saturating_sub(high as i128) as f64;
        total.add(high);
        total.add(low);
        total.total()
    }

    fn decimal_total(&self) -> Decimal {
        let integers = Decimal::Finite {
            negative: self.integers < 0,
            coefficient: self.integers.unsigned_abs(),
            exponent: 0,
        };
        self.decimals.plus(self.doubles.decimal().plus(integers))
    }
}

fn decimal(value: Decimal) -> RawBson {
    RawBson::Decimal128(Decimal128::from_bytes(value.to_bytes()))
}
