//! Counting documents, and listing the different values under a path: questions from the URL or
//! from a body, answered without pages.

mod describe;

use axum::extract::RawQuery;
use axum::response::Response;
use hyper::{HeaderMap, StatusCode};
use nexusbase_db::Snapshot;
use nexusbase_documents::filter::Filter;
use nexusbase_documents::json::write_value;
use nexusbase_documents::path::Path;
use nexusbase_documents::query::Hint;
use nexusbase_documents::{Collection, PathError};
use serde_json::json;

use crate::auth::{Models, Permit, Read};
use crate::collections::{missing, no_parameters};
use crate::extract::{OneDocument, Segments};
use crate::find::question::{filter_of, hint_of, json, value};
use crate::members::Members;
use crate::negotiate::{Media, Wanted, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, QueryProblems, ReadProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::query::Parameters;
use describe::{CountBody, CountParameters, Counted, Distinct, DistinctBody, DistinctParameters};

/// Which documents are meant, how they are to be found, and the values under which path.
struct Question {
    filter: Filter,
    hint: Option<Hint>,
    path: Option<Path>,
}

/// Count documents
///
/// Exactly. All documents of a collection, and what an index knows by itself, are counted without
/// reading documents.
#[utoipa::path(
    get,
    path = "/collections/{name}/count",
    operation_id = "countDocuments",
    tag = "documents",
    params(CollectionParameter, CountParameters),
    responses((status = 200, description = "How many match.", body = Counted), ReadProblems),
)]
pub(crate) async fn count(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    let ask = move || from_url(&query.unwrap_or_default(), &["filter", "hint"]);
    answer(permit, deadline, name, wanted, ask, counted).await
}

/// Count documents by a filter in the body
#[utoipa::path(
    post,
    path = "/collections/{name}/count",
    operation_id = "countDocumentsByBody",
    tag = "documents",
    params(CollectionParameter),
    request_body(content = CountBody, content_type = "application/json"),
    responses((status = 200, description = "How many match.", body = Counted), QueryProblems),
)]
pub(crate) async fn count_by_body(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let ask = move || from_body(&body.bytes, &["filter", "hint"]);
    let answer = answer(permit, deadline, name, wanted, ask, counted).await;
    answer.map_err(Problem::by_member)
}

/// The different values under a path
///
/// Elements of an array count one by one, and a missing field is no value. All values together
/// take at most 16 MiB.
#[utoipa::path(
    get,
    path = "/collections/{name}/distinct",
    operation_id = "distinctValues",
    tag = "documents",
    params(CollectionParameter, DistinctParameters),
    responses((status = 200, description = "The values.", body = Distinct), ReadProblems),
)]
pub(crate) async fn distinct(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = wanted(&headers, &[Media::Json])?;
    let ask = move || from_url(&query.unwrap_or_default(), &["path", "filter", "hint"]);
    answer(permit, deadline, name, wanted, ask, values).await
}

/// The different values under a path, asked for in a body
#[utoipa::path(
    post,
    path = "/collections/{name}/distinct",
    operation_id = "distinctValuesByBody",
    tag = "documents",
    params(CollectionParameter),
    request_body(content = DistinctBody, content_type = "application/json"),
    responses((status = 200, description = "The values.", body = Distinct), QueryProblems),
)]
pub(crate) async fn distinct_by_body(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json])?;
    let ask = move || from_body(&body.bytes, &["path", "filter", "hint"]);
    let answer = answer(permit, deadline, name, wanted, ask, values).await;
    answer.map_err(Problem::by_member)
}

fn from_url(query: &str, known: &[&str]) -> Result<Question, Problem> {
    let parameters = Parameters::parse(query, known)?;
    let filter = parameters.get("filter");
    let filter = filter.map(|text| json(text, Kind::InvalidFilter, "filter"));
    let filter = filter.transpose()?;
    let hint = value(&parameters, "hint", Kind::InvalidParameter)?;
    Ok(Question {
        filter: filter_of(filter.as_ref().map(|filter| filter.as_raw_bson_ref()))?,
        hint: hint_of(hint.as_ref().map(|hint| hint.as_raw_bson_ref()))?,
        path: path(known, parameters.get("path"))?,
    })
}

fn from_body(body: &[u8], known: &[&str]) -> Result<Question, Problem> {
    let members = Members::parse(body, known)?;
    Ok(Question {
        filter: filter_of(members.get("filter")?)?,
        hint: hint_of(members.get("hint")?)?,
        path: path(known, members.text("path")?)?,
    })
}

/// The path, where one is asked for.
fn path(known: &[&str], text: Option<&str>) -> Result<Option<Path>, Problem> {
    if !known.contains(&"path") {
        return Ok(None);
    }
    let refused = |reason: String| Problem::new(Kind::InvalidParameter, reason).parameter("path");
    let text = text.ok_or_else(|| refused("say the path of the values: \"path\"".to_owned()))?;
    let path = Path::parse(text).map_err(|error: PathError| refused(error.to_string()))?;
    Ok(Some(path))
}

async fn answer(
    permit: Permit<Read>,
    deadline: Deadline,
    name: String,
    wanted: Wanted,
    ask: impl FnOnce() -> Result<Question, Problem> + Send + 'static,
    find: fn(&Collection, &Snapshot, &Question, Wanted) -> Result<String, Problem>,
) -> Result<Response, Problem> {
    let work = move |models: &Models, _: &Progress| {
        let question = ask()?;
        let collection = models.collection(&name)?;
        let snapshot = collection.snapshot();
        if !collection.exists_in(&snapshot)? {
            return Err(missing(&name));
        }
        find(&collection, &snapshot, &question, wanted)
    };
    let body = operation::read(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, wanted, body))
}

fn counted(
    collection: &Collection,
    snapshot: &Snapshot,
    question: &Question,
    _: Wanted,
) -> Result<String, Problem> {
    let count = collection.count_in(snapshot, &question.filter, question.hint.as_ref())?;
    Ok(json!({"count": count}).to_string())
}

fn values(
    collection: &Collection,
    snapshot: &Snapshot,
    question: &Question,
    wanted: Wanted,
) -> Result<String, Problem> {
    let (filter, hint) = (&question.filter, question.hint.as_ref());
    let found = match &question.path {
        Some(path) => collection.distinct_in(snapshot, path, filter, hint)?,
        None => Vec::new(),
    };
    let mut body = "{\"values\":[".to_owned();
    for (number, value) in found.iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        write_value(value.as_raw_bson_ref(), wanted.form, &mut body)?;
    }
    body.push_str("]}");
    Ok(body)
}
