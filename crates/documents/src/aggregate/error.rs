//! What can go wrong with pipelines: while they are read, and while they run.

use crate::DOCUMENT_BYTES_MAX;
use crate::error::{DocumentError, FilterError, PathError, SortError, ValueError, place};
use crate::value::arithmetic::ArithmeticError;

/// Why a pipeline is refused. Nothing has been read or changed then.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Something at a place is not what belongs there.
    #[error("expected {expected} at {}, found {found}", place(at))]
    Expected {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// A stage that does not exist here.
    #[error(
        "the stage {stage:?} at {} is not supported here; supported are: {}",
        place(at),
        supported.join(", ")
    )]
    UnknownStage {
        /// Its name.
        stage: String,
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// The stages that exist.
        supported: &'static [&'static str],
    },
    /// An operator of expressions, or an accumulator, that does not exist here.
    #[error(
        "the operator {operator:?} at {} is not supported here; supported are: {}",
        place(at),
        supported.join(", ")
    )]
    UnknownOperator {
        /// Its name.
        operator: String,
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// The operators that may stand there.
        supported: Vec<&'static str>,
    },
    /// A variable that is not defined at this place.
    #[error(
        "the variable $${name} at {} is not defined there; $$ROOT, $$CURRENT and $$REMOVE always \
         are",
        place(at)
    )]
    UnknownVariable {
        /// Its name, without the dollar signs.
        name: String,
        /// Where in the pipeline, as a JSON pointer.
        at: String,
    },
    /// A path that names nothing.
    #[error("{source} (at {} of the pipeline)", place(at))]
    Path {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// One field is named twice, or lies inside another that is named as well.
    #[error(
        "the fields {field:?} and {other:?} at {} overlap: name only one",
        place(at)
    )]
    Collision {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// One of them.
        field: String,
        /// The other.
        other: String,
    },
    /// A filter in the pipeline is refused.
    #[error("the filter at {} of the pipeline is refused: {source}", place(at))]
    Filter {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// Why.
        source: FilterError,
    },
    /// A sort in the pipeline is refused.
    #[error("the sort at {} of the pipeline is refused: {source}", place(at))]
    Sort {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// Why.
        source: SortError,
    },
    /// Too many stages.
    #[error(
        "the pipeline at {} has {stages} stages; at most {max} are allowed",
        place(at)
    )]
    TooManyStages {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// How many it has.
        stages: usize,
        /// How many are allowed.
        max: usize,
    },
    /// Pipelines inside one another beyond the limit.
    #[error("the pipeline at {} lies in more than {max} others", place(at))]
    TooDeep {
        /// Where in the pipeline, as a JSON pointer.
        at: String,
        /// How many are allowed.
        max: usize,
    },
    /// The pipeline itself is damaged, too deep or too large.
    #[error("the pipeline cannot be read: {0}")]
    Document(#[from] DocumentError),
}

/// Why a pipeline stopped while it ran.
#[derive(Debug, thiserror::Error)]
pub enum AggregateError {
    /// An expression has no value for a document.
    #[error("at {} of the pipeline: {source}", place(at))]
    Expression {
        /// The stage, as a JSON pointer.
        at: String,
        /// Why.
        source: ExpressionError,
    },
    /// A document that a stage makes is too large or nested too deeply.
    #[error(
        "at {} of the pipeline, a document cannot be made: {source}",
        place(at)
    )]
    Document {
        /// The stage, as a JSON pointer.
        at: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// The stages that collect documents or values outgrew their limit.
    #[error(
        "the pipeline needs more than {bytes_max} bytes of memory at {}: narrow it by $match or \
         $project before, add a $limit behind a $sort, or group by fewer different values",
        place(at)
    )]
    Memory {
        /// The stage, as a JSON pointer.
        at: String,
        /// The limit.
        bytes_max: usize,
    },
    /// Whoever asked does not want the answer any more.
    #[error("the pipeline was stopped because nobody waits for its answer any more")]
    Cancelled,
}

/// Why an expression has no value.
#[derive(Debug, thiserror::Error)]
pub enum ExpressionError {
    /// An operand of a type that the operator does not work on.
    #[error("{operator} expects {expected}, found {found}")]
    Operand {
        /// The operator.
        operator: &'static str,
        /// What it takes.
        expected: &'static str,
        /// What it got.
        found: &'static str,
    },
    /// A calculation without a result.
    #[error("{operator}: {source}")]
    Arithmetic {
        /// The operator.
        operator: &'static str,
        /// Why there is none.
        source: ArithmeticError,
    },
    /// A value that cannot be turned into another type.
    #[error("{operator} cannot convert {value}")]
    Conversion {
        /// The operator.
        operator: &'static str,
        /// The value, or what is wrong with it.
        value: String,
    },
    /// A value that is too large.
    #[error("{operator} makes a value of more than {DOCUMENT_BYTES_MAX} bytes")]
    TooLarge {
        /// The operator.
        operator: &'static str,
    },
    /// No condition of a `$switch` holds.
    #[error("no branch of $switch applies: give it a default")]
    NoBranch,
    /// What should become a document is none.
    #[error("a document can only be replaced by an object, and this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// Whoever asked does not want the answer any more.
    #[error("stopped, because nobody waits for the value any more")]
    Cancelled,
    /// A value cannot be read.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl From<bson::error::Error> for ExpressionError {
    fn from(error: bson::error::Error) -> Self {
        Self::Value(error.into())
    }
}
