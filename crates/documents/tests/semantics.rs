//! The rules of filters, one test per rule, named after it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::RawDocumentBuf;
use nexusbase_documents::FilterError;
use nexusbase_documents::filter::{Comparison, Filter, Test};
use nexusbase_documents::json::parse_document;
use nexusbase_documents::path::{Found, Path};

fn document(json: &str) -> RawDocumentBuf {
    parse_document(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn filter(json: &str) -> Filter {
    Filter::parse(&document(json)).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Which of the documents match.
#[track_caller]
fn check(filter_json: &str, matching: &[&str], others: &[&str]) {
    let filter = filter(filter_json);
    for json in matching {
        assert!(
            filter.matches(&document(json)).unwrap(),
            "{filter_json} must match {json}"
        );
    }
    for json in others {
        assert!(
            !filter.matches(&document(json)).unwrap(),
            "{filter_json} must not match {json}"
        );
    }
}

#[track_caller]
fn refused(filter_json: &str) -> FilterError {
    Filter::parse(&document(filter_json)).expect_err(filter_json)
}

#[test]
fn ranges_stay_within_one_type() {
    check(
        r#"{"a": {"$gt": 0}}"#,
        &[
            r#"{"a": 1}"#,
            r#"{"a": {"$numberDecimal": "0.1"}}"#,
            r#"{"a": ["x", 2]}"#,
        ],
        &[
            r#"{"a": true}"#,
            r#"{"a": {"$date": 5}}"#,
            r#"{"a": "1"}"#,
            r#"{"a": null}"#,
            "{}",
        ],
    );
    check(
        r#"{"a": {"$lt": {"$date": 5}}}"#,
        &[r#"{"a": {"$date": 4}}"#],
        &[r#"{"a": {"$timestamp": {"t": 0, "i": 1}}}"#, r#"{"a": 1}"#],
    );
}

#[test]
fn ranges_of_null_match_null_and_missing_only_with_equality() {
    for range in ["$gte", "$lte"] {
        let json = format!(r#"{{"a": {{"{range}": null}}}}"#);
        check(
            &json,
            &["{}", r#"{"a": null}"#, r#"{"a": [1, null]}"#],
            &[r#"{"a": 1}"#],
        );
    }
    for range in ["$gt", "$lt"] {
        let json = format!(r#"{{"a": {{"{range}": null}}}}"#);
        check(&json, &[], &["{}", r#"{"a": null}"#, r#"{"a": 1}"#]);
    }
}

#[test]
fn min_key_and_max_key_compare_with_everything() {
    let all = [
        r#"{"a": 1}"#,
        r#"{"a": {"$numberDouble": "NaN"}}"#,
        r#"{"a": "x"}"#,
        "{}",
    ];
    check(
        r#"{"a": {"$gt": {"$minKey": 1}}}"#,
        &all,
        &[r#"{"a": {"$minKey": 1}}"#],
    );
    check(
        r#"{"a": {"$lt": {"$maxKey": 1}}}"#,
        &all,
        &[r#"{"a": {"$maxKey": 1}}"#],
    );
    check(r#"{"a": {"$gt": {"$maxKey": 1}}}"#, &[], &all);
    check(
        r#"{"a": {"$maxKey": 1}}"#,
        &[r#"{"a": {"$maxKey": 1}}"#],
        &all,
    );
}

#[test]
fn numbers_are_equal_by_exact_value_across_types() {
    let ones = [
        r#"{"a": 1}"#,
        r#"{"a": {"$numberLong": "1"}}"#,
        r#"{"a": 1.0}"#,
        r#"{"a": {"$numberDecimal": "1.00"}}"#,
    ];
    check(r#"{"a": 1}"#, &ones, &[r#"{"a": true}"#, r#"{"a": "1"}"#]);
    check(r#"{"a": {"$numberDecimal": "1E0"}}"#, &ones, &[]);
    check(
        r#"{"a": 0}"#,
        &[r#"{"a": -0.0}"#, r#"{"a": {"$numberDecimal": "-0"}}"#],
        &[],
    );
    check(
        r#"{"a": 9007199254740992.0}"#,
        &[r#"{"a": 9007199254740992}"#],
        &[r#"{"a": 9007199254740993}"#],
    );
    check(
        r#"{"a": {"$lt": 0.1}}"#,
        &[r#"{"a": {"$numberDecimal": "0.1"}}"#],
        &[r#"{"a": 0.1}"#],
    );
}

#[test]
fn nan_equals_nan_and_is_in_no_other_range() {
    let nan = r#"{"$numberDouble": "NaN"}"#;
    let nans = [
        format!(r#"{{"a": {nan}}}"#),
        r#"{"a": {"$numberDecimal": "NaN"}}"#.to_owned(),
    ];
    let nans = [&*nans[0], &*nans[1]];
    let numbers = [r#"{"a": 1}"#, r#"{"a": {"$numberDouble": "-Infinity"}}"#];
    for operator in ["$eq", "$gte", "$lte"] {
        check(
            &format!(r#"{{"a": {{"{operator}": {nan}}}}}"#),
            &nans,
            &numbers,
        );
    }
    for operator in ["$gt", "$lt"] {
        check(
            &format!(r#"{{"a": {{"{operator}": {nan}}}}}"#),
            &[],
            &[nans[0], numbers[0]],
        );
        check(
            &format!(r#"{{"a": {{"{operator}": 5}}, "b": 1}}"#),
            &[],
            &nans,
        );
    }
}

#[test]
fn null_matches_null_missing_and_arrays_that_hold_null() {
    check(
        r#"{"a": null}"#,
        &["{}", r#"{"a": null}"#, r#"{"a": [1, null]}"#],
        &[
            r#"{"a": []}"#,
            r#"{"a": 0}"#,
            r#"{"a": [[null]]}"#,
            r#"{"a": {"$undefined": true}}"#,
        ],
    );
    check(
        r#"{"a": {"$ne": null}}"#,
        &[r#"{"a": []}"#, r#"{"a": 0}"#],
        &["{}", r#"{"a": [null]}"#],
    );
    check(
        r#"{"a": {"$exists": true}}"#,
        &[r#"{"a": null}"#, r#"{"a": []}"#],
        &["{}"],
    );
    check(r#"{"a": {"$exists": false}}"#, &["{}"], &[r#"{"a": null}"#]);
    check(
        r#"{"a": {"$in": [null]}}"#,
        &["{}", r#"{"a": null}"#],
        &[r#"{"a": 1}"#],
    );
    check(
        r#"{"a": {"$nin": [null]}}"#,
        &[r#"{"a": 1}"#],
        &["{}", r#"{"a": null}"#],
    );
}

#[test]
fn negations_are_complements_over_whole_documents() {
    let without = ["{}", r#"{"a": null}"#, r#"{"a": "x"}"#, r#"{"a": []}"#];
    check(
        r#"{"a": {"$not": {"$gt": 5}}}"#,
        &without,
        &[r#"{"a": 6}"#, r#"{"a": [1, 6]}"#],
    );
    check(
        r#"{"a": {"$ne": 5}}"#,
        &without,
        &[r#"{"a": 5}"#, r#"{"a": [1, 5.0]}"#],
    );
    check(r#"{"a": {"$nin": [5]}}"#, &without, &[r#"{"a": [5]}"#]);
    check(
        r#"{"$nor": [{"a": 5}, {"b": 1}]}"#,
        &without,
        &[r#"{"a": 5}"#, r#"{"a": 1, "b": 1}"#],
    );
    check(
        r#"{"a": {"$not": {"$not": {"$gt": 5}}}}"#,
        &[r#"{"a": 6}"#],
        &without,
    );
    check(
        r#"{"a": {"$not": {"$gt": 5, "$lt": 9}}}"#,
        &[r#"{"a": 9}"#, "{}"],
        &[r#"{"a": 6}"#],
    );
}

#[test]
fn a_dotted_null_matches_where_the_field_lacks() {
    check(
        r#"{"a.b": null}"#,
        &[
            "{}",
            r#"{"a": {}}"#,
            r#"{"a": {"x": 1}}"#,
            r#"{"a": {"b": null}}"#,
            r#"{"a": 5}"#,
        ],
        &[
            r#"{"a": {"b": 1}}"#,
            r#"{"a": []}"#,
            r#"{"a": [1, 2]}"#,
            r#"{"a": [{"b": 1}]}"#,
        ],
    );
    check(
        r#"{"a.b": null}"#,
        &[r#"{"a": [{"b": 1}, {"c": 1}]}"#],
        &[r#"{"a": [1, {"b": 1}]}"#],
    );
}

#[test]
fn a_scalar_matches_the_field_or_an_element_one_level_deep() {
    check(
        r#"{"a": 1}"#,
        &[r#"{"a": 1}"#, r#"{"a": [0, 1]}"#],
        &[r#"{"a": [[1]]}"#],
    );
}

#[test]
fn an_array_matches_as_a_whole_or_as_an_element() {
    check(
        r#"{"a": [1, 2]}"#,
        &[r#"{"a": [1.0, 2]}"#, r#"{"a": [[1, 2], 3]}"#],
        &[r#"{"a": [2, 1]}"#, r#"{"a": [1, 2, 3]}"#, r#"{"a": 1}"#],
    );
    check(
        r#"{"a": []}"#,
        &[r#"{"a": []}"#, r#"{"a": [[]]}"#],
        &[r#"{"a": [1]}"#, "{}"],
    );
}

#[test]
fn two_conditions_on_an_array_may_be_met_by_two_elements() {
    check(
        r#"{"a": {"$gt": 5, "$lt": 3}}"#,
        &[r#"{"a": [1, 9]}"#],
        &[r#"{"a": [4]}"#],
    );
    check(
        r#"{"a.b": 1, "a.c": 2}"#,
        &[r#"{"a": [{"b": 1}, {"c": 2}]}"#],
        &[r#"{"a": [{"b": 1}]}"#],
    );
}

#[test]
fn in_nothing_matches_nothing_and_not_in_nothing_all() {
    check(r#"{"a": {"$in": []}}"#, &[], &["{}", r#"{"a": []}"#]);
    check(r#"{"a": {"$nin": []}}"#, &["{}", r#"{"a": 1}"#], &[]);
    check(
        r#"{"a": {"$in": [3, "x", [1], 1.0, 1]}}"#,
        &[r#"{"a": 1}"#, r#"{"a": [1]}"#],
        &[r#"{"a": 2}"#],
    );
}

#[test]
fn objects_are_equal_in_the_same_order_only() {
    check(
        r#"{"a": {"x": 1, "y": 2}}"#,
        &[
            r#"{"a": {"x": 1.0, "y": 2}}"#,
            r#"{"a": [{"x": 1, "y": 2}]}"#,
        ],
        &[
            r#"{"a": {"y": 2, "x": 1}}"#,
            r#"{"a": {"x": 1}}"#,
            r#"{"a": {"x": 1, "y": 2, "z": 3}}"#,
        ],
    );
    check(r#"{"a": {}}"#, &[r#"{"a": {}}"#], &[r#"{"a": {"x": 1}}"#]);
    check(
        r#"{"a": {"$eq": {"$gt": 5}}}"#,
        &[r#"{"a": {"$gt": 5}}"#],
        &[r#"{"a": 6}"#],
    );
}

#[test]
fn a_path_fans_out_over_an_array_but_not_into_arrays_inside_it() {
    check(
        r#"{"a.b": 1}"#,
        &[r#"{"a": {"b": 1}}"#, r#"{"a": [{"c": 1}, {"b": [0, 1]}]}"#],
        &[r#"{"a": [[{"b": 1}]]}"#, r#"{"a": [{"b": [[1]]}]}"#],
    );
}

#[test]
fn a_numeric_step_is_an_index_and_a_field_name() {
    check(
        r#"{"a.0": 1}"#,
        &[
            r#"{"a": [1, 2]}"#,
            r#"{"a": {"0": 1}}"#,
            r#"{"a": [{"0": 1}]}"#,
        ],
        &[r#"{"a": [2, 1]}"#, r#"{"a": [[1]]}"#, r#"{"a": []}"#],
    );
    check(
        r#"{"a.0.b": 1}"#,
        &[r#"{"a": [{"b": 1}]}"#],
        &[r#"{"a": [{"b": 2}, {"b": 1}]}"#],
    );
    check(
        r#"{"a.1.0": 1}"#,
        &[r#"{"a": [0, [1]]}"#],
        &[r#"{"a": [[1], 1]}"#],
    );
    check(
        r#"{"a.0.b": null}"#,
        &[r#"{"a": [{"c": 1}]}"#],
        &[r#"{"a": [{"b": 1}]}"#],
    );
    check(r#"{"a.01": {"$exists": true}}"#, &[], &[r#"{"a": [1, 2]}"#]);
}

#[test]
fn an_index_outside_of_the_array_is_missing() {
    for path in ["a.5", "a.-1", "a.99999999999999999999999"] {
        check(
            &format!(r#"{{"{path}": {{"$exists": false}}}}"#),
            &[r#"{"a": [1, 2]}"#],
            &[],
        );
    }
}

#[test]
fn a_path_of_numbers_is_not_walked_by_every_route() {
    let mut json = "5".to_owned();
    for _ in 0..45 {
        json = format!(r#"{{"0": [{json}]}}"#);
    }
    // Each level takes one step as a name and one as an index, or one as both: without memory of
    // what was walked there are more routes than this test could ever take.
    let path = Path::parse(&["0"; 70].join(".")).unwrap();
    let mut findings = 0;
    let document = document(&json);
    let visitor = &mut |_: Found<'_>| {
        findings += 1;
        Ok(false)
    };
    assert!(!path.visit(&document, visitor).unwrap());
    assert!(findings < 45 * 70, "{findings}");
}

#[test]
fn a_path_with_an_empty_part_names_no_value_in_a_filter() {
    for path in ["", "a.", ".a", "a..b"] {
        let json = format!(r#"{{"{path}": {{"$exists": true}}}}"#);
        check(&json, &[], &["{}", r#"{"a": {"b": 1}}"#]);
    }
}

#[test]
fn everything_that_is_not_supported_is_refused_by_name() {
    for (json, message) in [
        (
            r#"{"a": {"$near": "x"}}"#,
            "the operator $near at /a/$near is not supported",
        ),
        (
            r#"{"$and": [{"$where": "x"}]}"#,
            "the operator $where at /$and/0/$where is not",
        ),
        (
            r#"{"a": {"$gt": 1, "b": 2}}"#,
            "/a mixes operators and the field name \"b\"",
        ),
        (
            r#"{"a": {"b": 2, "$gt": 1}}"#,
            "/a mixes operators and the field name \"b\"",
        ),
        (
            r#"{"$or": []}"#,
            "$or at /$or expects at least one filter, found an empty array",
        ),
        (
            r#"{"$nor": {"a": 1}}"#,
            "$nor at /$nor expects an array, found an object",
        ),
        (
            r#"{"$and": [{"a": 1}, 5]}"#,
            "conditions at /$and/1, found an integer",
        ),
        (
            r#"{"a/b": {"$in": 5}}"#,
            "$in at /a~1b/$in expects an array, found an integer",
        ),
        (
            r#"{"a": {"$in": [{"$gt": 1}]}}"#,
            "$in at /a/$in/0 expects values only",
        ),
        (
            r#"{"a": {"$not": 5}}"#,
            "$not at /a/$not expects an object with at least one operator",
        ),
        (r#"{"a": {"$not": {}}}"#, "$not at /a/$not expects"),
        (r#"{"a": {"$undefined": true}}"#, "found undefined"),
    ] {
        let error = refused(json).to_string();
        assert!(error.contains(message), "{json}: {error}");
    }
    let regex = r#"{"$regularExpression": {"pattern": "x", "options": ""}}"#;
    for operator in ["$ne", "$gt", "$gte", "$lt", "$lte"] {
        let json = format!(r#"{{"a": {{"{operator}": {regex}}}}}"#);
        let error = refused(&json);
        assert!(matches!(error, FilterError::Regex { .. }), "{json}");
        assert!(error.to_string().contains(&format!("/a/{operator}")));
    }
    check(
        &format!(r#"{{"a": {{"$eq": {regex}}}}}"#),
        &[&format!(r#"{{"a": {regex}}}"#)],
        &[r#"{"a": "x"}"#],
    );
}

#[test]
fn a_planner_sees_what_must_hold_for_a_path() {
    let filter = filter(r#"{"a": {"$gte": 1, "$lt": 5}, "$and": [{"b": 2}, {"a": {"$ne": 3}}]}"#);
    let operators = |path| {
        let tests = filter
            .constraints(path)
            .map(|constraint| match constraint.test {
                Test::Compare(comparison, _) => *comparison,
                other => panic!("{other:?}"),
            });
        tests.collect::<Vec<_>>()
    };
    assert_eq!(operators("a"), [Comparison::Gte, Comparison::Lt]);
    assert_eq!(operators("b"), [Comparison::Eq]);
}
