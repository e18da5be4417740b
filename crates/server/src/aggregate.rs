//! Pipelines over the documents of a collection: one answer in JSON, or lines that are sent as
//! they are made.

mod describe;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{HeaderMap, StatusCode, header};
use nexusbase_db::View;
use nexusbase_documents::aggregate::Aggregation;
use nexusbase_documents::json::{Form, write_document};
use nexusbase_documents::{Collection, Error, Pipeline};
use serde_json::json;

use crate::auth::{Models, Permit, Read};
use crate::collections::{missing, no_parameters};
use crate::extract::{OneDocument, Segments};
use crate::find::describe::explain as describe_query;
use crate::members::{Members, pointer};
use crate::negotiate::{Media, text, wanted};
use crate::observe::Deadline;
use crate::openapi::{CollectionParameter, QueryProblems};
use crate::operation::{self, Progress};
use crate::problem::{Kind, Problem};
use crate::stream::{self, Lines};
use describe::{AggregateBody, Aggregated};

/// An answer in JSON has so many bytes at most; lines have no limit.
const ANSWER_BYTES_MAX: usize = 8 << 20;

const PIPELINE: &str = "pipeline";

/// Run a pipeline
///
/// The documents of the collection pass through the stages; what comes out at the end is the
/// answer. All collections that the pipeline reads (`$lookup`) are read in one state, and the key
/// must be for all of them. Nothing is changed.
///
/// With `explain`, the pipeline is not run: the answer says how the documents of its first stages
/// would be found.
///
/// In JSON, the answer has at most 8 MiB. With `Accept: application/x-ndjson` the documents are
/// sent one on each line while they are made, however many there are; if a stage fails when the
/// first of them have been sent, the connection is broken off.
#[utoipa::path(
    post,
    path = "/collections/{name}/aggregate",
    operation_id = "aggregateDocuments",
    tag = "documents",
    params(CollectionParameter),
    request_body(content = AggregateBody, content_type = "application/json"),
    responses(
        (status = 200, description = "What the pipeline has made.",
            content((Aggregated = "application/json"), (String = "application/x-ndjson",
                example = "{\"_id\": \"database\", \"size\": 70000}\n"))),
        QueryProblems,
    ),
)]
pub(crate) async fn aggregate(
    permit: Permit<Read>,
    deadline: Deadline,
    Segments([name]): Segments<1>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    OneDocument(body): OneDocument,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let wanted = wanted(&headers, &[Media::Json, Media::Ndjson])?;
    let form = wanted.form;
    if wanted.media == Media::Ndjson {
        let work = move |models: &Models, progress: &Progress, lines: &mut Lines| {
            let (collection, pipeline, explains) = asked(models, &name, &body.bytes)?;
            if explains {
                let detail = "explain is a JSON answer; ask for Accept: application/json";
                let problem = Problem::new(Kind::InvalidParameter, detail);
                return Err(problem.parameter("explain").by_member());
            }
            let gone = lines.gone();
            let over = || gone() || progress.is_given_up();
            run(&collection, &pipeline, over, |mut made| {
                made.try_for_each(|document| lines.write(&document?))
            })
        };
        let body = stream::lines(permit, deadline, form, work).await?;
        let content_type = wanted.media.header(form);
        return Ok(([(header::CONTENT_TYPE, content_type)], body).into_response());
    }
    let work = move |models: &Models, progress: &Progress| {
        let (collection, pipeline, explains) = asked(models, &name, &body.bytes)?;
        if explains {
            return explained(&collection, &pipeline);
        }
        let over = || progress.is_given_up();
        run(&collection, &pipeline, over, |made| whole(made, form))
    };
    let body = operation::read(permit, deadline, work).await?;
    Ok(text(StatusCode::OK, wanted, body))
}

/// How the first stages of a pipeline would be answered.
fn explained(collection: &Collection, pipeline: &Pipeline) -> Result<String, Problem> {
    let snapshot = collection.snapshot();
    if !collection.exists_in(&snapshot)? {
        return Err(missing(collection.name()));
    }
    let explain = collection.explain_aggregate_in(&snapshot, pipeline)?;
    let explain = describe_query(&explain, 0)?;
    Ok(json!({"explain": explain}).to_string())
}

/// The collection and the pipeline that a request asks for, all of which the caller may read, and
/// whether it asks how only.
fn asked(
    models: &Models,
    name: &str,
    body: &[u8],
) -> Result<(Collection, Pipeline, bool), Problem> {
    let members = Members::parse(body, &[PIPELINE, "explain"])?;
    let stages = members.required(PIPELINE)?;
    let pipeline = Pipeline::from_value(stages)
        .map_err(|error| Problem::from(Error::from(error)).within(&pointer(PIPELINE)))?;
    for other in pipeline.collections() {
        models.check_collection(other)?;
    }
    let explains = members.flag("explain")?;
    Ok((models.collection(name)?, pipeline, explains))
}

/// Runs a pipeline on the newest state of a collection, until it is over.
fn run<T>(
    collection: &Collection,
    pipeline: &Pipeline,
    over: impl Fn() -> bool,
    take: impl FnOnce(Aggregation<'_>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let snapshot = collection.snapshot();
    if !collection.exists_in(&snapshot)? {
        return Err(missing(collection.name()));
    }
    let view: &dyn View = &snapshot;
    take(collection.aggregate_in(view, pipeline)?.cancelled_by(over))
}

/// All that a pipeline makes, in one answer.
fn whole(made: Aggregation<'_>, form: Form) -> Result<String, Problem> {
    let mut body = "{\"documents\":[".to_owned();
    for (number, document) in made.enumerate() {
        if number > 0 {
            body.push(',');
        }
        write_document(&document?, form, &mut body)?;
        if body.len() > ANSWER_BYTES_MAX {
            let detail = format!(
                "the answer has more than {ANSWER_BYTES_MAX} bytes; ask for lines (Accept: \
                 application/x-ndjson), which have no limit, or end the pipeline with a $limit"
            );
            return Err(Problem::new(Kind::AnswerTooLarge, detail).with("limit", ANSWER_BYTES_MAX));
        }
    }
    body.push_str("]}");
    Ok(body)
}
