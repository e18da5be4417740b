//! What comes from outside: JSON, documents and ids, and how they are refused.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::doc;
use bson::raw::{RawBson, RawBsonRef, RawDocumentBuf};
use nexusbase_documents::document::check_document;
use nexusbase_documents::id::text;
use nexusbase_documents::id::{UuidV7, format_uuid, parse_uuid};
use nexusbase_documents::json::{Form, parse_document, parse_value, to_string};
use nexusbase_documents::value::equal;

#[track_caller]
fn refused(json: &str) -> String {
    parse_document(json.as_bytes()).expect_err(json).to_string()
}

#[test]
fn json_errors_say_what_where_and_what_to_do() {
    for (json, message) in [
        (
            "",
            "expected an object, which begins with {, found the end of the text, at line 1, column 1",
        ),
        (
            "[1]",
            "expected an object, which begins with {, found '[', at line 1, column 1",
        ),
        (
            "{\"a\": 1,\n \"é\": nope}",
            "expected a value, found nope, at line 2, column 7 (/é)",
        ),
        (
            "{\"a\": [1, {\"b\": }]}",
            "found '}', at line 1, column 17 (/a/1/b)",
        ),
        (
            "{\"a\": 1} x",
            "expected the end of the text, found x, at line 1, column 10",
        ),
        (
            "{\"a\": 01}",
            "expected a number without leading zeros, found 01",
        ),
        ("{\"a\": 1.}", "expected a digit after the decimal point"),
        ("{\"a\": \"\t\"}", "a \\ escape for a control character"),
        (
            "{\"a\": \"\\ud800\"}",
            "\\ud800 is half of a surrogate pair",
        ),
        (
            "{\"a\": {\"b\": 1, \"b\": 2}}",
            "\"b\" stands twice in one object, at line 1, column 7 (/a)",
        ),
        (
            "{\"a\": 1,}",
            "expected a field name in quotation marks, found '}'",
        ),
        ("{\"a\\u0000\": 1}", "contains the character NUL"),
        (
            "{\"n\": 9223372036854775808}",
            "write it as a string, or as {\"$numberDecimal\": \"9223372036854775808\"}",
        ),
        ("{\"n\": 1e400}", "beyond the range of a double"),
        (
            "{\"items\": [1, {\"p/q\": {\"$oid\": \"12\"}}]}",
            "$oid expects a string of 24 hexadecimal digits, at line 1, column 23 (/items/1/p~1q)",
        ),
        (
            "{\"$oid\": \"507f1f77bcf86cd799439011\"}",
            "a value in extended JSON is no document",
        ),
    ] {
        let error = refused(json);
        assert!(error.contains(message), "{json}: {error}");
    }
    let error = parse_document(b"{\"a\": \"\xff\"}").unwrap_err();
    assert_eq!((error.line, error.column), (1, 8));
    assert_eq!(
        error.to_string(),
        "the text is not UTF-8, at line 1, column 8 (the top level)"
    );
}

#[test]
fn integers_take_the_smallest_type_and_other_numbers_are_doubles() {
    let document = parse_document(
        br#"{"a": 2147483647, "b": 2147483648, "c": 1.0, "d": -9223372036854775808, "e": 1e2}"#,
    );
    let expected =
        doc! { "a": i32::MAX, "b": 2_147_483_648_i64, "c": 1.0, "d": i64::MIN, "e": 100.0 };
    assert_eq!(
        document.unwrap(),
        RawDocumentBuf::try_from(&expected).unwrap()
    );
}

#[test]
fn extended_json_is_read_in_both_forms_and_must_be_right() {
    let text = r#"{"oid":{"$oid":"507f1f77bcf86cd799439011"},"dec":{"$numberDecimal":"1.50"},"date":{"$date":"2026-01-31T12:00:00.5Z"},"old":{"$date":{"$numberLong":"-1"}},"bin":{"$binary":{"base64":"AQI=","subType":"80"}},"re":{"$regularExpression":{"pattern":"a","options":"im"}},"ts":{"$timestamp":{"t":4294967295,"i":1}},"code":{"$code":"f","$scope":{"x":1}},"min":{"$minKey":1},"nan":{"$numberDouble":"NaN"},"sym":{"$symbol":"s"},"un":{"$undefined":true}}"#;
    let document = parse_document(text.as_bytes()).unwrap();
    assert_eq!(to_string(&document, Form::Relaxed).unwrap(), text);
    let canonical = to_string(&document, Form::Canonical).unwrap();
    assert_eq!(parse_document(canonical.as_bytes()).unwrap(), document);
    let uuid = parse_value(br#"{"$uuid": "01890a5d-ac96-774b-bcce-b302099a8057"}"#).unwrap();
    assert_eq!(
        uuid,
        text::uuid_value(parse_uuid("01890a5d-ac96-774b-bcce-b302099a8057").unwrap())
    );
    for wrong in [
        r#"{"$oid": "507f1f77bcf86cd79943901g"}"#,
        r#"{"$oid": "507f1f77bcf86cd799439011", "x": 1}"#,
        r#"{"$numberInt": "2147483648"}"#,
        r#"{"$numberLong": 5}"#,
        r#"{"$numberDouble": "inf"}"#,
        r#"{"$numberDecimal": "1.2.3"}"#,
        r#"{"$numberDecimal": ""}"#,
        r#"{"$numberDecimal": "12345678901234567890123456789012345"}"#,
        r#"{"$date": "yesterday"}"#,
        r#"{"$date": 1.5}"#,
        r#"{"$binary": "AQI=", "$type": "00"}"#,
        r#"{"$binary": {"base64": "A", "subType": "00"}}"#,
        r#"{"$binary": {"base64": "AQI=", "subType": "+1"}}"#,
        r#"{"$timestamp": {"t": -1, "i": 0}}"#,
        r#"{"$regularExpression": {"pattern": "a"}}"#,
        r#"{"$minKey": 2}"#,
        r#"{"$undefined": false}"#,
        r#"{"$scope": {}}"#,
        r#"{"$uuid": "01890a5dac96774bbcceb302099a8057"}"#,
    ] {
        let error = parse_value(wrong.as_bytes()).expect_err(wrong).to_string();
        assert!(error.contains(" expects "), "{wrong}: {error}");
    }
}

#[test]
fn other_names_with_a_dollar_are_left_to_the_filter() {
    let text = r#"{"a":{"$gt":5,"$lt":9},"b":{"$ref":"c","$id":1}}"#;
    assert_eq!(
        to_string(&parse_document(text.as_bytes()).unwrap(), Form::Relaxed).unwrap(),
        text
    );
}

#[test]
fn text_escapes_come_back() {
    let text = r#"{"a":"\"\\\n\r\t\u0001é😀/"}"#;
    let document = parse_document(r#"{"a": "\"\\\n\r\t\u0001\u00e9\ud83d\ude00\/"}"#.as_bytes());
    assert_eq!(to_string(&document.unwrap(), Form::Relaxed).unwrap(), text);
}

#[test]
fn a_hundred_levels_of_text_are_read_and_one_more_is_refused() {
    let nested = |levels: usize, inner: &str| {
        format!("{}{inner}{}", "{\"a\":".repeat(levels), "}".repeat(levels))
    };
    let oid = r#"{"$dbPointer": {"$ref": "a", "$id": {"$oid": "507f1f77bcf86cd799439011"}}}"#;
    assert!(parse_document(nested(100, "1").as_bytes()).is_ok());
    assert!(
        parse_document(nested(100, oid).as_bytes()).is_ok(),
        "a value is no level"
    );
    assert!(parse_document(nested(99, "[]").as_bytes()).is_ok());
    for inner in ["{}", "[]", "{\"b\": 1}"] {
        assert!(refused(&nested(100, inner)).contains("nested deeper than 100 levels"));
    }
}

#[test]
fn a_document_beyond_16_mib_is_refused() {
    let json = format!("{{\"a\": \"{}\"}}", "x".repeat(16 << 20));
    assert!(refused(&json).contains("larger than 16777216 bytes"));
    let json = format!("{{\"a\": [{}0]}}", "0,".repeat(4 << 20));
    assert!(refused(&json).contains("larger than 16777216 bytes"));
    let document = doc! { "a": "x".repeat(16 << 20) };
    let error = check_document(&RawDocumentBuf::try_from(&document).unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 16777229 bytes; at most 16777216"),
        "{error}"
    );
}

#[test]
fn names_that_no_path_can_address_are_not_stored() {
    for (json, message) in [
        (
            r#"{"a": {"$b": 1}}"#,
            "the field name \"$b\" in /a begins with $",
        ),
        (
            r#"{"a": [{"b.c": 1}]}"#,
            "the field name \"b.c\" in /a/0 contains a dot",
        ),
        (
            r#"{"": 1}"#,
            "the field name \"\" in the top level is empty",
        ),
        (
            r#"{"a": {"$code": "f", "$scope": {"$x": 1}}}"#,
            "the field name \"$x\" in /a begins",
        ),
    ] {
        let document = parse_document(json.as_bytes()).unwrap();
        let error = check_document(&document).unwrap_err().to_string();
        assert!(error.starts_with(message), "{json}: {error}");
    }
}

#[test]
fn a_name_that_stands_twice_is_not_stored() {
    use bson::raw::{CString, cstr};
    let mut twice = RawDocumentBuf::new();
    twice.append(cstr!("x"), 1);
    twice.append(cstr!("x"), 2);
    let mut outer = RawDocumentBuf::new();
    outer.append(cstr!("a"), &twice);
    let error = check_document(&outer).unwrap_err().to_string();
    assert_eq!(
        error,
        "the field \"x\" stands twice in /a: remove one of them"
    );
    let mut many = RawDocumentBuf::new();
    for number in (0..100).chain([40]) {
        many.append(CString::try_from(format!("f{number}")).unwrap(), number);
    }
    assert!(
        check_document(&many)
            .unwrap_err()
            .to_string()
            .contains("\"f40\"")
    );
}

#[test]
fn an_id_is_anything_but_an_array_a_regex_and_undefined() {
    for (json, allowed) in [
        (r#"{"_id": {"a": 1}}"#, true),
        (r#"{"_id": null}"#, true),
        (r#"{"a": {"_id": [1]}}"#, true),
        (r#"{"_id": [1]}"#, false),
        (r#"{"_id": {"$undefined": true}}"#, false),
        (
            r#"{"_id": {"$regularExpression": {"pattern": "a", "options": ""}}}"#,
            false,
        ),
    ] {
        let document = parse_document(json.as_bytes()).unwrap();
        assert_eq!(check_document(&document).is_ok(), allowed, "{json}");
    }
}

#[test]
fn generated_ids_only_grow_whatever_the_clock_does() {
    let mut generator = UuidV7::new();
    let mut last = [0; 16];
    let clock = [5u64, 5, 5, 4, 1, 6, 6, 1 << 47, 3]
        .into_iter()
        .chain([7; 1000]);
    for (number, millis) in clock.enumerate() {
        let byte = u8::try_from(number * 37 % 256).unwrap();
        let uuid = generator.next(millis, [byte; 10]);
        assert!(uuid > last);
        assert_eq!(uuid[6] >> 4, 7, "the version");
        assert_eq!(uuid[8] >> 6, 0b10, "the variant");
        last = uuid;
    }
    let uuid = UuidV7::new().next(0x0123_4567_89AB, [0xFF; 10]);
    assert_eq!(format_uuid(uuid), "01234567-89ab-77ff-bfff-ffffffffffff");
}

#[test]
fn a_counter_that_overflows_moves_the_time_on() {
    let mut generator = UuidV7::new();
    let first = generator.next(9, [0xFF; 10]);
    assert_eq!(&first[..6], [0, 0, 0, 0, 0, 9]);
    // The highest bit of the counter begins as zero, so the overflow is far away.
    let second = generator.next(9, [0; 10]);
    assert_eq!(format_uuid(second), "00000000-0009-7800-8000-000000000000");
}

fn meanings(text: &str) -> Vec<String> {
    let exact = |id: &RawBson| text::format_exact(id.as_raw_bson_ref()).unwrap();
    text::parse(text).unwrap().iter().map(exact).collect()
}

#[test]
fn a_text_means_a_string_first_and_what_it_looks_like_next() {
    assert_eq!(meanings("abc"), [r#""abc""#]);
    assert_eq!(meanings("5"), [r#""5""#, r#"{"$numberLong":"5"}"#]);
    assert_eq!(meanings("-5").len(), 2);
    for text in [
        "05",
        "+5",
        "5.0",
        "1e3",
        "-0",
        "9223372036854775808",
        "true",
        "null",
        " 5",
    ] {
        assert_eq!(meanings(text).len(), 1, "{text}");
    }
    assert_eq!(
        meanings("01890A5D-ac96-774b-bcce-b302099a8057")[1],
        r#"{"$binary":{"base64":"AYkKXayWd0u8zrMCCZqAVw==","subType":"04"}}"#
    );
    assert_eq!(
        meanings("507f1f77bcf86cd799439011")[1],
        r#"{"$oid":"507f1f77bcf86cd799439011"}"#
    );
    assert_eq!(meanings("123456789012345678901234").len(), 2);
}

#[test]
fn json_in_an_id_text_means_that_value_only() {
    assert_eq!(meanings(r#""5""#), [r#""5""#]);
    assert_eq!(meanings("=5"), [r#"{"$numberInt":"5"}"#]);
    assert_eq!(meanings("=true"), ["=true"]);
    assert_eq!(meanings(r#"{"a": 1}"#), [r#"{"a":{"$numberInt":"1"}}"#]);
    assert!(text::parse("").is_err() && text::parse("{x").is_err() && text::parse("=").is_err());
    assert!(
        text::parse("=[1]")
            .unwrap_err()
            .to_string()
            .contains("an _id cannot be an array")
    );
}

#[test]
fn an_id_comes_back_from_its_text() {
    for json in [
        r#""abc""#,
        r#""""#,
        r#""=x""#,
        r#""{""#,
        "5",
        "1.5",
        "true",
        "null",
        r#"{"a": "b"}"#,
        r#"{"$uuid": "01890a5d-ac96-774b-bcce-b302099a8057"}"#,
        r#"{"$oid": "507f1f77bcf86cd799439011"}"#,
        r#"{"$numberDecimal": "1.50"}"#,
        r#"{"$date": 5}"#,
        r#"{"$binary": {"base64": "", "subType": "04"}}"#,
    ] {
        let id = parse_value(json.as_bytes()).unwrap();
        let id: RawBsonRef<'_> = id.as_raw_bson_ref();
        let short = text::parse(&text::format(id).unwrap()).unwrap();
        assert!(
            short
                .iter()
                .any(|other| equal(other.as_raw_bson_ref(), id).unwrap()),
            "{json}"
        );
        let exact = text::parse(&text::format_exact(id).unwrap()).unwrap();
        assert_eq!(exact.len(), 1, "{json}");
        assert!(equal(exact[0].as_raw_bson_ref(), id).unwrap(), "{json}");
    }
}

#[test]
fn a_uuid_is_written_as_people_write_it_and_read_back() {
    let text = r#"{"_id":{"$uuid":"01890a5d-ac96-774b-bcce-b302099a8057"}}"#;
    let document = parse_document(text.as_bytes()).expect("a document");
    assert_eq!(to_string(&document, Form::Relaxed).expect("text"), text);
    let exact = to_string(&document, Form::Canonical).expect("text");
    assert_eq!(
        exact,
        r#"{"_id":{"$binary":{"base64":"AYkKXayWd0u8zrMCCZqAVw==","subType":"04"}}}"#
    );
    assert_eq!(
        parse_document(exact.as_bytes()).expect("a document"),
        document
    );
}
