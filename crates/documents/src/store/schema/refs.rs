//! References of a schema: none may lead out of it, and following them must come to an end.
//!
//! A reference without a step into the value, such as `"$ref"` under `"allOf"`, is followed for one
//! and the same value. If it leads back to where it began, that never ends; if many of them fan out,
//! it takes too long. Both are refused. Below a step into the value, such as `"properties"`,
//! references may go in circles: a value has an end.

use std::collections::HashMap;

use serde_json::Value;

use super::SchemaError;
use crate::pointer;

/// Keywords that refer to another place.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Keywords whose content is a value, not a schema.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];
/// Keywords with one schema for the same value.
const SAME_VALUE: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords with several schemas for the same value.
const SAME_VALUE_EACH: [&str; 5] = [
    "allOf",
    "anyOf",
    "oneOf",
    "dependentSchemas",
    "dependencies",
];
/// How much of a pointer or a reference is told, in bytes.
const TEXT_BYTES_MAX: usize = 200;
/// How many places may be held against one value.
const PLACES_MAX: u64 = 10_000;
/// How many references may follow one another without a step into the value.
const CHAIN_MAX: usize = 200;

/// Checks the references of a schema.
pub(super) fn check(schema: &Value) -> Result<(), SchemaError> {
    let mut anchors = HashMap::new();
    let mut places = Vec::new();
    collect(schema, &mut String::new(), &mut places, &mut anchors)?;
    let mut walk = Walk {
        root: schema,
        anchors,
        costs: HashMap::new(),
    };
    for (at, place) in places {
        walk.cost(place, &at)?;
    }
    Ok(())
}

/// Gathers everything that may be a schema, and the names that places have; refuses references that
/// lead elsewhere. The parser has limited how deep this goes.
fn collect<'s>(
    value: &'s Value,
    at: &mut String,
    places: &mut Vec<(String, &'s Value)>,
    anchors: &mut HashMap<&'s str, &'s Value>,
) -> Result<(), SchemaError> {
    let here = at.len();
    match value {
        Value::Object(fields) => {
            places.push((beginning(at), value));
            for (name, field) in fields {
                pointer::push_name(at, name);
                match field {
                    Value::String(text) if REFERENCES.contains(&name.as_str()) => {
                        if !text.starts_with('#') {
                            return Err(SchemaError::Reference {
                                at: beginning(at),
                                reference: beginning(text),
                            });
                        }
                    }
                    Value::String(text) if name == "$anchor" || name == "$dynamicAnchor" => {
                        anchors.insert(text, value);
                    }
                    Value::String(text)
                        if (name == "$id" || name == "id") && text.starts_with('#') =>
                    {
                        anchors.insert(&text[1..], value);
                    }
                    _ if VALUES.contains(&name.as_str()) => {}
                    _ => collect(field, at, places, anchors)?,
                }
                at.truncate(here);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                pointer::push_index(at, index);
                collect(element, at, places, anchors)?;
                at.truncate(here);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The beginning of a text that may be as long as the schema.
fn beginning(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

struct Walk<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    /// By place: how many places are held against the value of this one; none while it is being
    /// found out.
    costs: HashMap<*const Value, Option<u64>>,
}

impl<'s> Walk<'s> {
    fn cost(&mut self, place: &'s Value, at: &str) -> Result<u64, SchemaError> {
        self.cost_at(place, at, 0)
    }

    fn cost_at(&mut self, place: &'s Value, at: &str, depth: usize) -> Result<u64, SchemaError> {
        let endless = |reason| {
            let at = at.to_owned();
            Err(SchemaError::Endless { at, reason })
        };
        match self.costs.get(&std::ptr::from_ref(place)) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => return endless("to itself without end"),
            None if depth > CHAIN_MAX => return endless("to others in too long a chain"),
            None => {}
        }
        let Value::Object(fields) = place else {
            return Ok(1);
        };
        self.costs.insert(std::ptr::from_ref(place), None);
        let mut cost: u64 = 1;
        for (name, field) in fields {
            let name = name.as_str();
            let more = match field {
                Value::String(text) if REFERENCES.contains(&name) => match self.target(text) {
                    Some(target) => self.cost_at(target, at, depth + 1)?,
                    None => 0,
                },
                _ if SAME_VALUE.contains(&name) => self.cost_at(field, at, depth + 1)?,
                Value::Array(each) if SAME_VALUE_EACH.contains(&name) => {
                    self.cost_of_all(each.iter(), at, depth)?
                }
                Value::Object(each) if SAME_VALUE_EACH.contains(&name) => {
                    self.cost_of_all(each.values(), at, depth)?
                }
                _ => 0,
            };
            cost = cost.saturating_add(more);
        }
        if cost > PLACES_MAX {
            return endless("to so many others that no value could be held against all of them");
        }
        self.costs.insert(std::ptr::from_ref(place), Some(cost));
        Ok(cost)
    }

    fn cost_of_all(
        &mut self,
        places: impl Iterator<Item = &'s Value>,
        at: &str,
        depth: usize,
    ) -> Result<u64, SchemaError> {
        let mut cost: u64 = 0;
        for place in places {
            cost = cost.saturating_add(self.cost_at(place, at, depth + 1)?);
        }
        Ok(cost)
    }

    /// What a reference leads to. What it does not find is refused by who compiles the schema.
    fn target(&self, reference: &str) -> Option<&'s Value> {
        let fragment = reference.strip_prefix('#')?;
        if fragment.is_empty() {
            return Some(self.root);
        }
        if !fragment.starts_with('/') {
            return self.anchors.get(fragment).copied();
        }
        let pointer = percent_decoded(fragment)?;
        self.root.pointer(&pointer)
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
