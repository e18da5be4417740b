//! Classes of characters, `[…]`.
//!
//! The engines know set operations and classes in classes where PCRE knows only characters, so a
//! class is written as ranges of letters, digits and what is beyond ASCII, and every other
//! character by its code point.

use std::fmt::Write;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::escape::{self, Escape};
use super::translate::Translator;

/// Writes a character that stands for itself, outside of classes.
pub(super) fn push_char(c: char, out: &mut String) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c)); // writing to a string cannot fail
    } else {
        out.push(c);
    }
}

/// Writes a character as a member of a class.
pub(super) fn push_member(c: char, out: &mut String) {
    // These have a meaning in classes of the engines, one of which sees them without the escape.
    if matches!(c, '-' | '&' | '~') {
        out.push('[');
        push_char(c, out);
        out.push(']');
    } else {
        push_char(c, out);
    }
}

/// Writes a range of characters as members of a class.
fn push_range(low: char, high: char, out: &mut String) {
    let mut c = u32::from(low);
    while let Some(first) = char::from_u32(c).filter(|first| first.is_ascii() && *first <= high) {
        let run_end = match first {
            '0'..='9' => '9',
            'A'..='Z' => 'Z',
            'a'..='z' => 'z',
            _ => first,
        };
        let last = run_end.min(high);
        push_member(first, out);
        if first < last {
            out.push('-');
            out.push(last);
        }
        c = u32::from(last) + 1;
    }
    if u32::from(high) >= 0x80 {
        let low = low.max('\u{80}');
        let _ = write!(out, "{low}-{high}"); // writing to a string cannot fail
    }
}

/// What stands in a class.
enum Member {
    Char(char),
    Set(String),
}

/// Reads a class behind its `[`, and writes it.
pub(super) fn translate(translator: &mut Translator<'_>) -> Result<(), String> {
    if let Some((class, _)) = translator.rest.split_once(']')
        && class.len() > 1
        && class.starts_with(':')
        && class.ends_with(':')
    {
        return Err(format!("[{class}] stands within another class only"));
    }
    let negated = translator.eat("^");
    let (mut ranges, mut sets) = (Vec::new(), String::new());
    let mut quoted = false;
    // A ] that comes first stands for itself.
    let mut first = translator.rest.starts_with(']');
    while quoted || std::mem::take(&mut first) || !translator.eat("]") {
        let Some(member) = member(translator, &mut quoted)? else {
            continue;
        };
        while translator.eat(r"\E") {
            quoted = false;
        }
        let is_range =
            !quoted && translator.rest.starts_with('-') && !translator.rest.starts_with("-]");
        let low = match member {
            Member::Char(low) => low,
            Member::Set(_) if is_range => return Err("a range begins with a set".to_owned()),
            Member::Set(set) => {
                sets.push_str(&set);
                continue;
            }
        };
        if !is_range {
            ranges.push((low, low));
            continue;
        }
        translator.next();
        match member_behind_hyphen(translator, &mut quoted)? {
            Member::Char(high) if high < low => {
                return Err(format!("the range {low}-{high} is the wrong way round"));
            }
            Member::Char(high) => ranges.push((low, high)),
            Member::Set(_) => return Err("a range ends with a set".to_owned()),
        }
    }
    let fold = translator.flags.fold;
    if fold {
        ranges = folded(&ranges)?;
        translator.out.push_str("(?-i:");
    }
    translator.out.push_str(if negated { "[^" } else { "[" });
    for (low, high) in ranges {
        push_range(low, high, &mut translator.out);
    }
    translator.out.push_str(&sets);
    translator.out.push_str(if fold { "])" } else { "]" });
    Ok(())
}

/// The ranges, and the characters that are in them when case does not count. What a class says by
/// sets is not folded, so the class cannot be left to the engine as a whole.
fn folded(ranges: &[(char, char)]) -> Result<Vec<(char, char)>, String> {
    let range = |&(low, high): &(char, char)| ClassUnicodeRange::new(low, high);
    let mut class = ClassUnicode::new(ranges.iter().map(range));
    class.try_case_fold_simple().map_err(|e| e.to_string())?;
    Ok(class.iter().map(|r| (r.start(), r.end())).collect())
}

fn member_behind_hyphen(
    translator: &mut Translator<'_>,
    quoted: &mut bool,
) -> Result<Member, String> {
    loop {
        if let Some(member) = member(translator, quoted)? {
            return Ok(member);
        }
    }
}

/// Reads a member; none for what begins or ends a quotation.
fn member(translator: &mut Translator<'_>, quoted: &mut bool) -> Result<Option<Member>, String> {
    if translator.eat(r"\E") {
        *quoted = false;
        return Ok(None);
    }
    if !*quoted && translator.eat(r"\Q") {
        *quoted = true;
        return Ok(None);
    }
    let c = translator.next().ok_or("a [ is not closed")?;
    Ok(Some(match c {
        '\\' if !*quoted => match escape::in_class(translator)? {
            Escape::Char(c) | Escape::Other(c) => Member::Char(c),
            Escape::Set(set) => Member::Set(set),
        },
        '[' if !*quoted => named(translator)?.map_or(Member::Char('['), Member::Set),
        c => Member::Char(c),
    }))
}

/// Reads the rest of `[:name:]`, if that is what a `[` in a class begins.
fn named(translator: &mut Translator<'_>) -> Result<Option<String>, String> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    for sign in [":", ".", "="] {
        let Some(rest) = translator.rest.strip_prefix(sign) else {
            continue;
        };
        let Some((name, rest)) = rest.split_once([':', '.', '=', ']', '\\']) else {
            continue;
        };
        let consumed = translator.rest.len() - rest.len();
        if !translator.rest[..consumed].ends_with(sign) || !rest.starts_with(']') {
            continue;
        }
        let plain = name.strip_prefix('^').unwrap_or(name);
        if sign != ":" || !NAMES.contains(&plain) || translator.unicode {
            return Err(format!(
                "the class [{sign}{name}{sign}] is not supported here"
            ));
        }
        translator.rest = &rest[1..];
        return Ok(Some(format!("[:{name}:]")));
    }
    Ok(None)
}
