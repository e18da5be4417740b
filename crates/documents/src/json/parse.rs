//! The parser: one pass over the text, BSON bytes as its output.
//!
//! Recursion is bounded by the nesting limit, checked before each descent. An object is written
//! as an ordinary document first; if its first name is one of extended JSON's, the bytes are then
//! replaced by the value that it stands for (`extended`).

use bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::spec::ElementType;

use super::extended;
use crate::document::duplicate_name;
use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::{DOCUMENT_BYTES_MAX, NESTING_MAX, pointer};

/// How many levels of text an extended JSON value can add below the deepest level of a document:
/// `{"$dbPointer": {"$ref": …, "$id": {"$oid": …}}}`.
const EXTENDED_LEVELS: usize = 3;

/// Reads a JSON object.
///
/// # Errors
/// One that says what is wrong, and where.
pub fn parse_document(text: &[u8]) -> Result<RawDocumentBuf, ParseError> {
    let text = utf8(text)?;
    let mut parser = Parser::new(text);
    parser.skip_space();
    if parser.peek() != Some(b'{') {
        return Err(parser.unexpected("an object, which begins with {"));
    }
    let element_type = parser.whole()?;
    if element_type != ElementType::EmbeddedDocument {
        let expected = "fields here: a value in extended JSON is no document";
        return Err(parser.fail(Kind::Extended {
            wrapper: "a document",
            expected,
        }));
    }
    let bytes = std::mem::take(&mut parser.out);
    // The bytes are a document that was just written; the check is of the length alone.
    RawDocumentBuf::from_bytes(bytes).map_err(|_| parser.fail(Kind::TooLarge))
}

/// Reads any JSON value.
///
/// # Errors
/// One that says what is wrong, and where.
pub fn parse_value(text: &[u8]) -> Result<RawBson, ParseError> {
    let text = utf8(text)?;
    let mut parser = Parser::new(text);
    // A value by itself has no place in BSON, so it becomes the one field of a document.
    parser.out.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    parser.skip_space();
    let element_type = parser.whole()?;
    parser.out[4] = element_type as u8;
    parser.close_document(0)?;
    let value = RawDocument::from_bytes(&parser.out)
        .ok()
        .and_then(|document| {
            let value = document.iter().next()?.ok()?.1;
            Some(RawBson::from(value))
        });
    value.ok_or_else(|| parser.fail(Kind::TooLarge))
}

fn utf8(text: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(text).map_err(|error| {
        let valid = &text[..error.valid_up_to()];
        let (line, column) = position(std::str::from_utf8(valid).unwrap_or_default());
        ParseError {
            line,
            column,
            at: String::new(),
            kind: Kind::Utf8,
        }
    })
}

/// The line and column just behind `before`.
fn position(before: &str) -> (usize, usize) {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// A step from a container to what is being read in it.
#[derive(Clone, Copy)]
enum Step {
    /// A field, whose name is these bytes of the output.
    Name(usize, usize),
    /// An array element.
    Index(usize),
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    out: Vec<u8>,
    path: Vec<Step>,
    /// Whether an object beyond the nesting limit was read. It may be part of an extended JSON
    /// value, which is no level of its own; if not, the object around it is refused.
    deep: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let out = Vec::with_capacity(text.len().min(DOCUMENT_BYTES_MAX));
        Self {
            text,
            position: 0,
            out,
            path: Vec::new(),
            deep: false,
        }
    }

    /// The value that is the whole text.
    fn whole(&mut self) -> Result<ElementType, ParseError> {
        let element_type = self.value(1)?;
        self.skip_space();
        if self.position < self.text.len() {
            return Err(self.unexpected("the end of the text"));
        }
        Ok(element_type)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    fn fail(&self, kind: Kind) -> ParseError {
        self.fail_at(self.position, kind)
    }

    fn fail_at(&self, position_bytes: usize, kind: Kind) -> ParseError {
        let (line, column) = position(self.text.get(..position_bytes).unwrap_or(self.text));
        let mut at = String::new();
        for step in &self.path {
            match *step {
                Step::Index(index) => pointer::push_index(&mut at, index),
                Step::Name(start, end) => {
                    let name = self.out.get(start..end).unwrap_or_default();
                    pointer::push_name(&mut at, &String::from_utf8_lossy(name));
                }
            }
        }
        ParseError {
            line,
            column,
            at,
            kind,
        }
    }

    fn unexpected(&self, expected: &'static str) -> ParseError {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let found = match rest.chars().next() {
            None => "the end of the text".to_owned(),
            Some(c) if c.is_ascii_alphanumeric() => {
                let word = rest.split(|c: char| !c.is_ascii_alphanumeric()).next();
                word.unwrap_or_default().chars().take(20).collect()
            }
            Some(c) => format!("{c:?}"),
        };
        self.fail(Kind::Syntax { expected, found })
    }

    /// Reads one value, appends its BSON, and returns its type.
    fn value(&mut self, level: usize) -> Result<ElementType, ParseError> {
        if self.out.len() > DOCUMENT_BYTES_MAX {
            return Err(self.fail(Kind::TooLarge));
        }
        match self.peek() {
            Some(b'{') => self.object(level),
            Some(b'[') => self.array(level),
            Some(b'"') => {
                let length_at = self.open();
                self.string()?;
                self.close_string(length_at)?;
                Ok(ElementType::String)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", ElementType::Boolean, &[1]),
            Some(b'f') => self.word("false", ElementType::Boolean, &[0]),
            Some(b'n') => self.word("null", ElementType::Null, &[]),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(
        &mut self,
        word: &'static str,
        element_type: ElementType,
        bytes: &[u8],
    ) -> Result<ElementType, ParseError> {
        let rest = &self.text[self.position..];
        let follows = rest.as_bytes().get(word.len());
        if !rest.starts_with(word) || follows.is_some_and(u8::is_ascii_alphanumeric) {
            return Err(self.unexpected("a value"));
        }
        self.position += word.len();
        self.out.extend_from_slice(bytes);
        Ok(element_type)
    }

    /// Leaves room for a length, and returns where.
    fn open(&mut self) -> usize {
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        at
    }

    fn set_length(&mut self, at: usize, length: usize) -> Result<(), ParseError> {
        let Some(length) = i32::try_from(length)
            .ok()
            .filter(|_| length <= DOCUMENT_BYTES_MAX)
        else {
            return Err(self.fail(Kind::TooLarge));
        };
        self.out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn close_document(&mut self, at: usize) -> Result<(), ParseError> {
        self.out.push(0);
        self.set_length(at, self.out.len() - at)
    }

    fn close_string(&mut self, at: usize) -> Result<(), ParseError> {
        self.out.push(0);
        self.set_length(at, self.out.len() - at - 4)
    }

    fn enter(&self, level: usize, level_max: usize) -> Result<(), ParseError> {
        if level > level_max {
            Err(self.fail(Kind::TooDeep))
        } else {
            Ok(())
        }
    }

    fn refuse_deep(&self) -> Result<(), ParseError> {
        if self.deep {
            Err(self.fail(Kind::TooDeep))
        } else {
            Ok(())
        }
    }

    fn array(&mut self, level: usize) -> Result<ElementType, ParseError> {
        self.enter(level, NESTING_MAX)?;
        let start = self.open();
        self.position += 1;
        let mut index = 0;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.position += 1;
            self.close_document(start)?;
            return Ok(ElementType::Array);
        }
        loop {
            self.skip_space();
            let type_at = self.out.len();
            self.out.push(0);
            self.out.extend_from_slice(index.to_string().as_bytes());
            self.out.push(0);
            self.path.push(Step::Index(index));
            let element_type = self.value(level + 1)?;
            self.refuse_deep()?;
            self.path.pop();
            self.out[type_at] = element_type as u8;
            index += 1;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("a comma or ]")),
            }
        }
        self.position += 1;
        self.close_document(start)?;
        Ok(ElementType::Array)
    }

    fn object(&mut self, level: usize) -> Result<ElementType, ParseError> {
        self.enter(level, NESTING_MAX + EXTENDED_LEVELS)?;
        let begin = self.position;
        let start = self.open();
        self.position += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.position += 1;
            self.close_document(start)?;
        } else {
            self.members(level)?;
            self.close_document(start)?;
        }
        self.finish_object(start, begin, level)
    }

    fn members(&mut self, level: usize) -> Result<(), ParseError> {
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a field name in quotation marks"));
            }
            let type_at = self.out.len();
            self.out.push(0);
            let name_at = self.out.len();
            self.string()?;
            if self.out[name_at..].contains(&0) {
                return Err(self.fail(Kind::NulInName));
            }
            self.path.push(Step::Name(name_at, self.out.len()));
            self.out.push(0);
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.position += 1;
            self.skip_space();
            let element_type = self.value(level + 1)?;
            self.out[type_at] = element_type as u8;
            self.path.pop();
            self.skip_space();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("a comma or }")),
            }
        }
        self.position += 1;
        Ok(())
    }

    /// Checks the names of the object whose BSON begins at `start`, and replaces it by the value
    /// that it stands for if it is extended JSON.
    fn finish_object(
        &mut self,
        start: usize,
        begin: usize,
        level: usize,
    ) -> Result<ElementType, ParseError> {
        let document = RawDocument::from_bytes(&self.out[start..]);
        let duplicate = document
            .and_then(|document| Ok((document, duplicate_name(document)?.map(str::to_owned))));
        let Ok((document, duplicate)) = duplicate else {
            return Err(self.fail_at(begin, Kind::TooLarge)); // it was written by us: it is BSON
        };
        if let Some(name) = duplicate {
            return Err(self.fail_at(begin, Kind::DuplicateName { name }));
        }
        match extended::convert(document) {
            Ok(None) => {
                if level > NESTING_MAX {
                    self.deep = true;
                } else {
                    self.refuse_deep()?;
                }
                Ok(ElementType::EmbeddedDocument)
            }
            Ok(Some(value)) => {
                if value.element_type() == ElementType::JavaScriptCodeWithScope {
                    self.refuse_deep()?; // its scope is a level
                }
                self.deep = false;
                self.out.truncate(start);
                Ok(put(&mut self.out, value.as_raw_bson_ref()))
            }
            Err(kind) => Err(self.fail_at(begin, kind)),
        }
    }

    fn number(&mut self) -> Result<ElementType, ParseError> {
        let bytes = self.text.as_bytes();
        let start = self.position;
        let digits = |from: usize| {
            bytes[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        let mut end = start + usize::from(bytes[start] == b'-');
        let whole = digits(end);
        if whole == 0 || (whole > 1 && bytes[end] == b'0') {
            self.position = end;
            return Err(self.unexpected("a number without leading zeros"));
        }
        end += whole;
        let mut integer = true;
        if bytes.get(end) == Some(&b'.') {
            integer = false;
            let fraction = digits(end + 1);
            end += 1 + fraction;
            if fraction == 0 {
                self.position = end;
                return Err(self.unexpected("a digit after the decimal point"));
            }
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            integer = false;
            end += 1;
            end += usize::from(matches!(bytes.get(end), Some(b'+' | b'-')));
            let exponent = digits(end);
            end += exponent;
            if exponent == 0 {
                self.position = end;
                return Err(self.unexpected("a digit of the exponent"));
            }
        }
        let text = &self.text[start..end];
        let value = if integer {
            integer_value(text)
        } else {
            double_value(text)
        };
        let value = value.map_err(|kind| self.fail(kind))?;
        self.position = end;
        Ok(put(&mut self.out, value))
    }

    /// Reads a string in quotation marks and appends its bytes.
    fn string(&mut self) -> Result<(), ParseError> {
        self.position += 1;
        loop {
            let rest = &self.text.as_bytes()[self.position..];
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F));
            let Some(plain) = plain else {
                self.position = self.text.len();
                return Err(self.unexpected("a quotation mark"));
            };
            self.out.extend_from_slice(&rest[..plain]);
            self.position += plain;
            match rest[plain] {
                b'"' => {
                    self.position += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                _ => return Err(self.unexpected("a \\ escape for a control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ParseError> {
        self.position += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.unicode_escape()?,
            _ => return Err(self.unexpected("one of \" \\ / b f n r t u after \\")),
        };
        self.position += 1;
        let mut buffer = [0; 4];
        self.out
            .extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
        Ok(())
    }

    /// Reads `uXXXX`, or two of them for one character, and stops at the last digit.
    fn unicode_escape(&mut self) -> Result<char, ParseError> {
        let start = self.position - 1;
        let unit = self.four_hex_digits()?;
        let mut units = [unit, 0];
        let mut used = 1;
        if (0xD800..0xDC00).contains(&unit)
            && self
                .text
                .as_bytes()
                .get(self.position + 1..self.position + 3)
                == Some(b"\\u")
        {
            self.position += 2;
            units[1] = self.four_hex_digits()?;
            used = 2;
        }
        match char::decode_utf16(units[..used].iter().copied()).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(self.fail_at(start, Kind::LoneSurrogate { unit })),
        }
    }

    /// Reads the digits after the `u` at the position, and stops at the last of them.
    fn four_hex_digits(&mut self) -> Result<u16, ParseError> {
        let mut unit = 0;
        for _ in 0..4 {
            self.position += 1;
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit.and_then(|digit| u16::try_from(digit).ok()) else {
                return Err(self.unexpected("four hexadecimal digits"));
            };
            unit = unit << 4 | digit;
        }
        Ok(unit)
    }
}

/// An integer in the smallest type that holds it.
fn integer_value(text: &str) -> Result<RawBsonRef<'static>, Kind> {
    let Ok(value) = text.parse::<i64>() else {
        return Err(Kind::IntegerRange {
            text: text.to_owned(),
        });
    };
    Ok(i32::try_from(value).map_or(RawBsonRef::Int64(value), RawBsonRef::Int32))
}

fn double_value(text: &str) -> Result<RawBsonRef<'static>, Kind> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(RawBsonRef::Double(value)),
        _ => Err(Kind::DoubleRange {
            text: text.to_owned(),
        }),
    }
}

/// Appends the BSON of a value, and returns its type.
fn put(out: &mut Vec<u8>, value: RawBsonRef<'_>) -> ElementType {
    match value {
        RawBsonRef::Int32(value) => out.extend_from_slice(&value.to_le_bytes()),
        RawBsonRef::Int64(value) => out.extend_from_slice(&value.to_le_bytes()),
        RawBsonRef::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
        RawBsonRef::ObjectId(id) => out.extend_from_slice(&id.bytes()),
        RawBsonRef::DateTime(date) => {
            out.extend_from_slice(&date.timestamp_millis().to_le_bytes());
        }
        value => {
            // Four bytes of length, the type, an empty name; at the end a zero.
            let mut document = RawDocumentBuf::new();
            document.append(cstr!(""), value);
            let bytes = document.as_bytes();
            out.extend_from_slice(bytes.get(6..bytes.len() - 1).unwrap_or_default());
        }
    }
    value.element_type()
}
