//! Texts and searches that are large or strange.

use nexusbase_documents::store::INDEX_WORDS_MAX;

use super::*;

fn many_words(count: usize) -> String {
    let words: Vec<_> = (0..count).map(|number| format!("w{number}")).collect();
    words.join(" ")
}

#[test]
fn a_document_has_so_many_different_words_and_no_more() {
    let things = texts(&[]);
    insert(&things, 1, &many_words(INDEX_WORDS_MAX));
    assert_eq!(found(&things, "w0"), [1]);
    assert_eq!(found(&things, "w99999 -w5"), [0; 0]);
    let too_many = bson::rawdoc! { "_id": 2, "t": many_words(INDEX_WORDS_MAX + 1) };
    let refused = things.insert(&too_many);
    assert!(matches!(refused, Err(Error::TooManyWords { .. })));
    assert_eq!(things.get(RawBsonRef::Int32(2)).unwrap(), None);
    // Where the document came first, the index is given up.
    assert!(things.drop_index("text:t").unwrap());
    things.insert(&too_many).unwrap();
    let refused = things.create_index(&text_index(&["t"]), |_| {});
    assert!(matches!(refused, Err(Error::TooManyWords { .. })));
    assert_eq!(things.info().unwrap().unwrap().indexes, []);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn huge_texts_take_no_more_than_their_words() {
    let large = 4 << 20;
    let one_word = "x".repeat(large);
    let marks = format!("a{}", "\u{301}".repeat(large / 2));
    let nothing = "\0".repeat(large);
    let same = "red ".repeat(large / 4);
    let quotes = "a'".repeat(large / 2);
    let things = texts(&[&one_word, &marks, &nothing, &same, &quotes]);
    assert_eq!(found(&things, &"x".repeat(64)), [0]);
    assert_eq!(found(&things, &"x".repeat(15_000)), [0]);
    assert_eq!(found(&things, "a"), [1]);
    assert_eq!(found(&things, "red"), [3]);
    let phrase = format!("\"{}\"", "red ".repeat(200));
    assert_eq!(found(&things, &phrase), [3]);
    let almost = format!("\"{} blue\"", "red ".repeat(200));
    assert_eq!(found(&things, &almost), [0; 0]);
    assert_eq!(findings(things.documents()), [""; 0]);
}

#[test]
fn any_search_is_an_answer_or_an_error() {
    let things = texts(&["red", "blue"]);
    for text in [
        "\"",
        "\"\"",
        "-",
        "--red",
        "-\"",
        "-\"\"",
        "\"-red\"",
        "red\"",
        "\0",
        "\\\"red\\\"",
        " ",
        "- -",
        "\u{feff}red",
        "red\u{0}blue",
        "'\"'\"",
    ] {
        let filter = Filter::parse(&search(text)).unwrap();
        assert!(things.count(&filter).unwrap() <= 2, "{text:?}");
    }
    let long = |text: &str, times: usize| Filter::parse(&search(&text.repeat(times)));
    assert!(long("red ", 256).is_ok());
    assert!(long("red ", 257).is_err());
    assert!(long("x", (16 << 10) + 1).is_err());
}
