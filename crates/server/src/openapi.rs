//! The description of the service for programs: OpenAPI 3.1, at `/openapi.json`.
//!
//! Each handler carries its own description; this module has what they share: parameters, the
//! shapes of bodies, and the problems that belong to each kind of request, taken from the same
//! table as the answers.

mod problems;
mod schemas;

use std::sync::LazyLock;

use axum::response::Response;
use hyper::StatusCode;
use utoipa::openapi::{self, ContactBuilder, InfoBuilder, License, OpenApiBuilder};

use crate::app;
use crate::negotiate::{Media, Wanted, text};
use nexusbase_documents::json::Form;

pub(crate) use problems::{
    HealthProblems, ListProblems, ReadProblems, ReplaceProblems, ServiceProblems, WriteProblems,
};
pub(crate) use schemas::{
    CollectionParameter, Document, Documents, FindParameters, IdParameter, IndexParameter,
    InsertAnswer, InsertParameters, Inserted, Page,
};
