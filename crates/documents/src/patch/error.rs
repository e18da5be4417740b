//! Why a patch is refused, or could not be applied.

use crate::error::{DocumentError, ValueError};

/// Why a patch is refused, or could not be applied. The index of an operation counts from 0.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// More operations than are carried out at once.
    #[error("the patch has {operations} operations, and at most {max} are allowed: split it")]
    TooManyOperations {
        /// How many it has.
        operations: usize,
        /// How many are allowed.
        max: usize,
    },
    /// An operation that is not an object.
    #[error(
        "the operation {index} must be an object such as {{\"op\": \"remove\", \"path\": \"/a\"}}, and is {found}"
    )]
    NotAnObject {
        /// Which one.
        index: usize,
        /// The type that stands there.
        found: &'static str,
    },
    /// An `op` that there is not.
    #[error("the operation {index} is {operator:?}; there are: {}", supported.join(", "))]
    UnknownOperation {
        /// Which one.
        index: usize,
        /// What it says.
        operator: String,
        /// What there is.
        supported: &'static [&'static str],
    },
    /// A member that is missing or of the wrong type.
    #[error("the operation {index} needs {member:?} as {expected}, and that is {found}")]
    Member {
        /// Which one.
        index: usize,
        /// The member.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
        /// The type that stands there.
        found: &'static str,
    },
    /// A text that is no JSON pointer.
    #[error("the operation {index} names {pointer:?}, which is no JSON pointer: {reason}")]
    Pointer {
        /// Which one.
        index: usize,
        /// The text.
        pointer: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A place that does not exist.
    #[error("the operation {index} needs {pointer:?}, and {reason}")]
    Missing {
        /// Which one.
        index: usize,
        /// The place.
        pointer: String,
        /// What is not there.
        reason: &'static str,
    },
    /// A move of a value into itself.
    #[error("the operation {index} moves {from:?} into its own child {path:?}")]
    IntoItself {
        /// Which one.
        index: usize,
        /// What is moved.
        from: String,
        /// Where to.
        path: String,
    },
    /// The document as a whole would go away or become something else.
    #[error("the operation {index} would leave {found} where a document must be an object")]
    Root {
        /// Which one.
        index: usize,
        /// What would be left.
        found: &'static str,
    },
    /// A test that failed: the document is not what the patch was made for.
    #[error("the test of operation {index} failed: {pointer:?} has another value")]
    TestFailed {
        /// Which one.
        index: usize,
        /// The place.
        pointer: String,
    },
    /// The `_id` would change.
    #[error("the patch would change the _id, which a document keeps: insert another document")]
    Id,
    /// The patch, or the patched document, cannot be stored.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A part of the document that had to be read is damaged or nested too deeply.
    #[error(transparent)]
    Value(#[from] ValueError),
}
