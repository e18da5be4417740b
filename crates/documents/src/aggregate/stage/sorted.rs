//! `$sort` where the planner does not do it, and `$sortByCount`.

use std::rc::Rc;

use bson::raw::RawBsonRef;
use bson::rawdoc;

use super::group::Group;
use super::{Stage, sort};
use crate::aggregate::error::PipelineError;
use crate::aggregate::run::{Context, Documents, Reservation, lazily};
use crate::sort::{Sort, TopK};

/// What a kept document takes beside its bytes.
const ENTRY_BYTES: usize = 128;

/// Puts documents in order, and keeps the first `keep` of them.
pub(super) fn run<'v>(
    documents: Documents<'v>,
    at: &'v str,
    order: &'v Sort,
    keep: Option<usize>,
    context: &Rc<Context<'v>>,
) -> Documents<'v> {
    let context = Rc::clone(context);
    lazily(move || {
        // Each document holds its memory itself, so that it is given back when the document is
        // displaced by a smaller one, or has gone on to the next stage.
        let mut top = TopK::new(keep, usize::MAX);
        let mut key = Vec::new();
        for document in documents {
            let document = document?;
            key.clear();
            order.key(&document, &mut key)?;
            if top.wants(&key) {
                let mut held = Reservation::new(&context, at);
                held.grow(key.len() + document.as_bytes().len() + ENTRY_BYTES)?;
                top.offer(&key, 0, || (document, held))?;
            }
        }
        let sorted = top.into_sorted().into_iter();
        Ok(Box::new(sorted.map(|(_, (document, _held))| Ok(document))))
    })
}

/// The two stages that `$sortByCount` stands for.
pub(super) fn by_count(value: RawBsonRef<'_>, at: String) -> Result<(Group, Stage), PipelineError> {
    const SHAPE: &str = "a path that begins with $, or an object with an operator";
    let names_something = match value {
        RawBsonRef::String(text) => text.starts_with('$'),
        RawBsonRef::Document(object) => {
            let first = object.iter().flatten().next();
            first.is_some_and(|(name, _)| name.as_str().starts_with('$'))
        }
        _ => false,
    };
    if !names_something {
        return Err(super::mistake(&at, SHAPE, value));
    }
    let group = Group::counting(value, at.clone())?;
    let order = rawdoc! { "count": -1 };
    Ok((group, sort(RawBsonRef::Document(&order), at)?))
}
