//! From documents to an update.

use std::collections::{BTreeMap, BTreeSet};

use bson::raw::{CString, RawBsonRef, RawDocument, RawDocumentBuf};

use super::error::UpdateError;
use super::operation::{OPERATORS, Operand, Operation};
use super::path::UpdatePath;
use super::plan::{Leaf, Plan, Rename};
use super::{ArrayFilter, Update};
use crate::ValueError;
use crate::document::check_structure;
use crate::filter::{Filter, LOGICAL_OPERATORS};
use crate::value::type_name;

impl Update {
    /// Reads an update and the filters that its paths name as `$[name]`.
    ///
    /// # Errors
    /// One that says what is not supported or not understood, and where: a replacement or a
    /// mixture of fields and operators, unknown operators, operands of the wrong type, paths that
    /// name nothing or one place twice, array filters that are not declared or not used.
    pub fn parse(
        update: &RawDocument,
        array_filters: &[RawDocumentBuf],
    ) -> Result<Self, UpdateError> {
        check_structure(update)?;
        let mut parsed = Self {
            plan: Plan::Fields(BTreeMap::new()),
            filters: read_array_filters(array_filters)?,
            renames: Vec::new(),
            uses_found: false,
        };
        let mut used = BTreeSet::new();
        let mut empty = true;
        for field in update {
            let (name, operand) = field.map_err(ValueError::from)?;
            empty = false;
            let name = name.as_str();
            if !name.starts_with('$') {
                let name = name.to_owned();
                return Err(UpdateError::Replacement { name });
            }
            let Some(operator) = OPERATORS.iter().find(|operator| **operator == name) else {
                return Err(UpdateError::UnknownOperator {
                    operator: name.to_owned(),
                    supported: OPERATORS,
                });
            };
            let RawBsonRef::Document(places) = operand else {
                let found = type_name(operand);
                return Err(UpdateError::NotAnObject { operator, found });
            };
            for place in places {
                let (path, value) = place.map_err(ValueError::from)?;
                let operand = Operand {
                    operator,
                    path: path.as_str(),
                    value,
                };
                parsed.add(operand, &mut used)?;
            }
        }
        if empty {
            return Err(UpdateError::Empty);
        }
        match parsed.filters.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(UpdateError::ArrayFilterUnused { name: name.clone() }),
            None => Ok(parsed),
        }
    }

    /// Adds one operation on one path.
    fn add(
        &mut self,
        operand: Operand<'_>,
        used: &mut BTreeSet<String>,
    ) -> Result<(), UpdateError> {
        let operator = operand.operator;
        let path = UpdatePath::parse(operator, operand.path)?;
        for name in path.identifiers() {
            if !self.filters.contains_key(name) {
                let (name, path) = (name.to_owned(), path.text.clone());
                return Err(UpdateError::ArrayFilterMissing { name, path });
            }
            used.insert(name.to_owned());
        }
        self.uses_found |= path.uses_found();
        if operator == "$rename" {
            return self.add_rename(&operand, &path);
        }
        let operation = operand.operation()?;
        self.plan.insert(&path, leaf(operator, &path, operation))
    }

    fn add_rename(&mut self, operand: &Operand<'_>, from: &UpdatePath) -> Result<(), UpdateError> {
        let RawBsonRef::String(text) = operand.value else {
            return Err(operand.refuse("the new path as a string", type_name(operand.value)));
        };
        let positional = |path: &UpdatePath| UpdateError::Positional {
            path: path.text.clone(),
            reason: "selects array elements, which $rename cannot",
        };
        let to = UpdatePath::parse("$rename", text)?;
        let names = from.names().ok_or_else(|| positional(from))?;
        to.names().ok_or_else(|| positional(&to))?;
        if from.is_id() || to.is_id() {
            return Err(UpdateError::Id);
        }
        self.plan.insert(from, Plan::Leaves)?;
        let operation = Operation::Rename(self.renames.len());
        self.plan.insert(&to, leaf("$rename", &to, operation))?;
        self.renames.push(Rename {
            from: names,
            path: from.text.clone(),
        });
        Ok(())
    }
}

fn leaf(operator: &'static str, path: &UpdatePath, operation: Operation) -> Plan {
    Plan::Leaf(Leaf {
        operator,
        path: path.text.clone(),
        operation,
    })
}

fn read_array_filters(
    documents: &[RawDocumentBuf],
) -> Result<BTreeMap<String, ArrayFilter>, UpdateError> {
    let mut filters = BTreeMap::new();
    for (number, document) in documents.iter().enumerate() {
        let refused = |reason| UpdateError::ArrayFilter { number, reason };
        check_structure(document)?;
        let mut names = BTreeSet::new();
        collect_names(document, &mut names)?;
        let name = match names.pop_first() {
            Some(name) if names.is_empty() => name,
            Some(_) => return Err(refused("is about more than one name: split it")),
            None => {
                // An unknown operator is the better explanation where there is one.
                Filter::parse(document).map_err(|source| UpdateError::Condition {
                    path: format!("array filter {number}"),
                    source,
                })?;
                return Err(refused("has no condition on a name"));
            }
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name {
            return Err(refused(
                "is not about a name of letters and digits that begins with a small letter",
            ));
        }
        let filter = Filter::parse(document).map_err(|source| UpdateError::Condition {
            path: name.clone(),
            source,
        })?;
        let wrapped = CString::try_from(name.as_str())
            .map_err(|error| ValueError::Damaged(Box::new(error)))?;
        let filter = ArrayFilter { wrapped, filter };
        if filters.insert(name, filter).is_some() {
            return Err(refused("is the second about its name: join them by $and"));
        }
    }
    Ok(filters)
}

/// The first parts of all paths in a filter, whose nesting is limited.
fn collect_names(document: &RawDocument, names: &mut BTreeSet<String>) -> Result<(), ValueError> {
    for field in document {
        let (name, value) = field?;
        let name = name.as_str();
        match value {
            RawBsonRef::Array(parts) if LOGICAL_OPERATORS.contains(&name) => {
                for part in parts {
                    if let RawBsonRef::Document(part) = part? {
                        collect_names(part, names)?;
                    }
                }
            }
            _ if name.starts_with('$') => {}
            _ => {
                names.insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
    }
    Ok(())
}
