//! Patterns on strings: the regular expressions of PCRE, within limits.
//!
//! A pattern is read as PCRE2 reads it (without its Unicode properties mode: `\d`, `\w`, `\s` and
//! `\b` are about ASCII, while ignoring case folds all of Unicode one character to one) and
//! translated for one of two engines. Most patterns run on finite automata, in time proportional
//! to the text and at most the size of the pattern. Those with look-around, back-references, conditions, atomic groups or possessive
//! quantifiers need backtracking, which is limited in steps, and in the size of texts.
//!
//! What it promises: a pattern is compiled once, takes bounded memory, and takes bounded time on
//! a text. Where it meets a limit it says so by an error and never guesses.
//!
//! What it does not do: recursion, branch reset, verbs (apart from a leading `(*UCP)` or
//! `(*UTF)`), `\C`, `\X`, references by name to groups further on and look-behind of variable
//! length are refused by name.

mod class;
mod escape;
mod translate;

use std::fmt;
use std::sync::Arc;

use bson::raw::{RawBsonRef, RawRegexRef};

use crate::error::ValueError;
use translate::{Engine, translate};

/// How many patterns a filter may have.
pub const PATTERNS_MAX: usize = 100;

/// How many bytes a pattern may have.
pub const PATTERN_BYTES_MAX: usize = 8 * 1024;

/// How many bytes a pattern that needs backtracking may have.
pub const BACKTRACKING_PATTERN_BYTES_MAX: usize = 2 * 1024;

/// How many bytes a text may have for a pattern that needs backtracking.
pub const BACKTRACKING_TEXT_BYTES_MAX: usize = 32 * 1024;

/// How often such a pattern may go back on one text. More than the text has places to begin at.
const BACKTRACKS_MAX: usize = 100_000;

/// How much memory the automaton of a pattern, or of a part of one, may take.
const AUTOMATON_BYTES_MAX: usize = 1024 * 1024;

/// From which size on an automaton is large: each byte of a text may cost a look at all of it.
const LARGE_AUTOMATON_BYTES: usize = 32 * 1024;

/// How many bytes a text may have for a pattern that makes a large automaton.
pub const LARGE_PATTERN_TEXT_BYTES_MAX: usize = 512 * 1024;

/// How much memory the states take that are made of an automaton while matching.
const STATES_BYTES_MAX: usize = 1024 * 1024;

/// How many instructions a pattern that needs backtracking may have.
const INSTRUCTIONS_MAX: usize = 10_000;

/// A pattern, compiled.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    /// In alphabetical order, each once.
    options: Box<str>,
    prefix: Option<Box<str>>,
    program: Arc<Program>,
}

enum Program {
    /// Finite automata.
    Linear {
        program: regex::Regex,
        /// Its automaton is large.
        large: bool,
        /// What decides on texts that end with a newline, if the program is too generous there.
        exact: Option<Box<fancy_regex::Regex>>,
    },
    /// Automata where they do, and backtracking where it is needed.
    Backtracking(Box<fancy_regex::Regex>),
}

impl Pattern {
    /// Compiles a pattern with the options `i m s x u`.
    ///
    /// # Errors
    /// What is wrong with it, as a part of a sentence.
    pub(super) fn new(text: &str, options: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        if text.contains('\0') || options.contains('\0') {
            return Err("it contains the character NUL".to_owned());
        }
        if let Some(unknown) = options.chars().find(|option| !"imsxu".contains(*option)) {
            return Err(format!(
                "the option {unknown:?} is not known; known are i, m, s, x and u"
            ));
        }
        let mut options: Vec<char> = options.chars().collect();
        options.sort_unstable();
        options.dedup();
        let options: Box<str> = options.into_iter().collect();
        let translation = translate(text, &options, Engine::Linear)?;
        let program = if translation.backtracks {
            Program::Backtracking(backtracking(text, &options)?)
        } else {
            let exact = translation.line_starts;
            let exact = exact.then(|| backtracking(text, &options)).transpose()?;
            let (program, large) = linear(&translation.text)?;
            Program::Linear {
                program,
                large,
                exact,
            }
        };
        Ok(Self {
            text: text.into(),
            options,
            prefix: translation.prefix.map(Into::into),
            program: Arc::new(program),
        })
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The options, in alphabetical order.
    #[must_use]
    pub fn options(&self) -> &str {
        &self.options
    }

    /// What every string that it matches begins with, byte by byte; none if it is not anchored at
    /// the beginning of the text. It may be empty, as for a pattern that ignores case.
    ///
    /// Besides strings, a stored regular expression that is [the pattern itself](Self::is) is
    /// matched, and is not in any range of strings.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Whether a stored regular expression is this pattern with these options.
    #[must_use]
    pub fn is(&self, stored: RawRegexRef<'_>) -> bool {
        let (text, options) = (stored.pattern.as_str(), stored.options.as_str());
        text == &*self.text
            && options.chars().all(|option| self.options.contains(option))
            && self.options.chars().all(|option| options.contains(option))
    }

    /// Whether a value is a string that the pattern matches, or the pattern itself.
    ///
    /// # Errors
    /// When the pattern meets its limits on that string.
    pub fn holds(&self, value: RawBsonRef<'_>) -> Result<bool, ValueError> {
        match value {
            RawBsonRef::String(text) | RawBsonRef::Symbol(text) => self.matches(text),
            RawBsonRef::RegularExpression(stored) => Ok(self.is(stored)),
            _ => Ok(false),
        }
    }

    /// Whether the pattern matches somewhere in a text.
    ///
    /// # Errors
    /// When the pattern meets its limits on that text.
    pub fn matches(&self, text: &str) -> Result<bool, ValueError> {
        let limit = |reason| ValueError::Pattern {
            pattern: self.text.to_string(),
            reason,
        };
        let program = match &*self.program {
            Program::Linear { large, .. }
                if *large && text.len() > LARGE_PATTERN_TEXT_BYTES_MAX =>
            {
                return Err(limit("is too large for the length of a text here"));
            }
            Program::Linear { program, exact, .. } => {
                let found = program.is_match(text);
                match exact {
                    Some(exact) if found && text.ends_with('\n') => exact,
                    _ => return Ok(found),
                }
            }
            Program::Backtracking(program) => program,
        };
        if text.len() > BACKTRACKING_TEXT_BYTES_MAX {
            return Err(limit(
                "needs backtracking (look-around, back-references and the like), and a text here \
                 is too long for that",
            ));
        }
        program
            .is_match(text)
            .map_err(|_| limit("takes too many steps on a text here"))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // All that distinguishes two patterns; the program follows from it.
        f.debug_struct("Pattern")
            .field("text", &self.text)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The automaton, and whether it is large.
fn linear(text: &str) -> Result<(regex::Regex, bool), String> {
    let build = |bytes| {
        regex::RegexBuilder::new(text)
            .size_limit(bytes)
            .dfa_size_limit(STATES_BYTES_MAX)
            .build()
    };
    let (program, large) = match build(LARGE_AUTOMATON_BYTES) {
        Err(regex::Error::CompiledTooBig(_)) => (build(AUTOMATON_BYTES_MAX), true),
        program => (program, false),
    };
    match program {
        Ok(program) => Ok((program, large)),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err("it takes too much memory: make it simpler".to_owned())
        }
        Err(error) => Err(last_line(&error.to_string())),
    }
}

fn backtracking(text: &str, options: &str) -> Result<Box<fancy_regex::Regex>, String> {
    if text.len() > BACKTRACKING_PATTERN_BYTES_MAX {
        return Err(format!(
            "it is longer than {BACKTRACKING_PATTERN_BYTES_MAX} bytes and needs backtracking \
             (look-around, back-references, ^ for lines and the like)"
        ));
    }
    let translation = translate(text, options, Engine::Backtracking)?;
    fancy_regex::RegexBuilder::new(&translation.text)
        .backtrack_limit(BACKTRACKS_MAX)
        .delegate_size_limit(AUTOMATON_BYTES_MAX)
        .delegate_dfa_size_limit(STATES_BYTES_MAX)
        .max_prog_size(INSTRUCTIONS_MAX)
        .build()
        .map(Box::new)
        .map_err(|error| last_line(&error.to_string()))
}

/// What an engine says is wrong, without the picture of the translated pattern above it.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
