//! Operations of a transaction: from JSON to the document model, and what came of each as JSON.
//!
//! Reading a list of operations refuses all that is unknown or contradictory, with its place, and
//! all that the caller may not do, before any of them is run. Answers are bounded: a `find` ends at
//! its limit or at 8 MiB, and all answers of one request at 32 MiB.

use std::fmt::Write as _;

use nexusbase_documents::bson::raw::{RawBson, RawBsonRef, RawDocument, RawDocumentBuf};
use nexusbase_documents::filter::Filter;
use nexusbase_documents::id::text::format;
use nexusbase_documents::json::{Form, parse_document, write_document, write_value};
use nexusbase_documents::patch::JsonPatch;
use nexusbase_documents::path::field;
use nexusbase_documents::projection::Projection;
use nexusbase_documents::sort::Sort;
use nexusbase_documents::store::{
    Change, ChangeError, Collection, CollectionTx, OPERATIONS_MAX, Returning, Revision, Selection,
    UpdateOptions, Updated, revision,
};
use nexusbase_documents::{Error, Query, Update};

use super::members::{Members, invalid, placed};
use crate::auth::Models;
use crate::problem::{Kind, Problem, json_error};

/// A `find` ends when its text has reached this many bytes.
const FIND_BYTES: usize = 8 << 20;
/// All answers of one request together have at most this many bytes, and one document more.
const ANSWER_BYTES: usize = 32 << 20;

/// What an operation can be.
const ACTIONS: &[&str] = &[
    "insert", "replace", "update", "delete", "get", "find", "count",
];

/// One operation, which its caller may do.
pub(super) struct Operation {
    pub(super) collection: Collection,
    condition: Option<Condition>,
    action: Action,
}

/// What must hold of a document.
struct Condition {
    id: RawBson,
    state: State,
}

enum State {
    Exists,
    Absent,
    Is(Revision),
}

enum Action {
    Insert(RawDocumentBuf),
    Change {
        target: Target,
        change: Box<Change>,
        options: UpdateOptions,
    },
    Delete {
        target: Target,
        many: bool,
    },
    Get(RawBson),
    Find(Box<Query>),
    Count(Filter),
}

/// Which documents.
enum Target {
    Id(RawBson),
    Matching(Selection),
}

/// What came of operations: objects of JSON with commas between them.
pub(super) struct Answer {
    text: String,
    form: Form,
}

impl Answer {
    pub(super) const fn new(form: Form) -> Self {
        let text = String::new();
        Self { text, form }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// The whole answer of a request.
    pub(super) fn finish(self) -> String {
        format!("{{\"results\":[{}]}}", self.text)
    }

    /// Refuses what would be too much.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if self.text.len() <= ANSWER_BYTES {
            return Ok(());
        }
        let detail = format!(
            "the answers of these operations have more than {ANSWER_BYTES} bytes; nothing of the \
             transaction was done. Read less at a time"
        );
        Err(Problem::new(Kind::TransactionTooLarge, detail).with("limit", ANSWER_BYTES))
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.text.write_fmt(text);
    }

    fn value(&mut self, value: RawBsonRef<'_>) -> Result<(), Error> {
        Ok(write_value(value, self.form, &mut self.text)?)
    }

    fn document(&mut self, document: &RawDocument) -> Result<(), Error> {
        Ok(write_document(document, self.form, &mut self.text)?)
    }
}

/// Reads the body of a request: a list of operations, all of which the caller may do.
pub(super) fn read(models: &Models, body: &[u8]) -> Result<Vec<Operation>, Problem> {
    let body = parse_document(body).map_err(|error| json_error(&error))?;
    let members = Members::of(&body, "", &["operations"])?;
    let Some(RawBsonRef::Array(list)) = members.get("operations") else {
        return Err(invalid("the body has operations: an array", "/operations"));
    };
    let mut operations = Vec::new();
    for element in list {
        let at = format!("/operations/{}", operations.len());
        if operations.len() == OPERATIONS_MAX {
            let detail = format!("a request has at most {OPERATIONS_MAX} operations");
            let problem = Problem::new(Kind::BodyTooLarge, detail);
            return Err(problem.with("limit", OPERATIONS_MAX).within(&at));
        }
        let index = operations.len();
        let operation = match element {
            Ok(RawBsonRef::Document(operation)) => Operation::read(models, operation, &at),
            _ => Err(invalid("an operation is an object", &at)),
        };
        operations.push(operation.map_err(|problem| problem.with("index", index))?);
    }
    if operations.is_empty() {
        return Err(invalid("there is no operation", "/operations"));
    }
    Ok(operations)
}

/// The problem of one operation; what is nobody's fault is left as it is.
pub(super) fn of_one(problem: Problem, index: usize) -> Problem {
    if problem.kind().status().is_server_error() || problem.kind() == Kind::Conflict {
        return retryable(problem);
    }
    problem
        .with("index", index)
        .within(&format!("/operations/{index}"))
}

/// Says of a conflict that the same may work when it is tried again.
pub(super) fn retryable(problem: Problem) -> Problem {
    if problem.kind() == Kind::Conflict {
        problem.with("retryable", true)
    } else {
        problem
    }
}

impl Operation {
    fn read(models: &Models, operation: &RawDocument, at: &str) -> Result<Self, Problem> {
        let known = [&["collection", "if"], ACTIONS].concat();
        let members = Members::of(operation, at, &known)?;
        let name = members.text("collection")?.ok_or_else(|| {
            invalid(
                "an operation has collection: a name",
                &format!("{at}/collection"),
            )
        })?;
        let collection = models.collection(name);
        let collection =
            collection.map_err(|problem| placed(problem, &format!("{at}/collection")))?;
        let mut actions = ACTIONS.iter().filter(|name| members.get(name).is_some());
        let (Some(action), None) = (actions.next(), actions.next()) else {
            let detail = format!("an operation has exactly one of: {}", ACTIONS.join(", "));
            return Err(invalid(&detail, at));
        };
        let operand = members
            .document(action)?
            .ok_or_else(|| invalid(&format!("{action} is an object"), &format!("{at}/{action}")))?;
        let action = Action::read(models, action, operand, &format!("{at}/{action}"))?;
        if action.is_write() {
            models.check_may_write()?;
        }
        let condition = members.document("if")?;
        let condition = condition
            .map(|condition| Condition::read(condition, action.id()?, &format!("{at}/if")));
        Ok(Self {
            collection,
            condition: condition.transpose()?,
            action,
        })
    }

    /// Does it, and writes down what came of it.
    pub(super) fn run(
        &self,
        collection: &mut CollectionTx<'_>,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        if let Some(condition) = &self.condition {
            condition.check(self.collection.name(), collection)?;
        }
        if !answer.text.is_empty() {
            answer.text.push(',');
        }
        match &self.action {
            Action::Insert(document) => {
                let id = collection.insert(document)?;
                answer.put(format_args!("{{\"status\":201,\"_id\":"));
                answer.value(id.as_raw_bson_ref())?;
                answer.text.push('}');
                Ok(())
            }
            Action::Change {
                target,
                change,
                options,
            } => changed(&target.change(collection, change, options)?, answer),
            Action::Delete { target, many } => {
                let deleted = target.delete(collection, *many)?;
                answer.put(format_args!("{{\"status\":200,\"deleted\":{deleted}}}"));
                Ok(())
            }
            Action::Get(id) => got(collection.get(id.as_raw_bson_ref())?.as_deref(), answer),
            Action::Find(query) => found(collection, query, answer),
            Action::Count(filter) => {
                let count = collection.count(filter)?;
                answer.put(format_args!("{{\"status\":200,\"count\":{count}}}"));
                Ok(())
            }
        }
    }
}

impl Condition {
    fn read(condition: &RawDocument, named: Option<RawBson>, at: &str) -> Result<Self, Problem> {
        let members = Members::of(condition, at, &["_id", "exists", "absent", "etag"])?;
        let id = members.get("_id").map(RawBson::from).or(named);
        let id = id.ok_or_else(|| {
            let detail = "the condition has _id: which document it is about";
            invalid(detail, &format!("{at}/_id"))
        })?;
        let mut states = Vec::new();
        for (name, state) in [("exists", State::Exists), ("absent", State::Absent)] {
            if members.get(name).is_some() {
                if !members.flag(name)? {
                    return Err(invalid(&format!("{name} is true"), &format!("{at}/{name}")));
                }
                states.push(state);
            }
        }
        if let Some(etag) = members.text("etag")? {
            let tag = etag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let tag = Revision::parse(tag.unwrap_or(etag)).ok_or_else(|| {
                let detail = "etag is the tag of a document, 32 hexadecimal digits";
                invalid(detail, &format!("{at}/etag"))
            })?;
            states.push(State::Is(tag));
        }
        match (states.pop(), states.pop()) {
            (Some(state), None) => Ok(Self { id, state }),
            _ => Err(invalid(
                "a condition has exactly one of: exists, absent, etag",
                at,
            )),
        }
    }

    fn check(&self, name: &str, collection: &CollectionTx<'_>) -> Result<(), Error> {
        let id = self.id.as_raw_bson_ref();
        let current = collection.get(id)?.as_deref().map(revision);
        let holds = match self.state {
            State::Exists => current.is_some(),
            State::Absent => current.is_none(),
            State::Is(wanted) => current == Some(wanted),
        };
        if holds {
            return Ok(());
        }
        Err(Error::Precondition {
            collection: name.to_owned(),
            id: format(id)?,
            current,
        })
    }
}

impl Action {
    fn read(models: &Models, name: &str, operand: &RawDocument, at: &str) -> Result<Self, Problem> {
        match name {
            "insert" => Ok(Self::Insert(operand.to_owned())),
            "replace" => replacement(operand, at),
            "update" => update(operand, at),
            "delete" => {
                let members = Members::of(operand, at, &["_id", "filter", "many"])?;
                let many = members.flag("many")?;
                let target = Target::read(&members, many)?;
                Ok(Self::Delete { target, many })
            }
            "get" => {
                let id = Members::of(operand, at, &["_id"])?.get("_id");
                let id = id.ok_or_else(|| invalid("get has _id", &format!("{at}/_id")))?;
                Ok(Self::Get(id.into()))
            }
            "find" => query(models, operand, at),
            _ => {
                let members = Members::of(operand, at, &["filter"])?;
                Ok(Self::Count(members.filter()?))
            }
        }
    }

    const fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Insert(_) | Self::Change { .. } | Self::Delete { .. }
        )
    }

    /// The `_id` that it names, if it does.
    fn id(&self) -> Result<Option<RawBson>, Problem> {
        Ok(match self {
            Self::Insert(document) => field(document, "_id")?.map(RawBson::from),
            Self::Get(id) => Some(id.clone()),
            Self::Change { target, .. } | Self::Delete { target, .. } => match target {
                Target::Id(id) => Some(id.clone()),
                Target::Matching(_) => None,
            },
            Self::Find(_) | Self::Count(_) => None,
        })
    }
}

/// `{"document", "_id" or "filter", "upsert"}`
fn replacement(operand: &RawDocument, at: &str) -> Result<Action, Problem> {
    let members = Members::of(
        operand,
        at,
        &["_id", "filter", "document", "upsert", "return"],
    )?;
    let place = format!("{at}/document");
    let document = members.document("document")?;
    let document = document.ok_or_else(|| invalid("replace has document: an object", &place))?;
    let named = field(document, "_id").map_err(|error| placed(error.into(), &place))?;
    let target = match (members.get("_id"), members.get("filter"), named) {
        (None, None, Some(id)) => Target::Id(id.into()),
        _ => Target::read(&members, false)?,
    };
    Ok(Action::Change {
        target,
        change: Box::new(Change::Replacement(document.to_owned())),
        options: options(&members)?,
    })
}

/// `{"_id" or "filter", a change, "many", "upsert", "array_filters", "return"}`
fn update(operand: &RawDocument, at: &str) -> Result<Action, Problem> {
    const KNOWN: &[&str] = &[
        "_id",
        "filter",
        "update",
        "merge_patch",
        "json_patch",
        "array_filters",
        "many",
        "upsert",
        "return",
    ];
    let members = Members::of(operand, at, KNOWN)?;
    let refused =
        |error: ChangeError, name: &str| placed(Error::from(error).into(), &format!("{at}/{name}"));
    let filters = members.documents("array_filters")?;
    let mut changes = Vec::new();
    if let Some(operators) = members.document("update")? {
        let update = Update::parse(operators, &filters);
        let update = update.map_err(|error| refused(error.into(), "update"))?;
        changes.push(Change::Operators(update));
    } else if !filters.is_empty() {
        let detail = "array_filters belong to update";
        return Err(invalid(detail, &format!("{at}/array_filters")));
    }
    if let Some(patch) = members.document("merge_patch")? {
        changes.push(Change::MergePatch(patch.to_owned()));
    }
    if let Some(patch) = members.get("json_patch") {
        let RawBsonRef::Array(patch) = patch else {
            return Err(invalid(
                "json_patch is an array",
                &format!("{at}/json_patch"),
            ));
        };
        let patch = JsonPatch::parse(patch);
        let patch = patch.map_err(|error| refused(error.into(), "json_patch"))?;
        changes.push(Change::JsonPatch(patch));
    }
    let (Some(change), None) = (changes.pop(), changes.pop()) else {
        let detail = "update has exactly one of: update, merge_patch, json_patch";
        return Err(invalid(detail, at));
    };
    let options = options(&members)?;
    Ok(Action::Change {
        target: Target::read(&members, options.many)?,
        change: Box::new(change),
        options,
    })
}

fn options(members: &Members<'_>) -> Result<UpdateOptions, Problem> {
    let returning = match members.text("return")? {
        None | Some("none") => Returning::Nothing,
        Some("before") => Returning::Before,
        Some("after") => Returning::After,
        Some(_) => {
            let at = format!("{}/return", members.at());
            return Err(invalid("return is one of: none, before, after", &at));
        }
    };
    Ok(UpdateOptions {
        many: members.flag("many")?,
        upsert: members.flag("upsert")?,
        returning,
        sort: None,
    })
}

/// `{"filter", "sort", "projection", "limit", "skip"}`
fn query(models: &Models, operand: &RawDocument, at: &str) -> Result<Action, Problem> {
    let known = ["filter", "sort", "projection", "limit", "skip"];
    let members = Members::of(operand, at, &known)?;
    let refused = |error: Error, name: &str| placed(error.into(), &format!("{at}/{name}"));
    let sort = members.get("sort").map(|sort| match sort {
        RawBsonRef::String(text) => Sort::parse(text),
        sort => Sort::from_value(sort),
    });
    let projection = members.get("projection").map(|fields| match fields {
        RawBsonRef::String(text) => Projection::parse(text),
        fields => Projection::from_value(fields),
    });
    let limits = models.limits();
    let limit = members.number("limit", 1)?.unwrap_or(limits.page_default);
    Ok(Action::Find(Box::new(Query {
        filter: members.filter()?,
        sort: sort
            .transpose()
            .map_err(|error| refused(error.into(), "sort"))?,
        // One more than asked for tells whether something follows.
        limit: Some(limit.min(limits.page_max).saturating_add(1)),
        skip: members.number("skip", 0)?.unwrap_or(0),
        projection: projection
            .transpose()
            .map_err(|error| refused(error.into(), "projection"))?,
        ..Query::default()
    })))
}

impl Target {
    fn read(members: &Members<'_>, many: bool) -> Result<Self, Problem> {
        match (members.get("_id"), members.document("filter")?) {
            (Some(id), None) if !many => Ok(Self::Id(id.into())),
            (None, Some(filter)) => {
                let selection = Selection::new(filter);
                let at = format!("{}/filter", members.at());
                let selection = selection.map_err(|error| placed(Error::from(error).into(), &at));
                selection.map(Self::Matching)
            }
            _ => {
                let detail =
                    "name what is meant by exactly one of _id and filter; many needs filter";
                Err(invalid(detail, members.at()))
            }
        }
    }

    fn change(
        &self,
        collection: &mut CollectionTx<'_>,
        change: &Change,
        options: &UpdateOptions,
    ) -> Result<Updated, Error> {
        match self {
            Self::Matching(selection) => collection.update(selection, change, options),
            Self::Id(id) => collection.change(
                id.as_raw_bson_ref(),
                change,
                &nexusbase_documents::store::Condition::Any,
                options.upsert,
                options.returning,
            ),
        }
    }

    fn delete(&self, collection: &mut CollectionTx<'_>, many: bool) -> Result<u64, Error> {
        match self {
            Self::Id(id) => collection.delete(id.as_raw_bson_ref()).map(u64::from),
            Self::Matching(selection) if many => collection.delete_many(selection),
            Self::Matching(selection) => {
                let deleted = collection.delete_one(selection, None)?;
                Ok(u64::from(deleted.is_some()))
            }
        }
    }
}

fn changed(updated: &Updated, answer: &mut Answer) -> Result<(), Error> {
    let status = if updated.upserted.is_some() { 201 } else { 200 };
    let (matched, modified) = (updated.matched, updated.modified);
    answer.put(format_args!(
        "{{\"status\":{status},\"matched\":{matched},\"modified\":{modified}"
    ));
    if let Some(id) = &updated.upserted {
        answer.text.push_str(",\"upserted_id\":");
        answer.value(id.as_raw_bson_ref())?;
    }
    if let Some(document) = &updated.document {
        answer.text.push_str(",\"document\":");
        answer.document(document)?;
    }
    answer.text.push('}');
    Ok(())
}

fn got(document: Option<&RawDocument>, answer: &mut Answer) -> Result<(), Error> {
    let Some(document) = document else {
        answer.put(format_args!("{{\"status\":404,\"document\":null}}"));
        return Ok(());
    };
    let revision = revision(document);
    answer.put(format_args!(
        "{{\"status\":200,\"etag\":\"\\\"{revision}\\\"\",\"document\":"
    ));
    answer.document(document)?;
    answer.text.push('}');
    Ok(())
}

fn found(collection: &CollectionTx<'_>, query: &Query, answer: &mut Answer) -> Result<(), Error> {
    answer.text.push_str("{\"status\":200,\"documents\":[");
    let end = answer.text.len() + FIND_BYTES;
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut more = false;
    for (count, document) in collection.find(query)?.enumerate() {
        let document = document?;
        if count + 1 == limit || answer.text.len() >= end {
            more = true;
            break;
        }
        if count > 0 {
            answer.text.push(',');
        }
        answer.document(&document)?;
    }
    answer.put(format_args!("],\"more\":{more}}}"));
    Ok(())
}
