//! Patterns mean the same on both engines, and their prefixes are true.

use bson::doc;
use nexusbase_documents::filter::{Filter, Pattern, Test};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::random::raw_document;

fn token() -> impl Strategy<Value = String> {
    let tokens = vec![
        "a",
        "b",
        "A",
        "é",
        " ",
        "\n",
        ".",
        "^",
        "$",
        "|",
        "\\b",
        "\\d",
        "\\w",
        "\\W",
        "\\s",
        "\\A",
        "\\z",
        "\\Z",
        "[ab]",
        "[^a]",
        "[\\w-]",
        "[a-é]",
        "(a)",
        "(?:b|a$)",
        "(?i)",
        "(?m)",
        "(?s)",
        "(?-i)",
        "a*",
        "b+",
        "a?",
        "(?:ab){2}",
        "a{1,2}",
        "\\n",
        "\\R",
        "\\p{L}",
        "\\Q.\\E",
        "[[:alpha:]]",
        "\\x41",
    ];
    select(tokens).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    let letters = vec!['a', 'b', 'A', 'é', ' ', '\n', '.', '-', '1', '_'];
    vec(select(letters), 0..6).prop_map(|letters| letters.into_iter().collect())
}

fn compile(pattern: &str, options: &str) -> Option<Pattern> {
    let filter = doc! { "a": { "$regex": pattern, "$options": options } };
    let filter = Filter::parse(&raw_document(&filter)).ok()?;
    match filter.constraints("a").next()?.test {
        Test::Pattern(pattern) => Some(pattern.clone()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn both_engines_agree_and_prefixes_are_true(
        tokens in vec(token(), 0..5),
        options in select(vec!["", "i", "m", "s", "x"]),
        texts in vec(text(), 1..8),
    ) {
        let pattern = tokens.concat();
        let once = compile(&pattern, options);
        // A quantifier may stand where there is nothing to repeat.
        prop_assume!(once.is_some());
        let once = once.unwrap();
        // An empty look-ahead always holds, and needs backtracking.
        let again = compile(&format!("(?:{pattern})(?=)"), options);
        let again = again.expect("the same within a group");
        for text in texts {
            let found = once.matches(&text).unwrap();
            prop_assert_eq!(found, again.matches(&text).unwrap(), "{:?} on {:?}", pattern, text);
            if let Some(prefix) = once.prefix() {
                prop_assert!(!found || text.starts_with(prefix), "{pattern:?}: {prefix:?}");
            }
        }
    }
}
