//! Damaged BSON is an error or a value, never a panic and never a stack that overflows.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::ValueError;
use nexusbase_documents::document::{check_document, check_structure};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::path::field;
use nexusbase_documents::projection::Projection;
use nexusbase_documents::sort::Sort;
use nexusbase_documents::value::{compare, key};
use proptest::prelude::*;

use crate::random::{self, raw_document};

const FILTERS: &[&str] = &[
    r#"{}"#,
    r#"{"a": null, "b.a": {"$ne": 1}}"#,
    r#"{"$or": [{"a.0.b": {"$gte": 5}}, {"ab": {"$in": [1, "a", {}, [], null]}}]}"#,
    r#"{"a": {"$lt": {"$maxKey": 1}}, "$nor": [{"1": {"$exists": true}}]}"#,
    r#"{"a": {"$not": {"$elemMatch": {"$type": "number", "$mod": [2, 1]}}}}"#,
    r#"{"a": {"$not": {"$elemMatch": {"0": null, "b": {"$size": 2}}}}, "0.0.0.0.0.0": null}"#,
    r#"{"ab": {"$not": {"$regex": "^a(?!b)"}}, "b": {"$nin": [{"$regularExpression":
        {"pattern": "b$", "options": "i"}}, null]}, "0": {"$not": {"$all": ["a", 1]}}}"#,
];

const PROJECTIONS: &[&str] = &[
    r#"{"a.b": 0, "0": {"$slice": [1, 2]}, "1": {"$elemMatch": {"a": {"$exists": true}}}}"#,
    r#"{"a": {"b": 1, "0": {"$slice": -1}}, "b": {"$elemMatch": {"$ne": 1}}, "_id": 0}"#,
    r#"{"a.$": 1, "b": 1}"#,
];

/// Finding a field by stepping over bytes and by decoding every element must agree.
fn check_field_lookup(document: &RawDocument) {
    for name in ["a", "b", "ab", "0", "nowhere"] {
        let mut decoded = Ok(None);
        for element in document.iter_elements() {
            match element {
                Ok(element) if element.key().as_str() == name => {
                    decoded = element.value().map(Some);
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    decoded = Err(error);
                    break;
                }
            }
        }
        // Damage in what was stepped over may go unseen; what is seen must be the same.
        if let Ok(decoded) = decoded {
            let found = field(document, name).expect("nothing is damaged that was decoded");
            assert_eq!(format!("{found:?}"), format!("{decoded:?}"));
        }
    }
}

/// Does everything with a document that may be damaged; only the absence of panics is checked.
fn exercise(document: &RawDocument) {
    check_field_lookup(document);
    for filter in FILTERS {
        let filter = Filter::parse(&parse_document(filter.as_bytes()).unwrap()).unwrap();
        let _ = filter.matches(document);
    }
    let _ = Filter::parse(document);
    let _ = check_document(document);
    let _ = Sort::from_document(document);
    let _ = Sort::parse("a,-b.a,ab.0")
        .unwrap()
        .key(document, &mut Vec::new());
    let _ = Projection::parse("a.b,b,0.1").unwrap().apply(document);
    let filter = Filter::parse(&parse_document(br#"{"a": {"$ne": 1}, "a.b": null}"#).unwrap());
    for projection in PROJECTIONS {
        let projection = parse_document(projection.as_bytes()).unwrap();
        let projection = Projection::from_document(&projection).unwrap();
        let _ = projection.apply_matched(document, filter.as_ref().unwrap());
    }
    let _ = Projection::from_document(document);
    let _ = to_string(document, Form::Relaxed);
    let value = RawBsonRef::Document(document);
    let _ = compare(value, value);
    let _ = key::encode(value, &mut Vec::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_damaged_document_never_panics(
        document in random::document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = raw_document(&document).into_bytes();
        for (position, byte) in damage {
            // Past the length, which is checked before anything else is read.
            let position = 4 + position.index(bytes.len() - 4);
            bytes[position] = byte;
        }
        if let Ok(document) = RawDocument::from_bytes(&bytes) {
            exercise(document);
        }
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let length = i32::try_from(body.len() + 5).unwrap();
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        bytes.push(0);
        exercise(RawDocument::from_bytes(&bytes).unwrap());
    }

    #[test]
    fn a_checked_document_never_fails_later(document in random::document()) {
        let document = raw_document(&document);
        prop_assume!(check_structure(&document).is_ok());
        check_field_lookup(&document);
        for filter in FILTERS {
            let filter = Filter::parse(&parse_document(filter.as_bytes()).unwrap()).unwrap();
            prop_assert!(filter.matches(&document).is_ok());
        }
        prop_assert!(Sort::parse("a,-b.a").unwrap().key(&document, &mut Vec::new()).is_ok());
        prop_assert!(Projection::parse("a.b,b").unwrap().apply(&document).is_ok());
        prop_assert!(to_string(&document, Form::Canonical).is_ok());
    }
}

/// An object in an object, `levels` deep.
fn nested(levels: usize) -> RawDocumentBuf {
    let mut bytes: Vec<u8> = vec![5, 0, 0, 0, 0];
    for _ in 1..levels {
        let length = i32::try_from(bytes.len() + 8).unwrap();
        let mut outer = length.to_le_bytes().to_vec();
        outer.extend_from_slice(&[0x03, b'a', 0]);
        outer.append(&mut bytes);
        outer.push(0);
        bytes = outer;
    }
    RawDocumentBuf::from_bytes(bytes).unwrap()
}

#[test]
fn nesting_is_limited_everywhere() {
    assert!(check_document(&nested(100)).is_ok());
    let deep = nested(3000);
    exercise(&deep);
    let value = RawBsonRef::Document(&deep);
    assert!(matches!(compare(value, value), Err(ValueError::TooDeep)));
    assert!(matches!(
        key::encode(value, &mut Vec::new()),
        Err(ValueError::TooDeep)
    ));
    assert!(matches!(
        to_string(&deep, Form::Relaxed),
        Err(ValueError::TooDeep)
    ));
    let error = check_document(&nested(101)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/a is nested deeper than 100 levels"),
        "{error}"
    );
    assert!(parse_document("{\"a\":".repeat(1 << 20).as_bytes()).is_err());
    assert!(parse_document(format!("{{\"a\":{}", "[".repeat(1 << 20)).as_bytes()).is_err());
}
