//! Keys have the order of the values that they stand for, and say themselves where they end.

use std::cmp::Ordering;

use bson::raw::{RawBson, RawBsonRef};
use bson::{Bson, doc};
use nexusbase_documents::value::key::{
    Direction, encode, encode_directed, split_first, split_first_directed,
};
use nexusbase_documents::value::{Class, compare};
use proptest::prelude::*;

use crate::random::{self, decimal_value, raw, value};

fn key(value: &RawBson) -> Vec<u8> {
    let mut key = Vec::new();
    encode(value.as_raw_bson_ref(), &mut key).unwrap();
    key
}

fn order(a: &RawBson, b: &RawBson) -> Ordering {
    compare(a.as_raw_bson_ref(), b.as_raw_bson_ref()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number as its sign and all its decimal digits, aligned so that texts compare as sizes do:
/// an order that owes nothing to the code under test. `None` for NaN, which is below all.
fn written_out(number: &Bson) -> Option<(i32, String)> {
    const WHOLE: usize = 6200;
    let text = match number {
        Bson::Int32(n) => n.to_string(),
        Bson::Int64(n) => n.to_string(),
        Bson::Double(n) => format!("{n:.1080}"),
        Bson::Decimal128(n) => n.to_string(),
        other => panic!("not a number: {other:?}"),
    };
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, &*text),
    };
    let aligned = match size {
        "NaN" => return None,
        "inf" | "Infinity" => "9".repeat(WHOLE),
        size => {
            let (digits, exponent) = size.split_once('E').unwrap_or((size, "0"));
            let exponent: i32 = exponent.parse().unwrap();
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let point = i32::try_from(whole.len()).unwrap() + exponent;
            let lead = usize::try_from(i32::try_from(WHOLE).unwrap() - point).unwrap();
            format!("{}{whole}{fraction}", "0".repeat(lead))
        }
    };
    let aligned = aligned.trim_end_matches('0').to_owned();
    let sign = if aligned.is_empty() {
        0
    } else {
        if negative { -1 } else { 1 }
    };
    Some((sign, aligned))
}

fn order_written_out(a: &Bson, b: &Bson) -> Ordering {
    match (written_out(a), written_out(b)) {
        (Some((sign, a)), Some((other, b))) => sign
            .cmp(&other)
            .then_with(|| if sign < 0 { b.cmp(&a) } else { a.cmp(&b) }),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_order_of_keys_is_the_order_of_values(a in value(), b in value()) {
        let (a, b) = (raw(&a), raw(&b));
        prop_assert_eq!(key(&a).cmp(&key(&b)), order(&a, &b));
        prop_assert_eq!(order(&a, &b), order(&b, &a).reverse());
        prop_assert_eq!(order(&a, &a), Ordering::Equal);
    }

    #[test]
    fn the_order_of_number_keys_is_the_order_of_numbers(
        a in random::number(),
        b in random::number(),
    ) {
        let (a, b) = (raw(&a), raw(&b));
        prop_assert_eq!(key(&a).cmp(&key(&b)), order(&a, &b));
    }

    #[test]
    fn numbers_are_in_the_order_of_their_digits(a in random::number(), b in random::number()) {
        prop_assert_eq!(order(&raw(&a), &raw(&b)), order_written_out(&a, &b));
    }

    #[test]
    fn the_order_is_transitive(a in random::number(), b in random::number(), c in random::number()) {
        let mut values = [raw(&a), raw(&b), raw(&c)];
        values.sort_by(order);
        prop_assert!(order(&values[0], &values[2]).is_le());
        prop_assert!(order(&values[0], &values[1]).is_le() && order(&values[1], &values[2]).is_le());
    }

    #[test]
    fn keys_of_tuples_have_the_order_of_tuples(
        a in prop::collection::vec(value(), 3),
        b in prop::collection::vec(value(), 3),
        descending in any::<[bool; 3]>(),
    ) {
        let (mut a_key, mut b_key, mut expected) = (Vec::new(), Vec::new(), Ordering::Equal);
        for ((a, b), descending) in a.iter().zip(&b).zip(descending) {
            let (a, b) = (raw(a), raw(b));
            let direction = if descending { Direction::Descending } else { Direction::Ascending };
            encode_directed(a.as_raw_bson_ref(), direction, &mut a_key).unwrap();
            encode_directed(b.as_raw_bson_ref(), direction, &mut b_key).unwrap();
            let part = if descending { order(&a, &b).reverse() } else { order(&a, &b) };
            expected = expected.then(part);
        }
        prop_assert_eq!(a_key.cmp(&b_key), expected);
    }

    #[test]
    fn a_key_is_split_where_its_value_ends(
        a in value(),
        rest in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let a = raw(&a);
        for direction in [Direction::Ascending, Direction::Descending] {
            let mut whole = Vec::new();
            encode_directed(a.as_raw_bson_ref(), direction, &mut whole).unwrap();
            let part = whole.clone();
            whole.extend_from_slice(&rest);
            prop_assert_eq!(split_first_directed(&whole, direction), Some((&part[..], &rest[..])));
            for end in 0..part.len() {
                prop_assert_eq!(split_first_directed(&part[..end], direction), None);
            }
        }
    }

    #[test]
    fn splitting_damaged_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = split_first_directed(&bytes, Direction::Descending);
        if let Some((first, rest)) = split_first(&bytes) {
            prop_assert_eq!(first.len() + rest.len(), bytes.len());
        }
    }

    #[test]
    fn splitting_a_damaged_key_never_panics(
        a in value(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut key = key(&raw(&a));
        let position = position.index(key.len());
        key[position] = byte;
        let _ = split_first(&key);
    }
}

#[test]
fn splitting_deeply_nested_bytes_gives_none_and_returns() {
    assert!(split_first(&vec![Class::Array.byte(); 1 << 20]).is_none());
    let mut object = vec![Class::Object.byte()];
    object.extend([Class::Object.byte(), 0].repeat(1 << 20));
    assert!(split_first(&object).is_none());
}

#[test]
fn equal_numbers_of_all_types_have_one_key() {
    let ones = [
        Bson::Int32(1),
        Bson::Int64(1),
        Bson::Double(1.0),
        decimal_value("1"),
        decimal_value("1.00"),
    ];
    for one in &ones {
        assert_eq!(key(&raw(one)), key(&raw(&ones[0])));
    }
    let zeros = [
        Bson::Int32(0),
        Bson::Double(-0.0),
        decimal_value("-0.00"),
        decimal_value("0E+99"),
    ];
    for zero in &zeros {
        assert_eq!(key(&raw(zero)), key(&raw(&zeros[0])));
    }
    let between = [
        Bson::Int64((1 << 53) + 1),
        decimal_value("9007199254740993.0"),
    ];
    assert_eq!(key(&raw(&between[0])), key(&raw(&between[1])));
    let nans = [
        Bson::Double(f64::NAN),
        Bson::Double(-f64::NAN),
        decimal_value("NaN"),
    ];
    for nan in &nans {
        assert_eq!(key(&raw(nan)), key(&raw(&nans[0])));
    }
}

/// The disk format, held still. If this test fails, old databases do not open: change the format
/// version, not the test.
#[test]
fn golden_keys() {
    let oid = bson::oid::ObjectId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let binary = |subtype: u8, bytes: &[u8]| {
        Bson::Binary(bson::Binary {
            subtype: subtype.into(),
            bytes: bytes.to_vec(),
        })
    };
    let golden = [
        (Bson::MinKey, "10"),
        (Bson::Undefined, "18"),
        (Bson::Null, "20"),
        (Bson::Double(f64::NAN), "30000000000000000000"),
        (Bson::Double(f64::NEG_INFINITY), "30000fffffffffffff00"),
        (Bson::Int32(-1), "30400fffffffffffff00"),
        (Bson::Double(-0.0), "30800000000000000000"),
        (Bson::Int32(1), "30bff000000000000000"),
        (
            Bson::Int64((1 << 53) + 1),
            "30c340000000000000 01 400f 01bc16d674ec800de0b6b3a7640000",
        ),
        (
            decimal_value("0.1"),
            "30bfb9999999999999 01 3fff 00314dc6448d9338c15b0a00000000",
        ),
        (
            decimal_value("-0.1"),
            "304046666666666665 01 c000 ffceb239bb726cc73ea4f5ffffffff",
        ),
        (Bson::Double(f64::INFINITY), "30fff000000000000000"),
        (Bson::String("a\0b".into()), "40 61 00ff 62 0000"),
        (Bson::Symbol(String::new()), "40 0000"),
        (
            Bson::Document(doc! { "a": 1_i32, "b": {} }),
            "50 30 6100 bff000000000000000 50 6200 00 00",
        ),
        (
            Bson::Array(vec![Bson::Null, Bson::Array(vec![])]),
            "58 20 58 00 00",
        ),
        (binary(0, &[7, 8]), "60 00000002 00 0708"),
        (binary(2, &[7, 8]), "60 00000006 02 00000002 0708"),
        (Bson::ObjectId(oid), "68 0102030405060708090a0b0c"),
        (Bson::Boolean(true), "70 01"),
        (
            Bson::DateTime(bson::DateTime::from_millis(-1)),
            "78 7fffffffffffffff",
        ),
        (
            Bson::Timestamp(bson::Timestamp {
                time: 1,
                increment: 2,
            }),
            "80 00000001 00000002",
        ),
        (Bson::JavaScriptCode("f".into()), "98 66 0000"),
        (Bson::MaxKey, "f0"),
    ];
    for (value, expected) in golden {
        assert_eq!(
            hex(&key(&raw(&value))),
            expected.replace(' ', ""),
            "{value:?}"
        );
    }
    let mut descending = Vec::new();
    encode_directed(
        RawBsonRef::Boolean(false),
        Direction::Descending,
        &mut descending,
    )
    .unwrap();
    assert_eq!(hex(&descending), "8fff");
}
