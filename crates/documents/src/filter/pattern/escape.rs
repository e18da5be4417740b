//! What follows a backslash.

use super::translate::{Translator, WORD};

/// What an escape stands for, outside of classes and inside.
pub(super) enum Escape {
    /// A character.
    Char(char),
    /// A set of characters, in the syntax of the engines; it can stand within a class.
    Set(String),
    /// Nothing of the two.
    Other(char),
}

impl Translator<'_> {
    /// Reads an escape outside of a class, behind its backslash.
    pub(super) fn escape(&mut self) -> Result<(), String> {
        let Some(c) = self.rest.chars().next() else {
            return Err("a \\ stands at the end".to_owned());
        };
        if matches!(c, '1'..='9') && self.numbered()? {
            return Ok(());
        }
        match self.common_escape()? {
            Escape::Char(c) => self.literal(c),
            Escape::Set(set) => self.push_set(&set),
            Escape::Other(c) => return self.special(c),
        }
        Ok(())
    }

    /// A digit: a back-reference, unless there are not so many groups and it can be octal.
    fn numbered(&mut self) -> Result<bool, String> {
        let start = self.rest;
        let Some(group) = self.number() else {
            return Ok(false);
        };
        if group >= 10 && group > self.captures && start.starts_with(|c| matches!(c, '0'..='7')) {
            self.rest = start;
            return Ok(false);
        }
        self.refer(group).map(|()| true)
    }

    /// Escapes that stand for no character.
    fn special(&mut self, c: char) -> Result<(), String> {
        match c {
            'A' | 'G' => self.anchor(),
            'z' => self.assertion(r"\z"),
            'Z' => self.end(),
            'b' if self.unicode => self.assertion(r"\b"),
            'B' if self.unicode => self.assertion(r"\B"),
            'b' if self.is_linear() => self.assertion(r"(?-u:\b)"),
            'b' => self.assertion(&format!(
                "(?-i:(?<!{WORD})(?={WORD})|(?<={WORD})(?!{WORD}))"
            )),
            'B' => {
                self.backtracking(&format!(
                    "(?-i:(?<={WORD})(?={WORD})|(?<!{WORD})(?!{WORD}))"
                ));
                self.assertion("");
            }
            'K' => self.assertion(""), // where a match starts is not asked
            'E' => {}
            'Q' => {
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                for c in quoted.chars() {
                    self.literal(c);
                }
                self.rest = rest;
            }
            'N' if !self.rest.starts_with('{') => self.push(r"[^\n]"),
            'R' => self.push(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])"),
            'g' => return self.reference(),
            'k' => {
                for (start, end) in [("{", "}"), ("<", ">"), ("'", "'")] {
                    if self.eat(start) {
                        let name = self.until(end)?;
                        return self.refer_by_name(name);
                    }
                }
                return Err("a name is missing behind \\k".to_owned());
            }
            other => return Err(format!("\\{other} is not supported")),
        }
        Ok(())
    }

    /// Reads `1`, `{1}`, `{-1}` or `{name}` behind `\g`.
    fn reference(&mut self) -> Result<(), String> {
        if let Some(group) = self.number() {
            return self.refer(group);
        }
        if !self.eat("{") {
            return Err("\\g is supported only as \\g1, \\g{1}, \\g{-1} or \\g{name}".to_owned());
        }
        let text = self.until("}")?;
        match text.strip_prefix('-').unwrap_or(text).parse::<u32>() {
            Ok(group) if text.starts_with('-') => {
                let group = (self.captures + 1).checked_sub(group);
                self.refer(group.ok_or("there are not so many groups before \\g")?)
            }
            Ok(group) => self.refer(group),
            Err(_) => self.refer_by_name(text),
        }
    }

    /// Reads an escape that means the same in a class and outside of one.
    pub(super) fn common_escape(&mut self) -> Result<Escape, String> {
        let c = self.next().ok_or("a \\ stands at the end")?;
        let set = |set: &str| Ok(Escape::Set(set.to_owned()));
        Ok(Escape::Char(match c {
            'd' if self.unicode => return set(r"\p{Nd}"),
            'D' if self.unicode => return set(r"\P{Nd}"),
            'w' if self.unicode => return set(r"[\p{L}\p{N}\p{Mn}\p{Pc}]"),
            'W' if self.unicode => return set(r"[^\p{L}\p{N}\p{Mn}\p{Pc}]"),
            's' if self.unicode => return set(r"\s"),
            'S' if self.unicode => return set(r"\S"),
            'd' => return set("[0-9]"),
            'D' => return set("[^0-9]"),
            'w' => return set(WORD),
            'W' => return set("[^0-9A-Za-z_]"),
            's' => return set(r"[\t\n\x0B\x0C\r\x20]"),
            'S' => return set(r"[^\t\n\x0B\x0C\r\x20]"),
            'h' | 'H' => {
                let not = if c == 'H' { "^" } else { "" };
                let spaces = r"\t\x20\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}";
                return Ok(Escape::Set(format!(r"[{not}{spaces}\x{{3000}}]")));
            }
            'v' => return set(r"[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}]"),
            'V' => return set(r"[^\n\x0B\x0C\r\x{85}\x{2028}\x{2029}]"),
            'p' | 'P' => return self.property(c == 'P').map(Escape::Set),
            'a' => '\x07',
            'e' => '\x1B',
            'f' => '\x0C',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'c' => match self.next() {
                Some(c @ ' '..='~') => char::from(c.to_ascii_uppercase() as u8 ^ 0x40),
                _ => return Err("a letter is missing behind \\c".to_owned()),
            },
            '0'..='7' => {
                let digits = self.rest.bytes().take(2);
                let more = digits.take_while(|digit| (b'0'..=b'7').contains(digit));
                let (more, rest) = self.rest.split_at(more.count());
                self.rest = rest;
                code_point(&format!("{c}{more}"), 8)?
            }
            'o' if self.eat("{") => code_point(self.until("}")?, 8)?,
            'x' if self.eat("{") => code_point(self.until("}")?, 16)?,
            'x' => {
                let digits = self.rest.bytes().take(2);
                let digits = digits.take_while(u8::is_ascii_hexdigit).count();
                let (digits, rest) = self.rest.split_at(digits);
                self.rest = rest;
                code_point(if digits.is_empty() { "0" } else { digits }, 16)?
            }
            'N' if self.eat("{U+") => code_point(self.until("}")?, 16)?,
            c if c.is_ascii_alphanumeric() => return Ok(Escape::Other(c)),
            c => c,
        }))
    }

    /// Reads the name of a property behind `\p` or `\P`.
    fn property(&mut self, negative: bool) -> Result<String, String> {
        let (name, negative) = if self.eat("{") {
            let name = self.until("}")?.trim();
            match name.strip_prefix('^') {
                Some(name) => (name.trim(), !negative),
                None => (name, negative),
            }
        } else {
            let end = self.rest.chars().next().map_or(0, char::len_utf8);
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            (name, negative)
        };
        let not = if negative { "^" } else { "" };
        Ok(match name {
            "L&" => format!(r"[{not}\p{{Lu}}\p{{Ll}}\p{{Lt}}]"),
            "Xan" => format!(r"[{not}\p{{L}}\p{{N}}]"),
            "Xwd" => format!(r"[{not}\p{{L}}\p{{N}}\p{{Mn}}\p{{Pc}}]"),
            "Xsp" | "Xps" => format!(r"[{not}\s]"),
            _ => {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "_ =:".contains(c);
                if name.is_empty() || !name.chars().all(allowed) {
                    return Err(format!("{name:?} is no Unicode property"));
                }
                let letter = if negative { 'P' } else { 'p' };
                format!(r"\{letter}{{{name}}}")
            }
        })
    }
}

/// The character with a code point in digits.
fn code_point(digits: &str, radix: u32) -> Result<char, String> {
    let digits = digits.trim();
    let number = u32::from_str_radix(digits, radix).ok();
    number
        .and_then(char::from_u32)
        .ok_or_else(|| format!("{digits:?} is no code point"))
}

/// Reads an escape in a class, apart from `\Q` and `\E`.
pub(super) fn in_class(translator: &mut Translator<'_>) -> Result<Escape, String> {
    match translator.common_escape()? {
        Escape::Other('b') => Ok(Escape::Char('\x08')),
        Escape::Other(c) => Err(format!("\\{c} is not supported in a class")),
        known => Ok(known),
    }
}
