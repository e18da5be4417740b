//! Arithmetic over BSON's four types of numbers.
//!
//! The type of a result follows from those of the operands: with a decimal it is a decimal, else
//! with a double a double, else an int64, or an int32 if both are int32 and the result fits. A
//! quotient of integers is a double. Integers never wrap: an int32 that overflows becomes an
//! int64, and for an int64 the caller says what happens ([`Overflow`]). A double that meets a
//! decimal counts with its first 15 digits ([`Decimal::from_double`]).

use bson::Decimal128;
use bson::raw::RawBsonRef;

use super::decimal::Decimal;
use super::type_name;

/// A number, which borrows from nothing.
pub type Answer = RawBsonRef<'static>;

/// What happens when the exact result does not fit into an int64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// An error: a stored counter never loses digits silently.
    Refuse,
    /// The result is a double.
    Double,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArithmeticError {
    /// An operand that is no number.
    #[error("numbers are expected, and this is {found}")]
    NotANumber {
        /// The type of the operand.
        found: &'static str,
    },
    /// The result is beyond the integers of 64 bits.
    #[error(
        "the result of {a} {operator} {b} does not fit into 64 bits: use a double or a decimal"
    )]
    Overflow {
        /// The first operand.
        a: i64,
        /// `+`, `-` or `×`.
        operator: char,
        /// The second operand.
        b: i64,
    },
    /// Division, or a remainder, by zero.
    #[error("division by zero")]
    DivisionByZero,
}

/// Two operands, brought to one type.
enum Operands {
    Int { a: i64, b: i64, narrow: bool },
    Double(f64, f64),
    Decimal(Decimal, Decimal),
}

impl Operands {
    fn of(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<Self, ArithmeticError> {
        use RawBsonRef::{Decimal128, Double};
        Ok(match (a, b) {
            (Decimal128(_), _) | (_, Decimal128(_)) => Self::Decimal(decimal(a)?, decimal(b)?),
            (Double(_), _) | (_, Double(_)) => Self::Double(double(a)?, double(b)?),
            _ => {
                let ((a, a_narrow), (b, b_narrow)) = (integer(a)?, integer(b)?);
                let narrow = a_narrow && b_narrow;
                Self::Int { a, b, narrow }
            }
        })
    }
}

/// An integer, and whether it is an int32.
fn integer(value: RawBsonRef<'_>) -> Result<(i64, bool), ArithmeticError> {
    match value {
        RawBsonRef::Int32(n) => Ok((i64::from(n), true)),
        RawBsonRef::Int64(n) => Ok((n, false)),
        other => Err(ArithmeticError::NotANumber {
            found: type_name(other),
        }),
    }
}

fn double(value: RawBsonRef<'_>) -> Result<f64, ArithmeticError> {
    match value {
        RawBsonRef::Double(n) => Ok(n),
        other => Ok(integer(other)?.0 as f64),
    }
}

fn decimal(value: RawBsonRef<'_>) -> Result<Decimal, ArithmeticError> {
    match value {
        RawBsonRef::Decimal128(n) => Ok(Decimal::from_bytes(n.bytes())),
        RawBsonRef::Double(n) => Ok(Decimal::from_double(n)),
        other => Ok(Decimal::from_i64(integer(other)?.0)),
    }
}

fn decimal_value(decimal: Decimal) -> Answer {
    RawBsonRef::Decimal128(Decimal128::from_bytes(decimal.to_bytes()))
}

fn integer_value(n: i64, narrow: bool) -> Answer {
    match i32::try_from(n) {
        Ok(n) if narrow => RawBsonRef::Int32(n),
        _ => RawBsonRef::Int64(n),
    }
}

/// One of the operations that are alike for all types.
struct Operation {
    operator: char,
    int: fn(i64, i64) -> Option<i64>,
    double: fn(f64, f64) -> f64,
    decimal: fn(Decimal, Decimal) -> Decimal,
}

impl Operation {
    fn apply(
        &self,
        a: RawBsonRef<'_>,
        b: RawBsonRef<'_>,
        overflow: Overflow,
    ) -> Result<Answer, ArithmeticError> {
        Ok(match Operands::of(a, b)? {
            Operands::Decimal(a, b) => decimal_value((self.decimal)(a, b)),
            Operands::Double(a, b) => RawBsonRef::Double((self.double)(a, b)),
            Operands::Int { a, b, narrow } => match ((self.int)(a, b), overflow) {
                (Some(result), _) => integer_value(result, narrow),
                (None, Overflow::Double) => RawBsonRef::Double((self.double)(a as f64, b as f64)),
                (None, Overflow::Refuse) => {
                    let operator = self.operator;
                    return Err(ArithmeticError::Overflow { a, operator, b });
                }
            },
        })
    }
}

/// `a + b`.
///
/// # Errors
/// When an operand is no number, or the result overflows and `overflow` refuses that.
pub fn add(
    a: RawBsonRef<'_>,
    b: RawBsonRef<'_>,
    overflow: Overflow,
) -> Result<Answer, ArithmeticError> {
    let operation = Operation {
        operator: '+',
        int: i64::checked_add,
        double: |a, b| a + b,
        decimal: Decimal::plus,
    };
    operation.apply(a, b, overflow)
}

/// `a - b`.
///
/// # Errors
/// As for [`add`].
pub fn subtract(
    a: RawBsonRef<'_>,
    b: RawBsonRef<'_>,
    overflow: Overflow,
) -> Result<Answer, ArithmeticError> {
    let operation = Operation {
        operator: '-',
        int: i64::checked_sub,
        double: |a, b| a - b,
        decimal: Decimal::minus,
    };
    operation.apply(a, b, overflow)
}

/// `a × b`.
///
/// # Errors
/// As for [`add`].
pub fn multiply(
    a: RawBsonRef<'_>,
    b: RawBsonRef<'_>,
    overflow: Overflow,
) -> Result<Answer, ArithmeticError> {
    let operation = Operation {
        operator: '×',
        int: i64::checked_mul,
        double: |a, b| a * b,
        decimal: Decimal::times,
    };
    operation.apply(a, b, overflow)
}

/// `a ÷ b`: a decimal with a decimal, else a double.
///
/// # Errors
/// When an operand is no number, or `b` is zero.
pub fn divide(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<Answer, ArithmeticError> {
    Ok(match Operands::of(a, b)? {
        Operands::Decimal(a, b) => decimal_value(a.divided_by(not_zero_decimal(b)?)),
        Operands::Double(a, b) => RawBsonRef::Double(a / not_zero(b)?),
        Operands::Int { a, b, .. } => RawBsonRef::Double(a as f64 / not_zero(b as f64)?),
    })
}

/// The remainder of `a ÷ b`, with the sign of `a`.
///
/// # Errors
/// As for [`divide`].
pub fn modulo(a: RawBsonRef<'_>, b: RawBsonRef<'_>) -> Result<Answer, ArithmeticError> {
    Ok(match Operands::of(a, b)? {
        Operands::Decimal(a, b) => decimal_value(a.remainder(not_zero_decimal(b)?)),
        Operands::Double(a, b) => RawBsonRef::Double(a % not_zero(b)?),
        Operands::Int { b: 0, .. } => return Err(ArithmeticError::DivisionByZero),
        // The one remainder that the processor cannot make, of the smallest integer by -1, is 0.
        Operands::Int { a, b, narrow } => integer_value(a.wrapping_rem(b), narrow),
    })
}

fn not_zero(divisor: f64) -> Result<f64, ArithmeticError> {
    if divisor == 0.0 {
        return Err(ArithmeticError::DivisionByZero);
    }
    Ok(divisor)
}

fn not_zero_decimal(divisor: Decimal) -> Result<Decimal, ArithmeticError> {
    match divisor {
        Decimal::Finite { coefficient: 0, .. } => Err(ArithmeticError::DivisionByZero),
        other => Ok(other),
    }
}

/// The int64 that a number of any type equals, if it is a whole number in that range.
#[must_use]
pub fn whole(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Double(n) => whole_double(n),
        RawBsonRef::Decimal128(n) => Decimal::from_bytes(n.bytes()).whole(),
        other => integer(other).ok().map(|(n, _)| n),
    }
}

fn whole_double(n: f64) -> Option<i64> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number in the range of i64"
    )]
    (n.trunc() == n && (-TWO_TO_63..TWO_TO_63).contains(&n)).then_some(n as i64)
}
