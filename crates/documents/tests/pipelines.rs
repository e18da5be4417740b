//! The rules of pipelines, one test per rule, named after it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::cell::Cell;

use bson::raw::{RawBsonRef, RawDocumentBuf};
use bson::rawdoc;
use nexusbase_db::Database;
use nexusbase_documents::aggregate::{AggregateError, MEMORY_BYTES_MAX, PipelineError};
use nexusbase_documents::json::{Form, parse_document, parse_value, to_string};
use nexusbase_documents::{Collection, DocumentError, Documents, Error, Pipeline};

fn pipeline(json: &str) -> Result<Pipeline, PipelineError> {
    let value = parse_value(json.as_bytes()).expect("JSON");
    Pipeline::from_value(value.as_raw_bson_ref())
}

/// A collection with these documents.
fn collection(documents: &[&str]) -> Collection {
    let all = Documents::new(&Database::in_memory().unwrap());
    let collection = all.collection("main").unwrap();
    for json in documents {
        let document = parse_document(json.as_bytes()).expect("a document");
        collection.insert(&document).unwrap();
    }
    collection
}

fn text(document: &RawDocumentBuf) -> String {
    to_string(document, Form::Relaxed).unwrap()
}

/// What a pipeline makes of the documents, as text.
#[track_caller]
fn made(collection: &Collection, stages: &str) -> Vec<String> {
    let pipeline = pipeline(stages).unwrap();
    let documents = collection.aggregate(&pipeline).unwrap();
    documents.iter().map(text).collect()
}

/// The value of an expression for `{"_id": 1}`, as text; "missing" for none.
#[track_caller]
fn value(expression: &str) -> String {
    let stages = format!(r#"[{{"$project": {{"_id": 0, "v": {expression}}}}}]"#);
    let found = made(&collection(&[r#"{"_id": 1}"#]), &stages).remove(0);
    let value = found.strip_prefix(r#"{"v":"#);
    value.map_or("missing".to_owned(), |value| {
        value.strip_suffix('}').unwrap().to_owned()
    })
}

#[track_caller]
fn expect_values(expected: &[(&str, &str)]) {
    for (expression, expected) in expected {
        assert_eq!(value(expression), *expected, "{expression}");
    }
}

#[test]
fn numbers_are_calculated_by_the_rules_of_their_types() {
    expect_values(&[
        (r#"{"$add": [2147483647, 1]}"#, "2147483648"),
        (r#"{"$add": [1, null]}"#, "null"),
        (r#"{"$add": []}"#, "0"),
        (r#"{"$subtract": [5, 7.5]}"#, "-2.5"),
        (
            r#"{"$multiply": [3, {"$numberDecimal": "1.10"}]}"#,
            r#"{"$numberDecimal":"3.30"}"#,
        ),
        (r#"{"$divide": [1, 2]}"#, "0.5"),
        (r#"{"$mod": [-7, 3]}"#, "-1"),
        (r#"{"$abs": [{"$literal": -2147483648}]}"#, "2147483648"),
        (r#"{"$ceil": -1.5}"#, "-1.0"),
        (r#"{"$floor": -1.5}"#, "-2.0"),
        (r#"{"$round": [2.5]}"#, "2.0"),
        (r#"{"$round": [3.5, 0]}"#, "4.0"),
        (r#"{"$round": [1.255, 2]}"#, "1.26"),
        (r#"{"$round": [1250, -2]}"#, "1200"),
        (r#"{"$trunc": [-1.999, 1]}"#, "-1.9"),
        (r#"{"$trunc": [1299, -2]}"#, "1200"),
        (r#"{"$sum": [1, "x", 2.5]}"#, "3.5"),
        (r#"{"$sum": [[1, 2, 3]]}"#, "6"),
        (r#"{"$avg": [[1, 2]]}"#, "1.5"),
        (r#"{"$min": [[3, 1, null]]}"#, "1"),
        (r#"{"$max": [3, "a", null]}"#, r#""a""#),
    ]);
}

#[test]
fn what_is_missing_is_not_null_but_counts_as_nothing() {
    expect_values(&[
        (r#"{"$eq": ["$x", null]}"#, "false"),
        (r#"{"$lt": ["$x", null]}"#, "true"),
        (r#"{"$cmp": ["$_id", 1.0]}"#, "0"),
        (r#"{"$ifNull": ["$x", null, 5]}"#, "5"),
        (
            r#"{"$cond": {"if": "$x", "then": 1, "else": "$x"}}"#,
            "missing",
        ),
        (r#"["$x", 1]"#, "[null,1]"),
        (r#"{"$literal": {"$add": 1}}"#, r#"{"$add":1}"#),
        (r#"{"$type": "$x"}"#, r#""missing""#),
        (r#"{"$not": ["$x"]}"#, "true"),
        (r#"{"$and": [1, "", []]}"#, "true"),
        (r#"{"$or": [0, null, false]}"#, "false"),
        (
            r#"{"$switch": {"branches": [{"case": "$x", "then": 1}], "default": 2}}"#,
            "2",
        ),
    ]);
}

#[test]
fn strings_are_counted_in_characters() {
    expect_values(&[
        (r#"{"$concat": ["a", "é", "$x"]}"#, "null"),
        (r#"{"$concat": ["a", "é"]}"#, r#""aé""#),
        (r#"{"$toUpper": "abc"}"#, r#""ABC""#),
        (r#"{"$toLower": null}"#, r#""""#),
        (r#"{"$strLenCP": "né"}"#, "2"),
        (r#"{"$strLenBytes": "né"}"#, "3"),
        (r#"{"$substrCP": ["naïve", 2, 2]}"#, r#""ïv""#),
        (r#"{"$substr": ["hello", 1, -1]}"#, r#""ello""#),
        (r#"{"$split": ["a,b,", ","]}"#, r#"["a","b",""]"#),
        (r#"{"$trim": {"input": "  x "}}"#, r#""x""#),
        (r#"{"$ltrim": {"input": "xyax", "chars": "yx"}}"#, r#""ax""#),
        (
            r#"{"$rtrim": {"input": "xyax", "chars": "yx"}}"#,
            r#""xya""#,
        ),
        (r#"{"$indexOfCP": ["éab", "b"]}"#, "2"),
        (r#"{"$indexOfCP": ["abab", "b", 2]}"#, "3"),
        (r#"{"$indexOfCP": ["ab", "x"]}"#, "-1"),
    ]);
}

#[test]
fn arrays_are_taken_apart_and_made() {
    expect_values(&[
        (r#"{"$size": [[1, 2]]}"#, "2"),
        (r#"{"$arrayElemAt": [[1, 2], -1]}"#, "2"),
        (r#"{"$arrayElemAt": [[1, 2], 2]}"#, "missing"),
        (r#"{"$first": [[7, 8]]}"#, "7"),
        (r#"{"$last": [[7, 8]]}"#, "8"),
        (r#"{"$in": [1.0, [3, 1]]}"#, "true"),
        (r#"{"$concatArrays": [[1], [2, 3]]}"#, "[1,2,3]"),
        (r#"{"$slice": [[1, 2, 3], -2]}"#, "[2,3]"),
        (r#"{"$slice": [[1, 2, 3], 1, 1]}"#, "[2]"),
        (r#"{"$isArray": [[1]]}"#, "true"),
        (r#"{"$reverseArray": [[1, 2]]}"#, "[2,1]"),
        (r#"{"$range": [0, 5, 2]}"#, "[0,2,4]"),
        (r#"{"$indexOfArray": [["a", "b"], "b"]}"#, "1"),
        (
            r#"{"$filter": {"input": [1, 2, 3], "as": "n", "cond": {"$gt": ["$$n", 1]}}}"#,
            "[2,3]",
        ),
        (
            r#"{"$filter": {"input": [1, 2, 3], "cond": true, "limit": 1}}"#,
            "[1]",
        ),
        (
            r#"{"$map": {"input": [1, 2], "in": {"$add": ["$$this", "$_id"]}}}"#,
            "[2,3]",
        ),
        (
            r#"{"$reduce": {"input": ["a", "b"], "initialValue": "", "in":
                {"$concat": ["$$value", "$$this"]}}}"#,
            r#""ab""#,
        ),
        (r#"{"$let": {"vars": {"a": {"b": 2}}, "in": "$$a.b"}}"#, "2"),
        (
            r#"{"$mergeObjects": [{"a": 1, "b": 1}, null, {"b": 2}]}"#,
            r#"{"a":1,"b":2}"#,
        ),
        (r#"{"$objectToArray": {"a": 1}}"#, r#"[{"k":"a","v":1}]"#),
        (
            r#"{"$arrayToObject": [[["a", 1], ["b", 2], ["a", 3]]]}"#,
            r#"{"a":3,"b":2}"#,
        ),
    ]);
}

#[test]
fn values_are_converted_or_refused() {
    expect_values(&[
        (r#"{"$toString": 1.5}"#, r#""1.5""#),
        (
            r#"{"$toString": {"$toDate": "2024-02-29"}}"#,
            r#""2024-02-29T00:00:00.000Z""#,
        ),
        (r#"{"$toInt": "12"}"#, "12"),
        (r#"{"$toInt": 1.9}"#, "1"),
        (r#"{"$toLong": true}"#, "1"),
        (r#"{"$toDouble": "1.5"}"#, "1.5"),
        (r#"{"$toBool": "x"}"#, "true"),
        (r#"{"$toDecimal": 1}"#, r#"{"$numberDecimal":"1"}"#),
        (r#"{"$toInt": null}"#, "null"),
        (r#"{"$isNumber": 1}"#, "true"),
    ]);
    for impossible in [
        r#"{"$toInt": "x"}"#,
        r#"{"$toInt": 3000000000}"#,
        r#"{"$toDate": "x"}"#,
    ] {
        let stages = format!(r#"[{{"$project": {{"v": {impossible}}}}}]"#);
        let pipeline = pipeline(&stages).unwrap();
        let error = collection(&[r#"{"_id": 1}"#])
            .aggregate(&pipeline)
            .unwrap_err();
        assert!(error.to_string().contains("cannot convert"), "{error}");
    }
}

#[test]
fn dates_are_shown_in_utc() {
    let date = r#"{"$toDate": "2024-02-29T13:05:07.089Z"}"#;
    let parts = [
        ("$year", "2024"),
        ("$month", "2"),
        ("$dayOfMonth", "29"),
        ("$dayOfYear", "60"),
        ("$dayOfWeek", "5"),
        ("$hour", "13"),
        ("$minute", "5"),
        ("$second", "7"),
        ("$millisecond", "89"),
    ];
    for (operator, expected) in parts {
        let plain = format!(r#"{{"{operator}": {date}}}"#);
        assert_eq!(value(&plain), expected, "{operator}");
        let named = format!(r#"{{"{operator}": {{"date": {date}, "timezone": "UTC"}}}}"#);
        assert_eq!(value(&named), expected, "{operator}");
    }
    let format = "%d/%m/%Y %H:%M:%S.%L %j %b %%";
    let written = format!(r#"{{"$dateToString": {{"date": {date}, "format": "{format}"}}}}"#);
    assert_eq!(value(&written), r#""29/02/2024 13:05:07.089 060 Feb %""#);
    let later = format!(r#"{{"$subtract": [{{"$add": [{date}, 5]}}, {date}]}}"#);
    assert_eq!(value(&later), "5");
}

#[test]
fn what_does_not_exist_is_refused_by_name_and_place() {
    let refused = [
        (r#"[{"$match": {}}, {"$facet": {}}]"#, "$facet", "/1/$facet"),
        (
            r#"[{"$project": {"a": [{"$foo": 1}]}}]"#,
            "$foo",
            "/0/$project/a/0/$foo",
        ),
        (
            r#"[{"$group": {"_id": 1, "a": {"$foo": 1}}}]"#,
            "$foo",
            "/0/$group/a/$foo",
        ),
        (r#"[{"$set": {"a": "$$NOPE.x"}}]"#, "$$NOPE", "/0/$set/a"),
        (r#"[{"$match": {"a": {"$foo": 1}}}]"#, "$foo", "/0/$match"),
        (
            r#"[{"$lookup": {"from": "a", "as": "b", "pipeline": [{"$foo": 1}]}}]"#,
            "$foo",
            "/0/$lookup/pipeline/0/$foo",
        ),
        (
            r#"[{"$lookup": {"from": "a", "as": "b", "pipeline": [], "let": {}}}]"#,
            "let",
            "/0/$lookup/let",
        ),
    ];
    for (stages, name, place) in refused {
        let message = pipeline(stages).unwrap_err().to_string();
        assert!(
            message.contains(name) && message.contains(place),
            "{message}"
        );
    }
}

#[test]
fn a_pipeline_has_bounds_that_are_checked_when_it_is_read() {
    let many = |count: usize| format!("[{}]", vec![r#"{"$skip": 0}"#; count].join(","));
    assert!(pipeline(&many(100)).is_ok());
    let error = pipeline(&many(101)).unwrap_err();
    assert!(
        matches!(error, PipelineError::TooManyStages { stages: 101, .. }),
        "{error}"
    );
    let nested = |count: usize| {
        (0..count).fold("[]".to_owned(), |inner, _| {
            format!(r#"[{{"$lookup": {{"from": "a", "as": "b", "pipeline": {inner}}}}}]"#)
        })
    };
    assert!(pipeline(&nested(20)).is_ok());
    let error = pipeline(&nested(21)).unwrap_err();
    assert!(matches!(error, PipelineError::TooDeep { .. }), "{error}");
    // One level more than JSON text may have.
    let mut deep = rawdoc! { "$not": [true] };
    for _ in 0..60 {
        deep = rawdoc! { "$not": [deep] };
    }
    let mut stages = bson::RawArrayBuf::new();
    stages.push(rawdoc! { "$project": { "a": deep } });
    let error = Pipeline::parse(&stages).unwrap_err();
    assert!(
        matches!(
            error,
            PipelineError::Document(DocumentError::TooDeep { .. })
        ),
        "{error}"
    );
}

#[test]
fn a_pipeline_in_a_transaction_sees_its_writes() {
    let main = collection(&[r#"{"_id": 1, "k": "a"}"#]);
    let other = main.documents().collection("other").unwrap();
    let stages = r#"[
        {"$lookup": {"from": "other", "localField": "k", "foreignField": "k", "as": "o"}},
        {"$project": {"n": {"$size": "$o"}}}
    ]"#;
    let stages = pipeline(stages).unwrap();
    let before = main.snapshot();
    let inside = main.documents().transact(|tx| {
        main.within(tx).insert(&rawdoc! { "_id": 2, "k": "b" })?;
        other.within(tx).insert(&rawdoc! { "_id": 1, "k": "b" })?;
        main.within(tx)
            .aggregate(&stages)?
            .map(|found| Ok(text(&found?)))
            .collect()
    });
    let inside: Vec<String> = inside.unwrap();
    assert_eq!(inside, [r#"{"_id":1,"n":0}"#, r#"{"_id":2,"n":1}"#]);
    // A snapshot from before shows neither collection's new document.
    let old: Vec<_> = main.aggregate_in(&before, &stages).unwrap().collect();
    assert_eq!(old.len(), 1);
    assert_eq!(text(old[0].as_ref().unwrap()), r#"{"_id":1,"n":0}"#);
}

#[test]
fn lookup_finds_the_same_with_and_without_an_index() {
    let main = collection(&[
        r#"{"_id": 1, "k": "a"}"#,
        r#"{"_id": 2, "k": ["b", "c"]}"#,
        r#"{"_id": 3}"#,
        r#"{"_id": 4, "k": []}"#,
    ]);
    let other = main.documents().collection("other").unwrap();
    let keys = [r#""a""#, r#""b""#, r#"["c", "x"]"#, "null"];
    for (id, key) in keys.iter().enumerate() {
        let document = format!(r#"{{"_id": {id}, "k": {key}}}"#);
        other
            .insert(&parse_document(document.as_bytes()).unwrap())
            .unwrap();
    }
    let stages = r#"[
        {"$lookup": {"from": "other", "localField": "k", "foreignField": "k", "as": "o",
            "pipeline": [{"$sort": {"_id": -1}}, {"$project": {"_id": 1}}]}},
        {"$project": {"o": "$o._id"}}
    ]"#;
    let expected = [
        r#"{"_id":1,"o":[0]}"#,
        r#"{"_id":2,"o":[2,1]}"#,
        r#"{"_id":3,"o":[3]}"#,
        r#"{"_id":4,"o":[]}"#,
    ];
    assert_eq!(made(&main, stages), expected);
    other
        .create_index(&nexusbase_documents::IndexSpec::on("k").unwrap(), |_| {})
        .unwrap();
    assert_eq!(made(&main, stages), expected);
}

#[test]
fn stages_that_stand_for_others_do_what_those_do() {
    let main = collection(&[
        r#"{"_id": 1, "k": "a", "in": {"x": 1}}"#,
        r#"{"_id": 2, "k": "b", "in": {"x": 2}}"#,
        r#"{"_id": 3, "k": "b", "in": {"x": 3}}"#,
    ]);
    let counted = made(&main, r#"[{"$sortByCount": "$k"}]"#);
    assert_eq!(
        counted,
        [r#"{"_id":"b","count":2}"#, r#"{"_id":"a","count":1}"#]
    );
    for stage in [
        r#"{"$replaceRoot": {"newRoot": "$in"}}"#,
        r#"{"$replaceWith": "$in"}"#,
    ] {
        let found = made(&main, &format!(r#"[{{"$match": {{"k": "a"}}}}, {stage}]"#));
        assert_eq!(found, [r#"{"x":1}"#]);
    }
    let deviations = r#"[{"$group": {"_id": null,
        "p": {"$stdDevPop": "$in.x"}, "s": {"$stdDevSamp": "$in.x"},
        "m": {"$mergeObjects": "$in"}}}]"#;
    let expected = r#"{"_id":null,"p":0.816496580927726,"s":1.0,"m":{"x":3}}"#;
    assert_eq!(made(&main, deviations), [expected]);
}

/// A document of about one MB, and a stage that makes many of it.
const LARGE: &str = r#"{"$set": {"n": {"$range": [0, 150]}}}, {"$unwind": "$n"}"#;

fn one_large() -> Collection {
    let main = collection(&[]);
    main.insert(&rawdoc! { "_id": 1, "text": "x".repeat(1 << 20) })
        .unwrap();
    main
}

#[track_caller]
fn failure(collection: &Collection, stages: &str) -> AggregateError {
    let error = collection
        .aggregate(&pipeline(stages).unwrap())
        .unwrap_err();
    match error {
        Error::Aggregate(error) => error,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn what_stages_collect_is_bounded_and_a_limit_behind_a_sort_keeps_little() {
    let main = one_large();
    for stage in [
        r#"{"$sort": {"n": -1}}"#,
        r#"{"$group": {"_id": "$n", "text": {"$first": "$text"}}}"#,
        r#"{"$group": {"_id": {"n": "$n", "text": "$text"}}}"#,
    ] {
        let error = failure(&main, &format!("[{LARGE}, {stage}]"));
        let limit = MEMORY_BYTES_MAX;
        assert!(
            matches!(&error, AggregateError::Memory { at, bytes_max }
                if at.starts_with("/2/$") && *bytes_max == limit),
            "{stage}: {error}"
        );
    }
    let few = format!(
        r#"[{LARGE}, {{"$sort": {{"n": -1}}}}, {{"$skip": 1}}, {{"$limit": 2}},
            {{"$project": {{"n": 1}}}}]"#
    );
    assert_eq!(
        made(&main, &few),
        [r#"{"_id":1,"n":148}"#, r#"{"_id":1,"n":147}"#]
    );
    // What passes through takes no room.
    let small = r#"{"$unset": "text"}, {"$sort": {"n": 1}}, {"$count": "n"}"#;
    assert_eq!(
        made(&main, &format!("[{LARGE}, {small}]")),
        [r#"{"n":150}"#]
    );
    // What goes on to the next stage makes room there.
    let handed_on = r#"{"$sort": {"n": 1}}, {"$sort": {"n": -1}},
        {"$group": {"_id": "$n", "text": {"$first": "$text"}}}, {"$sort": {"_id": 1}},
        {"$count": "n"}"#;
    let most = r#"{"$match": {"n": {"$lt": 70}}}"#;
    let counted = made(&main, &format!("[{LARGE}, {most}, {handed_on}]"));
    assert_eq!(counted, [r#"{"n":70}"#]);
}

#[test]
fn no_stage_makes_a_document_that_could_not_be_stored() {
    let main = one_large();
    let grouped = format!(r#"[{LARGE}, {{"$group": {{"_id": 1, "all": {{"$push": "$text"}}}}}}]"#);
    let error = failure(&main, &grouped).to_string();
    assert!(
        error.contains("/2/$group") && error.contains("16777216"),
        "{error}"
    );
    let doubled = r#"[{"$project": {"t": {"$reduce": {"input": {"$range": [0, 60]},
        "initialValue": "xxxxxxxx", "in": {"$concat": ["$$value", "$$value"]}}}}}]"#;
    let error = failure(&main, doubled).to_string();
    assert!(error.contains("$concat"), "{error}");
    let nested = r#"[{"$project": {"t": {"$reduce": {"input": {"$range": [0, 200]},
        "initialValue": 1, "in": ["$$value"]}}}}]"#;
    let error = failure(&main, nested);
    let too_deep = matches!(
        &error,
        AggregateError::Document {
            source: DocumentError::TooDeep { .. },
            ..
        }
    );
    assert!(too_deep, "{error}");
}

#[test]
fn a_pipeline_stops_when_nobody_waits_for_it() {
    let main = collection(&[]);
    let documents: Vec<_> = (0..1000).map(|id| rawdoc! { "_id": id }).collect();
    main.insert_many(&documents).unwrap();
    for stages in ["[]", r#"[{"$group": {"_id": "$_id"}}]"#] {
        let pipeline = pipeline(stages).unwrap();
        let snapshot = main.snapshot();
        let asked = Cell::new(0);
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() == 2
        };
        let found = main.aggregate_in(&snapshot, &pipeline).unwrap();
        let mut found = found.cancelled_by(cancelled);
        let error = found.by_ref().find_map(Result::err).expect("an error");
        assert!(
            matches!(error, Error::Aggregate(AggregateError::Cancelled)),
            "{error}"
        );
        assert!(found.next().is_none(), "nothing comes after an error");
        assert_eq!(asked.get(), 2, "{stages}");
    }
}

#[test]
fn an_expression_stops_as_well_when_nobody_waits_for_it() {
    let main = collection(&[r#"{"_id": 1}"#]);
    // 10^15 elements in one document.
    let endless = r#"[{"$project": {"v": {"$map": {"input": {"$range": [0, 100000]}, "in":
        {"$max": {"$map": {"input": {"$range": [0, 100000]}, "in":
        {"$max": {"$map": {"input": {"$range": [0, 100000]}, "in": 1}}}}}}}}}}]"#;
    let pipeline = pipeline(endless).unwrap();
    let snapshot = main.snapshot();
    let found = main.aggregate_in(&snapshot, &pipeline).unwrap();
    let error = found
        .cancelled_by(|| true)
        .next()
        .expect("an answer")
        .unwrap_err();
    assert!(
        matches!(error, Error::Aggregate(AggregateError::Cancelled)),
        "{error}"
    );
}

#[test]
fn an_expression_that_fails_names_its_stage() {
    let main = collection(&[r#"{"_id": 1, "a": 0}"#, r#"{"_id": 2, "a": "x"}"#]);
    let divided = r#"[{"$match": {"_id": 1}}, {"$project": {"v": {"$divide": [1, "$a"]}}}]"#;
    // The places are those of the pipeline as it was written, not of the part that is left.
    assert_eq!(
        failure(&main, divided).to_string(),
        "at /1/$project of the pipeline: $divide: division by zero"
    );
    let root = r#"[{"$replaceWith": "$a"}]"#;
    let error = failure(&main, root).to_string();
    assert!(
        error.contains("/0/$replaceWith") && error.contains("an integer"),
        "{error}"
    );
}

#[test]
fn a_field_that_is_named_twice_is_refused() {
    let twice = |value: RawBsonRef<'_>| {
        let mut fields = RawDocumentBuf::new();
        fields.append(bson::raw::cstr!("a"), value);
        fields.append(bson::raw::cstr!("a"), value);
        fields
    };
    let one = RawBsonRef::Int32(1);
    let sum = rawdoc! { "$sum": 1 };
    let mut group = twice(RawBsonRef::Document(&sum));
    group.append(bson::raw::cstr!("_id"), 1);
    for stage in [
        rawdoc! { "$project": twice(one) },
        rawdoc! { "$set": twice(one) },
        rawdoc! { "$group": group },
        rawdoc! { "$replaceWith": twice(one) },
        rawdoc! { "$unset": ["a", "a"] },
    ] {
        let mut stages = bson::RawArrayBuf::new();
        stages.push(&*stage);
        assert!(Pipeline::parse(&stages).is_err(), "{stage:?}");
    }
}

#[test]
fn a_group_gives_back_the_memory_of_values_that_others_replace() {
    let collection = collection(&[]);
    for number in 0..30 {
        let text = "x".repeat(if number % 2 == 0 { 8 << 20 } else { number });
        let document = rawdoc! { "_id": i32::try_from(number).unwrap(), "text": text };
        collection.insert(&document).unwrap();
    }
    for (accumulator, made) in [
        (r#"{"$last":"$text"}"#, r#"""#),
        (r#"{"$mergeObjects":{"text":"$text"}}"#, r#"{"text":""#),
    ] {
        let stages = format!(r#"[{{"$group":{{"_id":1,"it":{accumulator}}}}}]"#);
        let found = collection.aggregate(&pipeline(&stages).unwrap()).unwrap();
        let it = text(&found[0]);
        let last = "x".repeat(29);
        assert!(
            it.starts_with(&format!(r#"{{"_id":1,"it":{made}{last}""#)),
            "{it:.80}"
        );
    }
}

#[test]
fn undefined_is_looked_up_as_null() {
    let local = r#"{"_id":1,"l":[1,{"$undefined":true}]}"#;
    let stages = r#"[{"$lookup":{"from":"main","localField":"l","foreignField":"l","as":"j"}},
        {"$unwind":"$j"},{"$project":{"j":"$j._id"}}]"#;
    let joined = [
        r#"{"_id":1,"j":1}"#,
        r#"{"_id":1,"j":2}"#,
        r#"{"_id":2,"j":2}"#,
    ];
    assert_eq!(made(&collection(&[local, r#"{"_id":2}"#]), stages), joined);
}
