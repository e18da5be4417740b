//! Arithmetic of decimals as IEEE 754-2008 demands it.
//!
//! Every result is the exact one, rounded once: to 34 digits, half to even, with fewer digits near
//! the bottom of the range and infinity above its top. Where a result can be written in several
//! ways (1.5, 1.50), it has the exponent that the standard prefers: the smaller of the operands'
//! for sums, their sum for products, their difference for quotients. NaN makes NaN; so does what
//! has no value, such as ∞ - ∞ or 0 ÷ 0. Nothing here is an error.

use super::wide::Wide;
use super::{COEFFICIENT_MAX, DIGITS_MAX, Decimal, EXPONENT_MAX, EXPONENT_MIN};

/// How many digits further than its last one the larger summand is written: with 34 digits, what
/// just fits into a [`Wide`], and enough that what lies below only decides ties.
const SUM_SHIFT_MAX: u32 = 42;

/// A finite decimal, taken apart.
#[derive(Clone, Copy)]
struct Finite {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

impl Finite {
    fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    fn decimal(self) -> Decimal {
        let Self {
            negative,
            coefficient,
            exponent,
        } = self;
        Decimal::Finite {
            negative,
            coefficient,
            exponent,
        }
    }
}

impl Decimal {
    const ZERO: Finite = Finite {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// The decimal that stands for a double in arithmetic: its first 15 digits, which are those
    /// that every decimal number keeps on its way through a double.
    #[must_use]
    pub fn from_double(double: f64) -> Self {
        let negative = double.is_sign_negative();
        if double.is_nan() {
            return Self::NaN;
        }
        if double.is_infinite() {
            return Self::Infinity { negative };
        }
        if double == 0.0 {
            return Finite {
                negative,
                ..Self::ZERO
            }
            .decimal();
        }
        // Correctly rounded by the standard library: d.dddddddddddddde±x
        let text = format!("{:.14e}", double.abs());
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let coefficient = digits.replace('.', "").parse().unwrap_or(0);
        let exponent = power.parse().unwrap_or(0) - 14;
        let finite = Finite {
            negative,
            coefficient,
            exponent,
        };
        finite.decimal()
    }

    /// The int64 that it equals, if there is one.
    #[must_use]
    pub fn whole(self) -> Option<i64> {
        let Finite {
            negative,
            coefficient,
            exponent,
        } = self.finite()?;
        let power = 10u128.checked_pow(exponent.unsigned_abs());
        let size = match (coefficient, power) {
            (0, _) => 0,
            (_, Some(power)) if exponent >= 0 => coefficient.checked_mul(power)?,
            (_, Some(power)) if coefficient % power == 0 => coefficient / power,
            _ => return None,
        };
        let size = i128::try_from(size).ok()?;
        i64::try_from(if negative { -size } else { size }).ok()
    }

    fn is_negative(self) -> bool {
        match self {
            Self::NaN => false,
            Self::Infinity { negative } | Self::Finite { negative, .. } => negative,
        }
    }

    fn finite(self) -> Option<Finite> {
        match self {
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => Some(Finite {
                negative,
                coefficient,
                exponent,
            }),
            _ => None,
        }
    }

    fn is_infinite(self) -> bool {
        matches!(self, Self::Infinity { .. })
    }

    /// The same number with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::NaN => Self::NaN,
            Self::Infinity { negative } => Self::Infinity {
                negative: !negative,
            },
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => Self::Finite {
                negative: !negative,
                coefficient,
                exponent,
            },
        }
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) if a.exponent >= b.exponent => sum(a, b),
            (Some(a), Some(b)) => sum(b, a),
            _ if self.is_nan() || other.is_nan() => Self::NaN,
            (None, None) if self != other => Self::NaN,
            (None, _) => self,
            (_, None) => other,
        }
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// The product.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let negative = self.is_negative() != other.is_negative();
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) => {
                let product = Wide::product(a.coefficient, b.coefficient);
                round(negative, product, a.exponent + b.exponent, false)
            }
            _ if self.is_nan() || other.is_nan() => Self::NaN,
            (Some(zero), None) | (None, Some(zero)) if zero.is_zero() => Self::NaN,
            _ => Self::Infinity { negative },
        }
    }

    /// The quotient; anything but zero divided by zero is infinite.
    #[must_use]
    pub fn divided_by(self, other: Self) -> Self {
        let negative = self.is_negative() != other.is_negative();
        match (self.finite(), other.finite()) {
            (Some(a), Some(b)) if b.is_zero() => {
                if a.is_zero() {
                    Self::NaN
                } else {
                    Self::Infinity { negative }
                }
            }
            (Some(a), Some(b)) => quotient(negative, a, b),
            _ if self.is_nan() || other.is_nan() => Self::NaN,
            (Some(_), None) => {
                let zero = Wide::from(0);
                round(negative, zero, EXPONENT_MIN, false)
            }
            (None, Some(_)) => Self::Infinity { negative },
            (None, None) => Self::NaN,
        }
    }

    /// What is left of the number after subtracting `divisor` as often as it fits: always exact,
    /// with the sign of the number. NaN where the divisor is zero or the number infinite.
    #[must_use]
    pub fn remainder(self, divisor: Self) -> Self {
        match (self.finite(), divisor.finite()) {
            (Some(a), Some(b)) if !b.is_zero() => remainder(a, b),
            (Some(_), None) if divisor.is_infinite() => self,
            _ => Self::NaN,
        }
    }
}

/// The sum of two numbers of which the first has the larger exponent.
fn sum(a: Finite, b: Finite) -> Decimal {
    if a.is_zero() || b.is_zero() {
        return sum_with_zero(a, b);
    }
    let difference = (a.exponent - b.exponent).unsigned_abs();
    let shift = difference.min(SUM_SHIFT_MAX);
    let larger = Wide::from(a.coefficient).times_power_of_ten(shift);
    // Where the shift was limited, the larger has at least 42 zeros at its end and the smaller at
    // most 34 digits in front of what is cut off here. So the sum is never at or near the middle
    // between two results, and what is cut off cannot change which of them is nearer.
    let (smaller, _) = Wide::from(b.coefficient).divided_by_power_of_ten(difference - shift);
    let exponent = a.exponent - shift.cast_signed();
    if a.negative == b.negative {
        return round(a.negative, larger.plus(&smaller), exponent, false);
    }
    if larger > smaller {
        return round(a.negative, larger.minus(&smaller), exponent, false);
    }
    let difference = smaller.minus(&larger);
    let negative = b.negative && !difference.is_zero();
    round(negative, difference, exponent, false)
}

/// The sum when one of the two, or both, are zero.
fn sum_with_zero(a: Finite, b: Finite) -> Decimal {
    let exponent = a.exponent.min(b.exponent);
    if a.is_zero() && b.is_zero() {
        let negative = a.negative && b.negative;
        return round(negative, Wide::from(0), exponent, false);
    }
    let other = if a.is_zero() { b } else { a };
    let shift = (other.exponent - exponent)
        .unsigned_abs()
        .min(SUM_SHIFT_MAX);
    let coefficient = Wide::from(other.coefficient).times_power_of_ten(shift);
    round(
        other.negative,
        coefficient,
        other.exponent - shift.cast_signed(),
        false,
    )
}

/// The quotient of finite numbers, the second of them not zero.
fn quotient(negative: bool, a: Finite, b: Finite) -> Decimal {
    let preferred = a.exponent - b.exponent;
    if a.is_zero() {
        return round(negative, Wide::from(0), preferred, false);
    }
    // Enough digits that the quotient has one more than can be kept.
    let digits = |coefficient: u128| coefficient.ilog10() + 1;
    let shift = (DIGITS_MAX + 1 + digits(b.coefficient)).saturating_sub(digits(a.coefficient));
    let numerator = Wide::from(a.coefficient).times_power_of_ten(shift);
    let (mut quotient, rest) = numerator.divided_by(b.coefficient);
    let mut exponent = preferred - shift.cast_signed();
    if rest == 0 {
        // An exact quotient is not written with more zeros than it needs.
        while exponent < preferred {
            let (tenth, digit) = quotient.divided_by_small(10);
            if digit != 0 {
                break;
            }
            (quotient, exponent) = (tenth, exponent + 1);
        }
    }
    round(negative, quotient, exponent, rest != 0)
}

/// The remainder of finite numbers, the second of them not zero.
fn remainder(a: Finite, b: Finite) -> Decimal {
    let coefficient = if a.exponent >= b.exponent {
        // At most 12,287 steps; ten times a remainder always fits.
        (b.exponent..a.exponent).fold(a.coefficient % b.coefficient, |rest, _| {
            rest * 10 % b.coefficient
        })
    } else {
        let shift = (b.exponent - a.exponent).unsigned_abs();
        let divisor = 10u128
            .checked_pow(shift)
            .and_then(|power| power.checked_mul(b.coefficient));
        // A divisor that does not even fit is larger than the number.
        divisor.map_or(a.coefficient, |divisor| a.coefficient % divisor)
    };
    let exponent = a.exponent.min(b.exponent);
    round(a.negative, Wide::from(coefficient), exponent, false)
}

/// The decimal nearest to `±(coefficient + rest) × 10^exponent`, half to even, where the rest is
/// something between 0 and 1, or nothing.
fn round(negative: bool, coefficient: Wide, exponent: i32, rest: bool) -> Decimal {
    let too_many = coefficient.digits().saturating_sub(DIGITS_MAX);
    let too_small = u32::try_from(EXPONENT_MIN - exponent).unwrap_or(0);
    let drop = too_many.max(too_small);
    let mut exponent = exponent.saturating_add_unsigned(drop);
    let mut rounded = coefficient.low();
    if drop > 0 {
        let (above, below) = coefficient.divided_by_power_of_ten(drop - 1);
        let (kept, digit) = above.divided_by_small(10);
        rounded = kept.low();
        let odd = rounded % 2 == 1;
        if digit > 5 || (digit == 5 && (rest || below || odd)) {
            rounded += 1;
        }
    }
    if rounded > COEFFICIENT_MAX {
        (rounded, exponent) = (rounded / 10, exponent + 1);
    }
    while exponent > EXPONENT_MAX {
        if rounded == 0 {
            exponent = EXPONENT_MAX;
        } else if rounded <= COEFFICIENT_MAX / 10 {
            (rounded, exponent) = (rounded * 10, exponent - 1);
        } else {
            return Decimal::Infinity { negative };
        }
    }
    let finite = Finite {
        negative,
        coefficient: rounded,
        exponent,
    };
    finite.decimal()
}
