//! Updates, whatever they are, leave documents that may be stored, and some leave them alone the
//! second time.

use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{Bson, Document, Timestamp, bson, doc};
use nexusbase_documents::document::check_document;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::update::{Now, OPERATORS, Update};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::random::{document, number, raw_document, value};

const NOW: Now = Now {
    unix_ms: 1_700_000_000_000,
    timestamp: Timestamp {
        time: 1,
        increment: 2,
    },
};

fn path() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "ab", "0", "1", "3", "$", "$[]", "$[x]"]);
    let plain = select(vec!["a", "b", "ab", "é"]);
    (plain, vec(part, 0..2)).prop_map(|(first, rest)| {
        let parts: Vec<&str> = std::iter::once(first).chain(rest).collect();
        parts.join(".")
    })
}

/// Operands that fit the operator, mostly.
fn operand(operator: &'static str) -> BoxedStrategy<Bson> {
    let each = |values| bson!({ "$each": Bson::Array(values) });
    let fitting = match operator {
        "$inc" | "$mul" => number().boxed(),
        "$pop" => select(vec![1, -1]).prop_map(Bson::Int32).boxed(),
        "$bit" => (any::<i32>(), any::<i64>())
            .prop_map(|(a, b)| bson!({ "and": a, "xor": b }))
            .boxed(),
        "$rename" => path().prop_map(Bson::String).boxed(),
        "$currentDate" => Just(bson!({ "$type": "timestamp" })).boxed(),
        "$push" => (vec(value(), 0..4), -3..4i64, -3..4i64, select(vec![1, -1]))
            .prop_map(|(each, position, slice, sort)| {
                bson!({ "$each": each, "$position": position, "$slice": slice, "$sort": sort })
            })
            .boxed(),
        "$addToSet" => vec(value(), 0..4).prop_map(each).boxed(),
        "$pull" => number().prop_map(|n| bson!({ "$gte": n })).boxed(),
        "$pullAll" => vec(number(), 0..4).prop_map(Bson::Array).boxed(),
        _ => value().boxed(),
    };
    prop_oneof![6 => fitting, 1 => value()].boxed()
}

/// Documents with something at the paths that updates name, and any documents.
fn target() -> impl Strategy<Value = Document> {
    let list = || vec(number(), 0..5);
    let shaped = (list(), vec(value(), 0..4), number(), document())
        .prop_map(|(a, b, ab, inner)| doc! { "a": a, "b": b, "ab": ab, "é": inner });
    prop_oneof![3 => shaped, 1 => document()]
}

fn update_of(operators: &'static [&'static str]) -> impl Strategy<Value = Document> {
    let operation =
        select(operators).prop_flat_map(|operator| (Just(operator), path(), operand(operator)));
    vec(operation, 1..3).prop_map(|operations| {
        let mut update = Document::new();
        for (operator, path, operand) in operations {
            match update.get_document_mut(operator) {
                Ok(places) => places.insert(path, operand),
                Err(_) => update.insert(operator, doc! { path: operand }),
            };
        }
        update
    })
}

fn parse(update: &Document, array_filter: Option<&Document>) -> Option<Update> {
    let filters: Vec<RawDocumentBuf> = array_filter.into_iter().map(raw_document).collect();
    Update::parse(&raw_document(update), &filters).ok()
}

fn id(document: &RawDocument) -> Option<RawBsonRef<'_>> {
    document.get("_id").unwrap()
}

/// Whether each operation has a field of the document for itself, so that none makes what another
/// one then finds.
fn is_apart(update: &Document) -> bool {
    let mut fields: Vec<&str> = update
        .values()
        .filter_map(Bson::as_document)
        .flat_map(Document::keys)
        .filter_map(|path| path.split('.').next())
        .collect();
    let operations = fields.len();
    fields.sort_unstable();
    fields.dedup();
    fields.len() == operations
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_update_leaves_a_document_that_may_be_stored(
        document in target(),
        update in update_of(OPERATORS),
        found in number(),
        filtered in number(),
    ) {
        let mut stored = doc! { "_id": 7 };
        stored.extend(document);
        let stored = raw_document(&stored);
        let filter = raw_document(&doc! { "a": { "$gte": found } });
        let array_filter = doc! { "x": { "$gte": filtered } };
        let update = parse(&update, Some(&array_filter)).or_else(|| parse(&update, None));
        let (Some(update), Ok(filter_parsed)) = (update, Filter::parse(&filter)) else {
            return Ok(());
        };
        if let Ok(Some(changed)) = update.apply(&stored, &filter_parsed, NOW) {
            prop_assert!(check_document(&changed).is_ok());
            prop_assert_ne!(changed.as_bytes(), stored.as_bytes());
            prop_assert_eq!(id(&changed), id(&stored));
        }
        if let Ok(inserted) = update.upsert(&filter, NOW) {
            prop_assert!(check_document(&inserted).is_ok());
        }
    }

    #[test]
    fn setting_removing_and_narrowing_twice_is_doing_it_once(
        document in target(),
        update in update_of(&["$set", "$unset", "$min", "$max", "$addToSet", "$pull", "$pullAll"]),
    ) {
        prop_assume!(is_apart(&update));
        let Some(update) = parse(&update, None) else {
            return Ok(());
        };
        let everything = Filter::default();
        if let Ok(Some(once)) = update.apply(&raw_document(&document), &everything, NOW) {
            let twice = update.apply(&once, &everything, NOW).unwrap();
            prop_assert_eq!(twice, None);
        }
    }
}
