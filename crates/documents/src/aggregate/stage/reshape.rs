//! `$project`, `$addFields` and `$unset`: other fields for each document.
//!
//! All three are one tree of names. Fields that the tree does not name are left out by an
//! inclusion and kept by the others. A field that is computed stands behind the others if it is
//! new or the tree is an inclusion, else in the place of the old one. A tree that meets an array
//! is applied to each element, also to those of arrays in it; where it has something to compute,
//! an element that is no object becomes one.

use std::collections::HashMap;

use bson::raw::{CString, RawBsonRef, RawDocument, RawDocumentBuf};

use super::expected;
use crate::aggregate::error::{ExpressionError, PipelineError};
use crate::aggregate::expression::{
    ArrayBuilder, Expression, ObjectBuilder, Parser, Scope, Value, Watch, check_path,
    fields_in_place, mistake,
};
use crate::pointer::{join, join_index};
use crate::value::Class;
use crate::{NESTING_MAX, ValueError};

/// What happens to fields that are not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They go.
    Include,
    /// They stay.
    Change,
}

/// Other fields for each document.
#[derive(Clone, Debug)]
pub(in crate::aggregate) struct Reshape {
    mode: Mode,
    fields: Fields,
}

/// The fields that are named in an object.
#[derive(Clone, Debug, Default)]
struct Fields {
    nodes: Vec<Node>,
    /// Where each name stands in `nodes`.
    numbers: HashMap<Box<str>, usize>,
    /// Whether something is computed here or below.
    computes: bool,
}

/// A field that is named.
#[derive(Clone, Debug)]
struct Node {
    name: CString,
    action: Action,
}

/// What happens to a field.
#[derive(Clone, Debug)]
enum Action {
    Keep,
    Drop,
    Set(Expression),
    /// Something happens to fields in it.
    Below(Fields),
}

impl Fields {
    fn number(&self, name: &str) -> Option<usize> {
        // For a few names comparing is faster than hashing.
        const FEW: usize = 8;
        if self.nodes.len() <= FEW {
            let mut nodes = self.nodes.iter();
            return nodes.position(|node| node.name.as_str() == name);
        }
        self.numbers.get(name).copied()
    }

    fn add(&mut self, name: CString, action: Action) -> usize {
        let number = self.nodes.len();
        self.numbers.insert(name.as_str().into(), number);
        self.nodes.push(Node { name, action });
        number
    }
}

/// Reads the tree of a stage.
struct Reader {
    /// Whether numbers and booleans say what stays and what goes; else they are values.
    flags: bool,
    fields: Fields,
    parser: Parser,
    /// The names of fields that say so, `_id` itself not counted.
    kept: bool,
    dropped: bool,
    computed: bool,
    /// What is said of `_id` itself.
    id: Option<bool>,
}

impl Reader {
    fn new(flags: bool) -> Self {
        Self {
            flags,
            fields: Fields::default(),
            parser: Parser::default(),
            kept: false,
            dropped: false,
            computed: false,
            id: None,
        }
    }

    fn object(
        &mut self,
        object: &RawDocument,
        prefix: &str,
        at: &str,
    ) -> Result<(), PipelineError> {
        for field in object.iter().flatten() {
            let (name, value) = (field.0.as_str(), field.1);
            let here = join(at, name);
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            check_path(&path, &here)?;
            match value {
                RawBsonRef::Document(inner) => match inner.iter().flatten().next() {
                    None if self.flags => {
                        return Err(expected(
                            &here,
                            "a flag, a value or fields",
                            "an empty object",
                        ));
                    }
                    None => self.set(&path, value, &here)?,
                    Some((first, _)) if first.as_str().starts_with('$') => {
                        self.set(&path, value, &here)?;
                    }
                    Some(_) => self.object(inner, &path, &here)?,
                },
                flag if self.flags && matches!(Class::of(flag), Class::Number | Class::Boolean) => {
                    self.flag(&path, Value::Ref(flag).is_true(), &here)?;
                }
                value => self.set(&path, value, &here)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, path: &str, value: RawBsonRef<'_>, at: &str) -> Result<(), PipelineError> {
        self.computed = true;
        let expression = self.parser.expression(value, at)?;
        self.insert(path, Action::Set(expression), at)
    }

    fn flag(
        &mut self,
        path: &str,
        keeps: Result<bool, ValueError>,
        at: &str,
    ) -> Result<(), PipelineError> {
        let keeps = keeps.unwrap_or(true); // only numbers and booleans come here
        if path == "_id" {
            self.id = Some(keeps);
        } else {
            self.kept |= keeps;
            self.dropped |= !keeps;
        }
        self.insert(path, if keeps { Action::Keep } else { Action::Drop }, at)
    }

    /// Adds a field to the tree.
    fn insert(&mut self, path: &str, action: Action, at: &str) -> Result<(), PipelineError> {
        let computes = matches!(action, Action::Set(_));
        let collision = |other: &str| PipelineError::Collision {
            at: at.to_owned(),
            field: path.to_owned(),
            other: other.to_owned(),
        };
        let mut fields = &mut self.fields;
        let mut end = 0;
        for name in path.split('.') {
            fields.computes |= computes;
            end += name.len();
            let (so_far, rest) = path.split_at(end);
            let known = fields.number(name);
            if rest.is_empty() {
                return match known {
                    Some(_) => Err(collision(so_far)),
                    None => {
                        fields.add(super::c_string(name, at)?, action);
                        Ok(())
                    }
                };
            }
            end += 1;
            let number = match known {
                Some(number) => number,
                None => fields.add(super::c_string(name, at)?, Action::Below(Fields::default())),
            };
            // Both must lead further in.
            match &mut fields.nodes[number].action {
                Action::Below(below) => fields = below,
                _ => return Err(collision(so_far)),
            }
        }
        Ok(())
    }
}

impl Reshape {
    /// Reads the operand of `$project`.
    pub(super) fn project(value: RawBsonRef<'_>, at: &str) -> Result<Self, PipelineError> {
        const SHAPE: &str = "an object of at least one field";
        let Some(object) = value.as_document() else {
            return Err(mistake(at, SHAPE, value));
        };
        if object.is_empty() {
            return Err(expected(at, SHAPE, "an empty object"));
        }
        let mut reader = Reader::new(true);
        reader.object(object, "", at)?;
        let includes = reader.kept || reader.computed;
        if includes && reader.dropped {
            let found = "both; only _id may be left out of fields that are named";
            return Err(expected(
                at,
                "fields to keep, or fields to leave out",
                found,
            ));
        }
        let include = includes || (!reader.dropped && reader.id == Some(true));
        let mut fields = reader.fields;
        if include && fields.number("_id").is_none() {
            fields.add(super::c_string("_id", at)?, Action::Keep);
        }
        let mode = if include { Mode::Include } else { Mode::Change };
        Ok(Self { mode, fields })
    }

    /// Reads the operand of `$addFields`.
    pub(super) fn add_fields(value: RawBsonRef<'_>, at: &str) -> Result<Self, PipelineError> {
        let Some(object) = value.as_document() else {
            return Err(mistake(at, "an object of fields", value));
        };
        let mut reader = Reader::new(false);
        reader.object(object, "", at)?;
        Ok(Self {
            mode: Mode::Change,
            fields: reader.fields,
        })
    }

    /// Reads the operand of `$unset`.
    pub(super) fn unset(value: RawBsonRef<'_>, at: &str) -> Result<Self, PipelineError> {
        const SHAPE: &str = "the path of a field, or an array of such";
        let mut reader = Reader::new(true);
        let mut drop = |value: RawBsonRef<'_>, here: &str| match value {
            RawBsonRef::String(path) => {
                check_path(path, here)?;
                reader.insert(path, Action::Drop, here)
            }
            other => Err(mistake(here, SHAPE, other)),
        };
        match value {
            RawBsonRef::Array(paths) if paths.is_empty() => {
                return Err(expected(at, SHAPE, "an empty array"));
            }
            RawBsonRef::Array(paths) => {
                for (index, path) in paths.into_iter().flatten().enumerate() {
                    drop(path, &join_index(at, index))?;
                }
            }
            path => drop(path, at)?,
        }
        Ok(Self {
            mode: Mode::Change,
            fields: reader.fields,
        })
    }

    /// Whether anything is computed, so that documents can grow.
    pub(super) fn computes(&self) -> bool {
        self.fields.computes
    }

    /// The document with its other fields.
    pub(super) fn apply(
        &self,
        document: &RawDocument,
        watch: &dyn Watch,
    ) -> Result<RawDocumentBuf, ExpressionError> {
        let mut scope = Scope::new(document, watch);
        self.object(Some(document), &self.fields, &mut scope, 1)
    }

    fn object<'a>(
        &'a self,
        object: Option<&'a RawDocument>,
        fields: &'a Fields,
        scope: &mut Scope<'a>,
        level: usize,
    ) -> Result<RawDocumentBuf, ExpressionError> {
        enter(level)?;
        let mut made = ObjectBuilder::new("a stage");
        let mut done = vec![false; fields.nodes.len()];
        let bytes = object.map_or(&[][..], RawDocument::as_bytes);
        // Fields that stay are copied in one go up to the next that does not.
        let mut copy = 0..0;
        for field in object.into_iter().flat_map(fields_in_place) {
            let (field, place) = field?;
            let name = field.key();
            let number = fields.number(name.as_str());
            let action = match number {
                Some(number) => &fields.nodes[number].action,
                None if self.mode == Mode::Change => &Action::Keep,
                None => continue,
            };
            if let (Some(number), false) = (number, self.is_late(action)) {
                done[number] = true;
            }
            if let Action::Keep = action {
                if copy.end != place.start {
                    made.append_bytes(bytes.get(copy).unwrap_or_default())?;
                    copy = place.start..place.start;
                }
                copy.end = place.end;
                continue;
            }
            made.append_bytes(bytes.get(copy).unwrap_or_default())?;
            copy = 0..0;
            match action {
                Action::Set(expression) if !self.is_late(action) => {
                    made.append(name, &expression.evaluate(scope)?)?;
                }
                Action::Below(below) => {
                    let value = self.value(Some(field.value()?), below, scope, level)?;
                    made.append(name, &value)?;
                }
                _ => {}
            }
        }
        made.append_bytes(bytes.get(copy).unwrap_or_default())?;
        for (node, _) in fields.nodes.iter().zip(done).filter(|(_, done)| !done) {
            match &node.action {
                Action::Set(expression) => {
                    made.append(&node.name, &expression.evaluate(scope)?)?;
                }
                Action::Below(below) if below.computes => {
                    let value = self.value(None, below, scope, level)?;
                    made.append(&node.name, &value)?;
                }
                _ => {}
            }
        }
        Ok(made.into_document())
    }

    /// Whether a field is made behind the others even if there is an old one.
    fn is_late(&self, action: &Action) -> bool {
        self.mode == Mode::Include && matches!(action, Action::Set(_))
    }

    /// What becomes of a value in which `fields` are named.
    fn value<'a>(
        &'a self,
        value: Option<RawBsonRef<'a>>,
        fields: &'a Fields,
        scope: &mut Scope<'a>,
        level: usize,
    ) -> Result<Value<'a>, ExpressionError> {
        enter(level)?;
        match value {
            Some(RawBsonRef::Document(object)) => {
                let made = self.object(Some(object), fields, scope, level + 1)?;
                Ok(Value::Owned(made.into()))
            }
            Some(RawBsonRef::Array(array)) => {
                let mut made = ArrayBuilder::new("a stage");
                for element in array {
                    let element = self.value(Some(element?), fields, scope, level + 1)?;
                    if let Some(element) = element.get() {
                        made.push(element)?;
                    }
                }
                Ok(made.finish())
            }
            _ if fields.computes => {
                let made = self.object(None, fields, scope, level + 1)?;
                Ok(Value::Owned(made.into()))
            }
            Some(value) if self.mode == Mode::Change => Ok(Value::Ref(value)),
            _ => Ok(Value::Missing),
        }
    }
}

fn enter(level: usize) -> Result<(), ValueError> {
    if level > NESTING_MAX {
        Err(ValueError::TooDeep)
    } else {
        Ok(())
    }
}
