//! From what is wrong with pipelines to problems.

use nexusbase_documents::aggregate::{AggregateError, ExpressionError, PipelineError};
use nexusbase_documents::{DocumentError, FilterError};

use super::{Kind, Problem};
use crate::operation::busy;

/// Why a pipeline is refused, with the place in it.
pub(super) fn refused(error: &PipelineError) -> Problem {
    let problem = Problem::new(Kind::InvalidPipeline, error.to_string());
    let at = match error {
        PipelineError::Filter { at, source } => format!("{at}{}", in_filter(source)),
        PipelineError::Expected { at, .. }
        | PipelineError::UnknownStage { at, .. }
        | PipelineError::UnknownOperator { at, .. }
        | PipelineError::UnknownVariable { at, .. }
        | PipelineError::Path { at, .. }
        | PipelineError::Collision { at, .. }
        | PipelineError::Sort { at, .. }
        | PipelineError::TooManyStages { at, .. }
        | PipelineError::TooDeep { at, .. } => at.clone(),
        PipelineError::Document(error) => in_document(error).to_owned(),
    };
    problem.with("at", at)
}

/// Why a pipeline stopped while it ran.
pub(super) fn stopped(error: &AggregateError) -> Problem {
    let problem = || Problem::new(Kind::PipelineFailed, error.to_string());
    match error {
        AggregateError::Cancelled
        | AggregateError::Expression {
            source: ExpressionError::Cancelled,
            ..
        } => busy("nobody waits for the answer any more"),
        AggregateError::Memory { at, bytes_max } => {
            let problem = problem().with("limit", *bytes_max);
            problem.with("at", format!("/pipeline{at}"))
        }
        AggregateError::Expression { at, .. } | AggregateError::Document { at, .. } => {
            problem().with("at", format!("/pipeline{at}"))
        }
    }
}

/// Where in a filter its mistake is.
pub(super) fn in_filter(error: &FilterError) -> &str {
    match error {
        FilterError::NotAnObject { at, .. }
        | FilterError::UnknownOperator { at, .. }
        | FilterError::Mixed { at, .. }
        | FilterError::Operand { at, .. }
        | FilterError::Regex { at }
        | FilterError::Pattern { at, .. }
        | FilterError::Path { at, .. } => at,
        FilterError::Document(error) => in_document(error),
    }
}

fn in_document(error: &DocumentError) -> &str {
    match error {
        DocumentError::Damaged { at, .. }
        | DocumentError::TooDeep { at }
        | DocumentError::DuplicateName { at, .. }
        | DocumentError::Name { at, .. } => at,
        DocumentError::TooLarge { .. } | DocumentError::Id(_) => "",
    }
}
