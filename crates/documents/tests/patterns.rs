//! What patterns mean, where engines disagree, and where they end.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use bson::doc;
use bson::raw::RawDocumentBuf;
use nexusbase_documents::filter::{
    BACKTRACKING_PATTERN_BYTES_MAX, BACKTRACKING_TEXT_BYTES_MAX, Filter,
    LARGE_PATTERN_TEXT_BYTES_MAX, PATTERN_BYTES_MAX, Pattern, Test,
};
use nexusbase_documents::{FilterError, ValueError};

fn compile(pattern: &str, options: &str) -> Result<Pattern, FilterError> {
    let filter = doc! { "a": { "$regex": pattern, "$options": options } };
    let filter = Filter::parse(&RawDocumentBuf::try_from(&filter).unwrap())?;
    let Some(Test::Pattern(pattern)) = filter.constraints("a").next().map(|found| found.test)
    else {
        panic!("no pattern");
    };
    Ok(pattern.clone())
}

/// Checks a pattern, with its options behind the last slash, on texts.
#[track_caller]
fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let (text, options) = pattern.rsplit_once('/').unwrap();
    let compiled = compile(text, options).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for text in matching {
        assert!(
            compiled.matches(text).unwrap(),
            "{pattern} must match {text:?}"
        );
    }
    for text in others {
        assert!(
            !compiled.matches(text).unwrap(),
            "{pattern} must not match {text:?}"
        );
    }
}

#[test]
fn the_end_may_be_before_the_last_newline() {
    for pattern in ["ab$/", "ab\\Z/", "(?:ab$)(?=)/", "a(?:b$)+/"] {
        check(
            pattern,
            &["ab", "ab\n", "xab\n"],
            &["ab\n\n", "abc", "ab\nc"],
        );
    }
    check("ab\\z/", &["ab"], &["ab\n"]);
    check("^$/", &["", "\n"], &["\n\n", "a"]);
    check("a$\n/", &["a\n"], &["a", "a\nb"]);
}

#[test]
fn lines_begin_and_end_at_newlines_with_m() {
    check("^b$/m", &["b", "a\nb", "b\nc", "a\nb\n"], &["ab", "\rb"]);
    check("^b/", &["bc"], &["a\nb"]);
    check("\\Ab\\Z/m", &["b", "b\n"], &["a\nb"]);
    // Behind the last newline no line begins.
    check("^$/m", &["", "\n", "a\n\nb"], &["a\n", "a"]);
    check("(?m)^\\s*\\Z/", &["", "\n", "a\n \n"], &["a\n"]);
    check("(?m:^b).c/", &["a\nbxc"], &["a\nxbc"]);
}

#[test]
fn classes_by_escape_are_ascii_and_by_property_unicode() {
    check("^\\d$/", &["7"], &["٣", "a"]);
    check("^\\D$/", &["٣", "a"], &["7"]);
    check("^\\w$/", &["é"; 0], &["é", "-"]);
    check("^\\w$/i", &["K", "s"], &["\u{212A}", "ſ"]);
    check("^[\\w]$/i", &["K"], &["\u{212A}"]);
    check("^\\s$/", &[" ", "\u{b}"], &["\u{a0}"]);
    check("\\byster/", &["Öyster", "an yster"], &["oyster"]);
    check("a\\B/", &["ab", "a1"], &["a", "aé"]);
    check("^\\p{L}\\P{L}$/", &["é1"], &["11", "éé"]);
    check("^\\p{^L}$/", &["1"], &["é"]);
    check("^\\h\\H$/", &["\u{a0}a"], &["aa"]);
    check("(*UCP)^\\d\\w$/", &["٣é"], &["aé"]);
}

#[test]
fn case_is_ignored_letter_by_letter() {
    check("straße/i", &["STRAẞE", "Straße"], &["STRASSE"]);
    check("k/i", &["K", "\u{212A}"], &[]);
    check("[k]/i", &["K", "\u{212A}"], &["s"]);
    check("[^k]/i", &["a"], &["k", "K", "\u{212A}"]);
    check("(?i)a(?-i)b/", &["Ab"], &["AB"]);
    check("(?i:a)b/", &["Ab"], &["AB"]);
    check("(a(?i)b|c)d/", &["aBd", "Cd"], &["ABd", "aBD"]);
}

#[test]
fn spaces_and_comments_are_skipped_with_x() {
    check("a b # c\n + \\ c/x", &["ab c", "abb c"], &["a b c", "abc"]);
    check("[a b]{2}/x", &["a "], &["ac"]);
    check("(?x) a (?-x) b/", &["a b"], &["ab"]);
    check("a(?#b)c/", &["ac"], &["abc"]);
}

#[test]
fn a_class_knows_characters_ranges_and_names_only() {
    check("^[a&&b]$/", &["a", "&", "b"], &["c"]);
    check("^[a-]$/", &["a", "-"], &["b"]);
    check("^[]a]$/", &["]", "a"], &["b"]);
    check("^[^]a]$/", &["b"], &["]", "a"]);
    check("^[[]$/", &["["], &["]"]);
    check("^[!-~]$/", &["!", "Q", "[", "\\", "~"], &[" ", "é"]);
    check("^[a-é]$/", &["a", "~", "é"], &["`", "ê"]);
    check("^[[:alpha:][:digit:]_]$/", &["a", "1", "_"], &["é", "-"]);
    check("^[\\Qa-c\\E]$/", &["a", "-", "c"], &["b"]);
    check("^[\\b]$/", &["\u{8}"], &["b"]);
}

#[test]
fn look_around_back_references_and_the_like_are_known() {
    check("foo(?=bar)(?!barn)/", &["foobar"], &["foobarn", "foo"]);
    check("(?<=a|bc)d/", &["ad", "bcd"], &["cd"]);
    check("(?<!a)b/", &["b"], &["ab"]);
    check("^(a|b)\\1$/", &["aa", "bb"], &["ab"]);
    check("^(?<x>a|b)\\k<x>(?P=x)\\g{-1}$/", &["aaaa"], &["aaab"]);
    check("^(a)?(?(1)b|c)$/", &["ab", "c"], &["b", "ac"]);
    check("^(?>a+)ab/", &[], &["aaab"]);
    check("^a++b/", &["aab"], &["b"]);
    check("foo\\Kbar/", &["foobar"], &["bar"]);
    check("^(?>a|ab)c/", &["ac"], &["abc"]);
}

#[test]
fn characters_can_be_written_by_number() {
    check(
        "^\\x41\\x{e9}\\101\\o{101}\\cA\\0$/",
        &["AéAA\u{1}\0"],
        &["A"],
    );
    check("^a{,2}$/", &["a{,2}"], &["a"]);
    check("^a{2}{$/", &["aa{"], &["aa"]);
}

#[test]
fn what_is_wrong_or_not_supported_is_said() {
    for (pattern, reason) in [
        ("(", "a ( is not closed"),
        (")", "a ) closes nothing"),
        ("[a", "a [ is not closed"),
        ("a\\", "a \\ stands at the end"),
        ("a**", "there is nothing that \"*\" could repeat"),
        ("^*", "there is nothing that \"*\" could repeat"),
        ("[b-a]", "the range b-a is the wrong way round"),
        ("[\\d-z]", "a range begins with a set"),
        ("a{2,1}", "the limits of {2,1} are the wrong way round"),
        ("a{70000}", "nothing is repeated more than 65535 times"),
        ("(a)\\2", "there is no group 2"),
        ("\\k<x>", "there is no group \"x\""),
        ("(?<x>a)(?<x>b)", "two groups have the name \"x\""),
        ("(?R)", "recursion"),
        ("(?1)", "recursion"),
        ("(?|a)", "branch reset"),
        ("(*ACCEPT)", "verbs"),
        ("\\X", "\\X is not supported"),
        ("\\y", "\\y is not supported"),
        ("\\x{110000}", "\"110000\" is no code point"),
        ("\\p{Nothing}", "property"),
        ("(?z)", "the group option 'z' is not supported"),
    ] {
        let error = compile(pattern, "").unwrap_err().to_string();
        assert!(
            error.starts_with("the pattern at /a/$regex cannot be used: "),
            "{error}"
        );
        assert!(error.contains(reason), "{pattern}: {error}");
    }
}

#[test]
fn a_pattern_has_limits_in_length_depth_and_memory() {
    let refused = |pattern: &str, reason: &str| {
        let error = compile(pattern, "").unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    assert!(compile(&"a".repeat(PATTERN_BYTES_MAX), "").is_ok());
    refused(&"a".repeat(PATTERN_BYTES_MAX + 1), "longer than 8192 bytes");
    let behind = |length| format!("(?=a){}", "a".repeat(length - 5));
    assert!(compile(&behind(BACKTRACKING_PATTERN_BYTES_MAX), "").is_ok());
    refused(
        &behind(BACKTRACKING_PATTERN_BYTES_MAX + 1),
        "needs backtracking",
    );
    let nested = |levels| format!("{}a{}", "(".repeat(levels), ")".repeat(levels));
    assert!(compile(&nested(50), "").is_ok());
    refused(&nested(51), "nested deeper than 50 levels");
    refused("(?:(?:a{999}){999}){999}", "too much memory");
    refused("\\p{L}{10000}", "too much memory");
    assert!(compile("(?=(?:(?:a{999}){999}){999})", "").is_err());
    assert!(compile(&"(?=\\p{L}{500})".repeat(100), "").is_err());
}

#[test]
fn a_pattern_without_backtracking_never_blows_up() {
    let text = format!("{}!", "a".repeat(1_000_000));
    for pattern in ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)(.*)(.*)x"] {
        assert!(
            !compile(pattern, "").unwrap().matches(&text).unwrap(),
            "{pattern}"
        );
    }
}

#[test]
fn a_pattern_that_takes_too_many_steps_is_an_error_and_no_answer() {
    let limited = |pattern: &str, text: &str| match compile(pattern, "").unwrap().matches(text) {
        Err(ValueError::Pattern { pattern: named, .. }) => assert_eq!(named, pattern),
        other => panic!("{pattern}: {other:?}"),
    };
    limited("(?:(a+)\\1*)+b", &"a".repeat(5000));
    limited("^(a|a?)+\\1$", &format!("{}!", "a".repeat(40)));
    let long = "b".repeat(BACKTRACKING_TEXT_BYTES_MAX);
    assert!(!compile("a(?=b)", "").unwrap().matches(&long).unwrap());
    limited("a(?=b)", &format!("{long}b"));
}

#[test]
fn a_large_pattern_is_not_tried_on_a_long_text() {
    let pattern = compile("^[ab]{2000}c", "").unwrap();
    let long = "b".repeat(LARGE_PATTERN_TEXT_BYTES_MAX);
    assert!(!pattern.matches(&long).unwrap());
    let error = pattern
        .matches(&format!("{long}b"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is too large for the length of a text"),
        "{error}"
    );
}

#[test]
fn a_limit_that_was_met_is_an_error_of_the_filter() {
    let filter = doc! { "a": { "$not": { "$regex": "a(?=b)" } } };
    let filter = Filter::parse(&RawDocumentBuf::try_from(&filter).unwrap()).unwrap();
    let text = "b".repeat(BACKTRACKING_TEXT_BYTES_MAX + 1);
    let document = RawDocumentBuf::try_from(&doc! { "a": text }).unwrap();
    let error = filter.matches(&document).unwrap_err().to_string();
    assert!(
        error.starts_with("the pattern \"a(?=b)\" needs backtracking"),
        "{error}"
    );
}
