//! Splitting a pipeline into a query and the rest.
//!
//! Any `$match`es in front, one `$sort`, and then `$skip`s and `$limit`s are a query. A `$match`
//! may also follow the `$sort`: a filter and an order do not disturb one another.

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf, cstr};

use super::error::PipelineError;
use super::stage::Stage;
use super::{Pipeline, Query};
use crate::filter::Filter;

/// Splits the stages of the pipeline at `at`.
pub(super) fn split(mut stages: Vec<Stage>, at: &str) -> Result<Pipeline, PipelineError> {
    let mut query = Query::default();
    let mut matches = Vec::new();
    let mut taken = 0;
    for stage in &stages {
        let paged = query.skip > 0 || query.limit.is_some();
        match stage {
            Stage::Match { written, .. } if !paged => matches.push(written.clone()),
            Stage::Sort { sort, .. } if !paged && query.sort.is_none() => {
                query.sort = Some(sort.clone());
            }
            Stage::Skip(number) => page(&mut query, *number, usize::MAX),
            Stage::Limit(number) => page(&mut query, 0, *number),
            _ => break,
        }
        taken += 1;
    }
    stages.drain(..taken);
    keep_what_limits_let_through(&mut stages);
    query.filter = all_of(matches.iter().map(AsRef::as_ref), at)?;
    Ok(Pipeline {
        query,
        matches,
        stages,
    })
}

/// Takes a further page of what a query answers.
fn page(query: &mut Query, skip: usize, limit: usize) {
    query.skip = query.skip.saturating_add(skip);
    let left = query.limit.map(|before| before.saturating_sub(skip));
    if left.is_some() || limit < usize::MAX {
        query.limit = Some(left.unwrap_or(usize::MAX).min(limit));
    }
}

/// Tells each `$sort` how many documents the `$skip`s and `$limit`s behind it let through.
fn keep_what_limits_let_through(stages: &mut [Stage]) {
    for number in 0..stages.len() {
        let mut skipped = 0_usize;
        let mut kept: Option<usize> = None;
        for stage in &stages[number + 1..] {
            match stage {
                Stage::Skip(number) => skipped = skipped.saturating_add(*number),
                Stage::Limit(number) => {
                    let through = skipped.saturating_add(*number);
                    kept = Some(kept.map_or(through, |kept| kept.min(through)));
                }
                _ => break,
            }
        }
        if let Stage::Sort { keep, .. } = &mut stages[number] {
            *keep = kept;
        }
    }
}

/// The filter that demands all of `matches`.
fn all_of<'a>(
    matches: impl ExactSizeIterator<Item = &'a RawDocument>,
    at: &str,
) -> Result<Filter, PipelineError> {
    let mut list = RawArrayBuf::new();
    if matches.len() == 0 {
        return Ok(Filter::default());
    }
    matches.for_each(|filter| list.push(filter));
    let mut all = RawDocumentBuf::new();
    all.append(cstr!("$and"), &*list);
    Filter::parse(&all).map_err(|source| PipelineError::Filter {
        at: at.to_owned(),
        source,
    })
}

impl Pipeline {
    /// The query, for documents that match `filter` as well.
    pub(super) fn query_where(&self, filter: &RawDocument) -> Result<Query, PipelineError> {
        let matches: Vec<&RawDocument> = [filter]
            .into_iter()
            .chain(self.matches.iter().map(AsRef::as_ref))
            .collect();
        Ok(Query {
            filter: all_of(matches.into_iter(), "")?,
            ..self.query.clone()
        })
    }

    /// The query.
    pub(crate) const fn query(&self) -> &Query {
        &self.query
    }

    /// The stages behind it.
    pub(super) fn rest(&self) -> &[Stage] {
        &self.stages
    }
}
