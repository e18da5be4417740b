//! A document that is being changed.
//!
//! A [`Node`] begins as a value in its BSON bytes. Only objects and arrays into which a change
//! reaches are opened, one level at a time; all else is copied as it stands when the result is
//! encoded. Fields keep their order, new ones come last.
//!
//! It checks nothing but that the BSON it opens is sound: whoever stores the result checks it.

use std::collections::HashMap;

use bson::raw::{CStr, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use crate::ValueError;

/// From how many fields on an object keeps the positions of its names.
const POSITIONS_FROM: usize = 16;

/// A value that is, or is in, a document that is being changed.
#[derive(Clone, Debug)]
pub(crate) enum Node<'a> {
    /// As it is in its bytes.
    Raw(RawBsonRef<'a>),
    /// An object that was opened, or made.
    Object(Object<'a>),
    /// An array that was opened, or made.
    Array(Vec<Node<'a>>),
}

/// An opened object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a> {
    /// The fields in order; `None` where one was removed.
    fields: Vec<(&'a CStr, Option<Node<'a>>)>,
    /// Where each name stands, once there are many.
    positions: HashMap<&'a str, usize>,
}

/// What a node turned out to be when it was opened.
pub(crate) enum Opened<'n, 'a> {
    /// An object.
    Object(&'n mut Object<'a>),
    /// An array.
    Array(&'n mut Vec<Node<'a>>),
    /// Anything else.
    Plain(RawBsonRef<'a>),
}

impl<'a> Object<'a> {
    fn read(document: &'a RawDocument) -> Result<Self, ValueError> {
        let fields = document.iter().map(|field| {
            let (name, value) = field?;
            Ok((name, Some(Node::Raw(value))))
        });
        Ok(Self {
            fields: fields.collect::<Result<_, ValueError>>()?,
            positions: HashMap::new(),
        })
    }

    /// The fields that are there.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a CStr, &Node<'a>)> {
        self.fields
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_ref()?)))
    }

    fn position(&mut self, name: &str) -> Option<usize> {
        if self.fields.len() < POSITIONS_FROM {
            return self
                .fields
                .iter()
                .position(|(other, _)| other.as_str() == name);
        }
        if self.positions.is_empty() {
            let names = self.fields.iter().enumerate();
            // Of a name that stands twice, which no stored document has, the first counts.
            self.positions = names
                .rev()
                .map(|(position, (name, _))| (name.as_str(), position))
                .collect();
        }
        self.positions.get(name).copied()
    }

    /// The place of a field that is there.
    pub(crate) fn existing(&mut self, name: &str) -> Option<&mut Option<Node<'a>>> {
        let position = self.position(name)?;
        let (_, slot) = self.fields.get_mut(position)?;
        slot.is_some().then_some(slot)
    }

    /// The place of a field, `None` in it if there is no such field.
    pub(crate) fn slot(&mut self, name: &'a CStr) -> &mut Option<Node<'a>> {
        let position = self.position(name.as_str()).unwrap_or_else(|| {
            let position = self.fields.len();
            self.fields.push((name, None));
            if !self.positions.is_empty() {
                self.positions.insert(name.as_str(), position);
            }
            position
        });
        &mut self.fields[position].1
    }

    /// Removes a field and returns it.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        self.existing(name).and_then(Option::take)
    }

    /// Puts a field before all others.
    pub(crate) fn put_first(&mut self, name: &'a CStr, value: Node<'a>) {
        self.fields.insert(0, (name, Some(value)));
        self.positions.clear();
    }

    /// The object as BSON.
    pub(crate) fn encode(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        for (name, value) in self.fields() {
            match value {
                Node::Raw(value) => document.append(name, *value),
                opened => document.append(name, opened.encode()),
            }
        }
        document
    }
}

impl<'a> Node<'a> {
    /// Opens an object or array.
    pub(crate) fn open(&mut self) -> Result<Opened<'_, 'a>, ValueError> {
        match self {
            Self::Raw(RawBsonRef::Document(document)) => {
                *self = Self::Object(Object::read(document)?);
            }
            Self::Raw(RawBsonRef::Array(array)) => {
                let elements = array.into_iter().map(|element| Ok(Self::Raw(element?)));
                *self = Self::Array(elements.collect::<Result<_, ValueError>>()?);
            }
            _ => {}
        }
        Ok(match self {
            Self::Raw(value) => Opened::Plain(*value),
            Self::Object(object) => Opened::Object(object),
            Self::Array(array) => Opened::Array(array),
        })
    }

    /// Hands out the value as BSON, which is made where it was opened.
    pub(crate) fn read<T>(&self, reader: impl FnOnce(RawBsonRef<'_>) -> T) -> T {
        match self {
            Self::Raw(value) => reader(*value),
            opened => reader(opened.encode().as_raw_bson_ref()),
        }
    }

    fn encode(&self) -> RawBson {
        match self {
            Self::Raw(value) => RawBson::from(*value),
            Self::Object(object) => RawBson::Document(object.encode()),
            Self::Array(elements) => {
                let mut array = RawArrayBuf::new();
                for element in elements {
                    match element {
                        Self::Raw(value) => array.push(*value),
                        opened => array.push(opened.encode()),
                    }
                }
                RawBson::Array(array)
            }
        }
    }

    /// About how many bytes of BSON the value has.
    pub(crate) fn bytes(&self) -> usize {
        FIELD_BYTES
            + match self {
                Self::Raw(value) => raw_bytes(*value),
                Self::Object(object) => {
                    let fields = object.fields();
                    fields.map(|(name, value)| name.len() + value.bytes()).sum()
                }
                Self::Array(elements) => elements.iter().map(Self::bytes).sum(),
            }
    }

    /// How many levels were opened, which is how deep a walk over the node goes. Adds to `visited`
    /// how many values were looked at for that.
    pub(crate) fn levels(&self, visited: &mut usize) -> usize {
        *visited += 1;
        let inside = match self {
            Self::Raw(_) => return 0,
            Self::Object(object) => {
                let values = object.fields().map(|(_, value)| value.levels(visited));
                values.max()
            }
            Self::Array(elements) => elements.iter().map(|value| value.levels(visited)).max(),
        };
        1 + inside.unwrap_or(0)
    }
}

/// What a value takes besides its name and its content, about.
pub(crate) const FIELD_BYTES: usize = 12;

/// The bytes of a value whose size differs.
fn raw_bytes(value: RawBsonRef<'_>) -> usize {
    match value {
        RawBsonRef::Document(document) => document.as_bytes().len(),
        RawBsonRef::Array(array) => array.as_bytes().len(),
        RawBsonRef::String(text) | RawBsonRef::Symbol(text) | RawBsonRef::JavaScriptCode(text) => {
            text.len()
        }
        RawBsonRef::Binary(binary) => binary.bytes.len(),
        RawBsonRef::JavaScriptCodeWithScope(code) => code.code.len() + code.scope.as_bytes().len(),
        RawBsonRef::RegularExpression(regex) => regex.pattern.len() + regex.options.len(),
        _ => 0,
    }
}

/// Whether two fields are the same to the last byte, which NaN and -0 are not by comparing.
pub(crate) fn identical(a: Option<RawBsonRef<'_>>, b: Option<RawBsonRef<'_>>) -> bool {
    let bytes = |value: Option<RawBsonRef<'_>>| {
        let mut document = RawDocumentBuf::new();
        if let Some(value) = value {
            document.append(bson::raw::cstr!("_"), value);
        }
        document.into_bytes()
    };
    bytes(a) == bytes(b)
}
