//! Updates: the rules that the recorded cases leave open, the limits, and what is said on refusal.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::Timestamp;
use bson::raw::{RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf, cstr};
use bson::rawdoc;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::{Form, parse_document, to_string};
use nexusbase_documents::update::{Now, PADDING_MAX, Update, UpdateError};

const NOW: Now = Now {
    unix_ms: 1_700_000_000_000,
    timestamp: Timestamp {
        time: 1_700_000_000,
        increment: 9,
    },
};

fn document(text: &str) -> RawDocumentBuf {
    parse_document(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn parse(update: &str, array_filters: &[&str]) -> Result<Update, UpdateError> {
    let filters: Vec<RawDocumentBuf> = array_filters.iter().map(|text| document(text)).collect();
    Update::parse(&document(update), &filters)
}

fn refused(update: &str, array_filters: &[&str]) -> UpdateError {
    match parse(update, array_filters) {
        Ok(_) => panic!("{update} is not refused"),
        Err(error) => error,
    }
}

fn apply_found(
    before: &str,
    filter: &str,
    update: &str,
    array_filters: &[&str],
) -> Result<String, UpdateError> {
    let before = document(before);
    let filter = Filter::parse(&document(filter)).unwrap();
    assert!(filter.matches(&before).unwrap(), "the filter finds it");
    let changed = parse(update, array_filters)?.apply(&before, &filter, NOW)?;
    let after = changed.as_ref().unwrap_or(&before);
    Ok(to_string(after, Form::Relaxed).unwrap())
}

fn apply(before: &str, update: &str) -> Result<String, UpdateError> {
    apply_found(before, "{}", update, &[])
}

fn upsert(filter: &str, update: &str) -> Result<String, UpdateError> {
    let inserted = parse(update, &[])?.upsert(&document(filter), NOW)?;
    Ok(to_string(&inserted, Form::Relaxed).unwrap())
}

#[test]
fn fields_keep_their_order_and_new_ones_come_last_by_their_names() {
    let update =
        r#"{"$set":{"z":1,"m.10":1,"m.9":1,"m.x":1,"c":9},"$inc":{"b":1},"$unset":{"d":1}}"#;
    let after = apply(r#"{"_id":1,"d":0,"c":1}"#, update).unwrap();
    assert_eq!(
        after,
        r#"{"_id":1,"c":9,"b":1,"m":{"9":1,"10":1,"x":1},"z":1}"#
    );
    let after = apply(
        r#"{"a":1,"b":2,"c":3}"#,
        r#"{"$rename":{"a":"c","b":"d.e"}}"#,
    )
    .unwrap();
    assert_eq!(after, r#"{"c":1,"d":{"e":2}}"#);
}

#[test]
fn nothing_changes_where_the_value_is_the_same() {
    let before = document(r#"{"a":1,"l":[1],"z":{"$numberDouble":"-0.0"}}"#);
    for update in [
        r#"{"$set":{"a":1}}"#,
        r#"{"$inc":{"z":0.0}}"#,
        r#"{"$mul":{"a":1}}"#,
        r#"{"$min":{"a":1.0}}"#,
        r#"{"$max":{"a":1.0}}"#,
        r#"{"$unset":{"none.x":1}}"#,
        r#"{"$rename":{"none":"a"}}"#,
        r#"{"$addToSet":{"l":1.0}}"#,
        r#"{"$setOnInsert":{"a.b":5,"n":1}}"#,
        r#"{"$set":{}}"#,
    ] {
        let changed = parse(update, &[]).unwrap();
        let changed = changed.apply(&before, &Filter::default(), NOW).unwrap();
        assert_eq!(changed, None, "{update}");
    }
    let after = apply(r#"{"a":1}"#, r#"{"$set":{"a":1.0}}"#).unwrap();
    assert_eq!(after, r#"{"a":1.0}"#, "another type is a change");
}

#[test]
fn a_replacement_or_an_unknown_operator_is_refused_by_name() {
    assert!(matches!(refused("{}", &[]), UpdateError::Empty));
    for update in [
        r#"{"a":1}"#,
        r#"{"$set":{"b":1},"a":1}"#,
        r#"{"a":1,"$set":{"b":1}}"#,
    ] {
        let error = refused(update, &[]);
        assert!(
            matches!(&error, UpdateError::Replacement { name } if name == "a"),
            "{error}"
        );
    }
    let error = refused(r#"{"$push":{"a":1},"$pushAll":{"b":[1]}}"#, &[]).to_string();
    assert!(
        error.contains("$pushAll") && error.contains("$pullAll"),
        "{error}"
    );
}

#[test]
fn one_place_is_changed_by_one_operation() {
    for update in [
        r#"{"$set":{"a":1},"$inc":{"a":1}}"#,
        r#"{"$set":{"a.b":1},"$unset":{"a":1}}"#,
        r#"{"$set":{"a":1,"a.b.c":1}}"#,
        r#"{"$set":{"a.$[]":1,"a.0":1}}"#,
        r#"{"$rename":{"a":"b","b":"c"}}"#,
        r#"{"$rename":{"a":"a"}}"#,
        r#"{"$rename":{"a":"a.b"}}"#,
    ] {
        let error = refused(update, &[]);
        assert!(
            matches!(error, UpdateError::Conflict { .. }),
            "{update}: {error}"
        );
    }
    // Two ways to one element are a conflict only where they meet.
    let filters = [r#"{"x":{"$gte":2}}"#, r#"{"y":{"$lte":2}}"#];
    let update = r#"{"$set":{"a.$[x]":9},"$inc":{"a.$[y]":1}}"#;
    let apart = apply_found(r#"{"a":[1,3]}"#, "{}", update, &filters).unwrap();
    assert_eq!(apart, r#"{"a":[2,9]}"#);
    let error = apply_found(r#"{"a":[1,2]}"#, "{}", update, &filters).unwrap_err();
    assert!(
        matches!(&error, UpdateError::Conflict { at, .. } if at == "a.1"),
        "{error}"
    );
    let update = r#"{"$set":{"a.$":9,"a.1":8}}"#;
    let apart = apply_found(r#"{"a":[1,2]}"#, r#"{"a":1}"#, update, &[]).unwrap();
    assert_eq!(apart, r#"{"a":[9,8]}"#);
    let error = apply_found(r#"{"a":[1,2]}"#, r#"{"a":2}"#, update, &[]).unwrap_err();
    assert!(matches!(error, UpdateError::Conflict { .. }), "{error}");
    let update = r#"{"$set":{"a.$.x":9,"a.1.y":8}}"#;
    let joined = apply_found(r#"{"a":[{"i":1},{"i":2}]}"#, r#"{"a.i":2}"#, update, &[]).unwrap();
    assert_eq!(joined, r#"{"a":[{"i":1},{"i":2,"x":9,"y":8}]}"#);
}

#[test]
fn array_filters_are_declared_and_used() {
    let update = r#"{"$set":{"a.$[x].b":1}}"#;
    for filters in [
        &[][..],
        &[r#"{"y":1}"#],
        &[r#"{"x":1}"#, r#"{"y":1}"#],
        &[r#"{"x":1}"#, r#"{"x.b":2}"#],
        &[r#"{"x":1,"y":1}"#],
        &[r#"{"$or":[{"x":1},{"y.z":1}]}"#],
        &["{}"],
        &[r#"{"X":1}"#],
        &[r#"{"x_":1}"#],
        &[r#"{"x":{"$bad":1}}"#],
    ] {
        refused(update, filters);
    }
    parse(update, &[r#"{"$or":[{"x.b":1},{"x.c":2}],"x.d":1}"#]).unwrap();
    for path in ["$", "$[]", "$[x].a", "a.$.b.$", "a.$b", "$b", "a.$[x", ""] {
        refused(&format!(r#"{{"$set":{{"{path}":1}}}}"#), &[r#"{"x":1}"#]);
    }
}

#[test]
fn the_found_element_is_the_first_in_the_outermost_array() {
    let nested = r#"{"a":[{"b":[1,2]},{"b":[3,4]}],"l":[5,6,7],"n":{"l":[8,9]}}"#;
    let found = |filter: &str, path: &str| {
        let update = format!(r#"{{"$set":{{"{path}":0}}}}"#);
        apply_found(nested, filter, &update, &[])
    };
    let with = |part: &str, by: &str| Ok::<_, ()>(nested.replace(part, by));
    let cases = [
        (
            r#"{"a.b":4}"#,
            "a.$.c",
            r#"{"b":[3,4]}"#,
            r#"{"b":[3,4],"c":0}"#,
        ),
        (r#"{"l":{"$gt":5}}"#, "l.$", "[5,6,7]", "[5,0,7]"),
        (r#"{"l":{"$gt":5,"$lt":6}}"#, "l.$", "[5,6,7]", "[0,6,7]"),
        (r#"{"n.l":9}"#, "n.l.$", "[8,9]", "[8,0]"),
        (r#"{"$or":[{"l":1},{"l":7}]}"#, "l.$", "[5,6,7]", "[5,6,0]"),
        (
            r#"{"$and":[{"l":6},{"n.l":{"$ne":1}}]}"#,
            "l.$",
            "[5,6,7]",
            "[5,0,7]",
        ),
    ];
    for (filter, path, part, by) in cases {
        assert_eq!(
            found(filter, path).map_err(|_| ()),
            with(part, by),
            "{filter}"
        );
    }
    for filter in [
        r#"{"l":[5,6,7]}"#,
        r#"{"l":{"$exists":true}}"#,
        r#"{"l":{"$ne":9}}"#,
        r#"{"l.0":5}"#,
        r#"{"n":{"l":[8,9]}}"#,
    ] {
        let error = found(filter, "l.$").unwrap_err();
        assert!(
            matches!(error, UpdateError::NoPosition { .. }),
            "{filter}: {error}"
        );
    }
    let update = r#"{"$set":{"l.$":0}}"#;
    let error = apply_found(r#"{"l":[5]}"#, r#"{"l":[5]}"#, update, &[]).unwrap_err();
    assert!(
        matches!(error, UpdateError::NoPosition { .. }),
        "the array as a whole is no element: {error}"
    );
}

#[test]
fn an_operation_that_does_not_fit_says_where_and_why() {
    for (update, says) in [
        (
            r#"{"$inc":{"s":1}}"#,
            r#"$inc of "s" needs a number there, and that is a string"#,
        ),
        (
            r#"{"$push":{"o":1}}"#,
            r#"$push of "o" needs an array there, and that is an object"#,
        ),
        (
            r#"{"$set":{"s.x":1}}"#,
            r#"the path "s.x" cannot go on at "s", because that is a string"#,
        ),
        (
            r#"{"$set":{"l.x":1}}"#,
            r#"the path "l.x" cannot go on at "l", because that is an array"#,
        ),
        (r#"{"$set":{"o.$[]":1}}"#, r#""o" must be an array"#),
        (r#"{"$rename":{"s":"l.0"}}"#, "leads through an array"),
        (r#"{"$rename":{"l.0":"x"}}"#, "leads through an array"),
        (
            r#"{"$inc":{"big":1}}"#,
            "9223372036854775807 + 1 does not fit into 64 bits",
        ),
        (
            r#"{"$inc":{"l":true}}"#,
            r#"$inc of "l" expects a number, found a boolean"#,
        ),
        (r#"{"$set":{"o.$x":1}}"#, "begins with $"),
    ] {
        let before = r#"{"s":"text","o":{},"l":[1],"big":9223372036854775807}"#;
        let error = apply(before, update).expect_err(update).to_string();
        assert!(error.contains(says), "{update}: {error}");
    }
}

#[test]
fn no_update_changes_the_id() {
    for update in [
        r#"{"$set":{"_id":2}}"#,
        r#"{"$set":{"_id":1.0}}"#,
        r#"{"$unset":{"_id":1}}"#,
        r#"{"$inc":{"_id":1}}"#,
        r#"{"$rename":{"_id":"x"}}"#,
        r#"{"$rename":{"a":"_id"}}"#,
    ] {
        let error = apply(r#"{"_id":1,"a":5}"#, update).expect_err(update);
        assert!(matches!(error, UpdateError::Id), "{update}: {error}");
    }
    apply(r#"{"_id":1}"#, r#"{"$set":{"_id":1,"a":2}}"#).expect("the same _id");
    let error = apply(r#"{"_id":{"a":1}}"#, r#"{"$set":{"_id.a":2}}"#).unwrap_err();
    assert!(matches!(error, UpdateError::Id), "{error}");
}

#[test]
fn a_result_that_may_not_be_stored_is_refused() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(60), "}".repeat(60));
    let deeper = ["b"; 50].join(".");
    for update in [
        r#"{"$set":{"a":{"$x":1}}}"#.to_owned(),
        r#"{"$push":{"l":{"x.y":1}}}"#.to_owned(),
        r#"{"$set":{"a":{"":1}}}"#.to_owned(),
        r#"{"$set":{"_id":[1]}}"#.to_owned(),
        format!(r#"{{"$set":{{"{deeper}":{deep}}}}}"#),
    ] {
        let error = apply(r#"{"l":[]}"#, &update).expect_err(&update);
        assert!(
            matches!(error, UpdateError::Document(_)),
            "{update}: {error}"
        );
        let error = upsert(r#"{"z":1}"#, &update).expect_err(&update);
        assert!(
            matches!(error, UpdateError::Document(_)),
            "{update}: {error}"
        );
    }
    let half = "x".repeat(9 * 1024 * 1024);
    let mut large = rawdoc! { "a": half.as_str() };
    let update = Update::parse(&rawdoc! { "$set": { "b": half.as_str() } }, &[]).unwrap();
    let error = update.apply(&large, &Filter::default(), NOW).unwrap_err();
    assert!(matches!(error, UpdateError::Document(_)), "{error}");
    large = rawdoc! { "b": 1 };
    update.apply(&large, &Filter::default(), NOW).unwrap();
}

#[test]
fn the_time_is_the_one_that_the_caller_brings() {
    let update = r#"{"$currentDate":{"d":true,"t":{"$type":"timestamp"}}}"#;
    let update = parse(update, &[]).unwrap();
    let changed = update.apply(&rawdoc! {}, &Filter::default(), NOW).unwrap();
    let changed = changed.expect("two new fields");
    let date = changed.get_datetime("d").unwrap();
    assert_eq!(date.timestamp_millis(), 1_700_000_000_000);
    assert_eq!(changed.get_timestamp("t").unwrap(), NOW.timestamp);
}

#[test]
fn an_upsert_begins_with_what_the_filter_demands() {
    for (filter, update, inserted) in [
        (
            r#"{"b.c":1,"a":{"$eq":2},"r":{"$gt":5},"_id":7}"#,
            r#"{"$set":{"b.d":3},"$setOnInsert":{"n":4}}"#,
            r#"{"_id":7,"a":2,"b":{"c":1,"d":3},"n":4}"#,
        ),
        (
            r#"{"$and":[{"a":1},{"$or":[{"b":2}]},{"c":{"$in":[3]}}],"$or":[{"d":4},{"e":5}]}"#,
            r#"{"$inc":{"a":1}}"#,
            r#"{"a":2,"b":2,"c":3}"#,
        ),
        (
            r#"{"a":{"$in":[1,2]},"b":{"$ne":1}}"#,
            r#"{"$set":{"z":1}}"#,
            r#"{"z":1}"#,
        ),
        (
            r#"{"a":{"x":1}}"#,
            r#"{"$set":{"a.y":2}}"#,
            r#"{"a":{"x":1,"y":2}}"#,
        ),
        (r#"{"z":1}"#, r#"{"$set":{"_id":5}}"#, r#"{"_id":5,"z":1}"#),
        (
            r#"{"l":[1,5]}"#,
            r#"{"$mul":{"l.$[]":2}}"#,
            r#"{"l":[2,10]}"#,
        ),
    ] {
        assert_eq!(
            upsert(filter, update).unwrap(),
            inserted,
            "{filter} {update}"
        );
    }
    for (filter, update) in [
        (r#"{"a":1,"$and":[{"a":2}]}"#, r#"{"$set":{"z":1}}"#),
        (r#"{"a":{"b":1},"a.b":1}"#, r#"{"$set":{"z":1}}"#),
        (r#"{"_id":1}"#, r#"{"$set":{"_id":2}}"#),
        (r#"{"_id.x":1}"#, r#"{"$set":{"_id.y":2}}"#),
        (r#"{"l":[1]}"#, r#"{"$set":{"l.$":2}}"#),
        (r#"{"a":1}"#, r#"{"$set":{"a.b":2}}"#),
    ] {
        upsert(filter, update).expect_err(update);
    }
}

#[test]
fn a_huge_index_does_not_fill_the_memory() {
    let after = apply(r#"{"a":[1]}"#, r#"{"$set":{"a.3":2}}"#).unwrap();
    assert_eq!(after, r#"{"a":[1,null,null,2]}"#);
    let far = format!(r#"{{"$set":{{"a.{}":1}}}}"#, PADDING_MAX + 2);
    for update in [far.as_str(), r#"{"$set":{"a.18446744073709551615":1}}"#] {
        let error = apply(r#"{"a":[1]}"#, update).unwrap_err();
        assert!(matches!(error, UpdateError::Padding { .. }), "{error}");
    }
    // Many arrays count together.
    let places: Vec<String> = (0..3).map(|n| format!(r#""{n}.40000":1"#)).collect();
    let error = apply(
        r#"{"0":[],"1":[],"2":[]}"#,
        &format!(r#"{{"$set":{{{}}}}}"#, places.join(",")),
    );
    assert!(
        matches!(error, Err(UpdateError::Padding { .. })),
        "{error:?}"
    );
}

/// A document with a long array of one value.
fn long(element: RawBsonRef<'_>, length: usize) -> RawDocumentBuf {
    let array: RawArrayBuf = std::iter::repeat_n(element, length).collect();
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("a"), RawBson::Array(array));
    document
}

#[test]
fn an_update_that_writes_too_much_is_refused_before_it_does() {
    let text = "x".repeat(100_000);
    let many = long(RawBsonRef::Int32(1), 100_000);
    let large = rawdoc! { "$set": { "a.$[]": text.as_str() } };
    let list = rawdoc! { "a.$[]": { "$each": [text.as_str()], "$slice": 0 } };
    let lists = long(RawBsonRef::Array(RawArrayBuf::new().as_ref()), 100_000);
    let mut name = rawdoc! {};
    let objects = long(RawBsonRef::Document(&rawdoc! {}), 100_000);
    name.append(
        bson::raw::CString::try_from(format!("a.$[].{text}")).unwrap(),
        1,
    );
    for (document, update) in [
        (&many, large),
        (&lists, rawdoc! { "$push": list }),
        (&objects, rawdoc! { "$set": name }),
    ] {
        let update = Update::parse(&update, &[]).unwrap();
        let error = update.apply(document, &Filter::default(), NOW).unwrap_err();
        assert!(matches!(error, UpdateError::Document(_)), "{error}");
    }
    let error = apply(
        "{}",
        &format!(r#"{{"$set":{{"{}":1}}}}"#, ["a"; 101].join(".")),
    )
    .unwrap_err();
    assert!(matches!(error, UpdateError::Path { .. }), "{error}");
}

#[test]
fn an_update_that_visits_too_many_places_is_refused() {
    let objects = long(RawBsonRef::Document(&rawdoc! {}), 60_000);
    let mut names = RawDocumentBuf::new();
    for number in 0..100 {
        let path = format!("a.$[].f{number}");
        names.append(bson::raw::CString::try_from(path).unwrap(), 1);
    }
    let update = Update::parse(&rawdoc! { "$unset": names }, &[]).unwrap();
    let error = update.apply(&objects, &Filter::default(), NOW).unwrap_err();
    assert!(
        matches!(error, UpdateError::TooManyPlaces { .. }),
        "{error}"
    );
}

#[test]
fn a_document_with_many_fields_is_changed_in_many_places() {
    let (mut before, mut update) = (RawDocumentBuf::new(), RawDocumentBuf::new());
    for number in 0..40_000 {
        let name = bson::raw::CString::try_from(format!("f{number}")).unwrap();
        before.append(&name, 1);
        update.append(&name, 2);
    }
    let update = Update::parse(&rawdoc! { "$inc": update }, &[]).unwrap();
    let after = update.apply(&before, &Filter::default(), NOW).unwrap();
    let after = after.expect("it changed");
    assert_eq!(after.iter().count(), 40_000);
    assert!(
        after
            .iter()
            .all(|field| field.unwrap().1 == RawBsonRef::Int32(3))
    );
}

/// Looked at anew for each array, so many values would take minutes.
#[test]
fn many_values_are_looked_up_in_many_arrays_at_once() {
    let before = format!(r#"{{"a":[{}]}}"#, vec![r#"{"t":[1]}"#; 20_000].join(","));
    let twos = vec!["2"; 20_000].join(",");
    let pulled = format!(r#"{{"$pullAll":{{"a.$[].t":[{twos}]}}}}"#);
    assert_eq!(apply(&before, &pulled).unwrap(), before);
    let added = format!(r#"{{"$addToSet":{{"a.$[].t":{{"$each":[{twos}]}}}}}}"#);
    let after = before.replace("[1]", "[1,2]");
    assert_eq!(apply(&before, &added).unwrap(), after);
}
