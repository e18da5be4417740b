//! A key gives back a value that is equal to the one that it was made of, in its default type.

use bson::raw::{RawBson, RawBsonRef};
use bson::{Bson, doc};
use nexusbase_documents::value::equal;
use nexusbase_documents::value::key::{Direction, decode, decode_first, encode, encode_directed};
use proptest::prelude::*;

use crate::random::{decimal_value, raw, value};

fn key(value: RawBsonRef<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    encode(value, &mut key).unwrap();
    key
}

/// Whether a value, and all in it, is of a type that a key tells.
fn tells_type(value: &Bson) -> bool {
    match value {
        // Of all that are no number, a key gives back one.
        Bson::Double(n) if n.is_nan() => n.to_bits() == f64::NAN.to_bits(),
        Bson::Double(n) => n.is_infinite() || n.fract() != 0.0,
        Bson::Int64(n) => i32::try_from(*n).is_err(),
        Bson::Decimal128(_) | Bson::Symbol(_) => false,
        Bson::Array(all) => all.iter().all(tells_type),
        Bson::Document(all) => all.values().all(tells_type),
        Bson::JavaScriptCodeWithScope(code) => code.scope.values().all(tells_type),
        _ => true,
    }
}

proptest! {
    #[test]
    fn a_key_gives_back_an_equal_value(value in value()) {
        let raw = raw(&value);
        let key = key(raw.as_raw_bson_ref());
        let back = decode(&key).unwrap();
        prop_assert!(equal(back.as_raw_bson_ref(), raw.as_raw_bson_ref()).unwrap());
        prop_assert_eq!(self::key(back.as_raw_bson_ref()), key);
        if tells_type(&value) {
            // As text: NaN is not equal to itself.
            prop_assert_eq!(format!("{back:?}"), format!("{raw:?}"));
        }
    }

    #[test]
    fn a_key_of_several_parts_is_read_part_by_part(a in value(), b in value()) {
        let (a, b) = (raw(&a), raw(&b));
        let mut both = Vec::new();
        encode_directed(a.as_raw_bson_ref(), Direction::Descending, &mut both).unwrap();
        encode(b.as_raw_bson_ref(), &mut both).unwrap();
        let (first, rest) = decode_first(&both, Direction::Descending).unwrap();
        let (second, rest) = decode_first(rest, Direction::Ascending).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert!(equal(first.as_raw_bson_ref(), a.as_raw_bson_ref()).unwrap());
        prop_assert!(equal(second.as_raw_bson_ref(), b.as_raw_bson_ref()).unwrap());
    }

    #[test]
    fn bytes_that_are_no_key_are_refused_or_read(
        value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        let mut damaged = key(raw(&value).as_raw_bson_ref());
        let at = at.index(damaged.len());
        let _ = decode(&damaged[..at]);
        damaged[at] = byte;
        let _ = decode(&damaged);
    }
}

#[test]
fn numbers_come_back_in_the_first_type_that_holds_them() {
    for (given, expected) in [
        (Bson::Double(1.0), Bson::Int32(1)),
        (Bson::Double(-0.0), Bson::Int32(0)),
        (Bson::Int64(7), Bson::Int32(7)),
        (decimal_value("1.00"), Bson::Int32(1)),
        (Bson::Double(4_294_967_296.0), Bson::Int64(1 << 32)),
        (Bson::Int64((1 << 53) + 1), Bson::Int64((1 << 53) + 1)),
        (Bson::Int64(i64::MIN), Bson::Int64(i64::MIN)),
        (Bson::Int64(i64::MAX), Bson::Int64(i64::MAX)),
        (decimal_value("9223372036854775807"), Bson::Int64(i64::MAX)),
        (Bson::Double(2.5), Bson::Double(2.5)),
        (decimal_value("2.5"), Bson::Double(2.5)),
        (decimal_value("-0.10"), decimal_value("-0.1")),
        (Bson::Double(f64::INFINITY), Bson::Double(f64::INFINITY)),
        (Bson::Symbol("a".to_owned()), Bson::String("a".to_owned())),
    ] {
        let back = decode(&key(raw(&given).as_raw_bson_ref())).unwrap();
        assert_eq!(back, raw(&expected), "{given:?}");
    }
    let object: RawBson = raw(&Bson::Document(
        doc! { "a": [1.0, { "b": null }], "c": "x\0y" },
    ));
    let expected = raw(&Bson::Document(
        doc! { "a": [1, { "b": null }], "c": "x\0y" },
    ));
    assert_eq!(decode(&key(object.as_raw_bson_ref())), Some(expected));
}
