//! Pipelines answer what a plain reading of their stages says, whatever way the answer is found.

use std::collections::BTreeMap;

use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf};
use bson::{Bson, Document, bson, doc};
use nexusbase_db::Database;
use nexusbase_documents::document::check_structure;
use nexusbase_documents::value::{compare, key};
use nexusbase_documents::{Collection, Documents, Pipeline};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::random::{self, raw, raw_document};

fn pipeline(stages: &[Document]) -> Pipeline {
    let stages: RawArrayBuf = stages.iter().map(raw_document).collect();
    Pipeline::parse(&stages).expect("a pipeline")
}

fn filled(documents: &[Document]) -> Collection {
    let all = Documents::new(&Database::in_memory().unwrap());
    let collection = all.collection("main").unwrap();
    collection.create().unwrap();
    for document in documents {
        collection.insert(&raw_document(document)).unwrap();
    }
    collection
}

fn run(collection: &Collection, stages: &[Document]) -> Vec<RawDocumentBuf> {
    collection.aggregate(&pipeline(stages)).unwrap()
}

/// Documents with few different keys, and numbers that add up exactly in a double.
fn documents() -> impl Strategy<Value = Vec<Document>> {
    let key = select(vec![
        bson!(null),
        bson!(1),
        bson!(1.0),
        bson!("a"),
        bson!([1, "a"]),
        bson!({ "x": 1 }),
        bson!(true),
    ]);
    let one = (proptest::option::of(key), -1000..1000);
    vec(one, 0..30).prop_map(|parts| {
        let document = |(id, (key, number)): (usize, (Option<Bson>, i32))| {
            let mut document = doc! { "_id": i32::try_from(id).unwrap(), "n": number };
            document.extend(key.map(|key| ("k".to_owned(), key)));
            document
        };
        parts.into_iter().enumerate().map(document).collect()
    })
}

fn key_of(value: RawBsonRef<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    key::encode(value, &mut bytes).unwrap();
    bytes
}

/// Stages that a query can answer, in an order in which it can.
fn prefix() -> impl Strategy<Value = Vec<Document>> {
    let filter = select(vec![
        doc! {},
        doc! { "k": 1 },
        doc! { "k": { "$in": ["a", null] } },
        doc! { "n": { "$gte": -200, "$lt": 500 } },
        doc! { "k": { "$ne": true }, "n": { "$gt": 0 } },
    ]);
    let order = select(vec![
        doc! { "n": 1 },
        doc! { "n": -1, "k": 1 },
        doc! { "k": -1 },
    ]);
    let filters = vec(
        filter.clone().prop_map(|filter| doc! { "$match": filter }),
        0..3,
    );
    let later = proptest::option::of(filter.prop_map(|filter| doc! { "$match": filter }));
    let page = prop_oneof![
        (0..10).prop_map(|number| doc! { "$skip": number }),
        (1..20).prop_map(|number| doc! { "$limit": number }),
    ];
    (filters, order, later, vec(page, 0..4)).prop_map(|(filters, order, later, pages)| {
        let mut stages = filters;
        stages.push(doc! { "$sort": order });
        stages.extend(later);
        stages.extend(pages);
        stages
    })
}

/// What a leaf of a pipeline may say.
const TEXTS: [&str; 12] = [
    "$a", "$$ROOT", "$$this", "$", "$$", "$a..b", "a", "", "_id", "a.b", "$$REMOVE", "UTC",
];

/// What may stand on the left in a pipeline.
const NAMES: &str = "a b _id a.b . $ $add $cond $map $filter $reduce $let $switch $literal $sum $push $first \
    $addToSet $avg $max $arrayElemAt $slice $substrCP $split $trim $round $trunc $divide \
    $mod $toString $toInt $toDate $dateToString $year $range $type $mergeObjects \
    $arrayToObject $indexOfCP $in $eq $and $ifNull input in cond as vars branches default \
    case then if else from localField foreignField pipeline path newRoot includeArrayIndex \
    preserveNullAndEmptyArrays initialValue date format chars";

/// Values that look like parts of pipelines.
fn piece() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        select(TEXTS.to_vec()).prop_map(Bson::from),
        random::number(),
        random::value(),
    ];
    let names = select(NAMES.split(' ').collect::<Vec<_>>());
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Bson::Array),
            vec((names.clone(), inner), 0..4).prop_map(|fields| {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name.to_owned(), value));
                Bson::Document(fields.collect())
            }),
        ]
    })
}

/// Operators with the number of operands that they take.
const OPERATORS: [(&str, usize); 57] = [
    ("$abs", 1),
    ("$add", 3),
    ("$arrayElemAt", 2),
    ("$arrayToObject", 1),
    ("$avg", 2),
    ("$ceil", 1),
    ("$cmp", 2),
    ("$concat", 2),
    ("$concatArrays", 2),
    ("$cond", 3),
    ("$dayOfWeek", 1),
    ("$divide", 2),
    ("$eq", 2),
    ("$first", 1),
    ("$floor", 1),
    ("$gt", 2),
    ("$ifNull", 2),
    ("$in", 2),
    ("$indexOfArray", 4),
    ("$indexOfCP", 4),
    ("$isArray", 1),
    ("$last", 1),
    ("$max", 1),
    ("$mergeObjects", 2),
    ("$min", 1),
    ("$mod", 2),
    ("$multiply", 2),
    ("$not", 1),
    ("$objectToArray", 1),
    ("$or", 2),
    ("$range", 3),
    ("$reverseArray", 1),
    ("$round", 2),
    ("$size", 1),
    ("$slice", 2),
    ("$slice", 3),
    ("$split", 2),
    ("$strLenCP", 1),
    ("$substr", 3),
    ("$substrCP", 3),
    ("$subtract", 2),
    ("$sum", 1),
    ("$toBool", 1),
    ("$toDate", 1),
    ("$toDecimal", 1),
    ("$toDouble", 1),
    ("$toInt", 1),
    ("$toLong", 1),
    ("$toLower", 1),
    ("$toObjectId", 1),
    ("$toString", 1),
    ("$toUpper", 1),
    ("$trunc", 1),
    ("$trunc", 2),
    ("$type", 1),
    ("$year", 1),
    ("$sum", 2),
];

/// Expressions that are read without a complaint, and that meet operands of all types.
fn expression() -> impl Strategy<Value = Bson> {
    let leaf = prop_oneof![
        3 => select(vec!["$a", "$b", "$a.b", "$$ROOT", "$_id", "$missing", "$$REMOVE"])
            .prop_map(Bson::from),
        1 => select(vec!["", "a", "ä€b", "2024-02-29T01:02:03Z", "12"]).prop_map(Bson::from),
        2 => (-3..5).prop_map(Bson::Int32),
        2 => random::number(),
        2 => random::value().prop_map(|value| bson!({ "$literal": value })),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let inner = inner.boxed();
        let one = || inner.clone();
        let call = (select(OPERATORS.to_vec()), vec(one(), 4)).prop_map(
            |((name, count), mut operands)| {
                operands.truncate(count);
                bson!({ name: operands })
            },
        );
        let loops = (one(), one(), one()).prop_map(|(input, value, body)| {
            let input = bson!({ "$ifNull": [input, [1, 2]] });
            bson!([
                { "$map": { "input": input.clone(), "in": ["$$this", body.clone()] } },
                { "$filter": { "input": input.clone(), "cond": value.clone() } },
                { "$reduce": { "input": input, "initialValue": value, "in": ["$$value", body] } },
            ])
        });
        let named = (one(), one()).prop_map(|(input, more)| {
            bson!({
                "t": { "$trim": { "input": input.clone(), "chars": more.clone() } },
                "d": { "$dateToString": { "date": input, "format": more } },
            })
        });
        prop_oneof![6 => call, 1 => loops, 1 => named]
    })
}

/// Stages that are read without a complaint.
fn sound_stage() -> impl Strategy<Value = Document> {
    let path = select(vec!["a", "b", "a.b", "_id", "c.d.e", "a.0"]);
    let dollar = select(vec!["$a", "$b", "$a.b", "$c"]);
    let accumulator = select(vec![
        "$sum",
        "$avg",
        "$min",
        "$max",
        "$first",
        "$last",
        "$push",
        "$addToSet",
        "$mergeObjects",
        "$stdDevPop",
        "$stdDevSamp",
    ]);
    prop_oneof![
        (path.clone(), expression()).prop_map(|(path, value)| doc! { "$set": { path: value } }),
        (path.clone(), expression()).prop_map(|(path, value)| doc! { "$project": { path: value } }),
        path.clone()
            .prop_map(|path| doc! { "$project": { path: 1 } }),
        path.clone().prop_map(|path| doc! { "$unset": path }),
        (expression(), accumulator, expression()).prop_map(|(id, name, value)| {
            doc! { "$group": { "_id": { "$ifNull": [id, null] }, "a": { name: value } } }
        }),
        (dollar.clone(), path.clone(), any::<bool>()).prop_map(|(array, index, preserve)| {
            doc! { "$unwind": {
                "path": array, "includeArrayIndex": index, "preserveNullAndEmptyArrays": preserve,
            } }
        }),
        (path.clone(), path.clone(), path.clone()).prop_map(|(local, foreign, place)| {
            doc! { "$lookup": {
                "from": "main", "localField": local, "foreignField": foreign, "as": place,
            } }
        }),
        path.prop_map(|path| doc! { "$sort": { path: -1 } }),
        dollar.prop_map(|path| doc! { "$sortByCount": path }),
        expression().prop_map(|root| doc! { "$replaceWith": { "r": root } }),
    ]
}

fn any_stage() -> impl Strategy<Value = Document> {
    let names = select(vec![
        "$match",
        "$project",
        "$addFields",
        "$unset",
        "$group",
        "$sort",
        "$limit",
        "$skip",
        "$unwind",
        "$count",
        "$lookup",
        "$sortByCount",
        "$replaceRoot",
        "$replaceWith",
    ]);
    let broken = (names, piece()).prop_map(|(name, operand)| doc! { name: operand });
    prop_oneof![8 => sound_stage(), 1 => broken]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_group_has_the_sum_and_count_of_a_plain_loop(documents in documents()) {
        let mut expected: BTreeMap<Vec<u8>, (i64, i64)> = BTreeMap::new();
        for document in &documents {
            let key = raw(document.get("k").unwrap_or(&Bson::Null));
            let group = expected.entry(key_of(key.as_raw_bson_ref())).or_default();
            group.0 += i64::from(document.get_i32("n").unwrap());
            group.1 += 1;
        }
        let stage = doc! { "$group": {
            "_id": "$k", "sum": { "$sum": "$n" }, "ones": { "$sum": 1 }, "count": { "$count": {} },
        } };
        let found = run(&filled(&documents), &[stage]);
        prop_assert_eq!(found.len(), expected.len());
        for group in found {
            let (sum, count) = expected[&key_of(group.get("_id").unwrap().unwrap())];
            prop_assert_eq!(i64::from(group.get_i32("sum").unwrap()), sum);
            prop_assert_eq!(i64::from(group.get_i32("count").unwrap()), count);
            prop_assert_eq!(i64::from(group.get_i32("ones").unwrap()), count);
        }
    }

    #[test]
    fn sort_skip_and_limit_give_the_page_of_a_plain_sort(
        documents in documents(),
        up: bool,
        skip in 0..10_usize,
        limit in 1..10_usize,
        split: bool,
    ) {
        let number = |document: &Document| document.get_i32("n").unwrap();
        let mut expected = documents.clone();
        // Ties are in the order of _id, in the same direction.
        expected.sort_by_key(|document| (number(document), document.get_i32("_id").unwrap()));
        if !up {
            expected.reverse();
        }
        let expected: Vec<_> = expected.iter().skip(skip).take(limit).map(raw_document).collect();
        let mut stages = vec![
            doc! { "$sort": { "n": if up { 1 } else { -1 } } },
            doc! { "$skip": i64::try_from(skip).unwrap() },
            doc! { "$limit": i64::try_from(limit).unwrap() },
        ];
        if !split {
            stages.insert(0, doc! { "$addFields": {} });
        }
        prop_assert_eq!(run(&filled(&documents), &stages), expected);
    }

    #[test]
    fn what_a_query_answers_is_what_the_stages_would(
        documents in documents(),
        prefix in prefix(),
        indexed in select(vec!["", "n", "k"]),
    ) {
        let collection = filled(&documents);
        if !indexed.is_empty() {
            collection.create_index(&nexusbase_documents::IndexSpec::on(indexed).unwrap(), |_| {}).unwrap();
        }
        // A stage that changes nothing, and that no query can answer.
        let mut apart = vec![doc! { "$addFields": {} }];
        apart.extend(prefix.clone());
        prop_assert_eq!(run(&collection, &prefix), run(&collection, &apart));
    }

    #[test]
    fn an_average_lies_between_the_smallest_and_the_largest(documents in documents()) {
        let stage = doc! { "$group": {
            "_id": "$k", "avg": { "$avg": "$n" }, "min": { "$min": "$n" }, "max": { "$max": "$n" },
        } };
        for group in run(&filled(&documents), &[stage]) {
            let value = |name: &str| group.get(name).unwrap().unwrap();
            prop_assert!(compare(value("min"), value("avg")).unwrap().is_le());
            prop_assert!(compare(value("avg"), value("max")).unwrap().is_le());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn whatever_the_pipeline_it_does_not_panic_and_makes_sound_documents(
        stages in vec(any_stage(), 1..4),
        document in random::document(),
    ) {
        let stages = stages.iter().map(|stage| RawBson::Document(raw_document(stage)));
        let stages: RawArrayBuf = stages.collect();
        if let Ok(pipeline) = Pipeline::parse(&stages) {
            let collection = filled(&[]);
            // Some random documents may not be stored; those are not the subject here.
            let _ = collection.insert(&raw_document(&document));
            let _ = collection.insert(&raw_document(&doc! { "a": [{ "b": 1 }, 2], "b": "x" }));
            for made in collection.aggregate(&pipeline).into_iter().flatten() {
                let sound = check_structure(&made);
                prop_assert!(sound.is_ok(), "{:?}", sound);
            }
        }
    }
}
