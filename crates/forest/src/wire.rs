//! Numbers and bytes as the manifest and the indexes of tables write them, and a reader that
//! trusts none of them.
//!
//! Numbers are LEB128 in as few bytes as they need; a longer spelling is refused, so that
//! everything has one encoding. The reader never panics and never allocates more than what is there.

use bytes::Bytes;

/// Why bytes cannot be read, and where in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) at: usize,
    pub(crate) what: String,
}

impl From<WireError> for String {
    fn from(error: WireError) -> Self {
        format!("{} at byte {}", error.what, error.at)
    }
}

pub(crate) type Result<T> = std::result::Result<T, WireError>;

pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Small numbers of both signs stay short.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_number(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of some bytes.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(WireError {
            at: self.at,
            what: what.into(),
        })
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let Some(bytes) = self
            .at
            .checked_add(length)
            .and_then(|end| self.bytes.get(self.at..end))
        else {
            return self.error(format!("{length} bytes wanted, {} left", self.left()));
        };
        self.at += length;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return self.error("a number of more than 64 bits");
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return self.error("a number in more bytes than it needs");
                }
                return Ok(value);
            }
        }
        self.error("a number of more than ten bytes")
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        let value = self.number()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.number()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => self.error(format!("a length of {length}")),
        }
    }

    pub(crate) fn key(&mut self) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(self.bytes()?))
    }

    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => self.error(format!("{other} where only 0 and 1 mean something")),
        }
    }

    /// So many things as the number in front says, each of at least one byte.
    pub(crate) fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let count = self.number()?;
        if count > self.left() as u64 {
            return self.error(format!("a list of {count} in {} bytes", self.left()));
        }
        // Things are larger in memory than on disk, so room is made only as they turn out true.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list)
    }
}
