//! The kinds of trees that this program knows.

use std::collections::BTreeMap;

use nexusbase_forest::{TreeKind, ZONES_MAX};

use crate::error::OpenError;

/// The longest name of a kind, in bytes: its length has one byte in the catalog.
const NAME_BYTES_MAX: usize = u8::MAX as usize;

/// Kinds by name.
#[derive(Debug)]
pub(crate) struct Kinds(BTreeMap<&'static str, TreeKind>);

impl Kinds {
    /// `others` and [`TreeKind::ROWS`].
    pub(crate) fn new(others: &[TreeKind]) -> Result<Self, OpenError> {
        let mut kinds = BTreeMap::from([(TreeKind::ROWS.name, TreeKind::ROWS)]);
        for kind in others {
            let refused = |reason: &str| OpenError::Kind {
                kind: kind.name.to_owned(),
                reason: reason.to_owned(),
            };
            if kind.name.is_empty() || kind.name.len() > NAME_BYTES_MAX {
                return Err(refused("its name must have 1 to 255 bytes"));
            }
            if kind.zones.len() > ZONES_MAX {
                return Err(refused("it has too many zones"));
            }
            if kinds.insert(kind.name, *kind).is_some() {
                return Err(refused("there is another of that name"));
            }
        }
        Ok(Self(kinds))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&TreeKind> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = match std::str::from_utf8(&[b'x'; 256]) {
        Ok(long) => long,
        Err(_) => "",
    };

    const ZONES: [nexusbase_forest::Zone; ZONES_MAX + 1] = [|_| 0; ZONES_MAX + 1];

    #[test]
    fn kinds_that_could_be_confused_or_written_down_wrongly_are_refused() {
        let kind = |name| TreeKind {
            name,
            ..TreeKind::ROWS
        };
        for kinds in [
            vec![kind("a"), kind("a")],
            vec![kind("rows")],
            vec![kind("")],
            vec![kind(LONG)],
            vec![TreeKind {
                zones: &ZONES,
                ..kind("a")
            }],
        ] {
            assert!(Kinds::new(&kinds).is_err(), "{kinds:?}");
        }
        let kinds = Kinds::new(&[kind("a"), kind("b")]).unwrap();
        assert!(kinds.get("rows").is_some() && kinds.get("b").is_some());
        assert!(kinds.get("c").is_none());
    }
}
