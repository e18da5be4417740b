//! Decimal arithmetic is exact and rounded once: compared with a slow model on digits.
//!
//! The model knows numbers as lists of digits of any length, calculates with them as one does on
//! paper, and rounds at the end. It shares nothing with the code that it judges.

use std::cmp::Ordering;

use nexusbase_documents::value::decimal::Decimal;
use proptest::prelude::*;
use proptest::sample::select;

const DIGITS: usize = 34;
const EXPONENT_MIN: i32 = -6176;
const EXPONENT_MAX: i32 = 6111;

/// Digits, the highest first, without leading zeros.
type Digits = Vec<u8>;

fn digits(coefficient: u128) -> Digits {
    let text = coefficient.to_string();
    trimmed(text.bytes().map(|digit| digit - b'0').collect())
}

fn trimmed(digits: Digits) -> Digits {
    digits.into_iter().skip_while(|digit| *digit == 0).collect()
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn with_zeros(digits: &[u8], zeros: usize) -> Digits {
    let mut digits = digits.to_vec();
    if !digits.is_empty() {
        digits.resize(digits.len() + zeros, 0);
    }
    digits
}

fn sum(a: &[u8], b: &[u8]) -> Digits {
    let length = a.len().max(b.len()) + 1;
    let mut result = vec![0; length];
    let mut carry = 0;
    for place in 0..length {
        let digit = |digits: &[u8]| match digits.len().checked_sub(place + 1) {
            Some(index) => digits[index],
            None => 0,
        };
        let total = digit(a) + digit(b) + carry;
        result[length - 1 - place] = total % 10;
        carry = total / 10;
    }
    trimmed(result)
}

/// `a - b`, where a is not smaller.
fn difference(a: &[u8], b: &[u8]) -> Digits {
    let mut result = a.to_vec();
    let mut borrow = 0;
    for place in 0..a.len() {
        let less = match b.len().checked_sub(place + 1) {
            Some(index) => b[index],
            None => 0,
        } + borrow;
        let digit = &mut result[a.len() - 1 - place];
        borrow = u8::from(*digit < less);
        *digit = *digit + 10 * borrow - less;
    }
    assert_eq!(borrow, 0, "the larger number comes first");
    trimmed(result)
}

fn product(a: &[u8], b: &[u8]) -> Digits {
    let mut total = Digits::new();
    for digit in b {
        total = with_zeros(&total, 1);
        for _ in 0..*digit {
            total = sum(&total, a);
        }
    }
    total
}

/// Quotient and remainder, digit by digit.
fn quotient(a: &[u8], b: &[u8]) -> (Digits, Digits) {
    let (mut quotient, mut rest) = (Digits::new(), Digits::new());
    for digit in a {
        rest.push(*digit);
        rest = trimmed(rest);
        let mut times = 0;
        while compare(&rest, b).is_ge() {
            rest = difference(&rest, b);
            times += 1;
        }
        quotient.push(times);
    }
    (trimmed(quotient), rest)
}

/// The decimal nearest to the digits times a power of ten; `more` stands for anything behind the
/// last digit.
fn rounded(negative: bool, digits: &[u8], exponent: i32, more: bool) -> Decimal {
    let (mut kept, mut exponent) = (digits.to_vec(), exponent);
    let mut cut = Digits::new();
    while kept.len() > DIGITS || exponent < EXPONENT_MIN {
        cut.insert(0, kept.pop().unwrap_or(0));
        exponent += 1;
        if kept.is_empty() && cut.first().is_none_or(|digit| *digit == 0) {
            // Nothing of the number is left, however far the way still is.
            exponent = exponent.max(EXPONENT_MIN);
        }
    }
    let behind = more || cut.iter().skip(1).any(|digit| *digit != 0);
    let odd = kept.last().is_some_and(|digit| digit % 2 == 1);
    let up = match cut.first() {
        Some(6..=9) => true,
        Some(5) => behind || odd,
        _ => false,
    };
    if up {
        kept = sum(&kept, &[1]);
        if kept.len() > DIGITS {
            kept.pop();
            exponent += 1;
        }
    }
    while exponent > EXPONENT_MAX && kept.len() < DIGITS {
        kept = with_zeros(&kept, 1);
        exponent -= 1;
        if kept.is_empty() {
            exponent = EXPONENT_MAX;
        }
    }
    if exponent > EXPONENT_MAX {
        return Decimal::Infinity { negative };
    }
    let coefficient = kept.iter().fold(0, |n, digit| n * 10 + u128::from(*digit));
    Decimal::Finite {
        negative,
        coefficient,
        exponent,
    }
}

/// Sign, digits and exponent of a decimal.
type Parts = (bool, u128, i32);

fn decimal((negative, coefficient, exponent): Parts) -> Decimal {
    Decimal::Finite {
        negative,
        coefficient,
        exponent,
    }
}

/// Both as whole numbers of one power of ten.
fn aligned(a: Parts, b: Parts) -> (Digits, Digits, i32) {
    let exponent = a.2.min(b.2);
    let align = |(_, coefficient, from): Parts| {
        let zeros = usize::try_from(from - exponent).unwrap();
        with_zeros(&digits(coefficient), zeros)
    };
    (align(a), align(b), exponent)
}

fn model_sum(a: Parts, b: Parts) -> Decimal {
    let (left, right, exponent) = aligned(a, b);
    if a.0 == b.0 {
        return rounded(a.0, &sum(&left, &right), exponent, false);
    }
    match compare(&left, &right) {
        Ordering::Greater => rounded(a.0, &difference(&left, &right), exponent, false),
        Ordering::Less => rounded(b.0, &difference(&right, &left), exponent, false),
        Ordering::Equal => rounded(false, &[], exponent, false),
    }
}

fn model_product(a: Parts, b: Parts) -> Decimal {
    rounded(
        a.0 != b.0,
        &product(&digits(a.1), &digits(b.1)),
        a.2 + b.2,
        false,
    )
}

fn model_quotient(a: Parts, b: Parts) -> Decimal {
    let preferred = a.2 - b.2;
    let numerator = with_zeros(&digits(a.1), 3 * DIGITS);
    let (mut digits, rest) = quotient(&numerator, &digits(b.1));
    let mut exponent = preferred;
    if !digits.is_empty() {
        exponent -= i32::try_from(3 * DIGITS).unwrap();
    }
    while rest.is_empty() && exponent < preferred && digits.last() == Some(&0) {
        digits.pop();
        exponent += 1;
    }
    rounded(a.0 != b.0, &digits, exponent, !rest.is_empty())
}

fn model_remainder(a: Parts, b: Parts) -> Decimal {
    let (left, right, exponent) = aligned(a, b);
    rounded(a.0, &quotient(&left, &right).1, exponent, false)
}

fn coefficient() -> impl Strategy<Value = u128> {
    let power = (0u32..34).prop_map(|zeros| 10u128.pow(zeros));
    let near = (power, 0u128..3, any::<bool>()).prop_map(|(power, offset, above)| {
        if above {
            power + offset
        } else {
            power.saturating_sub(offset)
        }
    });
    let random = (any::<u128>(), 1u32..35).prop_map(|(n, digits)| n % 10u128.pow(digits));
    let halves = (any::<u128>(), 1u32..33).prop_map(|(n, zeros)| {
        let n = (n % 10u128.pow(33 - zeros)) * 10 + 5;
        n * 10u128.pow(zeros)
    });
    prop_oneof![
        1 => Just(0),
        2 => 0u128..20,
        3 => near,
        4 => random,
        2 => halves,
        1 => (0u128..3).prop_map(|offset| 10u128.pow(34) - 1 - offset),
    ]
}

fn exponent() -> impl Strategy<Value = i32> {
    prop_oneof![
        6 => -80..80i32,
        2 => select(vec![EXPONENT_MIN, EXPONENT_MAX, -3088, 3055, -6143, 0]),
        2 => (0..90i32).prop_map(|n| EXPONENT_MIN + n),
        2 => (0..90i32).prop_map(|n| EXPONENT_MAX - n),
        1 => EXPONENT_MIN..=EXPONENT_MAX,
    ]
}

fn parts() -> impl Strategy<Value = Parts> {
    (any::<bool>(), coefficient(), exponent())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_decimal_is_encoded_as_it_is_decoded(parts in parts()) {
        let value = decimal(parts);
        prop_assert_eq!(Decimal::from_bytes(value.to_bytes()), value);
    }

    #[test]
    fn any_bytes_are_encoded_as_the_same_number(bytes in any::<[u8; 16]>()) {
        let value = Decimal::from_bytes(bytes);
        prop_assert_eq!(Decimal::from_bytes(value.to_bytes()), value);
    }

    #[test]
    fn sums_are_exact_and_rounded_once(a in parts(), b in parts()) {
        prop_assert_eq!(decimal(a).plus(decimal(b)), model_sum(a, b));
        let minus = (!b.0, b.1, b.2);
        prop_assert_eq!(decimal(a).minus(decimal(b)), model_sum(a, minus));
    }

    #[test]
    fn sums_of_numbers_of_about_one_size_are_exact_and_rounded_once(
        a in parts(),
        (negative, coefficient, shift) in (any::<bool>(), coefficient(), -80..80i32),
    ) {
        let b = (negative, coefficient, (a.2 + shift).clamp(EXPONENT_MIN, EXPONENT_MAX));
        prop_assert_eq!(decimal(a).plus(decimal(b)), model_sum(a, b));
    }

    #[test]
    fn products_are_exact_and_rounded_once(a in parts(), b in parts()) {
        prop_assert_eq!(decimal(a).times(decimal(b)), model_product(a, b));
    }

    #[test]
    fn quotients_are_exact_and_rounded_once(a in parts(), b in parts()) {
        prop_assume!(b.1 != 0);
        prop_assert_eq!(decimal(a).divided_by(decimal(b)), model_quotient(a, b));
    }

    #[test]
    fn remainders_are_exact(
        a in parts(),
        (negative, coefficient, shift) in (any::<bool>(), coefficient(), -80..80i32),
    ) {
        let b = (negative, coefficient, (a.2 + shift).clamp(EXPONENT_MIN, EXPONENT_MAX));
        prop_assume!(b.1 != 0);
        prop_assert_eq!(decimal(a).remainder(decimal(b)), model_remainder(a, b));
    }
}
