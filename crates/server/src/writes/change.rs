//! From bodies to changes of documents.

use nexusbase_documents::bson::raw::{RawArray, RawDocument, RawDocumentBuf};
use nexusbase_documents::patch::JsonPatch;
use nexusbase_documents::store::{Change, ChangeError};
use nexusbase_documents::{Error, Update, UpdateError};

use super::body::{Members, invalid};
use crate::problem::{Problem, invalid_update, of_error};

/// The ways to say what is to become of a document.
pub(super) const CHANGES: &[&str] = &["update", "replacement", "merge_patch", "json_patch"];

/// Operators such as `$set`.
pub(super) fn operators(update: &RawDocument) -> Result<Change, Problem> {
    let update = Update::parse(update, &[]);
    update
        .map(Change::Operators)
        .map_err(|error| invalid_update(&error.into()))
}

/// A list of changes (RFC 6902).
pub(super) fn json_patch(patch: &RawArray) -> Result<Change, Problem> {
    let patch = JsonPatch::parse(patch);
    patch
        .map(Change::JsonPatch)
        .map_err(|error| invalid_update(&ChangeError::Patch(error)))
}

/// The change that the members of a body say, and the name of the one that says it.
pub(super) fn of_members(members: &Members<'_>) -> Result<(Change, &'static str), Problem> {
    let list = CHANGES.join(", ");
    let name = match members.present(CHANGES).as_slice() {
        [name] => *name,
        [] => {
            let detail =
                format!("it must say what is to become of the documents, by one of: {list}");
            return Err(invalid(members.at(), detail));
        }
        [_, second, ..] => {
            let detail = format!("only one of these can be there: {list}");
            return Err(invalid(&members.place(second), detail));
        }
    };
    if name != "update" && members.get("array_filters").is_some() {
        let detail = "array filters are for the operators of \"update\"";
        return Err(invalid(&members.place("array_filters"), detail));
    }
    let place = members.place(name);
    let change = match name {
        "update" => return update(members).map(|change| (change, name)),
        "json_patch" => members
            .array(name)?
            .map(|patch| json_patch(patch).map_err(|problem| problem.within(&place)))
            .transpose()?,
        "merge_patch" => members
            .document(name)?
            .map(|patch| Change::MergePatch(patch.to_owned())),
        _ => members
            .document(name)?
            .map(|document| Change::Replacement(document.to_owned())),
    };
    let change = change.ok_or_else(|| members.missing(name, "a change"))?;
    Ok((change, name))
}

fn update(members: &Members<'_>) -> Result<Change, Problem> {
    let update = members.document("update")?;
    let update = update.ok_or_else(|| members.missing("update", "an object of operators"))?;
    let filters = members.documents("array_filters")?;
    let filters: Vec<RawDocumentBuf> = filters.into_iter().map(RawDocument::to_owned).collect();
    Update::parse(update, &filters)
        .map(Change::Operators)
        .map_err(|error| {
            let filters = match &error {
                UpdateError::ArrayFilter { number, .. } => Some(format!("/{number}")),
                UpdateError::ArrayFilterUnused { .. } => Some(String::new()),
                _ => None,
            };
            let problem = invalid_update(&error.into());
            match filters {
                Some(at) => problem.with("at", members.place("array_filters") + &at),
                None => problem.within(&members.place("update")),
            }
        })
}

/// The problem of a change that was refused when it was made: the member `name` of the object at
/// `at` in the body.
pub(super) fn refused(error: &Error, at: &str, name: &str) -> Problem {
    let problem = of_error(error);
    match error {
        Error::Change(ChangeError::TooLarge { .. }) => problem,
        // These say which member beside it does not fit.
        Error::Change(
            ChangeError::ReplaceMany | ChangeError::UpsertPatch | ChangeError::ReturnMany,
        ) => problem.within(at),
        Error::Change(_) | Error::Document(_) | Error::Id(_) | Error::IdChanged { .. } => {
            problem.within(&format!("{at}/{name}"))
        }
        _ => problem,
    }
}
