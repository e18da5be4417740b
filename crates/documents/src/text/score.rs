//! How well a document answers a search: BM25 with k1 = 1.2 and b = 0.75.
//!
//! The length of a document is the number of its different words, as the text index has a row for
//! each of them: so the average length, like the number of documents that have a word, is an
//! estimate of rows, which costs no reading. Where there are more than some dozen rows, estimates
//! are rough, and they change as the trees are merged; so a score orders the answers of one query, and
//! is no measure between two.

use std::collections::HashSet;
use std::ops::ControlFlow;

use bson::raw::RawDocument;

use super::search::Search;
use super::tokens::{each_string, each_word};
use crate::ValueError;
use crate::path::Path;

const K1: f64 = 1.2;
const B: f64 = 0.75;

/// What is known of all documents.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    /// For each wanted word, how much it says: the fewer documents have it, the more.
    weights: Vec<f64>,
    /// How many different words a document has on average.
    average: f64,
}

/// The wanted words of one document.
#[derive(Debug)]
pub(crate) struct Collected {
    /// How often each is there.
    counts: Vec<u32>,
    /// How many different words there are.
    length: usize,
}

impl Collected {
    /// Reads a document.
    pub(crate) fn of(
        search: &Search,
        fields: &[Path],
        document: &RawDocument,
    ) -> Result<Self, ValueError> {
        let mut counts = vec![0_u32; search.wanted().len()];
        let mut different: HashSet<Box<str>> = HashSet::new();
        each_string(fields, document, &mut |text| {
            each_word(text, &mut |word| {
                if let Some(place) = search.place_of(word) {
                    counts[place] = counts[place].saturating_add(1);
                }
                if !different.contains(word) {
                    different.insert(word.into());
                }
                ControlFlow::Continue(())
            })
        })?;
        Ok(Self {
            counts,
            length: different.len(),
        })
    }
}

impl Statistics {
    /// Of so many documents with so many rows in the text index, of which each wanted word has its
    /// number.
    pub(crate) fn new(documents: u64, rows: u64, with_word: &[u64]) -> Self {
        let documents = documents.max(1);
        let weight = |with: &u64| {
            let with = (*with).min(documents);
            (1.0 + ((documents - with) as f64 + 0.5) / (with as f64 + 0.5)).ln()
        };
        Self {
            weights: with_word.iter().map(weight).collect(),
            average: (rows as f64 / documents as f64).max(1.0),
        }
    }

    /// The score of a document; never negative.
    pub(crate) fn score(&self, collected: &Collected) -> f64 {
        let length = 1.0 - B + B * collected.length as f64 / self.average;
        let words = self.weights.iter().zip(&collected.counts);
        words
            .map(|(weight, count)| {
                let count = f64::from(*count);
                weight * count * (K1 + 1.0) / (count + K1 * length)
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn the_score_is_bm25() {
        let search = Search::parse("sea blue").unwrap();
        let fields = [Path::parse("t").unwrap()];
        // Ten documents with five words on average; "blue" in 2 of them, "sea" in 5.
        let statistics = Statistics::new(10, 50, &[2, 5]);
        let score = |text: &str| {
            let document = rawdoc! { "t": text };
            statistics.score(&Collected::of(&search, &fields, &document).unwrap())
        };
        // ln(1 + 8.5 / 2.5) * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 5))
        //   + ln(1 + 5.5 / 5.5) * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 3 / 5))
        let expected = 4.4_f64.ln() * 4.4 / 2.84 + 2_f64.ln() * 2.2 / 1.84;
        assert!((score("blue Blue the sea") - expected).abs() < 1e-12);
        assert!(score("nothing") == 0.0);
        assert!(score("blue") > score("sea"), "a rare word says more");
        assert!(score("sea sea") > score("sea"));
        assert!(score("sea") > score("sea with much more around it"));
        assert!(Statistics::new(0, 0, &[9, 0]).average >= 1.0);
    }
}
