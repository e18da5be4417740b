//! Sets of BSON types, as `$type` names them.

use std::fmt;

use bson::raw::RawBsonRef;
use bson::spec::ElementType;

use crate::value::Class;

/// Types with their names and codes, and the class of their values.
const TYPES: [(&str, i64, Class); 21] = [
    ("minKey", -1, Class::MinKey),
    ("double", 1, Class::Number),
    ("string", 2, Class::String),
    ("object", 3, Class::Object),
    ("array", 4, Class::Array),
    ("binData", 5, Class::Binary),
    ("undefined", 6, Class::Undefined),
    ("objectId", 7, Class::ObjectId),
    ("bool", 8, Class::Boolean),
    ("date", 9, Class::Date),
    ("null", 10, Class::Null),
    ("regex", 11, Class::Regex),
    ("dbPointer", 12, Class::DbPointer),
    ("javascript", 13, Class::Code),
    ("symbol", 14, Class::String),
    ("javascriptWithScope", 15, Class::CodeWithScope),
    ("int", 16, Class::Number),
    ("timestamp", 17, Class::Timestamp),
    ("long", 18, Class::Number),
    ("decimal", 19, Class::Number),
    ("maxKey", 127, Class::MaxKey),
];

/// A set of types.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Types(u32);

impl Types {
    /// The types that a name stands for: one, or all numbers.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "number" {
            let numbers = |(_, _, class): &(_, _, Class)| *class == Class::Number;
            return Some(Self::of(numbers));
        }
        Some(Self::of(|(known, ..)| *known == name)).filter(|types| *types != Self::default())
    }

    /// The type with a code of the BSON specification; `MinKey` is -1.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Some(Self::of(|(_, known, _)| *known == code)).filter(|types| *types != Self::default())
    }

    /// These types and the others.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether a value has one of the types.
    #[must_use]
    pub fn hold(self, value: RawBsonRef<'_>) -> bool {
        // The bits are the codes of the specification, and two that no type has.
        let bit = match value.element_type() {
            ElementType::MinKey => 0,
            ElementType::MaxKey => 20,
            other => other as u8,
        };
        self.0 & (1 << (bit & 31)) != 0
    }

    /// The names of the types.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.entries().map(|(name, ..)| name)
    }

    /// The classes that values of these types are in, each once. A class may have more types.
    pub fn classes(self) -> impl Iterator<Item = Class> {
        let mut before = Vec::new();
        self.entries().filter_map(move |(_, _, class)| {
            let new = !before.contains(&class);
            new.then(|| {
                before.push(class);
                class
            })
        })
    }

    fn of(wanted: impl Fn(&(&'static str, i64, Class)) -> bool) -> Self {
        let bits = TYPES.iter().enumerate();
        let bits = bits.filter(|(_, entry)| wanted(entry));
        Self(bits.fold(0, |bits, (bit, _)| bits | 1 << bit))
    }

    fn entries(self) -> impl Iterator<Item = (&'static str, i64, Class)> {
        let held = move |(bit, _): &(usize, _)| self.0 & (1 << bit) != 0;
        TYPES.into_iter().enumerate().filter(held).map(|(_, e)| e)
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
