//! Reading a PCRE pattern, and writing it in the syntax of the engines.
//!
//! The two have most of the syntax in common and differ in what it means. Whatever differs is
//! written out: literals as code points, classes as sets of ranges, anchors by their exact names.
//! The options `m` and `x` end here; `i` and `s` are passed on.

use std::collections::HashMap;

use super::class;

/// How deeply groups may be nested.
const GROUPS_MAX: usize = 50;
/// The largest number in a quantifier.
const REPEAT_MAX: u32 = 65_535;
/// A word character, of ASCII.
pub(super) const WORD: &str = "[0-9A-Za-z_]";

/// What a pattern is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Finite automata.
    Linear,
    /// Backtracking.
    Backtracking,
}

/// A pattern in the syntax of an engine.
pub(super) struct Translation {
    pub(super) text: String,
    /// It has features that only backtracking can do; if it was written for the other engine, it
    /// is of no use.
    pub(super) backtracks: bool,
    /// Written for automata, it also takes the place behind a newline at the very end for the
    /// beginning of a line.
    pub(super) line_starts: bool,
    /// What each match begins with, if it begins where the text does.
    pub(super) prefix: Option<String>,
}

/// Options that hold up to the end of a group.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    pub(super) fold: bool,
    pub(super) lines: bool,
    pub(super) spaced: bool,
}

/// A group that is open.
struct Group {
    /// The options outside of it.
    flags: Flags,
    /// Nothing about it but what is in it.
    plain: bool,
}

/// What is known of the beginning of every match.
enum Prefix {
    /// Nothing was read yet.
    Unread,
    /// Anchored, and literal so far.
    Growing(String),
    /// Anchored and literal up to here.
    Ended(String),
    /// Not anchored.
    None,
}

pub(super) struct Translator<'p> {
    pub(super) rest: &'p str,
    engine: Engine,
    pub(super) out: String,
    groups: Vec<Group>,
    pub(super) flags: Flags,
    /// Classes of characters by their Unicode properties.
    pub(super) unicode: bool,
    backtracks: bool,
    line_starts: bool,
    pub(super) captures: u32,
    names: HashMap<&'p str, u32>,
    /// The largest group that is referred to.
    reference: u32,
    prefix: Prefix,
    /// Whether a quantifier may follow.
    repeatable: bool,
}

/// Translates a pattern. The error says what is wrong, as a part of a sentence.
pub(super) fn translate(
    pattern: &str,
    options: &str,
    engine: Engine,
) -> Result<Translation, String> {
    let mut translator = Translator {
        rest: pattern,
        engine,
        out: String::with_capacity(pattern.len() + 8),
        groups: Vec::new(),
        flags: Flags {
            fold: options.contains('i'),
            lines: options.contains('m'),
            spaced: options.contains('x'),
        },
        unicode: false,
        backtracks: false,
        line_starts: false,
        captures: 0,
        names: HashMap::new(),
        reference: 0,
        prefix: Prefix::Unread,
        repeatable: false,
    };
    for (option, flag) in [('i', "(?i)"), ('s', "(?s)")] {
        if options.contains(option) {
            translator.out.push_str(flag);
        }
    }
    translator.run()?;
    Ok(Translation {
        text: translator.out,
        backtracks: translator.backtracks,
        line_starts: translator.line_starts,
        prefix: match translator.prefix {
            Prefix::Growing(prefix) | Prefix::Ended(prefix) => Some(prefix),
            Prefix::Unread | Prefix::None => None,
        },
    })
}

impl<'p> Translator<'p> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(verb) = ["(*UCP)", "(*UTF)", "(*UTF8)"]
            .into_iter()
            .find(|verb| self.eat(verb))
        {
            self.unicode |= verb == "(*UCP)";
        }
        while let Some(c) = self.next() {
            self.token(c)?;
        }
        if !self.groups.is_empty() {
            return Err("a ( is not closed".to_owned());
        }
        if self.reference > self.captures {
            return Err(format!("there is no group {}", self.reference));
        }
        Ok(())
    }

    fn token(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' => return self.escape(),
            '(' => return self.open(),
            '*' | '+' | '?' => return self.quantifier(c.encode_utf8(&mut [0; 4]), c == '+'),
            '{' => {
                if let Some((lowest, text)) = self.braces()? {
                    return self.quantifier(&text, lowest > 0);
                }
                self.literal(c);
            }
            '[' => {
                self.other();
                class::translate(self)?;
            }
            ')' => {
                let group = self.groups.pop().ok_or("a ) closes nothing")?;
                self.flags = group.flags;
                self.other();
                self.out.push(')');
            }
            '|' => {
                if self.groups.is_empty() {
                    self.prefix = Prefix::None;
                }
                self.other();
                self.out.push('|');
                self.repeatable = false;
            }
            '^' if self.flags.lines => self.line_start(),
            '^' => self.anchor(),
            '$' if self.flags.lines => self.assertion("(?m:$)"),
            '$' => self.end(),
            '.' => self.push("."),
            c if self.flags.spaced && is_space(c) => {}
            '#' if self.flags.spaced => {
                let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
                self.rest = &self.rest[end..];
            }
            c => self.literal(c),
        }
        Ok(())
    }

    pub(super) fn is_linear(&self) -> bool {
        self.engine == Engine::Linear
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands before the next `end`, which is eaten too.
    pub(super) fn until(&mut self, end: &str) -> Result<&'p str, String> {
        let (text, rest) = self
            .rest
            .split_once(end)
            .ok_or_else(|| format!("a {end} is missing"))?;
        self.rest = rest;
        Ok(text)
    }

    /// Digits that follow, at most nine.
    pub(super) fn number(&mut self) -> Option<u32> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest.get(..digits.min(9))?.parse().ok()?;
        self.rest = &self.rest[digits.min(9)..];
        Some(number)
    }

    /// Something that is no literal was read.
    fn other(&mut self) {
        self.prefix = match std::mem::replace(&mut self.prefix, Prefix::None) {
            Prefix::Growing(prefix) => Prefix::Ended(prefix),
            Prefix::Unread => Prefix::None,
            known => known,
        };
        self.repeatable = true;
    }

    /// Writes something that is no literal.
    pub(super) fn push(&mut self, text: &str) {
        self.other();
        self.out.push_str(text);
    }

    /// Writes a set of characters, in which case does not count.
    pub(super) fn push_set(&mut self, set: &str) {
        if self.flags.fold {
            self.push(&format!("(?-i:{set})"));
        } else {
            self.push(set);
        }
    }

    pub(super) fn literal(&mut self, c: char) {
        if self.flags.fold {
            self.other();
        } else if let Prefix::Growing(prefix) = &mut self.prefix {
            prefix.push(c);
        } else {
            self.other();
        }
        self.repeatable = true;
        class::push_char(c, &mut self.out);
    }

    /// The beginning of the text.
    pub(super) fn anchor(&mut self) {
        if matches!(self.prefix, Prefix::Unread) && self.groups.is_empty() {
            self.prefix = Prefix::Growing(String::new());
        } else {
            self.other();
        }
        self.repeatable = false;
        self.out.push_str(r"\A");
    }

    /// Writes something that is about a place, and cannot be repeated.
    pub(super) fn assertion(&mut self, text: &str) {
        self.push(text);
        self.repeatable = false;
    }

    /// The beginning of a line, of which there is none behind the last newline.
    fn line_start(&mut self) {
        self.line_starts = true;
        self.assertion(if self.is_linear() {
            "(?m:^)"
        } else {
            r"(?:\A|(?<=\n)(?!\z))"
        });
    }

    /// The end of the text, or the newline at its end.
    pub(super) fn end(&mut self) {
        // Nothing can come behind it, so that it does not matter what it takes.
        let nothing_behind = self.rest.bytes().all(|byte| byte == b')')
            && self.groups.iter().all(|group| group.plain);
        if nothing_behind || (self.groups.is_empty() && self.rest.starts_with('|')) {
            self.push(r"(?:\n?\z)");
        } else {
            self.backtracking(r"(?=\n?\z)");
        }
        self.repeatable = false;
    }

    /// Writes what only backtracking can do.
    pub(super) fn backtracking(&mut self, text: &str) {
        self.backtracks = true;
        self.push(text);
    }

    /// A reference back to a group.
    pub(super) fn refer(&mut self, group: u32) -> Result<(), String> {
        if group == 0 {
            return Err("recursion is not supported".to_owned());
        }
        self.reference = self.reference.max(group);
        self.backtracking(&format!(r"(?:\{group})"));
        Ok(())
    }

    pub(super) fn refer_by_name(&mut self, name: &str) -> Result<(), String> {
        let group = self.group_named(name)?;
        self.refer(group)
    }

    fn group_named(&self, name: &str) -> Result<u32, String> {
        let group = self.names.get(name).copied();
        group.ok_or_else(|| format!("there is no group {name:?} before it is referred to"))
    }

    fn quantifier(&mut self, text: &str, at_least_once: bool) -> Result<(), String> {
        if !self.repeatable {
            return Err(format!("there is nothing that {text:?} could repeat"));
        }
        if let Prefix::Growing(prefix) = &mut self.prefix
            && !at_least_once
        {
            prefix.pop();
        }
        self.push(text);
        self.repeatable = false;
        if self.eat("?") {
            self.out.push('?');
        } else if self.eat("+") {
            self.backtracks = true;
            self.out.push('+');
        }
        Ok(())
    }

    /// What a `{` begins, if that is a quantifier: its lower limit, and all of it.
    fn braces(&mut self) -> Result<Option<(u32, String)>, String> {
        let start = self.rest;
        let read = |this: &mut Self| {
            let lowest = this.number()?;
            let mut text = format!("{{{lowest}");
            let mut highest = Some(lowest);
            if this.eat(",") {
                text.push(',');
                highest = this.number();
                if let Some(highest) = highest {
                    text.push_str(&highest.to_string());
                }
            }
            text.push('}');
            this.eat("}").then_some((lowest, highest, text))
        };
        let Some((lowest, highest, text)) = read(self) else {
            self.rest = start;
            return Ok(None);
        };
        if lowest.max(highest.unwrap_or(0)) > REPEAT_MAX {
            return Err(format!("nothing is repeated more than {REPEAT_MAX} times"));
        }
        if highest.is_some_and(|highest| highest < lowest) {
            return Err(format!("the limits of {text} are the wrong way round"));
        }
        Ok(Some((lowest, text)))
    }

    /// Reads what a `(` begins.
    fn open(&mut self) -> Result<(), String> {
        if self.rest.starts_with('*') {
            return Err("verbs such as (*ACCEPT) are not supported".to_owned());
        }
        if !self.eat("?") {
            return self.capture(None);
        }
        if self.eat("#") {
            return self.until(")").map(drop);
        }
        for (sign, text, backtracks) in [
            (":", "(?:", false),
            (">", "(?>", true),
            ("=", "(?=", true),
            ("!", "(?!", true),
            ("<=", "(?<=", true),
            ("<!", "(?<!", true),
        ] {
            if self.eat(sign) {
                self.backtracks |= backtracks;
                return self.group(text, !backtracks);
            }
        }
        for (sign, end) in [("P<", ">"), ("<", ">"), ("'", "'")] {
            if self.eat(sign) {
                let name = self.until(end)?;
                return self.capture(Some(name));
            }
        }
        if self.eat("P=") {
            let name = self.until(")")?;
            return self.refer_by_name(name);
        }
        if self.eat("(") {
            return self.condition();
        }
        let sign = self.rest.trim_start_matches(['+', '-']);
        if sign.starts_with(|c: char| c.is_ascii_digit() || "RP&".contains(c)) {
            return Err("recursion, as by (?R), (?1) or (?&name), is not supported".to_owned());
        }
        if sign.starts_with('|') {
            return Err("branch reset, (?|…), is not supported".to_owned());
        }
        self.inline_flags()
    }

    fn group(&mut self, text: &str, plain: bool) -> Result<(), String> {
        if self.groups.len() == GROUPS_MAX {
            return Err(format!("groups are nested deeper than {GROUPS_MAX} levels"));
        }
        let flags = self.flags;
        self.groups.push(Group { flags, plain });
        self.push(text);
        self.repeatable = false;
        Ok(())
    }

    fn capture(&mut self, name: Option<&'p str>) -> Result<(), String> {
        self.captures += 1;
        if let Some(name) = name {
            let is_word = |c: char| c == '_' || c.is_alphanumeric();
            if !name.chars().all(is_word) || !name.starts_with(|c: char| !c.is_ascii_digit()) {
                return Err(format!("{name:?} is no name of a group"));
            }
            if self.names.insert(name, self.captures).is_some() {
                return Err(format!("two groups have the name {name:?}"));
            }
        }
        // Without backtracking nobody asks what a group took.
        self.group(if self.is_linear() { "(?:" } else { "(" }, true)
    }

    /// Reads `1)yes|no)` behind `(?(`.
    fn condition(&mut self) -> Result<(), String> {
        let text = self.until(")")?;
        let name = [("<", ">"), ("'", "'")]
            .into_iter()
            .find_map(|(start, end)| text.strip_prefix(start)?.strip_suffix(end));
        let group = match (name, text.parse()) {
            (Some(name), _) => self.group_named(name)?,
            (None, Ok(group)) if group > 0 => group,
            (None, _) => {
                return Err(format!(
                    "the condition ({text}) is not supported: it may be the number or the name \
                     of a group"
                ));
            }
        };
        self.reference = self.reference.max(group);
        self.backtracks = true;
        self.group(&format!("(?({group})"), false)
    }

    /// Reads options such as `i-s)` or `i:`.
    fn inline_flags(&mut self) -> Result<(), String> {
        let mut flags = self.flags;
        let (mut on, mut off) = (String::new(), String::new());
        let mut value = true;
        let scoped = loop {
            match self.next().ok_or("a ( is not closed")? {
                '-' if value => value = false,
                '^' if off.is_empty() && on.is_empty() && value => {
                    (flags.fold, flags.lines, flags.spaced) = (false, false, false);
                    off.push_str("is");
                }
                'm' => flags.lines = value,
                'x' => flags.spaced = value,
                c @ ('i' | 's') => {
                    if c == 'i' {
                        flags.fold = value;
                    }
                    on.retain(|other| other != c);
                    off.retain(|other| other != c);
                    if value { &mut on } else { &mut off }.push(c);
                }
                ')' => break false,
                ':' => break true,
                other => return Err(format!("the group option {other:?} is not supported")),
            }
        };
        let mut text = format!("(?{on}");
        if !off.is_empty() {
            text.push('-');
            text.push_str(&off);
        }
        if scoped {
            text.push(':');
            self.group(&text, true)?;
        } else if text.len() > 2 {
            text.push(')');
            self.push(&text);
            self.repeatable = false;
        }
        self.flags = flags;
        Ok(())
    }
}

/// What the option `x` skips.
fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0B' | '\x0C' | '\r' | ' ')
}
