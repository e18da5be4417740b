//! The two kinds of patches: the rules of RFC 7396 and RFC 6902, and what is kept of BSON.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::raw::{RawBson, RawDocumentBuf};
use bson::rawdoc;
use nexusbase_documents::json::{Form, parse_document, parse_value, to_string};
use nexusbase_documents::patch::{JsonPatch, OPERATIONS_MAX, PatchError, merge_patch};

fn document(text: &str) -> RawDocumentBuf {
    parse_document(text.as_bytes()).expect("a document")
}

fn text(document: &RawDocumentBuf) -> String {
    to_string(document, Form::Relaxed).unwrap()
}

fn parse(patch: &str) -> Result<JsonPatch, PatchError> {
    match parse_value(patch.as_bytes()).expect("JSON") {
        RawBson::Array(array) => JsonPatch::parse(&array),
        other => panic!("a patch is an array, not {other:?}"),
    }
}

fn patch(before: &str, patch: &str) -> Result<String, PatchError> {
    let patched = parse(patch)?.apply(&document(before))?;
    Ok(text(&patched))
}

fn assert_patches(cases: &[(&str, &str, &str)]) {
    for (before, operations, after) in cases {
        let found = patch(before, operations).unwrap_or_else(|error| {
            panic!("{operations} on {before}: {error}");
        });
        assert_eq!(found, text(&document(after)), "{operations} on {before}");
    }
}

#[test]
fn a_merge_patch_replaces_removes_and_merges() {
    let cases = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (
            r#"{"a":[1,2]}"#,
            r#"{"a":{"x":1,"y":null}}"#,
            r#"{"a":{"x":1}}"#,
        ),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (r#"{"a":1}"#, r#"{"a":[null]}"#, r#"{"a":[null]}"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
    ];
    for (before, patch, after) in cases {
        let merged = merge_patch(&document(before), &document(patch)).unwrap();
        assert_eq!(text(&merged), after, "{patch} on {before}");
    }
}

#[test]
fn a_merge_patch_keeps_types_that_json_does_not_have() {
    let before = document(
        r#"{"_id":{"$numberLong":"1"},"price":{"$numberDecimal":"1.50"},"at":{"$date":"2026-01-01T00:00:00Z"},"n":1}"#,
    );
    let merged = merge_patch(&before, &rawdoc! { "n": { "$numberLong": "no wrapper" } });
    let error = merged.expect_err("a name with $").to_string();
    assert!(error.contains("$numberLong"), "{error}");
    let merged = merge_patch(&before, &rawdoc! { "n": 2_i64 }).unwrap();
    for kept in ["_id", "price", "at"] {
        assert_eq!(merged.get(kept).unwrap(), before.get(kept).unwrap());
    }
    assert_eq!(merged.get_i64("n").unwrap(), 2);
}

#[test]
fn no_patch_changes_the_id() {
    let before = document(r#"{"_id":1,"a":2}"#);
    for refused in [r#"{"_id":2}"#, r#"{"_id":null}"#, r#"{"_id":1.0}"#] {
        let error = merge_patch(&before, &document(refused)).expect_err(refused);
        assert!(matches!(error, PatchError::Id), "{error}");
    }
    merge_patch(&before, &document(r#"{"_id":1,"a":3}"#)).expect("the same _id");
    for refused in [
        r#"[{"op":"remove","path":"/_id"}]"#,
        r#"[{"op":"replace","path":"/_id","value":3}]"#,
        r#"[{"op":"replace","path":"","value":{"a":1}}]"#,
        r#"[{"op":"move","from":"/a","path":"/_id"}]"#,
    ] {
        let error = patch(r#"{"_id":1,"a":2}"#, refused).expect_err(refused);
        assert!(matches!(error, PatchError::Id), "{error}");
    }
    let back = r#"[{"op":"remove","path":"/_id"},{"op":"add","path":"/_id","value":1}]"#;
    patch(r#"{"_id":1,"a":2}"#, back).expect("the same _id at the end");
}

#[test]
fn operations_add_remove_replace_move_copy() {
    assert_patches(&[
        (
            r#"{"first":1}"#,
            r#"[{"op":"add","path":"/second","value":2}]"#,
            r#"{"first":1,"second":2}"#,
        ),
        (
            r#"{"list":["x","z"]}"#,
            r#"[{"op":"add","path":"/list/1","value":"y"}]"#,
            r#"{"list":["x","y","z"]}"#,
        ),
        (
            r#"{"a":1,"b":2}"#,
            r#"[{"op":"remove","path":"/b"}]"#,
            r#"{"a":1}"#,
        ),
        (
            r#"{"list":["x","y","z"]}"#,
            r#"[{"op":"remove","path":"/list/1"}]"#,
            r#"{"list":["x","z"]}"#,
        ),
        (
            r#"{"a":1,"b":2}"#,
            r#"[{"op":"replace","path":"/a","value":"new"}]"#,
            r#"{"a":"new","b":2}"#,
        ),
        (
            r#"{"from":{"x":1,"y":2},"to":{"z":3}}"#,
            r#"[{"op":"move","from":"/from/y","path":"/to/w"}]"#,
            r#"{"from":{"x":1},"to":{"z":3,"w":2}}"#,
        ),
        (
            r#"{"list":["all","cows","eat","grass"]}"#,
            r#"[{"op":"move","from":"/list/1","path":"/list/3"}]"#,
            r#"{"list":["all","eat","grass","cows"]}"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
            r#"{"a":1,"child":{"grandchild":{}}}"#,
        ),
        (
            r#"{"list":[1]}"#,
            r#"[{"op":"add","path":"/list/-","value":[2,3]},{"op":"add","path":"/list/2","value":4}]"#,
            r#"{"list":[1,[2,3],4]}"#,
        ),
        (
            r#"{"a":{"b":[1]}}"#,
            r#"[{"op":"copy","from":"/a","path":"/c"},{"op":"add","path":"/c/b/0","value":0}]"#,
            r#"{"a":{"b":[1]},"c":{"b":[0,1]}}"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"add","path":"/a","value":null}]"#,
            r#"{"a":null}"#,
        ),
        (
            r#"{"a":1}"#,
            r#"[{"op":"add","path":"/b","value":2,"extra":"ignored"}]"#,
            r#"{"a":1,"b":2}"#,
        ),
        (
            r#"{"a":{"b":{"c":1}}}"#,
            r#"[{"op":"replace","path":"","value":{"x":1}},{"op":"move","from":"/x","path":"/x"}]"#,
            r#"{"x":1}"#,
        ),
        (
            r#"{"a":{"b":{"c":1}}}"#,
            r#"[{"op":"move","from":"/a/b","path":"/a"}]"#,
            r#"{"a":{"c":1}}"#,
        ),
    ]);
}

#[test]
fn pointers_escape_the_slash_and_the_tilde() {
    assert_patches(&[
        (
            r#"{"a/b":1,"m~n":2,"~1":3}"#,
            r#"[{"op":"test","path":"/a~1b","value":1},{"op":"test","path":"/m~0n","value":2},
                {"op":"test","path":"/~01","value":3},{"op":"remove","path":"/~01"}]"#,
            r#"{"a/b":1,"m~n":2}"#,
        ),
        (
            r#"{"o":{"0":1,"-":2}}"#,
            r#"[{"op":"remove","path":"/o/0"},{"op":"replace","path":"/o/-","value":3}]"#,
            r#"{"o":{"-":3}}"#,
        ),
    ]);
}

#[test]
fn a_test_compares_numbers_by_value_and_objects_without_order() {
    let before = r#"{"n":1,"o":{"a":[1,{"x":1,"y":2}],"b":"ten"},"d":{"$numberDecimal":"2.50"}}"#;
    for holds in [
        r#"[{"op":"test","path":"/n","value":1.0}]"#,
        r#"[{"op":"test","path":"/d","value":2.5}]"#,
        r#"[{"op":"test","path":"/o","value":{"b":"ten","a":[{"$numberLong":"1"},{"y":2,"x":1}]}}]"#,
        r#"[{"op":"add","path":"/o/c","value":1},
            {"op":"test","path":"/o","value":{"c":1,"b":"ten","a":[1,{"y":2,"x":1}]}}]"#,
    ] {
        patch(before, holds).unwrap_or_else(|error| panic!("{holds}: {error}"));
    }
    for fails in [
        r#"[{"op":"test","path":"/n","value":"1"}]"#,
        r#"[{"op":"test","path":"/n","value":true}]"#,
        r#"[{"op":"test","path":"/o","value":{"b":"ten"}}]"#,
        r#"[{"op":"test","path":"/o/a","value":[{"x":1,"y":2},1]}]"#,
        r#"[{"op":"test","path":"/o/a","value":[1]}]"#,
    ] {
        let error = patch(before, fails).expect_err(fails);
        assert!(
            matches!(error, PatchError::TestFailed { index: 0, .. }),
            "{error}"
        );
    }
    let second = r#"[{"op":"add","path":"/x","value":1},{"op":"test","path":"/x","value":2}]"#;
    let error = patch(before, second)
        .expect_err("the second fails")
        .to_string();
    assert!(error.contains("operation 1"), "{error}");
}

#[test]
fn what_cannot_be_carried_out_is_refused() {
    let before = r#"{"a":[1,2],"o":{"x":1},"s":"text"}"#;
    let missing = [
        r#"[{"op":"add","path":"/none/b","value":1}]"#,
        r#"[{"op":"add","path":"/s/b","value":1}]"#,
        r#"[{"op":"add","path":"/a/3","value":1}]"#,
        r#"[{"op":"add","path":"/a/01","value":1}]"#,
        r#"[{"op":"add","path":"/a/x","value":1}]"#,
        r#"[{"op":"remove","path":"/a/-"}]"#,
        r#"[{"op":"remove","path":"/a/2"}]"#,
        r#"[{"op":"remove","path":"/none"}]"#,
        r#"[{"op":"replace","path":"/none","value":1}]"#,
        r#"[{"op":"replace","path":"/a/2","value":1}]"#,
        r#"[{"op":"move","from":"/none","path":"/b"}]"#,
        r#"[{"op":"move","from":"/none","path":"/none"}]"#,
        r#"[{"op":"copy","from":"/a/-","path":"/b"}]"#,
        r#"[{"op":"test","path":"/none","value":null}]"#,
    ];
    for refused in missing {
        let error = patch(before, refused).expect_err(refused);
        assert!(
            matches!(error, PatchError::Missing { .. }),
            "{refused}: {error}"
        );
    }
    for refused in [
        r#"[1]"#,
        r#"[{"path":"/a"}]"#,
        r#"[{"op":"add","path":"/a"}]"#,
        r#"[{"op":"add","value":1}]"#,
        r#"[{"op":"add","path":7,"value":1}]"#,
        r#"[{"op":"move","path":"/b"}]"#,
        r#"[{"op":"spam","path":"/a"}]"#,
        r#"[{"op":"remove","path":"a"}]"#,
        r#"[{"op":"remove","path":"/a~2"}]"#,
        r#"[{"op":"remove","path":"/a~"}]"#,
        r#"[{"op":"move","from":"/o","path":"/o/y"}]"#,
        r#"[{"op":"move","from":"","path":"/o"}]"#,
    ] {
        parse(refused).expect_err(refused);
    }
    for refused in [
        r#"[{"op":"remove","path":""}]"#,
        r#"[{"op":"replace","path":"","value":[1]}]"#,
        r#"[{"op":"copy","from":"/s","path":""}]"#,
    ] {
        let error = patch(before, refused).expect_err(refused);
        assert!(
            matches!(error, PatchError::Root { .. }),
            "{refused}: {error}"
        );
    }
    let unstorable = r#"[{"op":"add","path":"/$set","value":1}]"#;
    let error = patch(before, unstorable).expect_err("a name with $");
    assert!(matches!(error, PatchError::Document(_)), "{error}");
}

#[test]
fn the_work_and_the_memory_of_a_json_patch_are_limited() {
    // Doubling: 2^40 texts. What is too much on the way is refused, whatever is left at the end.
    let mut doubling = Vec::new();
    for _ in 0..40 {
        doubling.push(r#"{"op":"add","path":"/b","value":{}}"#);
        doubling.push(r#"{"op":"copy","from":"/a","path":"/b/x"}"#);
        doubling.push(r#"{"op":"move","from":"/a","path":"/b/y"}"#);
        doubling.push(r#"{"op":"move","from":"/b","path":"/a"}"#);
    }
    doubling.push(r#"{"op":"remove","path":"/a"}"#);
    let doubling = format!("[{}]", doubling.join(","));
    let error = patch(r#"{"a":{"text":"0123456789"}}"#, &doubling).expect_err("too large");
    assert!(matches!(error, PatchError::Document(_)), "{error}");
    // Deeper with every copy.
    let deep = "/a".repeat(90);
    let mut deeper = Vec::new();
    for depth in 1..90 {
        let path = "/a".repeat(depth);
        deeper.push(format!(r#"{{"op":"add","path":"{path}","value":{{}}}}"#));
    }
    deeper.push(format!(r#"{{"op":"copy","from":"/a","path":"{deep}"}}"#));
    deeper.push(r#"{"op":"remove","path":"/a"}"#.to_owned());
    let error = patch(r"{}", &format!("[{}]", deeper.join(","))).expect_err("too deep");
    assert!(matches!(error, PatchError::Document(_)), "{error}");
    let operation = r#"{"op":"test","path":"","value":{}}"#;
    let many = vec![operation; OPERATIONS_MAX + 1].join(",");
    let error = parse(&format!("[{many}]")).expect_err("too many operations");
    assert!(
        matches!(error, PatchError::TooManyOperations { .. }),
        "{error}"
    );
}

#[test]
fn a_large_value_is_not_moved_as_often_as_a_patch_may_have_operations() {
    let before = document(&format!("{{\"a\":[{}]}}", vec!["null"; 100_000].join(",")));
    // The first operation opens the array.
    let mut operations = vec![r#"{"op":"test","path":"/a/0","value":null}"#];
    while operations.len() < OPERATIONS_MAX - 1 {
        operations.push(r#"{"op":"move","from":"/a","path":"/b"}"#);
        operations.push(r#"{"op":"move","from":"/b","path":"/a"}"#);
    }
    let many = parse(&format!("[{}]", operations.join(","))).unwrap();
    let refused = many.apply(&before);
    assert!(
        matches!(refused, Err(PatchError::TooManyOperations { .. })),
        "{refused:?}"
    );
    let few = parse(&format!("[{}]", operations[..101].join(","))).unwrap();
    assert_eq!(few.apply(&before).unwrap(), before);
}
