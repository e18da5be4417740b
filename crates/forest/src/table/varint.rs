//! Numbers of variable length (LEB128: seven bits a byte, the least first, the top bit says that
//! more follows), and reading them from bytes that may be damaged.
//!
//! Reading never panics and never goes past the end. It takes longer forms of a number than
//! needed; nobody writes them.

/// What is wrong with some bytes, in words that follow "found".
pub(crate) type Damage = &'static str;

const CUT: Damage = "bytes that end too soon";

/// Appends `value` in 1 to 10 bytes.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

const fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// How many bytes [`put`] takes for `value`.
pub(crate) const fn length(value: u64) -> usize {
    ((70 - (value | 1).leading_zeros()) / 7) as usize
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        let (first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Damage> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.long_varint(u64::from(first & 0x7f))
    }

    fn long_varint(&mut self, mut value: u64) -> Result<u64, Damage> {
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number above 64 bits")
    }

    /// A number of at most `max`, which must fit a `usize`.
    #[inline]
    pub(crate) fn length(&mut self, max: usize) -> Result<usize, Damage> {
        match usize::try_from(self.varint()?) {
            Ok(length) if length <= max => Ok(length),
            _ => Err("a length above its limit"),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_read_and_has_the_length_foretold() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for value in edges.chain([u64::MAX]) {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), length(value), "{value}");
            let mut reader = Reader(&out);
            assert_eq!(reader.varint(), Ok(value));
            assert!(reader.is_empty());
            for cut in 0..out.len() {
                assert!(Reader(&out[..cut]).varint().is_err());
            }
        }
    }

    #[test]
    fn more_than_64_bits_are_an_error() {
        let mut bytes = [0xff; 11];
        assert!(Reader(&bytes).varint().is_err());
        bytes[9] = 2;
        assert!(Reader(&bytes).varint().is_err());
        bytes[9] = 1;
        assert_eq!(Reader(&bytes).varint(), Ok(u64::MAX));
    }
}
