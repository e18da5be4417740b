//! The rules of sorting and projection, one test per rule, named after it.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::RawDocumentBuf;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::projection::Projection;
use nexusbase_documents::sort::{Sort, TopK};

fn document(json: &str) -> RawDocumentBuf {
    parse_document(json.as_bytes()).expect("a document")
}

/// The ids of the documents, in order.
#[track_caller]
fn order(sort: &Sort, documents: &[&str]) -> Vec<i32> {
    let mut top = TopK::new(None, usize::MAX);
    for json in documents {
        let document = document(json);
        let mut key = Vec::new();
        sort.key(&document, &mut key).unwrap();
        top.offer(&key, 0, || document.get_i32("_id").unwrap())
            .unwrap();
    }
    top.into_sorted().into_iter().map(|(_, id)| id).collect()
}

#[test]
fn arrays_sort_by_their_smallest_element_ascending_and_largest_descending() {
    let documents = [
        r#"{"_id": 1, "a": [5, 1]}"#,
        r#"{"_id": 2, "a": 3}"#,
        r#"{"_id": 3, "a": [2, 4]}"#,
        r#"{"_id": 4, "a": [[0], 9]}"#,
    ];
    // An array inside is not opened, and as a whole it is above all numbers.
    assert_eq!(order(&Sort::parse("a").unwrap(), &documents), [1, 3, 2, 4]);
    assert_eq!(order(&Sort::parse("-a").unwrap(), &documents), [4, 1, 3, 2]);
}

#[test]
fn an_empty_array_sorts_below_null_and_null_ties_with_missing() {
    let documents = [
        r#"{"_id": 4, "a": 1}"#,
        r#"{"_id": 3, "a": [null]}"#,
        r#"{"_id": 2}"#,
        r#"{"_id": 1, "a": null}"#,
        r#"{"_id": 9, "a": []}"#,
    ];
    assert_eq!(
        order(&Sort::parse("a").unwrap(), &documents),
        [9, 1, 2, 3, 4]
    );
}

#[test]
fn dotted_keys_take_the_smallest_or_largest_over_the_fan_out() {
    let documents = [
        r#"{"_id": 1, "a": [{"b": 9}, {"b": [1, 20]}]}"#,
        r#"{"_id": 2, "a": {"b": 5}}"#,
        r#"{"_id": 3, "a": [{"b": 7}, {}]}"#,
        r#"{"_id": 4, "a": [{"b": 8}, 1]}"#,
    ];
    assert_eq!(
        order(&Sort::parse("a.b").unwrap(), &documents),
        [3, 4, 1, 2]
    );
    assert_eq!(
        order(&Sort::parse("-a.b").unwrap(), &documents),
        [1, 4, 3, 2]
    );
}

#[test]
fn ties_are_decided_by_id_in_the_direction_of_the_last_key() {
    let documents = [
        r#"{"_id": 2, "a": 1}"#,
        r#"{"_id": 1, "a": 1.0}"#,
        r#"{"_id": 3, "a": 1}"#,
    ];
    assert_eq!(order(&Sort::parse("a").unwrap(), &documents), [1, 2, 3]);
    assert_eq!(order(&Sort::parse("b,-a").unwrap(), &documents), [3, 2, 1]);
    let sort = Sort::from_document(&document(r#"{"a": 1.0, "_id": -1}"#)).unwrap();
    assert_eq!(order(&sort, &documents), [3, 2, 1]);
    assert_eq!(sort.keys().len(), 2);
    assert_eq!(order(&Sort::parse("").unwrap(), &documents), [1, 2, 3]);
}

#[test]
fn an_order_that_cannot_be_is_refused() {
    for (text, message) in [
        (
            "a,,b",
            "the sort key \"\" is not usable: a field name is expected",
        ),
        ("a..b", "has an empty part"),
        ("-$a", "begins with $"),
        ("a,-a", "the sort key \"a\" stands twice"),
        (
            &["a"; 33]
                .iter()
                .enumerate()
                .map(|(n, a)| format!("{a}{n}"))
                .collect::<Vec<_>>()
                .join(","),
            "at most 32 keys, and this one has 33",
        ),
    ] {
        let error = Sort::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    let error = Sort::from_document(&document(r#"{"a": 2}"#))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the direction of the sort key \"a\" must be 1 or -1");
}

#[test]
fn a_bounded_sort_keeps_the_first_and_an_unbounded_one_fails_at_its_limit() {
    let mut top = TopK::new(Some(2), 1000);
    for (number, key) in [5u8, 1, 9, 1, 3].into_iter().enumerate() {
        top.offer(&[key], 100, || number).unwrap();
    }
    assert_eq!(top.len(), 2);
    let kept: Vec<_> = top
        .into_sorted()
        .into_iter()
        .map(|(key, number)| (key[0], number))
        .collect();
    assert_eq!(kept, [(1, 1), (1, 3)]);
    let mut none = TopK::new(Some(0), 1000);
    none.offer(b"a", 1, || ()).unwrap();
    assert!(none.is_empty());
    let mut all = TopK::new(None, 1000);
    let error = (0u8..100)
        .find_map(|n| all.offer(&[n], 100, || n).err())
        .expect("it is full");
    assert!(
        error.to_string().contains("more than 1000 bytes"),
        "{error}"
    );
}

#[track_caller]
fn projected(fields: &str, json: &str) -> String {
    let projection = Projection::parse(fields).unwrap();
    to_string(&projection.apply(&document(json)).unwrap(), Form::Relaxed).unwrap()
}

#[test]
fn a_projection_keeps_the_id_and_the_stored_order() {
    assert_eq!(
        projected("c,a", r#"{"a": 1, "b": 2, "c": 3, "_id": 4}"#),
        r#"{"a":1,"c":3,"_id":4}"#
    );
    assert_eq!(projected("_id", r#"{"_id": 1, "a": 2}"#), r#"{"_id":1}"#);
}

#[test]
fn a_projection_fans_out_over_arrays_of_objects() {
    assert_eq!(
        projected(
            "a.b,a.d.e",
            r#"{"a": [{"b": 1, "c": 2}, 5, {"d": {"e": [1], "f": 2}}, [{"b": 3}]]}"#
        ),
        r#"{"a":[{"b":1},{"d":{"e":[1]}},[{"b":3}]]}"#
    );
    assert_eq!(projected("a.b", r#"{"a": 5, "b": 1}"#), "{}");
    assert_eq!(projected("a.b", r#"{"a": {"c": 1}}"#), r#"{"a":{}}"#);
}

#[test]
fn fields_that_overlap_are_refused() {
    for fields in ["a,a.b", "a.b.c,x,a.b", "a,a", "_id.x"] {
        let error = Projection::parse(fields).unwrap_err().to_string();
        assert!(error.contains("overlap"), "{fields}: {error}");
    }
    assert!(Projection::parse("ab,a,a-b").is_ok());
    assert!(Projection::parse(" ").is_err() && Projection::parse("a,").is_err());
}
