//! The rules of projections that are written as documents, one test per rule.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::RawDocumentBuf;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::projection::Projection;
use nexusbase_documents::{ProjectionError, path::Path};

fn document(json: &str) -> RawDocumentBuf {
    parse_document(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn projection(json: &str) -> Projection {
    Projection::from_document(&document(json)).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[track_caller]
fn check(projection_json: &str, json: &str, expected: &str) {
    let shown = projection(projection_json).apply(&document(json)).unwrap();
    let shown = to_string(&shown, Form::Relaxed).unwrap();
    assert_eq!(shown, expected, "{projection_json} of {json}");
}

fn matched(projection_json: &str, filter: &str, json: &str) -> Result<String, ProjectionError> {
    let filter = Filter::parse(&document(filter)).unwrap();
    let json = document(json);
    assert!(filter.matches(&json).unwrap(), "the filter matches");
    let shown = projection(projection_json).apply_matched(&json, &filter)?;
    Ok(to_string(&shown, Form::Relaxed).unwrap())
}

const NESTED: &str = r#"{"_id": 1, "a": {"b": 1, "c": {"d": 2, "e": 3}}, "f": 4}"#;
const ITEMS: &str = r#"{"_id": 1, "a": [{"b": 1, "c": 2}, 5, [{"b": 3, "c": 4}]], "f": 4}"#;

#[test]
fn fields_are_kept_or_left_out_in_stored_order() {
    check(
        r#"{"f": 1, "a.c.d": true}"#,
        NESTED,
        r#"{"_id":1,"a":{"c":{"d":2}},"f":4}"#,
    );
    check(
        r#"{"a.c": 0, "f": false}"#,
        NESTED,
        r#"{"_id":1,"a":{"b":1}}"#,
    );
    check(
        r#"{"a": {"c": {"d": 1}}}"#,
        NESTED,
        r#"{"_id":1,"a":{"c":{"d":2}}}"#,
    );
    check(
        r#"{"a": {"c.d": 0.0, "b": 0}}"#,
        NESTED,
        r#"{"_id":1,"a":{"c":{"e":3}},"f":4}"#,
    );
    check(
        "{}",
        NESTED,
        r#"{"_id":1,"a":{"b":1,"c":{"d":2,"e":3}},"f":4}"#,
    );
    check(r#"{"x": 1}"#, NESTED, r#"{"_id":1}"#);
    check(
        r#"{"f": {"$numberDecimal": "0.5"}}"#,
        NESTED,
        r#"{"_id":1,"f":4}"#,
    );
}

#[test]
fn only_the_id_may_differ() {
    check(r#"{"f": 1, "_id": 0}"#, NESTED, r#"{"f":4}"#);
    check(r#"{"a": 0, "_id": 1}"#, NESTED, r#"{"_id":1,"f":4}"#);
    check(r#"{"a": 0, "_id": 0}"#, NESTED, r#"{"f":4}"#);
    check(r#"{"_id": 1}"#, NESTED, r#"{"_id":1}"#);
    check(r#"{"_id": 0, "a": {"b": 1}}"#, NESTED, r#"{"a":{"b":1}}"#);
    check(r#"{"_id": 0}"#, r#"{"_id": 1, "f": 4}"#, r#"{"f":4}"#);
    check(
        r#"{"_id.x": 1}"#,
        r#"{"_id": {"x": 1, "y": 2}, "f": 4}"#,
        r#"{"_id":{"x":1}}"#,
    );
    check(
        r#"{"_id.x": 0}"#,
        r#"{"_id": {"x": 1, "y": 2}, "f": 4}"#,
        r#"{"_id":{"y":2},"f":4}"#,
    );
}

#[test]
fn a_path_goes_into_the_objects_of_arrays() {
    check(
        r#"{"a.b": 1}"#,
        ITEMS,
        r#"{"_id":1,"a":[{"b":1},[{"b":3}]]}"#,
    );
    check(
        r#"{"a.b": 0}"#,
        ITEMS,
        r#"{"_id":1,"a":[{"c":2},5,[{"c":4}]],"f":4}"#,
    );
    check(r#"{"a.0": 1}"#, ITEMS, r#"{"_id":1,"a":[{},[{}]]}"#);
}

#[test]
fn a_slice_shows_a_part_of_an_array() {
    let json = r#"{"_id": 1, "a": [1, 2, 3, 4], "b": 5}"#;
    for (slice, shown) in [
        ("2", "[1,2]"),
        ("-1", "[4]"),
        ("0", "[]"),
        ("9", "[1,2,3,4]"),
        ("-9", "[1,2,3,4]"),
        ("1.9", "[1]"),
        (r#"{"$numberDouble": "Infinity"}"#, "[1,2,3,4]"),
        (r#"{"$numberLong": "-9223372036854775808"}"#, "[1,2,3,4]"),
        ("[1, 2]", "[2,3]"),
        ("[-3, 2]", "[2,3]"),
        ("[-9, 1]", "[1]"),
        ("[9, 1]", "[]"),
        ("[3, 9]", "[4]"),
    ] {
        let expected = format!(r#"{{"_id":1,"a":{shown},"b":5}}"#);
        check(
            &format!(r#"{{"a": {{"$slice": {slice}}}}}"#),
            json,
            &expected,
        );
    }
    check(
        r#"{"a": {"$slice": 1}, "x": 1}"#,
        json,
        r#"{"_id":1,"a":[1]}"#,
    );
    check(
        r#"{"a": {"$slice": 1}, "_id": 1}"#,
        json,
        r#"{"_id":1,"a":[1]}"#,
    );
    check(
        r#"{"a": {"$slice": 1}, "_id": 0}"#,
        json,
        r#"{"a":[1],"b":5}"#,
    );
    check(
        r#"{"b": {"$slice": 1}}"#,
        json,
        r#"{"_id":1,"a":[1,2,3,4],"b":5}"#,
    );
    check(
        r#"{"a.b": {"$slice": 1}}"#,
        r#"{"a": [{"b": [1, 2], "c": 3}, 4]}"#,
        r#"{"a":[{"b":[1],"c":3},4]}"#,
    );
}

#[test]
fn elem_match_shows_the_first_element_that_meets_it() {
    let json = r#"{"_id": 1, "a": [1, {"x": 1}, {"x": 2, "y": 3}], "b": 5}"#;
    let shown = r#"{"_id":1,"a":[{"x":2,"y":3}]}"#;
    check(r#"{"a": {"$elemMatch": {"x": {"$gt": 1}}}}"#, json, shown);
    check(
        r#"{"a": {"$elemMatch": {"$type": "int"}}, "_id": 0}"#,
        json,
        r#"{"a":[1]}"#,
    );
    check(r#"{"a": {"$elemMatch": {"x": 9}}}"#, json, r#"{"_id":1}"#);
    check(r#"{"b": {"$elemMatch": {"$gt": 1}}}"#, json, r#"{"_id":1}"#);
    check(
        r#"{"a": {"$elemMatch": {"x": 1}}, "b": 1}"#,
        json,
        r#"{"_id":1,"a":[{"x":1}],"b":5}"#,
    );
    check(
        r#"{"a": {"$elemMatch": {"x": 1}}, "b": 0}"#,
        json,
        r#"{"_id":1,"a":[{"x":1}]}"#,
    );
    check(
        r#"{"b": {"$elemMatch": {"x": 1}}, "_id": 1}"#,
        json,
        r#"{"_id":1}"#,
    );
}

#[test]
fn a_positional_field_shows_the_element_that_matched() {
    let shown = |filter| matched(r#"{"a.$": 1}"#, filter, r#"{"a": [1, 5, 7], "b": 5}"#).unwrap();
    assert_eq!(shown(r#"{"a": {"$gt": 3}}"#), r#"{"a":[5]}"#);
    assert_eq!(shown(r#"{"a": {"$in": [7]}}"#), r#"{"a":[7]}"#);
    assert_eq!(
        shown(r#"{"a": {"$elemMatch": {"$gt": 1, "$lt": 7}}}"#),
        r#"{"a":[5]}"#
    );
    assert_eq!(shown(r#"{"a": {"$all": [1, 7]}}"#), r#"{"a":[7]}"#);
    assert_eq!(shown(r#"{"$and": [{"b": 5}, {"a": 7}]}"#), r#"{"a":[7]}"#);
    assert_eq!(shown(r#"{"$or": [{"a": 7}]}"#), r#"{"a":[7]}"#);
    let items = r#"{"a": {"b": [{"x": 1, "y": 1}, {"x": 2, "y": [8, 9]}]}, "c": [1, 2]}"#;
    let shown = |projection, filter| matched(projection, filter, items).unwrap();
    let second = r#"{"a":{"b":[{"x":2,"y":[8,9]}]}}"#;
    assert_eq!(shown(r#"{"a.b.$": 1}"#, r#"{"a.b.x": 2}"#), second);
    assert_eq!(shown(r#"{"a": {"b.$": 1}}"#, r#"{"a.b.x": 2}"#), second);
    assert_eq!(shown(r#"{"a.b.$": 1}"#, r#"{"a.b.y": 9}"#), second);
    assert_eq!(
        shown(r#"{"a.b.x.$": 1}"#, r#"{"a.b.y": 9}"#),
        r#"{"a":{"b":[{"x":2}]}}"#
    );
    // A condition on the array shown counts before one on another, in either order.
    assert_eq!(
        shown(r#"{"c.$": 1}"#, r#"{"c": 1, "a.b.x": {"$type": "int"}}"#),
        r#"{"c":[1]}"#
    );
    // Of another array, the same position.
    assert_eq!(shown(r#"{"c.$": 1}"#, r#"{"a.b.x": 2}"#), r#"{"c":[2]}"#);
    // Where there is no array, there is nothing to choose.
    assert_eq!(
        matched(r#"{"a.$": 1}"#, r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#).unwrap(),
        r#"{"a":1}"#
    );
}

#[test]
fn a_positional_field_without_a_matched_element_is_an_error() {
    for filter in [
        r#"{"b": 5}"#,
        r#"{"a": {"$size": 2}}"#,
        r#"{"a.0": 1}"#,
        r#"{"$or": [{"a": 2}, {"b": 6}]}"#,
        r#"{"$nor": [{"a": 9}]}"#,
        r#"{"a": {"$ne": 9}}"#,
        r#"{"a": {"$not": {"$gt": 9}}}"#,
        r#"{"a": [1, 2]}"#,
    ] {
        let error = matched(r#"{"a.$": 1}"#, filter, r#"{"a": [1, 2], "b": 5}"#).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("\"a.$\" has no element to show: the filter matched no"),
            "{text}"
        );
    }
    let short = matched(r#"{"b.$": 1}"#, r#"{"a": 2}"#, r#"{"a": [1, 2], "b": [5]}"#);
    assert!(
        short
            .unwrap_err()
            .to_string()
            .contains("this one is shorter")
    );
    let error = projection(r#"{"a.$": 1}"#)
        .apply(&document(r#"{"a": [1]}"#))
        .unwrap_err();
    assert!(
        matches!(error, ProjectionError::NoElement { .. }),
        "{error}"
    );
}

#[test]
fn the_matched_element_is_that_of_the_outermost_array() {
    let json = document(r#"{"a": [{"b": [1, 2]}, {"b": [3, 4]}]}"#);
    let element = |filter: &str| {
        let filter = Filter::parse(&document(filter)).unwrap();
        filter
            .matched_element(&json, &Path::parse("a").unwrap())
            .unwrap()
    };
    assert_eq!(element(r#"{"a.b": 4}"#), Some(1));
    assert_eq!(element(r#"{"a.b": {"$elemMatch": {"$gt": 3}}}"#), Some(1));
    assert_eq!(
        element(r#"{"a.0.b": 2}"#),
        Some(1),
        "the index named is no choice"
    );
    assert_eq!(element(r#"{"a": {"$size": 2}}"#), None);
}

#[test]
fn what_is_wrong_is_said_with_the_field() {
    for (json, message) in [
        (
            r#"{"a": 1, "b": 0}"#,
            "the field \"b\" is left out, and others are not",
        ),
        (
            r#"{"a": 0, "b": {"c": 1}}"#,
            "the field \"b.c\" is kept, and others are not",
        ),
        (
            r#"{"a": 1, "a.b": 1}"#,
            "the fields \"a.b\" and \"a\" overlap",
        ),
        (
            r#"{"a.b": 1, "a": 1}"#,
            "the fields \"a\" and \"a.b\" overlap",
        ),
        (
            r#"{"x": {"a.b": 1}, "x.a.b.c": 1}"#,
            "the fields \"x.a.b.c\" and \"x.a.b\" overlap",
        ),
        (r#"{"a.b": 1, "a": {"$slice": 1}}"#, "overlap"),
        (
            r#"{"a": {"b": 1}, "a.b.$": 1}"#,
            "the fields \"a.b.$\" and \"a.b\" overlap",
        ),
        (r#"{"_id": 1, "_id.x": 1}"#, "overlap"),
        (r#"{"": 1}"#, "a field name is expected"),
        (r#"{"a..b": 1}"#, "has an empty part"),
        (r#"{"$a": 1}"#, "begins with $"),
        (r#"{"a.$.b": 1}"#, "begins with $"),
        (
            r#"{"a": "x"}"#,
            "the field \"a\" is given a string, which would have to be computed",
        ),
        (r#"{"a": null}"#, "is given null"),
        (r#"{"a": [1]}"#, "is given an array"),
        (r#"{"a": {}}"#, "is given an object"),
        (
            r#"{"a": {"b": {"$add": [1, 2]}}}"#,
            "the field \"a.b\" is given $add",
        ),
        (r#"{"a": {"$slice": 1, "$add": 1}}"#, "is given $slice"),
        (
            r#"{"a": {"$slice": [[1], 1]}}"#,
            "is given $slice of an expression",
        ),
        (
            r#"{"a": {"$slice": "1"}}"#,
            "$slice of the field \"a\" expects a number, or an array",
        ),
        (
            r#"{"a": {"$slice": [1, "1"]}}"#,
            "expects numbers only, found a string",
        ),
        (r#"{"a": {"$slice": [1, 0]}}"#, "expects a count above zero"),
        (r#"{"a": {"$slice": [1]}}"#, "found fewer than two"),
        (r#"{"a": {"$slice": [1, 2, 3]}}"#, "found more than two"),
        (
            r#"{"a": {"$elemMatch": 1}}"#,
            "the condition of the field \"a\" is refused: $elemMatch",
        ),
        (
            r#"{"a": {"$elemMatch": {"x": {"$gt": 1, "y": 1}}}}"#,
            "/x mixes operators",
        ),
        (
            r#"{"a.b": {"$elemMatch": {}}}"#,
            "expects a field of the document itself",
        ),
        (
            r#"{"a": {"b": {"$elemMatch": {}}}}"#,
            "expects a field of the document itself",
        ),
        (
            r#"{"a.$": 0}"#,
            "the positional field \"a.$\" cannot be left out",
        ),
        (
            r#"{"a.$": 1, "b.$": 1}"#,
            "the positional field \"b.$\" is the second one",
        ),
        (r#"{"a.$": 1, "b": 0}"#, "the field \"b\" is left out"),
        (
            r#"{"a.$": 1, "b": {"$elemMatch": {}}}"#,
            "cannot stand beside an $elemMatch",
        ),
        (r#"{"a.$": {"$slice": 1}}"#, "is given $slice"),
    ] {
        let error = Projection::from_document(&document(json))
            .unwrap_err()
            .to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
}

#[test]
fn a_path_that_is_too_deep_in_parts_and_what_is_no_object_are_refused() {
    let deep = format!(r#"{{"{0}": {{"{0}": 1}}}}"#, vec!["a"; 60].join("."));
    let error = Projection::from_document(&document(&deep))
        .unwrap_err()
        .to_string();
    assert!(error.contains("the path has 120 parts"), "{error}");
    assert!(Projection::from_value(bson::raw::RawBsonRef::Int32(1)).is_err());
}

#[test]
fn patterns_in_projections_are_counted_together() {
    let field = |n| format!(r#""f{n}": {{"$elemMatch": {{"$regex": "a"}}}}"#);
    let fields = |count| {
        let fields: Vec<String> = (0..count).map(field).collect();
        Projection::from_document(&document(&format!("{{{}}}", fields.join(",")))).map(drop)
    };
    assert!(fields(100).is_ok());
    assert!(
        fields(101)
            .unwrap_err()
            .to_string()
            .contains("at most 100 patterns")
    );
}
