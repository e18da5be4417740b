//! Arithmetic over the types of numbers: which type a result has, and where there is none.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::RawBsonRef;
use nexusbase_documents::value::arithmetic::{
    Answer, ArithmeticError, Overflow, add, divide, modulo, multiply, subtract, whole,
};

fn int(n: i32) -> Answer {
    RawBsonRef::Int32(n)
}

fn long(n: i64) -> Answer {
    RawBsonRef::Int64(n)
}

fn double(n: f64) -> Answer {
    RawBsonRef::Double(n)
}

fn decimal(text: &str) -> Answer {
    RawBsonRef::Decimal128(text.parse().expect("a decimal"))
}

fn text(result: Result<Answer, ArithmeticError>) -> String {
    match result.unwrap() {
        RawBsonRef::Decimal128(n) => format!("decimal {n}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_type_of_a_result_follows_from_the_operands() {
    let sum = |a, b| text(add(a, b, Overflow::Refuse));
    assert_eq!(sum(int(1), int(2)), "Int32(3)");
    assert_eq!(sum(int(i32::MAX), int(1)), "Int64(2147483648)");
    assert_eq!(sum(long(1), int(2)), "Int64(3)");
    assert_eq!(sum(long(1), double(0.5)), "Double(1.5)");
    assert_eq!(sum(int(1), decimal("0.50")), "decimal 1.50");
    assert_eq!(sum(double(0.1), decimal("1")), "decimal 1.100000000000000");
    let product = |a, b| text(multiply(a, b, Overflow::Refuse));
    assert_eq!(product(int(i32::MIN), int(-1)), "Int64(2147483648)");
    assert_eq!(product(decimal("1.20"), int(3)), "decimal 3.60");
    let difference = |a, b| text(subtract(a, b, Overflow::Refuse));
    assert_eq!(difference(int(i32::MIN), int(1)), "Int64(-2147483649)");
    assert_eq!(difference(decimal("1.0"), decimal("1")), "decimal 0.0");
}

#[test]
fn an_int64_that_overflows_is_refused_or_becomes_a_double() {
    for (result, operator) in [
        (add(long(i64::MAX), int(1), Overflow::Refuse), '+'),
        (subtract(long(i64::MIN), int(1), Overflow::Refuse), '-'),
        (multiply(long(i64::MIN), int(-1), Overflow::Refuse), '×'),
    ] {
        match result {
            Err(ArithmeticError::Overflow { operator: o, .. }) => assert_eq!(o, operator),
            other => panic!("{other:?}"),
        }
    }
    let wide = add(long(i64::MAX), long(i64::MAX), Overflow::Double);
    assert_eq!(wide, Ok(double(2.0 * 9_223_372_036_854_775_807.0)));
    let wide = multiply(long(i64::MIN), long(i64::MIN), Overflow::Double);
    assert_eq!(wide, Ok(double(2f64.powi(126))));
}

#[test]
fn a_quotient_of_integers_is_a_double_and_zero_divides_nothing() {
    assert_eq!(divide(int(7), int(2)), Ok(double(3.5)));
    assert_eq!(
        text(divide(int(1), decimal("3"))),
        format!("decimal 0.{}", "3".repeat(34))
    );
    assert_eq!(modulo(int(-7), int(3)), Ok(int(-1)));
    assert_eq!(modulo(long(i64::MIN), int(-1)), Ok(long(0)));
    assert_eq!(modulo(double(5.5), int(2)), Ok(double(1.5)));
    assert_eq!(text(modulo(decimal("-7.5"), int(2))), "decimal -1.5");
    for zero in [int(0), long(0), double(-0.0), decimal("0.00")] {
        assert_eq!(divide(int(1), zero), Err(ArithmeticError::DivisionByZero));
        assert_eq!(modulo(int(1), zero), Err(ArithmeticError::DivisionByZero));
    }
    let error = add(int(1), RawBsonRef::Null, Overflow::Refuse);
    assert_eq!(error, Err(ArithmeticError::NotANumber { found: "null" }));
}

#[test]
fn decimals_have_infinities_and_no_errors() {
    let sum = |a, b| text(add(decimal(a), decimal(b), Overflow::Refuse));
    assert_eq!(sum("Infinity", "-Infinity"), "decimal NaN");
    assert_eq!(sum("Infinity", "1"), "decimal Infinity");
    assert_eq!(sum("1", "-Infinity"), "decimal -Infinity");
    assert_eq!(sum("NaN", "Infinity"), "decimal NaN");
    assert_eq!(sum("-0", "0"), "decimal 0");
    assert_eq!(sum("-0", "-0"), "decimal -0");
    assert_eq!(
        sum("9.999999999999999999999999999999999E6144", "1E6111"),
        "decimal Infinity"
    );
    let product = |a, b| text(multiply(decimal(a), decimal(b), Overflow::Refuse));
    assert_eq!(product("Infinity", "0"), "decimal NaN");
    assert_eq!(product("-Infinity", "2"), "decimal -Infinity");
    assert_eq!(product("1E-6176", "0.5"), "decimal 0E-6176");
    assert_eq!(product("1E-6176", "0.51"), "decimal 1E-6176");
    let quotient = |a, b| text(divide(decimal(a), decimal(b)));
    assert_eq!(quotient("1", "-Infinity"), "decimal -0E-6176");
    assert_eq!(quotient("Infinity", "Infinity"), "decimal NaN");
    assert_eq!(quotient("Infinity", "-2"), "decimal -Infinity");
    assert_eq!(quotient("2.40", "2"), "decimal 1.20");
    assert_eq!(quotient("1", "8"), "decimal 0.125");
    let rest = |a, b| text(modulo(decimal(a), decimal(b)));
    assert_eq!(rest("5", "Infinity"), "decimal 5");
    assert_eq!(rest("Infinity", "5"), "decimal NaN");
    assert_eq!(rest("1E+6111", "7"), "decimal 6");
}

#[test]
fn a_whole_number_is_one_whatever_its_type() {
    for seven in [
        int(7),
        long(7),
        double(7.0),
        decimal("7.00"),
        decimal("0.7E1"),
    ] {
        assert_eq!(whole(seven), Some(7));
    }
    assert_eq!(whole(decimal("-9223372036854775808")), Some(i64::MIN));
    assert_eq!(whole(double(-0.0)), Some(0));
    assert_eq!(whole(decimal("0E+6111")), Some(0));
    for none in [
        double(0.5),
        double(f64::NAN),
        double(f64::INFINITY),
        double(9_223_372_036_854_775_808.0),
        decimal("7.01"),
        decimal("9223372036854775808"),
        decimal("1E+6111"),
        decimal("1E-6111"),
        decimal("NaN"),
        RawBsonRef::Boolean(true),
    ] {
        assert_eq!(whole(none), None, "{none:?}");
    }
}
