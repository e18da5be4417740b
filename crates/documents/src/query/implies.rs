//! Whether a filter says all that another one says: what makes an index usable that does not hold
//! every document.
//!
//! The answer yes is a proof; no means that none was found.

use std::cmp::Ordering;

use bson::raw::RawBsonRef;

use crate::ValueError;
use crate::filter::{Comparison, Condition, Literal, Test};
use crate::path::Path;
use crate::value::{Class, compare, is_nan};

/// Whether every document that meets all `conditions` meets all of `wanted`.
pub(crate) fn all(conditions: &[Condition], wanted: &[Condition]) -> Result<bool, ValueError> {
    for one in wanted {
        if !any_says(conditions, one)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every document that meets all `conditions` has something at `path`.
pub(crate) fn is_there(conditions: &[Condition], path: &Path) -> Result<bool, ValueError> {
    for condition in conditions {
        let there = match condition {
            Condition::Field { path: of, test } => **of == *path && !accepts_missing(test)?,
            Condition::All(conditions) => is_there(conditions, path)?,
            Condition::Any(branches) => {
                let mut all = !branches.is_empty();
                for branch in branches {
                    all = all && is_there(std::slice::from_ref(branch), path)?;
                }
                all
            }
            Condition::Not(_) | Condition::Text(_) => false,
        };
        if there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether two conditions are the same, word for word.
pub(crate) fn is_same(one: &Condition, other: &Condition) -> bool {
    // Derived `Debug` of parsed conditions shows everything that distinguishes two of them.
    format!("{one:?}") == format!("{other:?}")
}

/// Whether one of the conditions alone says `wanted`, or it falls apart into such.
fn any_says(conditions: &[Condition], wanted: &Condition) -> Result<bool, ValueError> {
    match wanted {
        Condition::All(parts) => return all(conditions, parts),
        Condition::Any(branches) => {
            for branch in branches {
                if any_says(conditions, branch)? {
                    return Ok(true);
                }
            }
        }
        Condition::Field { .. } | Condition::Not(_) | Condition::Text(_) => {}
    }
    for condition in conditions {
        if says(condition, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn says(condition: &Condition, wanted: &Condition) -> Result<bool, ValueError> {
    if is_same(condition, wanted) {
        return Ok(true);
    }
    match condition {
        Condition::All(conditions) => any_says(conditions, wanted),
        Condition::Any(branches) => {
            let mut every = !branches.is_empty();
            for branch in branches {
                every = every && any_says(std::slice::from_ref(branch), wanted)?;
            }
            Ok(every)
        }
        Condition::Field { path, test } => match wanted {
            Condition::Field {
                path: other,
                test: wanted,
            } => Ok(path == other && test_says(test, wanted)?),
            _ => Ok(false),
        },
        Condition::Not(_) | Condition::Text(_) => Ok(false),
    }
}

/// Whether everything that passes `test` passes `wanted`: values, and the lack of one.
fn test_says(test: &Test, wanted: &Test) -> Result<bool, ValueError> {
    if matches!(wanted, Test::Exists) {
        return Ok(!accepts_missing(test)?);
    }
    if !matches!(wanted, Test::Compare(..) | Test::In(_)) {
        return Ok(false);
    }
    if let Some(literals) = values(test) {
        for literal in literals {
            if !wanted.holds(literal.value())? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match (test, wanted) {
        (Test::Compare(by, literal), Test::Compare(wanted_by, wanted)) => {
            range_says((*by, literal.value()), (*wanted_by, wanted.value()))
        }
        _ => Ok(false),
    }
}

/// The values of which something must be one to pass.
fn values(test: &Test) -> Option<&[Literal]> {
    if let Test::Compare(Comparison::Eq, literal) = test {
        return Some(std::slice::from_ref(literal));
    }
    if let Test::In(literals) = test {
        return Some(literals);
    }
    None
}

/// Whether the lack of a value may pass. Where that is not known, it may.
fn accepts_missing(test: &Test) -> Result<bool, ValueError> {
    match test {
        Test::Exists => Ok(false),
        test if matches!(test, Test::Compare(..) | Test::In(_)) => test.holds(RawBsonRef::Null),
        _ => Ok(true),
    }
}

type Range<'f> = (Comparison, RawBsonRef<'f>);

fn range_says((by, value): Range<'_>, (wanted_by, wanted): Range<'_>) -> Result<bool, ValueError> {
    use Comparison::{Gt, Gte, Lt, Lte};
    let class = Class::of(value);
    let odd = matches!(class, Class::MinKey | Class::MaxKey) || is_nan(value) || is_nan(wanted);
    if odd || class != Class::of(wanted) {
        return Ok(false);
    }
    let order = compare(value, wanted)?;
    Ok(match (by, wanted_by) {
        (Gt | Gte, Gte) | (Gt, Gt) => order != Ordering::Less,
        (Gte, Gt) => order == Ordering::Greater,
        (Lt | Lte, Lte) | (Lt, Lt) => order != Ordering::Greater,
        (Lte, Lt) => order == Ordering::Less,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use nexusbase_io::sim::SimRng;

    use crate::filter::Filter;
    use crate::json;
    use crate::path::Path;
    use crate::query::implies;

    fn value(rng: &mut SimRng, depth: u64) -> String {
        match rng.below(if depth == 0 { 8 } else { 10 }) {
            0 => "null".to_owned(),
            1 => "\"x\"".to_owned(),
            2 => "{\"$numberDouble\":\"NaN\"}".to_owned(),
            3 => "{\"$maxKey\":1}".to_owned(),
            8 => {
                let all: Vec<_> = (0..rng.below(3)).map(|_| value(rng, depth - 1)).collect();
                format!("[{}]", all.join(","))
            }
            9 => format!("{{\"a\":{}}}", value(rng, depth - 1)),
            _ => rng.below(4).to_string(),
        }
    }

    fn filter(rng: &mut SimRng, depth: u64) -> String {
        let path = ["a", "b", "a.a"][rng.index(3)];
        let one = value(rng, 1);
        match rng.below(if depth == 0 { 8 } else { 12 }) {
            0 | 1 => format!("{{\"{path}\":{one}}}"),
            2 => format!("{{\"{path}\":{{\"$exists\":true}}}}"),
            3 => format!("{{\"{path}\":{{\"$in\":[{one},{}]}}}}", value(rng, 0)),
            4..=6 => {
                let by = ["$gt", "$gte", "$lt", "$lte"][rng.index(4)];
                format!("{{\"{path}\":{{\"{by}\":{one}}}}}")
            }
            7 => format!("{{\"{path}\":{{\"$ne\":{one}}}}}"),
            8 | 9 => format!(
                "{{\"$or\":[{},{}]}}",
                filter(rng, depth - 1),
                filter(rng, depth - 1)
            ),
            _ => format!(
                "{{\"$and\":[{},{}]}}",
                filter(rng, depth - 1),
                filter(rng, depth - 1)
            ),
        }
    }

    fn parsed(text: &str) -> Filter {
        Filter::parse(&json::parse_document(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_said_to_follow_follows() {
        let mut rng = SimRng::new(3);
        let (mut proofs, mut there) = (0, 0);
        for _ in 0..30_000 {
            let (some, other) = (filter(&mut rng, 2), filter(&mut rng, 2));
            let (filter, wanted) = (parsed(&some), parsed(&other));
            let proved = implies::all(filter.conjuncts(), wanted.conjuncts()).unwrap();
            let path = Path::parse(["a", "b", "a.a"][rng.index(3)]).unwrap();
            let exists = implies::is_there(filter.conjuncts(), &path).unwrap();
            let is_there = parsed(&format!("{{\"{path}\":{{\"$exists\":true}}}}"));
            if !proved && !exists {
                continue;
            }
            proofs += usize::from(proved && some != other);
            there += usize::from(exists);
            for _ in 0..30 {
                let fields: Vec<_> = ["a", "b"]
                    .iter()
                    .filter_map(|name| {
                        let value = value(&mut rng, 2);
                        (rng.below(4) > 0).then(|| format!("\"{name}\":{value}"))
                    })
                    .collect();
                let text = format!("{{{}}}", fields.join(","));
                let document = json::parse_document(text.as_bytes()).unwrap();
                if filter.matches(&document).unwrap() {
                    let follows = wanted.matches(&document).unwrap();
                    assert!(follows || !proved, "{some} does not imply {other}: {text}");
                    let exists_there = is_there.matches(&document).unwrap();
                    assert!(exists_there || !exists, "{some} without {path}: {text}");
                }
            }
        }
        assert!(proofs > 300 && there > 1000, "{proofs}, {there}");
    }

    #[test]
    fn what_follows_plainly_is_found() {
        for (some, wanted) in [
            ("{\"a\":5}", "{\"a\":{\"$gt\":4}}"),
            ("{\"a\":5}", "{\"a\":{\"$exists\":true}}"),
            ("{\"a\":{\"$gt\":5}}", "{\"a\":{\"$gte\":5}}"),
            ("{\"a\":{\"$lt\":5},\"b\":1}", "{\"a\":{\"$lte\":6}}"),
            ("{\"a\":{\"$in\":[1,2]}}", "{\"a\":{\"$in\":[1,2,3]}}"),
            ("{\"a\":1}", "{\"$or\":[{\"a\":1},{\"b\":1}]}"),
            ("{\"$or\":[{\"a\":1},{\"a\":2}]}", "{\"a\":{\"$gt\":0}}"),
            ("{\"a\":{\"$ne\":1},\"b\":1}", "{\"a\":{\"$ne\":1}}"),
        ] {
            let (filter, wanted) = (parsed(some), parsed(wanted));
            let found = implies::all(filter.conjuncts(), wanted.conjuncts());
            assert!(found.unwrap(), "{some} implies {wanted:?}");
        }
    }
}
