//! A search: which words and phrases a text must have, and which it must not.
//!
//! `redis "key value" -windows` is written as users of MongoDB know it. Words are alternatives: one
//! of them is enough. A phrase in quotation marks must occur, its words one behind the other in
//! one string; where there are phrases, words beside them only count for the score. A word or phrase
//! behind `-` (at the beginning, or behind a space) must not occur. What is several words without a space, as in Chinese or `red-blue`,
//! is alternatives, too, unless it is quoted, and one phrase behind `-`. Without a word or phrase that is
//! wanted nothing is found.
//!
//! A text is read once, word by word, in memory that depends on the search only.

use std::ops::ControlFlow;

use bson::raw::RawDocument;

use super::tokens::{each_string, each_word};
use crate::ValueError;
use crate::path::Path;

/// How many bytes a search may have.
pub const SEARCH_BYTES_MAX: usize = 16 << 10;
/// How many words a search may have, those in phrases counted each.
pub const SEARCH_WORDS_MAX: usize = 256;

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// All words, sorted, each once. A number of a word is its place here.
    words: Vec<Box<str>>,
    /// The words that are wanted, those of phrases included; sorted, each once.
    wanted: Vec<usize>,
    /// What must occur.
    phrases: Vec<Phrase>,
    /// What must not occur.
    without: Vec<Phrase>,
}

/// Words one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Phrase {
    words: Vec<usize>,
    /// If so many words have been met and the next one differs, so many of them may still begin
    /// the phrase (as in the search of Knuth, Morris and Pratt).
    fallback: Vec<usize>,
}

impl Phrase {
    fn new(words: Vec<usize>) -> Self {
        let mut fallback = vec![0; words.len()];
        let mut met = 0;
        for at in 1..words.len() {
            while met > 0 && words[met] != words[at] {
                met = fallback[met - 1];
            }
            if words[met] == words[at] {
                met += 1;
            }
            fallback[at] = met;
        }
        Self { words, fallback }
    }

    /// How many words are met behind another word, and whether it was the last one.
    fn step(&self, mut met: usize, word: usize) -> (usize, bool) {
        while met > 0 && self.words[met] != word {
            met = self.fallback[met - 1];
        }
        if self.words[met] == word {
            met += 1;
        }
        if met == self.words.len() {
            (self.fallback[met - 1], true)
        } else {
            (met, false)
        }
    }
}

/// What stands between two spaces, or in quotation marks.
struct Piece {
    words: Vec<String>,
    quoted: bool,
    negated: bool,
}

impl Search {
    /// Reads a search.
    ///
    /// # Errors
    /// Says what it may be, and what it is.
    pub(crate) fn parse(text: &str) -> Result<Self, (&'static str, &'static str)> {
        if text.len() > SEARCH_BYTES_MAX {
            return Err(("a string of at most 16 KiB", "a longer one"));
        }
        let pieces = pieces(text);
        if pieces.iter().map(|piece| piece.words.len()).sum::<usize>() > SEARCH_WORDS_MAX {
            return Err(("at most 256 words", "more"));
        }
        let words = pieces.iter().flat_map(|piece| &piece.words);
        let mut words: Vec<Box<str>> = words.map(|word| word.as_str().into()).collect();
        words.sort_unstable();
        words.dedup();
        let mut search = Self {
            words,
            wanted: Vec::new(),
            phrases: Vec::new(),
            without: Vec::new(),
        };
        for piece in &pieces {
            let numbers = piece.words.iter().filter_map(|word| search.number(word));
            let numbers: Vec<usize> = numbers.collect();
            if piece.negated {
                search.without.push(Phrase::new(numbers));
                continue;
            }
            search.wanted.extend(&numbers);
            if piece.quoted {
                search.phrases.push(Phrase::new(numbers));
            }
        }
        search.wanted.sort_unstable();
        search.wanted.dedup();
        Ok(search)
    }

    /// The number of a word, if it is in the search.
    fn number(&self, word: &str) -> Option<usize> {
        let place = self.words.binary_search_by(|known| (**known).cmp(word));
        place.ok()
    }

    /// The words that are wanted, each once.
    pub(crate) fn wanted(&self) -> impl ExactSizeIterator<Item = &str> {
        self.wanted.iter().map(|word| &*self.words[*word])
    }

    /// The place of a word among those that are wanted.
    pub(crate) fn place_of(&self, word: &str) -> Option<usize> {
        self.wanted.binary_search(&self.number(word)?).ok()
    }

    /// Words of which every document that matches has each; none if there are no phrases.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let words = self.phrases.iter().flat_map(|phrase| &phrase.words);
        words.map(|word| &*self.words[*word])
    }

    /// Whether a document that has one of the wanted words matches for sure.
    pub(crate) const fn is_of_words(&self) -> bool {
        self.phrases.is_empty() && self.without.is_empty()
    }

    /// Whether the strings under `fields` in a document are what is searched for.
    pub(crate) fn matches(
        &self,
        fields: &[Path],
        document: &RawDocument,
    ) -> Result<bool, ValueError> {
        if self.wanted.is_empty() {
            return Ok(false);
        }
        let mut reading = Reading::new(self);
        each_string(fields, document, &mut |text| reading.text(text))?;
        Ok(reading.matches())
    }
}

/// A document that is being searched.
struct Reading<'s> {
    search: &'s Search,
    /// Whether a word that is wanted was met.
    any: bool,
    /// For each phrase that must occur: how many of its words were just met, and whether it was
    /// met.
    phrases: Vec<(usize, bool)>,
    /// The same for each phrase that must not.
    without: Vec<usize>,
    refused: bool,
}

impl<'s> Reading<'s> {
    fn new(search: &'s Search) -> Self {
        Self {
            search,
            any: false,
            phrases: vec![(0, false); search.phrases.len()],
            without: vec![0; search.without.len()],
            refused: false,
        }
    }

    fn text(&mut self, text: &str) -> ControlFlow<()> {
        self.separate();
        each_word(text, &mut |word| match self.search.number(word) {
            Some(word) => self.word(word),
            None => {
                self.separate();
                ControlFlow::Continue(())
            }
        })
    }

    /// No phrase goes on behind here.
    fn separate(&mut self) {
        for (met, _) in &mut self.phrases {
            *met = 0;
        }
        self.without.fill(0);
    }

    /// Takes in a word of the search; breaks off when the answer is known.
    fn word(&mut self, word: usize) -> ControlFlow<()> {
        let search = self.search;
        self.any = self.any || search.wanted.binary_search(&word).is_ok();
        for (phrase, (met, done)) in search.phrases.iter().zip(&mut self.phrases) {
            let (now, is_end) = phrase.step(*met, word);
            (*met, *done) = (now, *done || is_end);
        }
        for (phrase, met) in search.without.iter().zip(&mut self.without) {
            let (now, is_end) = phrase.step(*met, word);
            *met = now;
            self.refused = self.refused || is_end;
        }
        if self.refused || (search.without.is_empty() && self.matches()) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn matches(&self) -> bool {
        !self.refused && self.any && self.phrases.iter().all(|(_, done)| *done)
    }
}

/// The pieces of a search that have words.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    // At the beginning, and behind a space, `-` negates.
    let mut begins = true;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            begins = true;
            continue;
        }
        let negated = begins && first == '-';
        if negated {
            rest = &rest[1..];
        }
        let quoted = rest.starts_with('"');
        let piece = if quoted {
            let inside = &rest[1..];
            // One that is not closed goes to the end.
            let (piece, behind) = inside.split_once('"').unwrap_or((inside, ""));
            rest = behind;
            piece
        } else {
            let is_end = |letter: char| letter == '"' || letter.is_whitespace();
            let (piece, behind) = rest.split_at(rest.find(is_end).unwrap_or(rest.len()));
            rest = behind;
            piece
        };
        begins = false;
        let mut words = Vec::new();
        let _ = each_word(piece, &mut |word| {
            words.push(word.to_owned());
            ControlFlow::Continue(())
        });
        if !words.is_empty() {
            pieces.push(Piece {
                words,
                quoted,
                negated,
            });
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn finds(search: &str, text: &str) -> bool {
        let fields = [Path::parse("t").unwrap(), Path::parse("more").unwrap()];
        let (text, more) = text.split_once('/').unwrap_or((text, ""));
        let document = rawdoc! { "t": text, "more": [more, 7, [ "hidden" ]] };
        let search = Search::parse(search).unwrap();
        search.matches(&fields, &document).unwrap()
    }

    #[test]
    fn words_are_alternatives_and_phrases_must_occur() {
        for (search, text, expected) in [
            ("red", "a Red fox", true),
            ("red blue", "the blue sea", true),
            ("red blue", "the sea", false),
            ("red-blue", "the blue sea", true),
            ("\"blue sea\"", "the BLUE, sea!", true),
            ("\"sea blue\"", "the blue sea", false),
            ("red \"blue sea\"", "the blue sea", true),
            ("red \"blue sea\"", "the red sea is blue", false),
            ("\"the sea\" \"blue\"", "the sea is blue", true),
            ("\"the sea\" \"blue\"", "the sea is red", false),
            ("\"a a b\"", "a a a b", true),
            ("\"a b a c\"", "a b a b a c", true),
            // Within one string.
            ("\"blue sea\"", "blue/sea", false),
            ("\"blue sea\"", "x/blue sea", true),
            ("\"blue sea", "the blue sea", true),
            // Left out.
            ("sea -blue", "the blue sea", false),
            ("sea -blue", "the red sea", true),
            ("sea -\"blue sea\"", "sea, blue", true),
            ("sea -\"blue sea\"", "the blue sea", false),
            ("sea -blue-sea", "sea blue", true),
            ("sea -blue", "sea/blue", false),
            ("sea - blue", "blue", true),
            ("\"sea\"-blue", "the blue sea", true),
            // Nothing wanted.
            ("", "sea", false),
            ("-blue", "sea", false),
            ("\"!\" ??", "sea", false),
            ("hidden", "sea", false),
        ] {
            assert_eq!(finds(search, text), expected, "{search} in {text}");
        }
    }

    #[test]
    fn too_much_is_refused() {
        assert!(Search::parse(&"a ".repeat(SEARCH_WORDS_MAX)).is_ok());
        assert!(Search::parse(&"a ".repeat(SEARCH_WORDS_MAX + 1)).is_err());
        assert!(Search::parse(&" ".repeat(SEARCH_BYTES_MAX + 1)).is_err());
    }
}
