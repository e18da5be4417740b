//! From what can be wrong with changes and schemas to problems.
//!
//! An update or patch that says nothing sensible is refused with 400 and the place in it. One that
//! is sound but does not fit the document that it meets is refused with 422, and a patch whose test
//! fails with 409, because that says that the document is another than the caller believes.

use nexusbase_documents::store::{ChangeError, SchemaError, Violation};
use nexusbase_documents::{PatchError, UpdateError};
use serde_json::json;

use super::from::{of_document, of_value};
use super::{Kind, Problem};

/// A change that was refused when it met a document.
pub(super) fn of_change(error: &ChangeError) -> Problem {
    let text = error.to_string();
    match error {
        ChangeError::Update(UpdateError::Value(e)) | ChangeError::Patch(PatchError::Value(e)) => {
            of_value(e)
        }
        ChangeError::Update(error) => {
            let problem = Problem::new(Kind::UpdateRefused, text);
            match path_of(error) {
                Some(path) => problem.with("path", path),
                None => problem,
            }
        }
        ChangeError::Patch(error) => {
            let kind = match error {
                PatchError::TestFailed { .. } => Kind::PatchTestFailed,
                _ => Kind::UpdateRefused,
            };
            at_operation(Problem::new(kind, text), error)
        }
        ChangeError::ReplaceMany => Problem::new(Kind::InvalidBody, text).with("at", "/many"),
        ChangeError::UpsertPatch => Problem::new(Kind::InvalidBody, text).with("at", "/upsert"),
        ChangeError::ReturnMany => Problem::new(Kind::InvalidBody, text).with("at", "/return"),
        ChangeError::TooLarge { limit } => {
            Problem::new(Kind::TransactionTooLarge, text).with("limit", *limit)
        }
    }
}

/// A schema that cannot be used.
pub(super) fn of_schema(error: &SchemaError) -> Problem {
    let text = error.to_string();
    match error {
        SchemaError::Existing { ids, .. } => {
            Problem::new(Kind::SchemaConflict, text).with("ids", ids.as_slice())
        }
        SchemaError::Reference { at, .. }
        | SchemaError::Endless { at, .. }
        | SchemaError::Invalid { at, .. } => {
            Problem::new(Kind::InvalidSchema, text).with("at", at.as_str())
        }
        SchemaError::TooLarge { .. } | SchemaError::Syntax { .. } => {
            Problem::new(Kind::InvalidSchema, text).with("at", "")
        }
    }
}

/// A document that does not satisfy the schema of its collection.
pub(super) fn violated(violations: &[Violation], text: String) -> Problem {
    let violations: Vec<_> = violations
        .iter()
        .map(|one| json!({"at": one.at, "schema": one.schema, "message": one.message}))
        .collect();
    Problem::new(Kind::SchemaViolation, text).with("violations", violations)
}

/// An update or a patch that makes no sense, whatever it is applied to.
pub(crate) fn invalid_update(error: &ChangeError) -> Problem {
    let problem = Problem::new(Kind::InvalidUpdate, error.to_string());
    match error {
        ChangeError::Update(UpdateError::Document(e))
        | ChangeError::Patch(PatchError::Document(e)) => of_document(e),
        ChangeError::Update(error) => problem.with("at", place_of(error)),
        ChangeError::Patch(error) => at_operation(problem, error),
        _ => problem,
    }
}

/// Where in an update the fault is, as a JSON pointer.
fn place_of(error: &UpdateError) -> String {
    match error {
        UpdateError::Replacement { name } => step(name),
        UpdateError::UnknownOperator { operator, .. } => step(operator),
        UpdateError::NotAnObject { operator, .. } | UpdateError::Path { operator, .. } => {
            step(operator)
        }
        UpdateError::Operand { operator, path, .. } => step(operator) + &step(path),
        _ => String::new(),
    }
}

/// The place in a document that an update could not change.
fn path_of(error: &UpdateError) -> Option<&str> {
    match error {
        UpdateError::Blocked { path, .. }
        | UpdateError::Target { path, .. }
        | UpdateError::NoPosition { path }
        | UpdateError::RenameInArray { path }
        | UpdateError::Arithmetic { path, .. }
        | UpdateError::Ambiguous { path }
        | UpdateError::Conflict { path, .. }
        | UpdateError::NotAnArray { at: path, .. }
        | UpdateError::Padding { at: path, .. } => Some(path),
        _ => None,
    }
}

fn at_operation(problem: Problem, error: &PatchError) -> Problem {
    let index = match error {
        PatchError::NotAnObject { index, .. }
        | PatchError::UnknownOperation { index, .. }
        | PatchError::Member { index, .. }
        | PatchError::Pointer { index, .. }
        | PatchError::Missing { index, .. }
        | PatchError::IntoItself { index, .. }
        | PatchError::Root { index, .. }
        | PatchError::TestFailed { index, .. } => *index,
        _ => return problem,
    };
    let problem = problem.with("index", index).with("at", format!("/{index}"));
    match error {
        PatchError::Missing { pointer, .. } | PatchError::TestFailed { pointer, .. } => {
            problem.with("path", pointer.as_str())
        }
        _ => problem,
    }
}

/// A step of a JSON pointer.
fn step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
