//! The rules of the operators on types, patterns, remainders and arrays, one test per rule.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::RawDocumentBuf;
use nexusbase_documents::filter::{Comparison, Condition, Element, Filter, PATTERNS_MAX, Test};
use nexusbase_documents::json::parse_document;
use nexusbase_documents::value::Class;

fn document(json: &str) -> RawDocumentBuf {
    parse_document(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn filter(json: &str) -> Filter {
    Filter::parse(&document(json)).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// Which values of the field `a` match what is asked of it; `-` stands for a missing field.
#[track_caller]
fn check(condition: &str, matching: &[&str], others: &[&str]) {
    let filter = filter(&format!(r#"{{"a": {condition}}}"#));
    let of = |value: &&str| match *value {
        "-" => document("{}"),
        value => document(&format!(r#"{{"a": {value}}}"#)),
    };
    for value in matching {
        let found = filter.matches(&of(value)).unwrap();
        assert!(found, "{condition} must match {value}");
    }
    for value in others {
        let found = filter.matches(&of(value)).unwrap();
        assert!(!found, "{condition} must not match {value}");
    }
}

#[test]
fn a_type_is_that_of_the_value_or_of_an_element() {
    let decimal = r#"{"$numberDecimal": "1"}"#;
    check(
        r#"{"$type": "int"}"#,
        &["1", "[null, 1]"],
        &["1.0", "[[1]]", "-", decimal],
    );
    check(
        r#"{"$type": "number"}"#,
        &["1", "1.0", decimal],
        &["true", "\"1\""],
    );
    check(r#"{"$type": "array"}"#, &["[]", "[1]"], &["1", "{}"]);
    check(
        r#"{"$type": "null"}"#,
        &["null", "[null]"],
        &["-", "[]", "0"],
    );
    check(
        r#"{"$type": [2, "bool"]}"#,
        &["\"\"", "false"],
        &["0", "null"],
    );
    check(
        r#"{"$type": -1}"#,
        &[r#"{"$minKey": 1}"#],
        &["null", r#"{"$maxKey": 1}"#],
    );
    check(
        r#"{"$type": 127.0}"#,
        &[r#"{"$maxKey": 1}"#],
        &["null", r#"{"$minKey": 1}"#],
    );
    check(r#"{"$not": {"$type": "null"}}"#, &["-", "1"], &["null"]);
}

#[test]
fn a_pattern_matches_strings_and_itself() {
    let stored = r#"{"$regularExpression": {"pattern": "^b", "options": "im"}}"#;
    let other = r#"{"$regularExpression": {"pattern": "^b", "options": "i"}}"#;
    check(
        r#"{"$regex": "^b", "$options": "mi"}"#,
        &["\"Bcd\"", "[1, \"a\\nb\"]", stored],
        &[
            "\"ab\"",
            "-",
            "null",
            "[[\"b\"]]",
            other,
            r#"{"$code": "b"}"#,
        ],
    );
    check(stored, &["\"Bcd\"", stored], &[other]);
    check(
        &format!(r#"{{"$eq": {stored}}}"#),
        &[stored],
        &["\"b\"", other],
    );
    check(r#"{"$regex": ".*"}"#, &["\"\""], &["-", "null", "1"]);
    check(
        &format!(r#"{{"$not": {stored}}}"#),
        &["-", "1", "\"a\""],
        &["\"b\"", "[\"a\", \"b\"]"],
    );
    check(
        &format!(r#"{{"$in": [1, {stored}, "x"]}}"#),
        &["1.0", "\"bc\"", "\"x\"", "[0, \"b\"]", stored],
        &["-", "\"xb\"", other],
    );
    check(
        &format!(r#"{{"$nin": [null, {stored}]}}"#),
        &["1", "\"a\""],
        &["-", "\"b\"", stored],
    );
}

#[test]
fn a_remainder_is_that_of_the_whole_part() {
    check(
        r#"{"$mod": [3, 1]}"#,
        &["1", "4.9", r#"{"$numberDecimal": "7.5"}"#, "[3, 4]"],
        &[
            "-",
            "null",
            "true",
            "\"1\"",
            "-1",
            "3.9",
            r#"{"$numberDouble": "NaN"}"#,
        ],
    );
    check(r#"{"$mod": [-3.9, -1.9]}"#, &["-4", "-1"], &["1", "2"]);
    check(r#"{"$mod": [4, 4]}"#, &[], &["0", "4"]);
    check(
        r#"{"$mod": [-1, 0]}"#,
        &[r#"{"$numberLong": "-9223372036854775808"}"#, "-0.0"],
        &[
            "1e300",
            r#"{"$numberDecimal": "1E+6000"}"#,
            r#"{"$numberDecimal": "Infinity"}"#,
        ],
    );
    check(
        r#"{"$mod": [7, 0]}"#,
        &[
            "0.5",
            r#"{"$numberDecimal": "1E-6000"}"#,
            r#"{"$numberDecimal": "70E+1"}"#,
        ],
        &["1"],
    );
}

#[test]
fn a_size_is_exact_and_of_the_array_itself() {
    check(
        r#"{"$size": 2}"#,
        &["[1, 2]", "[[], []]"],
        &["[[1, 2]]", "[1]", "[1, 2, 3]", "2", "-"],
    );
    check(
        r#"{"$size": -0.0}"#,
        &["[]"],
        &["-", "null", "[[]]", "{}", "\"\""],
    );
    check(r#"{"$size": {"$numberDecimal": "2E+1"}}"#, &[], &["[1]"]);
}

#[test]
fn all_values_must_be_there_and_one_is_enough_for_a_scalar() {
    check(
        r#"{"$all": [1, "x"]}"#,
        &["[\"x\", 2, 1.0]"],
        &["[1]", "1", "[[1, \"x\"]]", "-"],
    );
    check(r#"{"$all": [1, 1]}"#, &["1", "[1]"], &["[2]"]);
    check(r#"{"$all": []}"#, &[], &["-", "[]", "1"]);
    check(r#"{"$not": {"$all": []}}"#, &["-", "[]", "1"], &[]);
    check(
        r#"{"$all": [[1, 2]]}"#,
        &["[1, 2]", "[[1, 2], 3]"],
        &["[2, 1]"],
    );
    check(
        r#"{"$all": [null]}"#,
        &["-", "null", "[null]"],
        &["[]", "[1]"],
    );
    let pattern = r#"{"$regularExpression": {"pattern": "^a", "options": ""}}"#;
    check(
        &format!(r#"{{"$all": [{pattern}, "b"]}}"#),
        &["[\"b\", \"ac\"]"],
        &["\"a\"", "[\"b\"]"],
    );
    check(
        r#"{"$all": [{"$elemMatch": {"x": 1}}, {"$elemMatch": {"y": {"$gt": 1}}}]}"#,
        &[r#"[{"x": 1}, {"y": 2}]"#, r#"[{"x": 1, "y": 2}]"#],
        &[r#"[{"x": 1}]"#, r#"{"x": 1, "y": 2}"#],
    );
}

#[test]
fn one_element_meets_all_conditions_of_elem_match() {
    check(
        r#"{"$elemMatch": {"$gt": 1, "$lt": 5}}"#,
        &["[0, 3, 9]"],
        &["[0, 9]", "3", "-", "[[3]]"],
    );
    check(
        r#"{"$elemMatch": {"$ne": 1}}"#,
        &["[1, 2]"],
        &["[1, 1.0]", "[]", "2"],
    );
    check(
        r#"{"$elemMatch": {"$not": {"$gt": 1}}}"#,
        &["[5, 0]"],
        &["[5]", "-"],
    );
    check(
        r#"{"$elemMatch": {"$size": 1}}"#,
        &["[[7]]"],
        &["[7]", "[[]]"],
    );
    check(
        r#"{"$elemMatch": {"$elemMatch": {"$gt": 1}}}"#,
        &["[[2]]"],
        &["[2]", "[[[2]]]"],
    );
    check(
        r#"{"$elemMatch": {"$exists": false}}"#,
        &[],
        &["[]", "[null]", "-"],
    );
    check(
        r#"{"$elemMatch": {"$eq": [1]}}"#,
        &["[[1]]"],
        &["[1]", "[[[1]]]"],
    );
    check(
        r#"{"$elemMatch": {"x": 1, "y": null}}"#,
        &[r#"[{"x": [0, 1]}]"#, r#"[2, {"y": null, "x": 1}]"#],
        &[r#"[{"x": 1, "y": 1}, {"y": null}]"#, r#"{"x": 1}"#, "[1]"],
    );
    check(
        r#"{"$elemMatch": {"$or": [{"x": 1}, {"x.y": 1}]}}"#,
        &[r#"[{"x": 1}]"#, r#"[{"x": [{"y": 1}]}]"#],
        &[r#"[{"y": 1}]"#],
    );
    // An array in the array has indexes for names.
    check(
        r#"{"$elemMatch": {"0": 7}}"#,
        &["[[7, 8]]"],
        &["[[8, 7]]", "[7]"],
    );
    check(
        r#"{"$elemMatch": {}}"#,
        &["[{}]", "[1, []]"],
        &["[1, null]", "[]", "{}"],
    );
}

#[test]
fn a_test_of_an_array_applies_where_an_index_leads() {
    for (condition, matching) in [
        (r#"{"a.0": {"$size": 2}}"#, r#"{"a": [[1, 2], 3]}"#),
        (
            r#"{"a.0": {"$elemMatch": {"$gt": 1}}}"#,
            r#"{"a": [[1, 2], 0]}"#,
        ),
        (
            r#"{"a.b": {"$size": 1}}"#,
            r#"{"a": [{"b": []}, {"b": [1]}]}"#,
        ),
        (r#"{"a.0": {"$type": "array"}}"#, r#"{"a": [[]]}"#),
    ] {
        assert!(
            filter(condition).matches(&document(matching)).unwrap(),
            "{condition}"
        );
    }
    let others = [
        r#"{"a": [1, 2]}"#,
        r#"{"a": [{"b": 1}]}"#,
        r#"{"a": [[[5]]]}"#,
    ];
    for other in others {
        let found = filter(r#"{"a.0": {"$elemMatch": {"$gt": 1}}}"#).matches(&document(other));
        assert!(!found.unwrap(), "{other}");
    }
}

#[test]
fn operands_that_make_no_sense_are_refused_with_their_place() {
    for (condition, message) in [
        (
            r#"{"$type": "text"}"#,
            "$type at /a/$type expects the name of a type",
        ),
        (r#"{"$type": ["int", 0]}"#, "at /a/$type/1 expects"),
        (r#"{"$type": 1.5}"#, "found the code of none"),
        (r#"{"$type": []}"#, "expects at least one type"),
        (
            r#"{"$mod": [0.9, 0]}"#,
            "$mod at /a/$mod/0 expects a divisor that is not zero",
        ),
        (r#"{"$mod": [2]}"#, "found fewer than two values"),
        (r#"{"$mod": [2, 1, 0]}"#, "found more than two values"),
        (
            r#"{"$mod": [2, "1"]}"#,
            "$mod at /a/$mod/1 expects a number, found a string",
        ),
        (r#"{"$mod": [2, 1e19]}"#, "expects a number within 64 bits"),
        (
            r#"{"$size": -1}"#,
            "$size at /a/$size expects a whole number",
        ),
        (r#"{"$size": 1.5}"#, "expects a whole number"),
        (r#"{"$size": {"$gt": 1}}"#, "found an object"),
        (r#"{"$all": 1}"#, "$all at /a/$all expects an array"),
        (
            r#"{"$all": [1, {"$gt": 1}]}"#,
            "$all at /a/$all/1 expects values only",
        ),
        (
            r#"{"$all": [1, {"$elemMatch": {}}]}"#,
            "/a/$all/1 expects either $elemMatch in all",
        ),
        (
            r#"{"$all": [{"$elemMatch": {}}, 1]}"#,
            "/a/$all/1 expects either $elemMatch in all",
        ),
        (
            r#"{"$elemMatch": 1}"#,
            "$elemMatch at /a/$elemMatch expects an object",
        ),
        (
            r#"{"$elemMatch": {"$gt": 1, "x": 1}}"#,
            "/a/$elemMatch mixes operators",
        ),
        (
            r#"{"$elemMatch": {"x": 1, "$gt": 1}}"#,
            "the operator $gt at /a/$elemMatch/$gt",
        ),
        (
            r#"{"$elemMatch": {"x": {"$size": "1"}}}"#,
            "$size at /a/$elemMatch/x/$size",
        ),
        (
            r#"{"$regex": 1}"#,
            "$regex at /a/$regex expects a string or a regular expression",
        ),
        (
            r#"{"$regex": "("}"#,
            "the pattern at /a/$regex cannot be used: a ( is not closed",
        ),
        (
            r#"{"$regex": "a", "$options": "g"}"#,
            "the option 'g' is not known",
        ),
        (
            r#"{"$regex": "a", "$options": 1}"#,
            "$options at /a/$options expects a string",
        ),
        (
            r#"{"$options": "i"}"#,
            "$options at /a/$options expects a $regex next to it",
        ),
        (
            r#"{"$in": [1, {"$regex": "a"}]}"#,
            "$in at /a/$in/1 expects values only",
        ),
        (
            r#"{"$regex": {"$regularExpression": {"pattern": "a", "options": "i"}}, "$options": ""}"#,
            "$options at /a/$options expects to be the only place of options",
        ),
    ] {
        let json = format!(r#"{{"a": {condition}}}"#);
        let error = Filter::parse(&document(&json))
            .expect_err(&json)
            .to_string();
        assert!(error.contains(message), "{condition}: {error}");
    }
}

#[test]
fn a_filter_has_a_limited_number_of_patterns() {
    let pattern = r#"{"$regularExpression": {"pattern": "a", "options": ""}}"#;
    let list = |count| {
        let json = format!(
            r#"{{"a": {{"$in": [{}]}}}}"#,
            vec![pattern; count].join(",")
        );
        Filter::parse(&document(&json)).map(drop)
    };
    assert!(list(PATTERNS_MAX).is_ok());
    let error = list(PATTERNS_MAX + 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "the pattern at /a/$in/100 cannot be used: a filter has at most 100 patterns"
    );
}

/// The one constraint on `a`.
fn constraint(filter: &Filter) -> &Test {
    let constraint = filter.constraints("a").next();
    constraint.expect("a constraint").test
}

#[test]
fn a_planner_sees_what_ranges_can_express() {
    let all = filter(r#"{"a": {"$all": [1, "x"]}}"#);
    let equalities = all
        .constraints("a")
        .filter(|constraint| matches!(constraint.test, Test::Compare(Comparison::Eq, _)));
    assert_eq!(equalities.count(), 2);

    let types = filter(r#"{"a": {"$type": ["int", "symbol", "double", "string"]}}"#);
    let Test::Type(types) = constraint(&types) else {
        panic!("a type");
    };
    let classes: Vec<Class> = types.classes().collect();
    assert_eq!(classes, [Class::Number, Class::String]);

    let one = filter(r#"{"a": {"$elemMatch": {"$gt": 1, "$lt": 5}}}"#);
    let Test::Element(Element::Value(conditions)) = constraint(&one) else {
        panic!("an element");
    };
    let paths = conditions.iter().filter_map(Condition::as_constraint);
    let paths: Vec<&str> = paths.map(|constraint| constraint.path.as_str()).collect();
    assert_eq!(paths, ["a", "a"]);

    let either = filter(r#"{"$or": [{"a": 1}, {"b": 2, "c": 3}], "d": 4}"#);
    let branches = either.conjuncts()[0].branches().expect("a choice");
    assert!(matches!(branches, [Condition::Field { .. }, Condition::All(both)] if both.len() == 2));
    assert!(either.conjuncts()[1].branches().is_none());
    // A choice of one is none.
    assert_eq!(
        filter(r#"{"$or": [{"a": 1, "b": 2}]}"#)
            .constraints("a")
            .count(),
        1
    );
    // What is negated, or one of several, constrains nothing.
    let free =
        filter(r#"{"a": {"$not": {"$size": 1}}, "$nor": [{"a": 1}], "$or": [{"a": 1}, {}]}"#);
    assert_eq!(free.constraints("a").count(), 0);
}

#[test]
fn a_planner_sees_what_an_anchored_pattern_begins_with() {
    for (pattern, options, prefix) in [
        ("^abc", "", Some("abc")),
        ("^abc.*d", "s", Some("abc")),
        ("\\\\Aab?c", "", Some("a")),
        ("^ab+c", "", Some("ab")),
        ("^ab{0,2}", "", Some("a")),
        ("^a\\\\.b\\\\Q*\\\\E", "", Some("a.b*")),
        ("^a b", "x", Some("ab")),
        ("^a(bc)", "", Some("a")),
        ("^", "", Some("")),
        ("^é", "u", Some("é")),
        ("^abc", "i", Some("")),
        ("(?i)^abc", "", None),
        ("^a(?i)bc", "", Some("a")),
        ("^abc", "m", None),
        ("abc", "", None),
        ("^a|b", "", None),
        ("(^a)", "", None),
        ("a^b", "", None),
    ] {
        let filter = filter(&format!(
            r#"{{"a": {{"$regex": "{pattern}", "$options": "{options}"}}}}"#
        ));
        let Test::Pattern(compiled) = constraint(&filter) else {
            panic!("a pattern");
        };
        assert_eq!(compiled.prefix(), prefix, "{pattern} {options}");
    }
}

#[test]
fn filters_that_differ_are_written_differently() {
    let conditions = [
        r#"{"$regex": "a"}"#,
        r#"{"$regex": "a", "$options": "i"}"#,
        r#"{"$regex": "b"}"#,
        r#"{"$type": 1}"#,
        r#"{"$type": 2}"#,
        r#"{"$size": 1}"#,
        r#"{"$size": 2}"#,
        r#"{"$mod": [2, 1]}"#,
        r#"{"$mod": [2, 0]}"#,
        r#"{"$elemMatch": {"$gt": 1}}"#,
        r#"{"$elemMatch": {"a": {"$gt": 1}}}"#,
        r#"{"$all": []}"#,
    ];
    let text = |condition: &&str| format!("{:?}", filter(&format!(r#"{{"a": {condition}}}"#)));
    let mut texts: Vec<String> = conditions.iter().map(text).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), conditions.len());
}
