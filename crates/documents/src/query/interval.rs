//! Ranges of encoded values, and their algebra.
//!
//! No encoded value is the beginning of another, so a range of values is a range of bytes, and
//! whatever follows a value in a row's key lies in it with the value. All ranges are half open.

/// Everything from `start` up to, but not including, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: Vec<u8>,
    /// None: there is no end.
    pub(crate) end: Option<Vec<u8>>,
    /// It is one value, which is `start`.
    pub(crate) point: bool,
}

/// Ranges in order and apart from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intervals(Vec<Interval>);

/// The first bytes behind everything that begins with `prefix`; none if nothing is.
pub(crate) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

impl Interval {
    /// One value.
    pub(crate) fn point(value: Vec<u8>) -> Self {
        Self {
            end: behind(&value),
            start: value,
            point: true,
        }
    }

    pub(crate) const fn between(start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        Self {
            start,
            end,
            point: false,
        }
    }

    fn is_before(&self, value: &[u8]) -> bool {
        self.end.as_deref().is_some_and(|end| end <= value)
    }

    fn is_empty(&self) -> bool {
        self.is_before(&self.start)
    }

    /// What a descending part makes of it.
    fn inverted(&self) -> Self {
        let invert = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
        if self.point {
            return Self::point(invert(&self.start));
        }
        let start = self.end.as_deref().map(invert);
        Self::between(
            start.and_then(|start| behind(&start)).unwrap_or_default(),
            behind(&invert(&self.start)),
        )
    }
}

impl Intervals {
    /// Ranges in any order, which may overlap.
    pub(crate) fn of(mut intervals: Vec<Interval>) -> Self {
        intervals.retain(|interval| !interval.is_empty());
        intervals.sort_by(|a, b| a.start.cmp(&b.start));
        let mut apart: Vec<Interval> = Vec::with_capacity(intervals.len());
        for interval in intervals {
            match apart.last_mut() {
                Some(last) if !last.is_before(&interval.start) => {
                    if last.point && interval.point {
                        continue;
                    }
                    last.point = false;
                    // No end is the greatest.
                    let further = match (&last.end, &interval.end) {
                        (Some(one), Some(other)) => one < other,
                        (one, other) => one.is_some() && other.is_none(),
                    };
                    if further {
                        last.end = interval.end;
                    }
                }
                _ => apart.push(interval),
            }
        }
        Self(apart)
    }

    pub(crate) fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// The values, if it is nothing but single values.
    pub(crate) fn is_points(&self) -> bool {
        self.0.iter().all(|interval| interval.point)
    }

    /// The value, if it is just one.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [only] if only.point => Some(&only.start),
            _ => None,
        }
    }

    /// Whether a whole encoded value is within.
    pub(crate) fn contains(&self, value: &[u8]) -> bool {
        let behind = self
            .0
            .partition_point(|interval| interval.start.as_slice() <= value);
        behind > 0 && !self.0[behind - 1].is_before(value)
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let a_first = match (&a.end, &b.end) {
                (Some(a), Some(b)) => a <= b,
                (a, _) => a.is_some(),
            };
            let (ends_first, other) = if a_first { (a, b) } else { (b, a) };
            let point = ends_first.point || (other.point && other.start >= ends_first.start);
            let common = Interval {
                start: ends_first.start.clone().max(other.start.clone()),
                end: ends_first.end.clone(),
                point,
            };
            if !common.is_empty() {
                both.push(common);
            }
            if a_first {
                left.next();
            } else {
                right.next();
            }
        }
        Self(both)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        let mut all = self.0;
        all.extend(other.0);
        Self::of(all)
    }

    /// Everything else.
    pub(crate) fn not(&self) -> Self {
        let mut start = Some(Vec::new());
        let mut gaps = Vec::with_capacity(self.0.len() + 1);
        for interval in &self.0 {
            if let Some(start) = start.take() {
                gaps.push(Interval::between(start, Some(interval.start.clone())));
            }
            start.clone_from(&interval.end);
        }
        if let Some(start) = start {
            gaps.push(Interval::between(start, None));
        }
        Self::of(gaps)
    }

    /// What a descending part makes of it.
    pub(crate) fn inverted(&self) -> Self {
        Self(self.0.iter().rev().map(Interval::inverted).collect())
    }

    /// One range from the first to the last.
    pub(crate) fn hull(&self) -> Self {
        match (self.0.first(), self.0.last()) {
            (Some(first), Some(last)) if self.0.len() > 1 => Self(vec![Interval::between(
                first.start.clone(),
                last.end.clone(),
            )]),
            _ => self.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges over values of one byte between 0x10 and 0xF0, as in a key.
    fn some(seed: u64) -> Intervals {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state % below).unwrap()
        };
        let one = |next: &mut dyn FnMut(u64) -> u8| match next(4) {
            0 => Interval::between(vec![0x10 + next(16)], None),
            1 => Interval::between(Vec::new(), Some(vec![0x10 + next(16)])),
            2 => Interval::point(vec![0x10 + next(16)]),
            _ => {
                let start = 0x10 + next(16);
                Interval::between(vec![start], Some(vec![start.saturating_add(next(6))]))
            }
        };
        Intervals::of((0..next(4)).map(|_| one(&mut next)).collect())
    }

    #[test]
    fn the_algebra_of_ranges_is_that_of_sets() {
        for seed in 0..3000 {
            let (a, b) = (some(seed), some(seed + 10_000));
            for byte in 0x10..0x20u8 {
                let (value, inverted) = ([byte], [!byte]);
                let (in_a, in_b) = (a.contains(&value), b.contains(&value));
                assert_eq!(a.and(&b).contains(&value), in_a && in_b, "{a:?} {b:?}");
                assert_eq!(a.clone().or(b.clone()).contains(&value), in_a || in_b);
                assert_eq!(a.not().contains(&value), !in_a, "{a:?}");
                assert_eq!(a.inverted().contains(&inverted), in_a, "{a:?}");
                assert!(!in_a || a.hull().contains(&value));
            }
            for set in [a.and(&b), a.not(), a.inverted(), a.clone().or(b)] {
                let slice = set.as_slice();
                assert!(
                    slice
                        .windows(2)
                        .all(|pair| pair[0].is_before(&pair[1].start))
                );
                assert!(slice.iter().all(|one| !one.is_empty()));
                assert!(
                    slice
                        .iter()
                        .all(|one| !one.point || one.end == behind(&one.start))
                );
            }
        }
    }
}
