//! Changing and deleting what a filter finds.

use axum::extract::RawQuery;
use hyper::{HeaderMap, StatusCode};
use nexusbase_documents::bson::raw::RawDocument;
use nexusbase_documents::json::{Form, write_document, write_value};
use nexusbase_documents::sort::Sort;
use nexusbase_documents::store::{Change, Returning, Selection, UpdateOptions, Updated};

use super::body::{Members, body_document, invalid};
use super::change::{of_members, refused};
use super::{Answer, Content, Once};
use crate::auth::{Models, Permit, Write};
use crate::collections::{missing, no_parameters};
use crate::extract::{OneDocument, Segments};
use crate::negotiate::{Media, wanted};
use crate::observe::Deadline;
use crate::openapi::{
    CollectionParameter, DeleteAnswer, DeleteRequest, OnceParameter, UpdateAnswer, UpdateRequest,
    WriteProblems,
};
use crate::operation::{self, Progress};
use crate::problem::Problem;

const RETURN: &[(&str, Returning)] = &[
    ("none", Returning::Nothing),
    ("before", Returning::Before),
    ("after", Returning::After),
];
const OF_UPDATE: &[&str] = &[
    "filter",
    "update",
    "replacement",
    "merge_patch",
    "json_patch",
    "array_filters",
    "many",
    "upsert",
    "sort",
    "return",
];
const OF_DELETE: &[&str] = &["filter", "many", "sort", "return"];

/// What is to become of which documents.
pub(super) struct Update {
    pub(super) selection: Selection,
    pub(super) change: Change,
    pub(super) options: UpdateOptions,
    /// Which member of the body says the change.
    pub(super) by: &'static str,
}

impl Update {
    pub(super) fn of(members: &Members<'_>) -> Result<Self, Problem> {
        let selection = members.selection()?;
        let (change, by) = of_members(members)?;
        let many = members.flag("many")?;
        let returning = members.word("return", RETURN)?.unwrap_or_default();
        if many && by == "replacement" {
            let detail = "a replacement is for one document; to change several, use operators or \
                          a patch";
            return Err(invalid(&members.place("many"), detail));
        }
        one_only(members, many, returning)?;
        let upsert = members.flag("upsert")?;
        if upsert && by == "json_patch" {
            let detail = "a JSON Patch changes a document that exists; to insert one where none \
                          does, use operators, a merge patch or a replacement";
            return Err(invalid(&members.place("upsert"), detail));
        }
        let options = UpdateOptions {
            many,
            upsert,
            returning,
            sort: members.sort()?,
        };
        Ok(Self {
            selection,
            change,
            options,
            by,
        })
    }
}

/// Refuses what makes sense for one document only.
fn one_only(members: &Members<'_>, many: bool, returning: Returning) -> Result<(), Problem> {
    if many && returning != Returning::Nothing {
        let detail = "of several documents none is returned; leave out \"return\", or \"many\"";
        return Err(invalid(&members.place("return"), detail));
    }
    if many && members.get("sort").is_some() {
        let detail = "\"sort\" says which document is the one, and \"many\" means all of them";
        return Err(invalid(&members.place("sort"), detail));
    }
    Ok(())
}

/// Change documents
///
/// The one that the filter finds (the first by `sort`), or with `many` all of them; in one
/// transaction, so all or nothing. With `upsert`, a document is inserted where none is found. The
/// filter is the condition of the change: what it says holds when the change is made.
#[utoipa::path(
    post,
    path = "/collections/{name}/update",
    operation_id = "updateDocuments",
    tag = "documents",
    params(CollectionParameter, OnceParameter),
    request_body(content = UpdateRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "What was done.", body = UpdateAnswer),
        WriteProblems,
    ),
)]
pub(crate) async fn update(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    once: Once,
    OneDocument(body): OneDocument,
) -> Result<Answer, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let document = body_document(&body.bytes)?;
        let members = Members::of(&document, "", OF_UPDATE)?;
        let update = Update::of(&members)?;
        let Update {
            selection, change, ..
        } = &update;
        let shows = update.options.returning != Returning::Nothing;
        once.run(models, Content::of(&body), |tx| {
            if !update.options.upsert && !collection.exists_in(tx)? {
                return Err(missing(&name));
            }
            let done = collection
                .within(tx)
                .update(selection, change, &update.options);
            let done = done.map_err(|error| refused(&error, "", update.by))?;
            let mut body = format!("{{{}", updated(&done, wanted.form)?);
            if shows {
                shown(done.document.as_deref(), wanted.form, &mut body)?;
            }
            body.push('}');
            Ok(Answer::text(StatusCode::OK, wanted, body))
        })
    };
    operation::write(permit, deadline, work).await
}

/// What a change has done, as members of an object.
pub(super) fn updated(done: &Updated, form: Form) -> Result<String, Problem> {
    let (matched, modified) = (done.matched, done.modified);
    let mut text = format!("\"matched\":{matched},\"modified\":{modified},\"upserted_id\":");
    match &done.upserted {
        Some(id) => write_value(id.as_raw_bson_ref(), form, &mut text)?,
        None => text.push_str("null"),
    }
    Ok(text)
}

fn shown(document: Option<&RawDocument>, form: Form, body: &mut String) -> Result<(), Problem> {
    body.push_str(",\"document\":");
    match document {
        Some(document) => write_document(document, form, body)?,
        None => body.push_str("null"),
    }
    Ok(())
}

/// What is to be deleted.
struct Delete {
    selection: Selection,
    many: bool,
    sort: Option<Sort>,
    shows: bool,
}

impl Delete {
    fn of(members: &Members<'_>) -> Result<Self, Problem> {
        let many = members.flag("many")?;
        // There is nothing afterwards.
        let returning = members.word("return", &RETURN[..2])?.unwrap_or_default();
        one_only(members, many, returning)?;
        Ok(Self {
            selection: members.selection()?,
            many,
            sort: members.sort()?,
            shows: returning == Returning::Before,
        })
    }
}

/// Delete documents
///
/// The one that the filter finds (the first by `sort`), or with `many` all of them; in one
/// transaction, so all or nothing.
#[utoipa::path(
    post,
    path = "/collections/{name}/delete",
    operation_id = "deleteDocuments",
    tag = "documents",
    params(CollectionParameter, OnceParameter),
    request_body(content = DeleteRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "What was done.", body = DeleteAnswer),
        WriteProblems,
    ),
)]
pub(crate) async fn delete(
    permit: Permit<Write>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    once: Once,
    OneDocument(body): OneDocument,
) -> Result<Answer, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let collection = models.collection(&name)?;
        let document = body_document(&body.bytes)?;
        let asked = Delete::of(&Members::of(&document, "", OF_DELETE)?)?;
        once.run(models, Content::of(&body), |tx| {
            if !collection.exists_in(tx)? {
                return Err(missing(&name));
            }
            let mut within = collection.within(tx);
            let (deleted, document) = if asked.many {
                (within.delete_many(&asked.selection)?, None)
            } else {
                let document = within.delete_one(&asked.selection, asked.sort.as_ref())?;
                (u64::from(document.is_some()), document)
            };
            let mut body = format!("{{\"deleted\":{deleted}");
            if asked.shows {
                shown(document.as_deref(), wanted.form, &mut body)?;
            }
            body.push('}');
            Ok(Answer::text(StatusCode::OK, wanted, body))
        })
    };
    operation::write(permit, deadline, work).await
}
