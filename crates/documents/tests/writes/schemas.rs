//! JSON Schema.

use nexusbase_documents::Error;
use nexusbase_documents::store::{
    BulkMode, Change, Condition, Operation, Returning, SchemaError, UpdateOptions, VIOLATIONS_MAX,
};

use crate::{all, collection, document, insert, int, operators, selection};

/// What is wrong with `document` by `schema`: the places in the document and in the schema.
fn violations(schema: &str, text: &str) -> Vec<(String, String)> {
    let things = collection();
    things.set_schema(Some(schema), false).unwrap();
    match things.insert(&document(text)) {
        Ok(_) => Vec::new(),
        Err(Error::Schema { violations, .. }) => violations
            .into_iter()
            .map(|violation| (violation.at, violation.schema))
            .collect(),
        Err(other) => panic!("{other}"),
    }
}

fn refused(schema: &str) -> SchemaError {
    let things = collection();
    match things.set_schema(Some(schema), false) {
        Err(Error::SchemaRefused(error)) => {
            assert!(things.info().unwrap().is_none());
            error
        }
        other => panic!("{schema}: {other:?}"),
    }
}

#[test]
fn a_document_that_violates_the_schema_is_refused_with_the_places() {
    let schema = r#"{"type":"object","required":["n"],"properties":{
        "n":{"type":"integer","minimum":0},"tags":{"items":{"type":"string"}}}}"#;
    assert_eq!(violations(schema, r#"{"_id":1,"n":1,"tags":["a"]}"#), []);
    let place = |at: &str, schema: &str| (at.to_owned(), schema.to_owned());
    assert_eq!(violations(schema, r#"{"_id":1}"#), [place("", "/required")]);
    assert_eq!(
        violations(schema, r#"{"_id":1,"n":-1,"tags":["a",2]}"#),
        [
            place("/n", "/properties/n/minimum"),
            place("/tags/1", "/properties/tags/items/type"),
        ]
    );
    let all = format!(r#"{{"n":1,"tags":[{}0]}}"#, "0,".repeat(100));
    assert_eq!(violations(schema, &all).len(), VIOLATIONS_MAX);
}

#[test]
fn every_way_to_write_is_held_against_the_schema_and_leaves_nothing() {
    let things = collection();
    insert(&things, &[r#"{"_id":1,"n":1}"#, r#"{"_id":2,"n":2}"#]);
    let schema = r#"{"properties":{"n":{"type":"integer","maximum":5}}}"#;
    things.set_schema(Some(schema), true).unwrap();
    let (bad, id) = (document(r#"{"n":9}"#), int(1));
    let id = id.as_raw_bson_ref();
    let any = Condition::Any;
    let inc = operators(r#"{"$inc":{"n":4}}"#);
    let bulk = [Operation::Insert(bad.clone())];
    let many = UpdateOptions::many();
    let upsert = UpdateOptions::one().or_insert();
    let outcomes: Vec<Option<Error>> = vec![
        things.insert(&bad).err(),
        things
            .insert_many(std::slice::from_ref(&bad))
            .err()
            .map(|(_, error)| error),
        things.replace(id, &bad).err(),
        things
            .replace_if(int(9).as_raw_bson_ref(), &bad, &any)
            .err(),
        things.update(&selection("{}"), &inc, &many).err(),
        things
            .update(
                &selection(r#"{"n":9}"#),
                &operators(r#"{"$set":{"a":1}}"#),
                &upsert,
            )
            .err(),
        things
            .change(
                id,
                &Change::MergePatch(bad.clone()),
                &any,
                false,
                Returning::Nothing,
            )
            .err(),
        things
            .bulk(&bulk, BulkMode::Unordered)
            .unwrap()
            .remove(0)
            .1
            .err(),
        things
            .bulk(&bulk, BulkMode::Atomic)
            .unwrap()
            .remove(0)
            .1
            .err(),
    ];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert!(
            matches!(outcome, Some(Error::Schema { .. })),
            "{number}: {outcome:?}"
        );
    }
    assert_eq!(all(&things), [r#"{"_id":1,"n":1}"#, r#"{"_id":2,"n":2}"#]);
    things.set_schema(None, false).unwrap();
    things.insert(&bad).unwrap();
}

#[test]
fn values_that_json_has_no_words_for_are_dates_as_text_and_else_relaxed_extended_json() {
    let schema = |of: &str| {
        format!(
            r#"{{"$schema":"http://json-schema.org/draft-07/schema#","required":["v"],
                "properties":{{"v":{of}}}}}"#
        )
    };
    let text = r#"{"type":"string","format":"date-time"}"#;
    for (of, value) in [
        (text, r#"{"$date":"2026-01-31T12:00:00Z"}"#),
        (
            text,
            r#"{"$date":{"$numberLong":"1"}}"#.replace("{\"$numberLong\":\"1\"}", "1").as_str(),
        ),
        (
            r#"{"required":["$oid"]}"#,
            r#"{"$oid":"000000000000000000000000"}"#,
        ),
        (
            r#"{"required":["$numberDecimal"]}"#,
            r#"{"$numberDecimal":"1.5"}"#,
        ),
        (
            r#"{"required":["$numberDouble"]}"#,
            r#"{"$numberDouble":"NaN"}"#,
        ),
        (
            r#"{"type":"integer"}"#,
            r#"{"$numberLong":"9007199254740993"}"#,
        ),
        (r#"{"type":"integer","const":1}"#, "1.0"),
    ] {
        let document = format!(r#"{{"_id":1,"v":{value}}}"#);
        assert_eq!(violations(&schema(of), &document), [], "{of} {value}");
        let not = format!(r#"{{"not":{of}}}"#);
        assert_eq!(
            violations(&schema(&not), &document).len(),
            1,
            "{of} {value}"
        );
    }
    assert_eq!(
        violations(&schema(text), r#"{"_id":1,"v":"yesterday"}"#).len(),
        1
    );
}

#[test]
fn three_drafts_are_known() {
    for (draft, schema, good, bad) in [
        (
            "https://json-schema.org/draft/2020-12/schema",
            r#""prefixItems":[{"type":"string"}]"#,
            r#"["a"]"#,
            "[1]",
        ),
        (
            "https://json-schema.org/draft/2019-09/schema",
            r#""items":[{"type":"string"}]"#,
            r#"["a"]"#,
            "[1]",
        ),
        (
            "http://json-schema.org/draft-07/schema#",
            r#""items":[{"type":"string"}]"#,
            r#"["a"]"#,
            "[1]",
        ),
    ] {
        let schema = format!(r#"{{"$schema":"{draft}","properties":{{"v":{{{schema}}}}}}}"#);
        assert_eq!(
            violations(&schema, &format!(r#"{{"v":{good}}}"#)),
            [],
            "{draft}"
        );
        assert_eq!(
            violations(&schema, &format!(r#"{{"v":{bad}}}"#)).len(),
            1,
            "{draft}"
        );
    }
}

#[test]
fn a_schema_refers_to_nothing_but_itself() {
    for reference in [
        "http://127.0.0.1:1/x.json",
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "/etc/passwd",
        "other.json#/a",
        "urn:x",
        "",
    ] {
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let schema = format!(r#"{{"properties":{{"a":{{"{keyword}":"{reference}"}}}}}}"#);
            let error = refused(&schema);
            assert!(
                matches!(&error, SchemaError::Reference { at, .. } if at.contains("/a/")),
                "{error}"
            );
        }
    }
    let unknown = refused(r##"{"$ref":"#/$defs/none"}"##);
    assert!(matches!(unknown, SchemaError::Invalid { .. }), "{unknown}");
    let unknown = refused(r#"{"$schema":"http://127.0.0.1:1/meta"}"#);
    assert!(matches!(unknown, SchemaError::Invalid { .. }), "{unknown}");
    let own = r##"{"properties":{"v":{"$ref":"#/$defs/a%2Fb"},"w":{"$ref":"#named"}},
        "$defs":{"a/b":{"type":"string"},"c":{"$anchor":"named","type":"string"}}}"##;
    // A pointer writes a slash in a name as ~1; %2F is a slash between names.
    assert!(matches!(refused(own), SchemaError::Invalid { .. }));
    let own = own.replace("a%2Fb", "a~1b");
    assert_eq!(violations(&own, r#"{"v":"x","w":"y"}"#), []);
    assert_eq!(violations(&own, r#"{"v":1,"w":2}"#).len(), 2);
}

#[test]
fn a_schema_whose_references_do_not_end_is_refused() {
    for schema in [
        r##"{"$ref":"#"}"##,
        r##"{"allOf":[{"$ref":"#"}]}"##,
        r##"{"not":{"$ref":"#"}}"##,
        r##"{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"$ref":"#/$defs/a"}}}"##,
        r##"{"$ref":"#x","$defs":{"a":{"$anchor":"x","if":{"$ref":"#/$defs/a"}}}}"##,
        r##"{"dependentSchemas":{"_id":{"$ref":"#"}}}"##,
    ] {
        let error = refused(schema);
        assert!(
            matches!(error, SchemaError::Endless { .. }),
            "{schema}: {error}"
        );
    }
    let bomb: Vec<_> = (0..40)
        .map(|i| {
            let next = format!(r##"{{"$ref":"#/$defs/{}"}}"##, i + 1);
            format!(r#""{i}":{{"allOf":[{next},{next}]}}"#)
        })
        .collect();
    let bomb = format!(
        r##"{{"$ref":"#/$defs/0","$defs":{{{},"40":{{}}}}}}"##,
        bomb.join(",")
    );
    assert!(matches!(refused(&bomb), SchemaError::Endless { .. }));
    // Into the value, references may go in circles.
    let tree = r##"{"properties":{"left":{"$ref":"#"},"n":{"type":"integer"}}}"##;
    let mut deep = "{\"n\":\"x\"}".to_owned();
    for _ in 0..98 {
        deep = format!("{{\"left\":{deep}}}");
    }
    assert_eq!(violations(tree, &deep).len(), 1);
}

#[test]
fn what_is_no_schema_or_costs_too_much_is_refused() {
    assert!(matches!(refused("{"), SchemaError::Syntax { .. }));
    assert!(matches!(
        refused(r#"{"type":"thing"}"#),
        SchemaError::Invalid { .. }
    ));
    assert!(matches!(
        refused(r#"{"minimum":"1"}"#),
        SchemaError::Invalid { .. }
    ));
    let deep = "[".repeat(100_000);
    assert!(matches!(refused(&deep), SchemaError::Syntax { .. }));
    let long = format!(r#"{{"title":"{}"}}"#, "x".repeat(1 << 20));
    assert!(matches!(refused(&long), SchemaError::TooLarge { .. }));
    // Look-around and back-references need an engine that may take for ever.
    for pattern in ["(?=a)a", r"(a)\\1", "(a{1000}){1000}", "("] {
        let schema = format!(r#"{{"properties":{{"v":{{"pattern":"{pattern}"}}}}}}"#);
        assert!(
            matches!(refused(&schema), SchemaError::Invalid { .. }),
            "{pattern}"
        );
    }
    let slow = r#"{"properties":{"v":{"pattern":"^(a+)+$"}}}"#;
    let value = "a".repeat(100_000);
    assert_eq!(violations(slow, &format!(r#"{{"v":"{value}b"}}"#)).len(), 1);
}

#[test]
fn what_is_stored_is_checked_only_when_asked() {
    let things = collection();
    let numbers: Vec<_> = (0..50)
        .map(|i| document(&format!(r#"{{"_id":{i}}}"#)))
        .collect();
    things.insert_many(&numbers).unwrap();
    let schema = r#"{"properties":{"_id":{"maximum":9}}}"#;
    let refused = things.set_schema(Some(schema), true);
    let Err(Error::SchemaRefused(SchemaError::Existing { ids, .. })) = refused else {
        panic!("{refused:?}");
    };
    let expected: Vec<_> = (10..30)
        .map(|i| format!(r#"{{"$numberInt":"{i}"}}"#))
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(things.info().unwrap().unwrap().schema, None);
    things.set_schema(Some(schema), false).unwrap();
    assert!(things.insert(&document(r#"{"_id":70}"#)).is_err());
    // What violates it can still be deleted, and changed to satisfy it.
    assert!(things.delete(int(40).as_raw_bson_ref()).unwrap());
}

#[test]
fn a_document_written_while_a_schema_is_set_conflicts() {
    let things = collection();
    things.create().unwrap();
    let mut tx = things.documents().database().begin();
    things
        .within(&mut tx)
        .insert(&document(r#"{"_id":1}"#))
        .unwrap();
    things
        .set_schema(Some(r#"{"required":["n"]}"#), true)
        .unwrap();
    tx.commit().unwrap_err();
    assert!(all(&things).is_empty());
}
