//! Stores: list, create, describe, drop, and what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use hyper::{StatusCode, header};
use nexusbase_kv::{CreateOptions, Retention, StoreInfo, StoreOptions, StoreStats};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::timeout_at;
use utoipa::ToSchema;

use super::body::{JsonBody, Object, of_json, present};
use super::engines::StoreCapabilities;
use super::parameters::StoreParameter;
use super::path::StorePath;
use super::url;
use crate::auth::{Models, Permit, Read, Write};
use crate::collections::no_parameters;
use crate::negotiate::{json, put_header};
use crate::observe::Deadline;
use crate::openapi::{StoreReadProblems, StoreWriteProblems};
use crate::operation::{self, Progress, busy};
use crate::problem::{Kind, Problem};

/// So many labels may a store have.
const LABELS_MAX: usize = 64;
/// The longest name or value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 1000;

/// All stores.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreList {
    /// By name.
    stores: Vec<StoreDescription>,
}

/// A store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "sessions",
    "engine": "memory",
    "options": {
        "ttl_ms": 3_600_000, "keep_versions": null, "keep_versions_ms": null,
        "read_only": false, "labels": {"owner": "web"},
    },
    "unfinished_copy_of": null,
}))]
pub(crate) struct StoreDescription {
    /// Its name.
    name: String,
    /// The name of its engine.
    engine: String,
    /// What it was told.
    options: Options,
    /// The store that it is to be a copy of, if the copy is not complete; it cannot be used before.
    #[schema(required)]
    unfinished_copy_of: Option<String>,
}

/// A store, with figures.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreDetails {
    #[serde(flatten)]
    description: StoreDescription,
    /// Figures; none of a copy that is not complete.
    #[schema(required)]
    stats: Option<Stats>,
    /// What it can do.
    #[schema(required)]
    capabilities: Option<StoreCapabilities>,
}

/// Figures about a store.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Keys, those whose time has come perhaps included.
    keys: u64,
    /// Bytes of keys and values.
    bytes: u64,
    /// Whether these two are exact, or estimated.
    exact: bool,
    /// Bytes on disk, if the store has files of its own.
    #[schema(required)]
    disk_bytes: Option<u64>,
    /// Versions.
    versions: u64,
    /// What was found damaged and set aside, for people.
    damage: Vec<String>,
}

/// What a store is told.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = StoreOptions)]
pub(crate) struct Options {
    /// What is put without a time expires after so many milliseconds. Null: never.
    #[schema(minimum = 1)]
    ttl_ms: Option<u64>,
    /// So many of the newest versions are kept; those with a name always are. Null: any number.
    keep_versions: Option<u64>,
    /// Versions that are older, in milliseconds, are not kept. Null: of any age.
    keep_versions_ms: Option<u64>,
    /// Whether writes are refused.
    read_only: bool,
    /// Whatever the owner wants to note.
    labels: BTreeMap<String, String>,
}

/// How a store is created.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"engine": "memory", "options": {"ttl_ms": 3_600_000}}))]
pub(crate) struct CreateStore {
    /// On which engine; the default one if nothing is said.
    engine: Option<String>,
    /// What it is told.
    #[schema(value_type = Option<Options>)]
    options: Option<Object<Options>>,
}

/// What a store is to be told from now on: members that are not there stay as they are, null is as
/// if it had never been told. The same may stand in a member `options`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = StoreOptionsPatch, example = json!({"ttl_ms": null, "labels": {"owner": "api"}}))]
pub(crate) struct Patch {
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    ttl_ms: Option<Option<u64>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    keep_versions: Option<Option<u64>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<u64>)]
    keep_versions_ms: Option<Option<u64>>,
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    read_only: Option<Option<bool>>,
    /// Label by label; null takes one away, or all.
    #[serde(deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    labels: Option<Option<BTreeMap<String, Option<String>>>>,
}

impl From<StoreInfo> for StoreDescription {
    fn from(info: StoreInfo) -> Self {
        let unfinished_copy_of = info.options.copy_of.as_ref().map(|copy| copy.store.clone());
        Self {
            name: info.name,
            engine: info.engine,
            options: info.options.into(),
            unfinished_copy_of,
        }
    }
}

impl From<StoreOptions> for Options {
    fn from(options: StoreOptions) -> Self {
        Self {
            ttl_ms: options.ttl_ms,
            keep_versions: options.retention.count,
            keep_versions_ms: options.retention.age_ms,
            read_only: options.read_only,
            labels: options.labels,
        }
    }
}

impl From<StoreStats> for Stats {
    fn from(stats: StoreStats) -> Self {
        Self {
            keys: stats.keys,
            bytes: stats.bytes,
            exact: stats.exact,
            disk_bytes: stats.disk_bytes,
            versions: stats.versions,
            damage: stats.damage,
        }
    }
}

impl Options {
    /// What is told to the store, if it makes sense.
    fn check(self) -> Result<StoreOptions, Problem> {
        let wrong = |at: &str, detail: String| {
            Err(Problem::new(Kind::InvalidBody, detail).with("at", format!("/options/{at}")))
        };
        if self.ttl_ms == Some(0) {
            let detail = "ttl_ms is at least 1, or null for what stays";
            return wrong("ttl_ms", detail.to_owned());
        }
        let is_long = |text: &String| text.len() > LABEL_BYTES_MAX;
        if self.labels.len() > LABELS_MAX
            || self.labels.iter().any(|(k, v)| is_long(k) || is_long(v))
        {
            let detail = format!(
                "a store has at most {LABELS_MAX} labels, their names and values at most \
                 {LABEL_BYTES_MAX} bytes each"
            );
            return wrong("labels", detail);
        }
        Ok(StoreOptions {
            ttl_ms: self.ttl_ms,
            retention: Retention {
                count: self.keep_versions,
                age_ms: self.keep_versions_ms,
            },
            read_only: self.read_only,
            copy_of: None,
            labels: self.labels,
        })
    }

    fn merge(&mut self, patch: Patch) {
        if let Some(ttl_ms) = patch.ttl_ms {
            self.ttl_ms = ttl_ms;
        }
        if let Some(count) = patch.keep_versions {
            self.keep_versions = count;
        }
        if let Some(age_ms) = patch.keep_versions_ms {
            self.keep_versions_ms = age_ms;
        }
        if let Some(read_only) = patch.read_only {
            self.read_only = read_only.unwrap_or(false);
        }
        match patch.labels {
            None => {}
            Some(None) => self.labels.clear(),
            Some(Some(labels)) => {
                for (name, value) in labels {
                    match value {
                        Some(value) => self.labels.insert(name, value),
                        None => self.labels.remove(&name),
                    };
                }
            }
        }
    }
}

impl Patch {
    fn read(body: &JsonBody) -> Result<Self, Problem> {
        let mut members: Map<String, Value> = body.required()?;
        let mut patch = Value::Null;
        if members.len() == 1
            && let Some(options) = members.get_mut("options")
        {
            patch = options.take();
        }
        let patch = if patch.is_null() {
            Value::Object(members)
        } else {
            patch
        };
        let Object(patch) = serde_json::from_value(patch).map_err(|error| of_json(&error))?;
        Ok(patch)
    }
}

pub(super) fn describe(models: &Models, name: &str) -> Result<StoreDescription, Problem> {
    Ok(models.store_info(name)?.into())
}

/// All stores
#[utoipa::path(
    get,
    path = "/stores",
    operation_id = "listStores",
    tag = "stores",
    responses(
        (status = 200, description = "The stores by name.", body = StoreList),
        StoreReadProblems,
    ),
)]
pub(crate) async fn list(
    permit: Permit<Read>,
    deadline: Deadline,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = |models: &Models, _: &Progress| {
        let stores = models.store_list()?;
        let stores = stores.into_iter().map(StoreDescription::from).collect();
        json(StatusCode::OK, &StoreList { stores })
    };
    operation::read(permit, deadline, work).await
}

/// One store
#[utoipa::path(
    get,
    path = "/stores/{store}",
    operation_id = "getStore",
    tag = "stores",
    params(StoreParameter),
    responses(
        (status = 200, description = "The store, with figures.", body = StoreDetails),
        StoreReadProblems,
    ),
)]
pub(crate) async fn info(
    permit: Permit<Read>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let description = describe(models, &name)?;
        let engines = models.engines();
        let engine = engines.iter().find(|(name, _)| *name == description.engine);
        // What is not complete cannot be opened.
        let stats = match &description.unfinished_copy_of {
            Some(_) => None,
            None => Some(models.store(&name)?.stats()?.into()),
        };
        let details = StoreDetails {
            description,
            stats,
            capabilities: engine.map(|(_, capabilities)| (*capabilities).into()),
        };
        json(StatusCode::OK, &details)
    };
    operation::read(permit, deadline, work).await
}

/// Create a store
///
/// Without a body: on the default engine, with no options. A store of the same name is not
/// touched, whatever it was told.
#[utoipa::path(
    put,
    path = "/stores/{store}",
    operation_id = "createStore",
    tag = "stores",
    params(StoreParameter),
    request_body = Option<CreateStore>,
    responses(
        (status = 201, description = "It is there now.", body = StoreDescription,
            headers(("Location" = String, description = "Its URL."))),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn create(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        let CreateStore { engine, options } = body.optional()?;
        let options = options.map_or_else(Options::default, |Object(options)| options);
        let options = CreateOptions {
            engine,
            options: options.check()?,
        };
        models.create_store(&name, &options)?;
        let mut response = json(StatusCode::CREATED, &describe(models, &name)?)?;
        put_header(&mut response, header::LOCATION, &url(&name));
        Ok(response)
    };
    operation::write(permit, deadline, work).await
}

/// Change what a store is told
///
/// A merge patch (RFC 7396) of its options. It counts from the next operation on.
#[utoipa::path(
    patch,
    path = "/stores/{store}",
    operation_id = "changeStore",
    tag = "stores",
    params(StoreParameter),
    request_body(content((Patch = "application/json"), (Patch = "application/merge-patch+json"))),
    responses(
        (status = 200, description = "The store as it is now.", body = StoreDescription),
        StoreWriteProblems,
    ),
)]
pub(crate) async fn change(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    // Two changes of different options must both count.
    let turn = timeout_at(
        deadline.0,
        Arc::clone(permit.options_turn()).acquire_owned(),
    )
    .await;
    let Ok(Ok(turn)) = turn else {
        return Err(busy("others change options"));
    };
    let work = move |models: &Models, _: &Progress| {
        let _turn = turn;
        let patch = Patch::read(&body)?;
        let mut options = Options::from(models.store_info(&name)?.options);
        options.merge(patch);
        models.set_store_options(&name, &options.check()?)?;
        json(StatusCode::OK, &describe(models, &name)?)
    };
    operation::write(permit, deadline, work).await
}

/// Drop a store
///
/// With all its keys and versions, at once. Also for a copy that is not complete.
#[utoipa::path(
    delete,
    path = "/stores/{store}",
    operation_id = "dropStore",
    tag = "stores",
    params(StoreParameter),
    responses((status = 204, description = "It is gone."), StoreWriteProblems),
)]
pub(crate) async fn remove(
    permit: Permit<Write>,
    deadline: Deadline,
    StorePath(name): StorePath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query)?;
    let work = move |models: &Models, _: &Progress| {
        models.drop_store(&name)?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    operation::write(permit, deadline, work).await
}
