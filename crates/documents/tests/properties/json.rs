//! JSON is read as other readers read it, comes back as it was, and never brings the reader down.

use bson::Bson;
use bson::raw::RawBsonRef;
use nexusbase_documents::json::{Form, parse_document, parse_value, to_string, write_value};
use nexusbase_documents::value::equal;
use proptest::prelude::*;

use crate::random::{self, raw, raw_document};

/// Pieces from which almost JSON is made.
fn almost_json() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"a\"",
        "\"b\"",
        "1",
        "-0",
        "0.5",
        "1e5",
        "01",
        "true",
        "nul",
        "null",
        " ",
        "\n",
        "\"\\u00e9\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"",
        "\\",
        "é",
        "\"$oid\"",
        "\"$date\"",
        "\"$numberLong\"",
        "9223372036854775808",
        "\"$binary\"",
        "1e999",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|pieces| pieces.concat())
}

/// JSON as other programs write it.
fn plain_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let members = prop::collection::vec(("[a-z]{0,2}", inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn as_bson(value: &serde_json::Value) -> Bson {
    use serde_json::Value;
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(as_bson).collect()),
        Value::Object(members) => {
            let fields = members
                .iter()
                .map(|(name, value)| (name.clone(), as_bson(value)));
            Bson::Document(fields.collect())
        }
        Value::Number(number) => match number.as_i64() {
            Some(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap()),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn canonical_text_gives_back_the_same_bytes(document in random::document()) {
        let document = raw_document(&document);
        let text = to_string(&document, Form::Canonical).unwrap();
        let again = parse_document(text.as_bytes()).unwrap();
        let again_text = to_string(&again, Form::Canonical).unwrap();
        // Decimals that are not canonical, and the bits of a NaN, have no text of their own.
        prop_assert_eq!(again_text, text);
        prop_assert!(equal(RawBsonRef::Document(&again), RawBsonRef::Document(&document)).unwrap());
    }

    #[test]
    fn relaxed_text_gives_back_an_equal_document(document in random::document()) {
        let document = raw_document(&document);
        let text = to_string(&document, Form::Relaxed).unwrap();
        let again = parse_document(text.as_bytes()).unwrap();
        prop_assert!(equal(RawBsonRef::Document(&again), RawBsonRef::Document(&document)).unwrap());
        let other: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert!(other.is_object());
    }

    #[test]
    fn any_value_comes_back_by_itself(value in random::value()) {
        let value = raw(&value);
        let mut text = String::new();
        write_value(value.as_raw_bson_ref(), Form::Canonical, &mut text).unwrap();
        let again = parse_value(text.as_bytes()).unwrap();
        prop_assert!(equal(again.as_raw_bson_ref(), value.as_raw_bson_ref()).unwrap());
    }

    #[test]
    fn plain_json_means_what_it_means_elsewhere(value in plain_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        prop_assert_eq!(parse_value(text.as_bytes()).unwrap(), raw(&as_bson(&value)));
    }

    #[test]
    fn what_is_read_here_is_json_elsewhere(text in almost_json()) {
        let elsewhere = serde_json::from_str::<serde_json::Value>(&text);
        match parse_value(text.as_bytes()) {
            Ok(_) => prop_assert!(elsewhere.is_ok(), "{text}: {elsewhere:?}"),
            Err(error) => {
                use nexusbase_documents::error::ParseErrorKind as Kind;
                let syntax = matches!(error.kind, Kind::Syntax { .. } | Kind::LoneSurrogate { .. });
                prop_assert!(!syntax || elsewhere.is_err(), "{text}: {error}");
            }
        }
    }

    #[test]
    fn random_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = parse_document(&bytes);
        let _ = parse_value(&bytes);
    }

    #[test]
    fn extended_json_with_random_content_never_panics(
        wrapper in prop::sample::select(vec![
            "$oid", "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal", "$date", "$uuid",
            "$symbol", "$code", "$binary", "$timestamp", "$minKey",
        ]),
        content in prop_oneof![
            any::<String>(),
            "[-+0-9.eE]{0,50}",
            "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,12}Z",
            "[é0-9.]{30,50}",
        ],
    ) {
        let content = serde_json::Value::from(content);
        let _ = parse_value(format!("{{\"{wrapper}\":{content}}}").as_bytes());
    }
}
