//! What users do, and how often.

use std::fmt;
use std::str::FromStr;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Read,
    Insert,
    Update,
    Delete,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Read, Self::Insert, Self::Update, Self::Delete];

    /// What it is called in a mix and in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Insert => "inserts",
            Self::Update => "updates",
            Self::Delete => "deletes",
        }
    }
}

/// Weights of the kinds, in the order of [`Kind::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mix([u16; 4]);

impl Mix {
    /// The kind that a random number chooses.
    pub(super) fn choose(self, random: u64) -> Kind {
        let mut left = random % self.total();
        for (kind, weight) in Kind::ALL.into_iter().zip(self.0) {
            match left.checked_sub(u64::from(weight)) {
                None => return kind,
                Some(rest) => left = rest,
            }
        }
        Kind::Read
    }

    fn total(self) -> u64 {
        self.0.iter().map(|weight| u64::from(*weight)).sum()
    }

    /// Which part of all operations changes something.
    pub(super) fn write_share(self) -> f64 {
        let reads = f64::from(self.0[0]);
        let all: f64 = self.0.iter().map(|weight| f64::from(*weight)).sum();
        1.0 - reads / all
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, weight)) in Kind::ALL.into_iter().zip(self.0).enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}={weight}", kind.name())?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "write it like reads=40,inserts=30,updates=20,deletes=10";
        let mut mix = Self([0; 4]);
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').ok_or(expected)?;
            let at = Kind::ALL.iter().position(|kind| kind.name() == name.trim());
            let at = at.ok_or_else(|| format!("there is no kind {name:?}; {expected}"))?;
            mix.0[at] = weight.trim().parse().map_err(|_| expected)?;
        }
        if mix.0[1] == 0 {
            return Err(
                "without inserts there is nothing to read; give inserts a weight".to_owned(),
            );
        }
        Ok(mix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept() {
        let mix: Mix = "reads=1,inserts=2,updates=0,deletes=1".parse().unwrap();
        let counts = Kind::ALL.map(|kind| (0..400).filter(|n| mix.choose(*n) == kind).count());
        assert_eq!(counts, [100, 200, 0, 100]);
        assert!((mix.write_share() - 0.75).abs() < 1e-9);
        assert_eq!(mix.to_string().parse(), Ok(mix));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("reads=1", "inserts"),
            ("inserts=x", "write it like"),
            ("writes=1", "no kind \"writes\""),
        ] {
            let refused = text.parse::<Mix>().unwrap_err();
            assert!(refused.contains(part), "{refused}");
        }
    }
}
