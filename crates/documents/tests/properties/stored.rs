//! What was written is what a query returns, and keys lead back to their values.

use bson::raw::{RawBson, RawBsonRef, RawDocumentBuf, cstr};
use nexusbase_db::Database;
use nexusbase_documents::document::check_document;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::value::equal;
use nexusbase_documents::value::key::{decode, encode};
use nexusbase_documents::{Documents, IndexSpec, Query, id};
use proptest::prelude::*;

use crate::random::{self, raw, raw_document};

fn key(value: RawBsonRef<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    encode(value, &mut key).unwrap();
    key
}

/// Documents of all types with an `_id` of any type that can be one.
fn stored() -> impl Strategy<Value = RawDocumentBuf> {
    let id =
        random::value().prop_filter("an _id", |id| id::check(raw(id).as_raw_bson_ref()).is_ok());
    let document = (id, random::document()).prop_map(|(id, fields)| {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("_id"), raw(&id));
        for field in &raw_document(&fields) {
            let (name, value) = field.unwrap();
            document.append(name, value);
        }
        document
    });
    document.prop_filter("storable", |document| check_document(document).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_was_written_is_what_a_query_returns(documents in prop::collection::vec(stored(), 1..6)) {
        let db = Database::in_memory().unwrap();
        let things = Documents::new(&db).collection("things").unwrap();
        // Arrays under one path only, so that no document is refused.
        things.create_index(&IndexSpec::on("a").unwrap(), |_| {}).unwrap();
        let mut there: Vec<(Vec<u8>, RawDocumentBuf)> = Vec::new();
        for document in &documents {
            let id = document.get("_id").unwrap().unwrap();
            there.retain(|(other, _)| *other != key(id));
            things.replace(id, document).unwrap();
            there.push((key(id), document.clone()));
        }
        there.sort_by(|(a, _), (b, _)| a.cmp(b));
        let query = Query::new(&RawDocumentBuf::new()).unwrap().sort("_id").unwrap();
        let found = things.find(&query).unwrap();
        prop_assert_eq!(found.len(), there.len());
        for (found, (_, document)) in found.iter().zip(&there) {
            prop_assert_eq!(found.as_bytes(), document.as_bytes());
            let id = document.get("_id").unwrap().unwrap();
            let got = things.get(id).unwrap().unwrap();
            prop_assert_eq!(got.as_bytes(), document.as_bytes());
            let mut filter = RawDocumentBuf::new();
            let mut equals = RawDocumentBuf::new();
            equals.append(cstr!("$eq"), id);
            filter.append(cstr!("_id"), equals);
            let by_id = things.find(&Query::new(&filter).unwrap()).unwrap();
            prop_assert_eq!(by_id.len(), 1);
            // And as text that keeps the types.
            let text = to_string(found, Form::Canonical).unwrap();
            let back = parse_document(text.as_bytes()).unwrap();
            prop_assert_eq!(to_string(&back, Form::Canonical).unwrap(), text);
            prop_assert!(equal(RawBsonRef::Document(&back), RawBsonRef::Document(document)).unwrap());
        }
    }

    #[test]
    fn a_key_leads_back_to_its_value(value in random::value()) {
        let value = raw(&value);
        let encoded = key(value.as_raw_bson_ref());
        let decoded: RawBson = decode(&encoded).unwrap();
        prop_assert!(equal(value.as_raw_bson_ref(), decoded.as_raw_bson_ref()).unwrap());
        prop_assert_eq!(key(decoded.as_raw_bson_ref()), encoded);
    }

    #[test]
    fn no_bytes_bring_the_decoder_of_keys_down(
        value in random::value(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = key(raw(&value).as_raw_bson_ref());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes);
        let _ = decode(&bytes[at..]);
    }
}
