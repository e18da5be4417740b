//! Random BSON for property tests: values that meet one another at the edges of their types.

use bson::oid::ObjectId;
use bson::raw::{CStr, RawBson, RawDocumentBuf};
use bson::spec::BinarySubtype;
use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A value as raw BSON.
pub(crate) fn raw(value: &Bson) -> RawBson {
    RawBson::try_from(value.clone()).expect("a value without NUL in its names")
}

/// A document as raw BSON.
pub(crate) fn raw_document(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).expect("a document without NUL in its names")
}

/// A decimal from its text.
pub(crate) fn decimal_value(text: &str) -> Bson {
    Bson::Decimal128(text.parse().expect("a decimal"))
}

/// A DBPointer, which only a decoder can make.
fn db_pointer(namespace: &str) -> Bson {
    let id = "{\"$oid\":\"0102030405060708090a0b0c\"}";
    let text = format!("{{\"$dbPointer\":{{\"$ref\":\"{namespace}\",\"$id\":{id}}}}}");
    let value = nexusbase_documents::json::parse_value(text.as_bytes()).expect("a DBPointer");
    Bson::try_from(value).expect("a DBPointer")
}

pub(crate) fn regex_value(pattern: &str, options: &str) -> Bson {
    let c_string = |text: &str| <&CStr>::try_from(text).expect("no NUL").into();
    Bson::RegularExpression(Regex {
        pattern: c_string(pattern),
        options: c_string(options),
    })
}

/// Integers around which types, signs or precision change.
fn edge_integer() -> impl Strategy<Value = i64> {
    let centers = [
        0,
        1,
        5,
        10,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        1 << 53,
        -(1 << 53),
        1 << 60,
    ];
    let near = (select(centers.to_vec()), -3i64..4).prop_map(|(center, offset)| center + offset);
    prop_oneof![
        4 => near,
        1 => (0i64..3).prop_map(|offset| i64::MAX - offset),
        1 => (0i64..3).prop_map(|offset| i64::MIN + offset),
        1 => any::<i64>(),
    ]
}

fn edge_double() -> impl Strategy<Value = f64> {
    let fixed = vec![
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        0.1,
        0.5,
        1.5,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(1),
        f64::MAX,
        f64::MIN,
    ];
    prop_oneof![
        2 => select(fixed),
        3 => edge_integer().prop_map(|n| n as f64),
        1 => edge_integer().prop_map(|n| (n as f64).next_up()),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => (-50i32..50).prop_map(|n| f64::from(n) / 10.0),
    ]
}

fn decimal() -> impl Strategy<Value = Bson> {
    let fixed = vec![
        "NaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "0E+6000",
        "1E-6176",
        "-1E-6176",
        "9.999999999999999999999999999999999E+6144",
        "-1E+6144",
        "1E+400",
        "0.1",
        "0.10",
        "0.3",
        "1.0",
        "1E+1",
        "10",
        "5E-324",
        "1.7976931348623157E+308",
        "1.7976931348623158E+308",
    ];
    let number = |text: String| decimal_value(&text);
    prop_oneof![
        2 => select(fixed).prop_map(decimal_value),
        2 => edge_integer().prop_map(move |n| number(n.to_string())),
        2 => (edge_integer(), -20i32..20).prop_map(move |(n, e)| number(format!("{n}E{e}"))),
        1 => edge_double().prop_map(move |n| {
            // The 17 digits that are nearest to a double, and rarely equal to it.
            number(format!("{:.16e}", if n.is_finite() { n } else { 0.7 }))
        }),
        1 => any::<[u8; 16]>().prop_map(|bytes| Bson::Decimal128(Decimal128::from_bytes(bytes))),
    ]
}

pub(crate) fn number() -> impl Strategy<Value = Bson> {
    prop_oneof![
        edge_integer().prop_map(Bson::Int64),
        edge_integer().prop_map(|n| {
            Bson::Int32(i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX }))
        }),
        edge_double().prop_map(Bson::Double),
        decimal(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let letter = select(vec![
        'a',
        'b',
        '\0',
        '\u{1}',
        '\u{ff}',
        '€',
        '\u{10FFFF}',
        '"',
        '\\',
    ]);
    vec(letter, 0..4).prop_map(|letters| letters.into_iter().collect())
}

/// Names without NUL, some the beginning of others.
fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "ab", "a\u{1}", "é", "0", "1"]).prop_map(str::to_owned)
}

fn binary() -> impl Strategy<Value = Bson> {
    (
        select(vec![0u8, 2, 4, 5, 0x80, 0xff]),
        vec(select(vec![0u8, 1, 0xff]), 0..5),
    )
        .prop_map(|(subtype, bytes)| {
            Bson::Binary(Binary {
                subtype: BinarySubtype::from(subtype),
                bytes,
            })
        })
}

fn scalar() -> impl Strategy<Value = Bson> {
    prop_oneof![
        6 => number(),
        3 => text().prop_map(Bson::String),
        1 => text().prop_map(Bson::Symbol),
        2 => Just(Bson::Null),
        1 => select(vec![Bson::MinKey, Bson::MaxKey, Bson::Undefined]),
        2 => any::<bool>().prop_map(Bson::Boolean),
        1 => edge_integer().prop_map(|n| Bson::DateTime(DateTime::from_millis(n))),
        1 => (0u32..3, any::<u32>())
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        1 => select(vec![[0u8; 12], [1; 12], [0xff; 12]])
            .prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        1 => binary(),
        1 => (name(), select(vec!["", "i", "im"])).prop_map(|(p, o)| regex_value(&p, o)),
        1 => text().prop_map(Bson::JavaScriptCode),
        1 => select(vec!["a", "ab", ""]).prop_map(db_pointer),
    ]
}

/// Any value, also nested.
pub(crate) fn value() -> impl Strategy<Value = Bson> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let fields = vec((name(), inner.clone()), 0..4).boxed();
        prop_oneof![
            vec(inner, 0..4).prop_map(Bson::Array),
            fields
                .clone()
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
            (text(), fields).prop_map(|(code, fields)| {
                let scope = fields.into_iter().collect();
                Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })
            }),
        ]
    })
}

/// A document with fields of all kinds.
pub(crate) fn document() -> impl Strategy<Value = Document> {
    vec((name(), value()), 0..6).prop_map(|fields| fields.into_iter().collect())
}
