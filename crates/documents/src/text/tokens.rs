//! The words of a text.
//!
//! Words are found by the rules of Unicode (UAX #29): runs of letters and digits in most scripts,
//! single characters in Chinese and Japanese; `can't`, `3.14`, `snake_case` and `example.com` are one
//! word each. Punctuation, spaces, control characters and emoji are no words.
//!
//! They are compared by the full lower case, without the accents of U+0300 to U+036F (`é` is `e`,
//! `ё` is `е`; marks of other scripts, and letters like `ø` and `ß`, stay), in the composed form (NFC). Of a longer
//! word only the first [`WORD_CHARS_MAX`] characters count.

use std::ops::ControlFlow;

use bson::raw::{RawBsonRef, RawDocument};
use unicode_normalization::UnicodeNormalization as _;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::ValueError;
use crate::path::{Found, Path};

/// The way in which words are made, as text indexes note it. Who changes it, or brings tables of
/// another version of Unicode, raises this.
pub(crate) const VERSION: i32 = 1;

/// How many characters of a word count.
pub const WORD_CHARS_MAX: usize = 64;

/// How many characters of a word are looked at: accents that are left out make it shorter.
const READ_CHARS_MAX: usize = 4 * WORD_CHARS_MAX;

/// Hands out the words of a text, in their order, until `visitor` breaks off.
pub(crate) fn each_word(
    text: &str,
    visitor: &mut dyn FnMut(&str) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut folded = String::new();
    for word in text.unicode_words() {
        fold(word, &mut folded);
        if !folded.is_empty() {
            visitor(&folded)?;
        }
    }
    ControlFlow::Continue(())
}

/// Puts a word into the form in which words are compared.
fn fold(word: &str, out: &mut String) {
    out.clear();
    if word.is_ascii() {
        out.push_str(&word[..word.len().min(WORD_CHARS_MAX)]);
        out.make_ascii_lowercase();
        return;
    }
    let end = word.char_indices().nth(READ_CHARS_MAX);
    let lower = word[..end.map_or(word.len(), |(end, _)| end)].to_lowercase();
    let letters = lower.nfd().filter(|letter| !is_accent(*letter));
    out.extend(letters.nfc().take(WORD_CHARS_MAX));
}

const fn is_accent(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}')
}

/// Hands out the strings that `fields` lead to in a document, elements of arrays one by one, until
/// `visitor` breaks off. Arrays in arrays are not opened.
pub(crate) fn each_string<'a>(
    fields: &[Path],
    document: &'a RawDocument,
    visitor: &mut dyn FnMut(&'a str) -> ControlFlow<()>,
) -> Result<(), ValueError> {
    for field in fields {
        let mut stopped = false;
        field.visit(document, &mut |found| {
            match found {
                Found::Value {
                    value: RawBsonRef::String(text),
                    ..
                } => stopped = visitor(text).is_break(),
                Found::Value {
                    value: RawBsonRef::Array(array),
                    unwrap: true,
                } => {
                    for element in array {
                        if let RawBsonRef::String(text) = element?
                            && visitor(text).is_break()
                        {
                            stopped = true;
                            break;
                        }
                    }
                }
                Found::Value { .. } | Found::Missing | Found::Apart => {}
            }
            Ok(stopped)
        })?;
        if stopped {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let end = each_word(text, &mut |word| {
            words.push(word.to_owned());
            ControlFlow::Continue(())
        });
        assert!(end.is_continue());
        words
    }

    #[test]
    fn words_are_those_of_unicode_in_lower_case_without_accents() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ,;\0\n\u{1F600}--", &[]),
            ("The quick (“brown”) fox", &["the", "quick", "brown", "fox"]),
            (
                "can't 3.14 snake_case a-b",
                &["can't", "3.14", "snake_case", "a", "b"],
            ),
            ("a\0b\u{7f}c", &["a", "b", "c"]),
            ("Café CAFE\u{301} naïve", &["cafe", "cafe", "naive"]),
            ("ÅNGSTRÖM \u{212b}", &["angstrom", "a"]),
            (
                "İstanbul ЁЖ straße Ørsted",
                &["istanbul", "еж", "straße", "ørsted"],
            ),
            ("ΟΔΟΣ", &["οδος"]),
            ("東京タワー", &["東", "京", "タワー"]),
            ("हिन्दी", &["हिन्दी"]),
            ("한국어", &["한국어"]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
        // Marks of other scripts make other letters, and both ways to write them are one word.
        assert_eq!(words("が"), words("か\u{3099}"));
        assert_ne!(words("が"), words("か"));
    }

    #[test]
    fn of_a_long_word_the_beginning_counts() {
        for letter in ["x", "é", "ж", "\u{1D7D8}"] {
            let long = words(&letter.repeat(100_000));
            assert_eq!(long.len(), 1, "{letter}");
            assert_eq!(long[0].chars().count(), WORD_CHARS_MAX, "{letter}");
            assert_eq!(words(&letter.repeat(WORD_CHARS_MAX)), long);
        }
        // Many marks on one letter.
        assert_eq!(words(&format!("a{}", "\u{301}".repeat(100_000))), ["a"]);
    }

    /// Words stand in indexes that were made long ago. If this fails after an update of Rust or of
    /// a library, raise [`VERSION`], and read indexes of the version before as not ready.
    #[test]
    fn the_words_of_a_version_do_not_change() {
        let mut hash = 0;
        for letter in '\0'..=char::MAX {
            for word in words(&format!("A{letter}b {letter} {letter}{letter}c")) {
                hash = crc32c::crc32c_append(hash, word.as_bytes());
                hash = crc32c::crc32c_append(hash, b"\0");
            }
        }
        assert_eq!((VERSION, hash), (1, 2_090_560_807));
    }
}
