//! 128-bit decimals (IEEE 754-2008, binary integer encoding) opened up for exact comparison.
//!
//! BSON stores a decimal as a sign, a coefficient of at most 34 digits and a power of ten, so
//! that 1.0 and 1.00 are different bytes and equal numbers. This module reads and writes the
//! bytes and compares without rounding: against another decimal, and against a double, whose exact
//! value is a fraction over a power of two. Sums, products and quotients are in a part of their
//! own.

mod arithmetic;
mod wide;

use std::cmp::Ordering;

/// The largest coefficient: 34 nines. Larger bit patterns are defined to mean zero.
const COEFFICIENT_MAX: u128 = 10u128.pow(34) - 1;
/// How many digits a coefficient can have.
const DIGITS_MAX: u32 = 34;
/// What is added to an exponent when it is stored.
const EXPONENT_BIAS: i32 = 6176;
/// The smallest exponent.
const EXPONENT_MIN: i32 = -EXPONENT_BIAS;
/// The largest exponent.
const EXPONENT_MAX: i32 = 6111;

/// A decimal128, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// Not a number, quiet or signalling.
    NaN,
    /// Infinity of either sign.
    Infinity {
        /// Whether it is below zero.
        negative: bool,
    },
    /// `±coefficient × 10^exponent`.
    Finite {
        /// Whether it is below zero (zero itself can be negative, and equals zero).
        negative: bool,
        /// At most 34 digits.
        coefficient: u128,
        /// From -6176 to 6111.
        exponent: i32,
    },
}

impl Decimal {
    /// Decodes the 16 bytes of a BSON decimal128. All bit patterns mean something.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let bits = u128::from_le_bytes(bytes);
        let negative = bits >> 127 == 1;
        let combination = (bits >> 122) & 0x1F;
        if combination == 0x1F {
            return Self::NaN;
        }
        if combination == 0x1E {
            return Self::Infinity { negative };
        }
        // With the two highest combination bits set, the coefficient would have an implied
        // prefix that makes it larger than 34 nines: never canonical, so it means zero.
        let (exponent_bits, coefficient) = if combination >> 3 == 0b11 {
            ((bits >> 111) & 0x3FFF, 0)
        } else {
            ((bits >> 113) & 0x3FFF, bits & ((1 << 113) - 1))
        };
        let coefficient = if coefficient > COEFFICIENT_MAX {
            0
        } else {
            coefficient
        };
        // Fourteen bits always fit.
        let exponent = i32::try_from(exponent_bits).unwrap_or(0) - EXPONENT_BIAS;
        Self::Finite {
            negative,
            coefficient,
            exponent,
        }
    }

    /// The 16 bytes of a BSON decimal128. A coefficient or an exponent that no decimal has, which
    /// only a caller can make, is cut to its largest value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let sign = |negative| u128::from(negative) << 127;
        let bits = match self {
            Self::NaN => 0x1F << 122,
            Self::Infinity { negative } => sign(negative) | (0x1E << 122),
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => {
                let exponent = exponent.clamp(EXPONENT_MIN, EXPONENT_MAX) + EXPONENT_BIAS;
                let exponent = u128::from(exponent.unsigned_abs());
                sign(negative) | (exponent << 113) | coefficient.min(COEFFICIENT_MAX)
            }
        };
        bits.to_le_bytes()
    }

    /// The decimal that equals an integer.
    #[must_use]
    pub fn from_i64(value: i64) -> Self {
        let coefficient = u128::from(value.unsigned_abs());
        Self::Finite {
            negative: value < 0,
            coefficient,
            exponent: 0,
        }
    }

    /// Whether it is not a number.
    #[must_use]
    pub fn is_nan(self) -> bool {
        self == Self::NaN
    }

    /// The decimal without its fraction, if that fits into 64 bits.
    pub(crate) fn truncated(self) -> Option<i64> {
        let Self::Finite {
            negative,
            coefficient,
            exponent,
        } = self
        else {
            return None;
        };
        if coefficient == 0 {
            return Some(0);
        }
        let size = match 10u128.checked_pow(exponent.unsigned_abs()) {
            Some(power) if exponent >= 0 => coefficient.checked_mul(power)?,
            Some(power) => coefficient / power,
            None if exponent > 0 => return None,
            None => 0,
        };
        let size = i128::try_from(size).ok()?;
        i64::try_from(if negative { -size } else { size }).ok()
    }

    /// Sign and [magnitude](Magnitude) of a finite decimal other than zero.
    pub(crate) fn magnitude(self) -> Option<(bool, Magnitude)> {
        match self {
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } if coefficient != 0 => {
                let digits = coefficient.ilog10() + 1;
                let adjusted = exponent + digits.cast_signed() - 1;
                let coefficient = coefficient * 10u128.pow(DIGITS_MAX - digits);
                Some((
                    negative,
                    Magnitude {
                        adjusted,
                        coefficient,
                    },
                ))
            }
            _ => None,
        }
    }

    /// -1, 0 or 1; infinities have a sign, NaN counts as 0.
    fn sign(self) -> i32 {
        match self {
            Self::NaN | Self::Finite { coefficient: 0, .. } => 0,
            Self::Infinity { negative } | Self::Finite { negative, .. } => {
                if negative {
                    -1
                } else {
                    1
                }
            }
        }
    }

    /// Compares by value; neither may be NaN (which would count as zero).
    #[must_use]
    pub fn compare(self, other: Self) -> Ordering {
        let (sign, other_sign) = (self.sign(), other.sign());
        if sign != other_sign || sign == 0 {
            return sign.cmp(&other_sign);
        }
        // Only infinities and zero have no magnitude, and zero is dealt with.
        let ordering = match (self.magnitude(), other.magnitude()) {
            (Some((_, a)), Some((_, b))) => a.cmp(&b),
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
        };
        if sign < 0 {
            ordering.reverse()
        } else {
            ordering
        }
    }

    /// The double nearest to the decimal, correctly rounded; infinite where it is out of range.
    #[must_use]
    pub fn nearest_double(self) -> f64 {
        match self {
            Self::NaN => f64::NAN,
            Self::Infinity { negative: true } => f64::NEG_INFINITY,
            Self::Infinity { negative: false } => f64::INFINITY,
            Self::Finite {
                negative,
                coefficient,
                exponent,
            } => {
                // The standard library rounds correctly; this text is always a number for it.
                let size: f64 = format!("{coefficient}e{exponent}").parse().unwrap_or(0.0);
                if negative { -size } else { size }
            }
        }
    }

    /// Compares with a double by exact value; neither may be NaN.
    #[must_use]
    pub fn compare_double(self, double: f64) -> Ordering {
        // Rounding never changes which side of a double a number is on, except onto it.
        let nearest = self.nearest_double();
        match nearest.partial_cmp(&double) {
            Some(Ordering::Equal) => self.compare_nearest(double),
            Some(ordering) => ordering,
            None => Ordering::Equal,
        }
    }

    /// Compares with the double that is nearest.
    fn compare_nearest(self, nearest: f64) -> Ordering {
        let Self::Finite {
            negative,
            coefficient,
            exponent,
        } = self
        else {
            return Ordering::Equal; // both infinite
        };
        if coefficient == 0 {
            return Ordering::Equal;
        }
        let ordering = if nearest == 0.0 {
            Ordering::Greater
        } else if nearest.is_infinite() {
            Ordering::Less
        } else {
            compare_exactly(coefficient, exponent, nearest.abs())
        };
        if negative {
            ordering.reverse()
        } else {
            ordering
        }
    }
}

/// The size of a decimal other than zero, in the one form that every number has only once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Magnitude {
    /// The power of ten of the first digit.
    pub(crate) adjusted: i32,
    /// All 34 digits, the first of them not zero.
    pub(crate) coefficient: u128,
}

/// Compares `coefficient × 10^exponent` with a finite double above zero, both of about one size.
fn compare_exactly(coefficient: u128, exponent: i32, double: f64) -> Ordering {
    let bits = double.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let biased = i32::try_from(bits >> 52).unwrap_or(0);
    let (mantissa, power) = if biased == 0 {
        (fraction, -1074)
    } else {
        (fraction | (1 << 52), biased - 1075)
    };
    // coefficient × 5^e × 2^e against mantissa × 2^power: powers of five go to the side where
    // they multiply, powers of two to the side where they shift left.
    let mut left = Natural::from(coefficient);
    let mut right = Natural::from(u128::from(mantissa));
    if exponent >= 0 {
        left.multiply_by_power_of_five(exponent.unsigned_abs());
    } else {
        right.multiply_by_power_of_five(exponent.unsigned_abs());
    }
    let shift = power - exponent;
    if shift >= 0 {
        right.shift_left(shift.unsigned_abs());
    } else {
        left.shift_left(shift.unsigned_abs());
    }
    left.cmp(&right)
}

/// A natural number of any size: lowest limb first, the highest limb not zero.
#[derive(PartialEq, Eq)]
struct Natural(Vec<u32>);

#[expect(
    clippy::cast_possible_truncation,
    reason = "limbs are the low 32 bits on purpose"
)]
impl Natural {
    fn from(value: u128) -> Self {
        let mut natural = Self((0..4).map(|limb| (value >> (32 * limb)) as u32).collect());
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn multiply(&mut self, factor: u32) {
        let mut carry = 0;
        for limb in &mut self.0 {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply_by_power_of_five(&mut self, mut power: u32) {
        const STEP: u32 = 13; // 5^13 is the largest power that fits into a limb
        while power >= STEP {
            self.multiply(5u32.pow(STEP));
            power -= STEP;
        }
        self.multiply(5u32.pow(power));
    }

    fn shift_left(&mut self, bits: u32) {
        self.multiply(1 << (bits % 32));
        self.0.splice(0..0, (0..bits / 32).map(|_| 0));
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        let value: bson::Decimal128 = text.parse().expect("a decimal");
        Decimal::from_bytes(value.bytes())
    }

    #[test]
    fn bytes_are_sign_coefficient_and_exponent() {
        let finite = |negative, coefficient, exponent| Decimal::Finite {
            negative,
            coefficient,
            exponent,
        };
        assert_eq!(decimal("1.50"), finite(false, 150, -2));
        assert_eq!(decimal("-7E+6000"), finite(true, 7, 6000));
        assert_eq!(decimal("-0"), finite(true, 0, 0));
        let nines = "9".repeat(34);
        assert_eq!(decimal(&nines), finite(false, COEFFICIENT_MAX, 0));
        assert_eq!(decimal("1E-6176"), finite(false, 1, -6176));
        assert_eq!(decimal("NaN"), Decimal::NaN);
        assert_eq!(decimal("-Infinity"), Decimal::Infinity { negative: true });
    }

    #[test]
    fn a_coefficient_beyond_34_digits_means_zero() {
        let bits: u128 = (6176 << 113) | (COEFFICIENT_MAX + 1);
        let zero = Decimal::Finite {
            negative: false,
            coefficient: 0,
            exponent: 0,
        };
        assert_eq!(Decimal::from_bytes(bits.to_le_bytes()), zero);
        let bits: u128 = (0b11 << 125) | (6176 << 111) | 5;
        assert_eq!(Decimal::from_bytes(bits.to_le_bytes()), zero);
    }

    #[test]
    fn a_decimal_is_compared_with_a_double_by_exact_value() {
        assert_eq!(decimal("0.1").compare_double(0.1), Ordering::Less);
        assert_eq!(decimal("0.5").compare_double(0.5), Ordering::Equal);
        assert_eq!(decimal("0.3").compare_double(0.3), Ordering::Greater);
        assert_eq!(
            decimal("9007199254740993").compare_double(9007199254740992.0),
            Ordering::Greater
        );
        assert_eq!(
            decimal("1E+400").compare_double(f64::MAX),
            Ordering::Greater
        );
        assert_eq!(
            decimal("1E+400").compare_double(f64::INFINITY),
            Ordering::Less
        );
        assert_eq!(decimal("-1E-400").compare_double(0.0), Ordering::Less);
        assert_eq!(
            decimal("-1E-400").compare_double(-f64::from_bits(1)),
            Ordering::Greater
        );
        assert_eq!(
            decimal("Infinity").compare_double(f64::INFINITY),
            Ordering::Equal
        );
        // 2^-1074 has more digits than a decimal can hold.
        let tiny = decimal("4.940656458412465441765687928682214E-324");
        assert_eq!(tiny.compare_double(f64::from_bits(1)), Ordering::Greater);
        assert_eq!(
            decimal("4.94E-324").compare_double(f64::from_bits(1)),
            Ordering::Less
        );
        assert_eq!(decimal("1E+308").compare_double(1e308), Ordering::Less);
    }
}
