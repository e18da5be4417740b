//! Which array element a filter matched, for a projection that shows only that one.
//!
//! A condition on an array that holds for one of its elements names that element. Where several
//! conditions do, those on the array that is asked about count before others, and among them the
//! one that counts is the last in this order: `$size` and `$elemMatch`, equality, `$lte`, `$lt`,
//! `$gt`, `$gte`, patterns, `$mod`, `$exists`, `$in`, `$type`; within one operator, the last that
//! was written. Conditions in `$or`, `$nor` and `$not` name nothing.

use bson::raw::{RawBsonRef, RawDocument};

use super::{Comparison, Condition, Filter, Test};
use crate::ValueError;
use crate::path::{Found, Path};

impl Filter {
    /// The index, in the outermost array of its path, of the element that made a document match,
    /// as far as it concerns what `shown` names; none if no condition is about an array element.
    /// The document is one that matches.
    ///
    /// # Errors
    /// As for [`Filter::matches`].
    pub fn matched_element(
        &self,
        document: &RawDocument,
        shown: &Path,
    ) -> Result<Option<usize>, ValueError> {
        let mut best = None;
        for condition in &self.conjuncts {
            condition.name_element(document, shown, &mut best)?;
        }
        Ok(best.map(|(_, index)| index))
    }
}

/// Whether it is about the array that is asked for, and the rank of the operator.
type Rank = (bool, u8);

impl Condition {
    fn name_element(
        &self,
        document: &RawDocument,
        shown: &Path,
        best: &mut Option<(Rank, usize)>,
    ) -> Result<(), ValueError> {
        match self {
            Self::Field { path, test } => {
                let mut element = None;
                path.visit_placed(document, &mut |found, placed| {
                    let holds = test.finds_at(found, placed)?;
                    element = holds.flatten();
                    Ok(holds.is_some())
                })?;
                let rank = (path.is_within(shown) || shown.is_within(path), test.rank());
                if let Some(index) = element
                    && best.is_none_or(|(known, _)| known <= rank)
                {
                    *best = Some((rank, index));
                }
                Ok(())
            }
            Self::All(conditions) => conditions
                .iter()
                .try_for_each(|condition| condition.name_element(document, shown, best)),
            Self::Any(_) | Self::Not(_) | Self::Text(_) => Ok(()),
        }
    }
}

impl Test {
    /// Whether the test holds for a finding (none if not), and for which element of the outermost
    /// array: the finding's own place, or else the element of the value found.
    fn finds_at(
        &self,
        found: Found<'_>,
        placed: Option<usize>,
    ) -> Result<Option<Option<usize>>, ValueError> {
        if let Found::Value {
            value: RawBsonRef::Array(array),
            unwrap,
        } = found
        {
            if let Self::Element(element) = self {
                let first = element.first_in(array)?;
                return Ok(first.map(|(index, _)| placed.or(Some(index))));
            }
            if unwrap && !self.is_of_arrays() {
                for (index, element) in array.into_iter().enumerate() {
                    if self.holds(element?)? {
                        return Ok(Some(placed.or(Some(index))));
                    }
                }
            }
        }
        Ok(self.finds(found)?.then_some(placed))
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Size(_) | Self::Element(_) => 0,
            Self::Compare(Comparison::Eq, _) => 1,
            Self::Compare(Comparison::Lte, _) => 2,
            Self::Compare(Comparison::Lt, _) => 3,
            Self::Compare(Comparison::Gt, _) => 4,
            Self::Compare(Comparison::Gte, _) => 5,
            Self::Pattern(_) => 6,
            Self::Mod { .. } => 7,
            Self::Exists => 8,
            Self::In(_) | Self::Either(_) => 9,
            Self::Type(_) => 10,
        }
    }
}
