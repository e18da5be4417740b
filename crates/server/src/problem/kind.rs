//! The kinds of problems: one table that the answers, the OpenAPI document and the tests share.

use hyper::StatusCode;

macro_rules! kinds {
    ($($name:ident, $status:ident, $slug:literal, $title:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $title] $name,)*
        }

        impl Kind {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// The URI that names the kind.
            pub(crate) const fn uri(self) -> &'static str {
                match self { $(Self::$name => concat!("/problems/", $slug),)* }
            }

            /// The kind in a few words.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The status of answers with it.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    BadRequest, BAD_REQUEST, "bad-request", "The request is not acceptable";
    TlsRequired, BAD_REQUEST, "tls-required", "This port speaks HTTPS only";
    InvalidParameter, BAD_REQUEST, "invalid-parameter", "A parameter is not acceptable";
    InvalidJson, BAD_REQUEST, "invalid-json", "The text is not JSON that can be stored";
    InvalidDocument, BAD_REQUEST, "invalid-document", "The document breaks a rule";
    InvalidId, BAD_REQUEST, "invalid-id", "The id cannot be used";
    InvalidBody, BAD_REQUEST, "invalid-body", "The body is not what this request takes";
    InvalidHeader, BAD_REQUEST, "invalid-header", "A header is not acceptable";
    InvalidName, BAD_REQUEST, "invalid-name", "The name cannot be used";
    NoSuchEngine, BAD_REQUEST, "no-such-engine", "There is no such engine";
    InvalidFilter, BAD_REQUEST, "invalid-filter", "The filter is not acceptable";
    InvalidSort, BAD_REQUEST, "invalid-sort", "The order is not acceptable";
    InvalidFields, BAD_REQUEST, "invalid-fields", "The choice of fields is not acceptable";
    InvalidPipeline, BAD_REQUEST, "invalid-pipeline", "The pipeline is not acceptable";
    InvalidCursor, BAD_REQUEST, "invalid-cursor", "The cursor does not fit";
    InvalidIndex, BAD_REQUEST, "invalid-index", "There can be no such index";
    InvalidUpdate, BAD_REQUEST, "invalid-update", "The update or patch is not acceptable";
    InvalidSchema, BAD_REQUEST, "invalid-schema", "The schema cannot be used";
    IdChanged, BAD_REQUEST, "id-changed", "The document has another id than the URL";
    Unauthorized, UNAUTHORIZED, "unauthorized", "A valid key is needed";
    Forbidden, FORBIDDEN, "forbidden", "The key does not allow that";
    ForeignOrigin, FORBIDDEN, "foreign-origin", "Pages of other origins may not write";
    ReadOnly, FORBIDDEN, "read-only", "It can only be read";
    NoSuchRoute, NOT_FOUND, "no-such-route", "There is nothing at this URL";
    NoSuchCollection, NOT_FOUND, "no-such-collection", "There is no such collection";
    NoSuchDocument, NOT_FOUND, "no-such-document", "There is no such document";
    NoSuchSchema, NOT_FOUND, "no-such-schema", "The collection has no schema";
    NoSuchIndex, NOT_FOUND, "no-such-index", "There is no such index";
    NoSuchStore, NOT_FOUND, "no-such-store", "There is no such store";
    NoSuchKey, NOT_FOUND, "no-such-key", "There is no such key";
    NoSuchVersion, NOT_FOUND, "no-such-version", "There is no such version";
    NoSuchApiKey, NOT_FOUND, "no-such-api-key", "There is no such API key";
    NoSuchTransaction, NOT_FOUND, "no-such-transaction", "There is no such transaction";
    MethodNotAllowed, METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here";
    NotAcceptable, NOT_ACCEPTABLE, "not-acceptable", "None of the accepted formats is offered";
    RequestTimeout, REQUEST_TIMEOUT, "request-timeout", "The request came too slowly";
    DuplicateId, CONFLICT, "duplicate-id", "A document with this id exists";
    DuplicateKey, CONFLICT, "duplicate-key", "Another document has the same values in a unique index";
    PatchTestFailed, CONFLICT, "patch-test-failed", "A test of the patch failed";
    CollectionExists, CONFLICT, "collection-exists", "A collection of this name exists";
    SchemaConflict, CONFLICT, "schema-conflict", "Stored documents do not satisfy the schema";
    IdempotencyUnderWay, CONFLICT, "idempotency-under-way",
        "A request with the same key is under way";
    IndexExists, CONFLICT, "index-exists", "Another index of this name exists";
    StoreExists, CONFLICT, "store-exists", "A store of this name exists";
    VersionExists, CONFLICT, "version-exists", "A version of this name exists";
    ApiKeyRevoked, CONFLICT, "api-key-revoked", "The API key is revoked";
    TooManyApiKeys, CONFLICT, "too-many-api-keys", "There are too many API keys";
    TransactionInUse, CONFLICT, "transaction-in-use",
        "Another request works on the transaction";
    TransactionEnded, GONE, "transaction-ended", "The transaction has ended";
    HistoryGone, GONE, "history-gone", "The changes are no longer there";
    UnfinishedCopy, CONFLICT, "unfinished-copy", "The store is a copy that was interrupted";
    PreconditionFailed, PRECONDITION_FAILED, "precondition-failed", "It is not as was expected";
    PreconditionRequired, PRECONDITION_REQUIRED, "precondition-required",
        "The collection demands a condition";
    Conflict, CONFLICT, "conflict", "Others changed the same data again and again";
    BodyTooLarge, PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    DocumentTooLarge, PAYLOAD_TOO_LARGE, "document-too-large", "The document is too large";
    TransactionTooLarge, PAYLOAD_TOO_LARGE, "transaction-too-large", "The transaction is too large";
    EntryTooLarge, PAYLOAD_TOO_LARGE, "entry-too-large",
        "A key, a value or a batch is too large";
    PipelineFailed, UNPROCESSABLE_ENTITY, "pipeline-failed", "The pipeline stopped while it ran";
    AnswerTooLarge, UNPROCESSABLE_ENTITY, "answer-too-large", "The answer is too large";
    SchemaViolation, UNPROCESSABLE_ENTITY, "schema-violation",
        "The document does not satisfy the schema";
    DocumentRefused, UNPROCESSABLE_ENTITY, "document-refused",
        "An index does not take the document";
    UpdateRefused, UNPROCESSABLE_ENTITY, "update-refused", "The document cannot be changed so";
    IdempotencyMismatch, UNPROCESSABLE_ENTITY, "idempotency-mismatch",
        "The key was used for another request";
    Unsupported, UNPROCESSABLE_ENTITY, "unsupported", "The store's engine cannot do that";
    UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type",
        "The body's type is not supported";
    UnsupportedEncoding, UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding",
        "The body's encoding is not supported";
    ForeignHost, MISDIRECTED_REQUEST, "foreign-host", "This server does not answer for that host";
    TooManyRequests, TOO_MANY_REQUESTS, "too-many-requests", "There were too many requests";
    Internal, INTERNAL_SERVER_ERROR, "internal", "The server failed";
    Damaged, INTERNAL_SERVER_ERROR, "damaged", "Stored data is damaged";
    Busy, SERVICE_UNAVAILABLE, "busy", "The server is busy";
    DatabaseStopped, SERVICE_UNAVAILABLE, "database-stopped", "The database accepts no writes";
    Stopping, SERVICE_UNAVAILABLE, "stopping", "The server is stopping";
    StoresClosed, SERVICE_UNAVAILABLE, "stores-closed", "The store is closed";
    Timeout, GATEWAY_TIMEOUT, "timeout", "The time limit ended the request";
    OutcomeUnknown, GATEWAY_TIMEOUT, "outcome-unknown", "Whether the write was done is not known";
    DiskFull, INSUFFICIENT_STORAGE, "disk-full", "There is no room on the disk";
}

impl Kind {
    /// When to come again, where that helps.
    pub(crate) const fn retry_after_seconds(self) -> Option<u16> {
        match self {
            Self::Busy
            | Self::Conflict
            | Self::IdempotencyUnderWay
            | Self::TooManyRequests
            | Self::TransactionInUse => Some(1),
            Self::DatabaseStopped | Self::DiskFull | Self::StoresClosed | Self::Stopping => {
                Some(30)
            }
            _ => None,
        }
    }
}
