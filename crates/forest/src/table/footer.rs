//! The end of a table file, which says what and where everything is.
//!
//! Footer, the last 64 bytes:
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 8 | `NXTABLE` and a zero byte |
//! | 8 | 4 | format: 1 |
//! | 12 | 4 | tree |
//! | 16 | 8 | number of the file |
//! | 24 | 8, 4 | offset and length of the top block |
//! | 36 | 8, 4 | offset and length of the meta block |
//! | 48 | 8 | length of the file |
//! | 56 | 4 | zero |
//! | 60 | 4 | CRC-32C of bytes 0 to 59 |
//!
//! The meta block (`M`) repeats what the manifest says of the table, so that a lost manifest can
//! be made again from the tables: tree, name of the kind, then the table as in the manifest, with
//! a length of one, because it is not known yet.

use crate::manifest::edit;
use crate::row::FileId;
use crate::table::frame::Handle;
use crate::table::meta::TableMeta;
use crate::wire::{Reader, put_bytes, put_number};
use crate::{TreeId, TreeKind};

pub(crate) const FOOTER_BYTES: usize = 64;
pub(crate) const META: u8 = b'M';
const MAGIC: &[u8; 8] = b"NXTABLE\0";
const FORMAT: u32 = 1;

/// Where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) id: FileId,
    pub(crate) tree: TreeId,
    pub(crate) top: Handle,
    pub(crate) meta: Handle,
    pub(crate) file_bytes: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&self.tree.get().to_le_bytes());
        out.extend_from_slice(&self.id.0.to_le_bytes());
        for handle in [self.top, self.meta] {
            out.extend_from_slice(&handle.offset.to_le_bytes());
            out.extend_from_slice(&handle.length.to_le_bytes());
        }
        out.extend_from_slice(&self.file_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        let mut footer = [0; FOOTER_BYTES];
        footer.copy_from_slice(&out);
        footer
    }

    /// Reads the footer of file `id`, which is `file_bytes` long. The error says what was
    /// expected and what was found.
    pub(crate) fn decode(
        bytes: &[u8; FOOTER_BYTES],
        id: FileId,
        file_bytes: u64,
    ) -> Result<Self, (String, String)> {
        let (signed, checksum) = bytes.split_at(FOOTER_BYTES - 4);
        let expected = crc32c::crc32c(signed);
        if checksum != expected.to_le_bytes() {
            let found = u32::from_le_bytes(checksum.try_into().unwrap_or_default());
            return Err((
                format!("a footer with checksum {expected:08x}"),
                format!("{found:08x}"),
            ));
        }
        let fault = |reason: String| ("the footer of a table".to_owned(), reason);
        let footer = Self::read(signed).map_err(fault)?;
        if footer.id != id || footer.file_bytes != file_bytes {
            return Err((
                format!("the footer of file {:016x} of {file_bytes} bytes", id.0),
                format!(
                    "that of file {:016x} of {} bytes",
                    footer.id.0, footer.file_bytes
                ),
            ));
        }
        Ok(footer)
    }

    fn read(signed: &[u8]) -> Result<Self, String> {
        let mut input = Reader::new(signed);
        if input.take(MAGIC.len())? != MAGIC {
            return Err("other magic bytes".to_owned());
        }
        let format = fixed_u32(&mut input)?;
        if format != FORMAT {
            return Err(format!(
                "format {format}; this program reads format {FORMAT}"
            ));
        }
        let tree = TreeId::new(fixed_u32(&mut input)?);
        let id = FileId(fixed_u64(&mut input)?);
        let mut handle = || {
            Ok::<_, String>(Handle {
                offset: fixed_u64(&mut input)?,
                length: fixed_u32(&mut input)?,
            })
        };
        let (top, meta) = (handle()?, handle()?);
        let file_bytes = fixed_u64(&mut input)?;
        let inside = |handle: Handle| {
            handle
                .offset
                .checked_add(u64::from(handle.length))
                .is_some_and(|end| end <= file_bytes)
        };
        if !inside(top) || !inside(meta) {
            return Err("a block that leads beyond the file".to_owned());
        }
        Ok(Self {
            id,
            tree,
            top,
            meta,
            file_bytes,
        })
    }
}

fn fixed_u32(input: &mut Reader<'_>) -> Result<u32, String> {
    let bytes = input.take(4)?;
    Ok(u32::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

fn fixed_u64(input: &mut Reader<'_>) -> Result<u64, String> {
    let bytes = input.take(8)?;
    Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

/// The payload of a meta block.
pub(crate) fn encode_meta(tree: TreeId, kind: &TreeKind, meta: &TableMeta) -> Vec<u8> {
    let mut out = vec![META];
    put_number(&mut out, u64::from(tree.get()));
    put_bytes(&mut out, kind.name.as_bytes());
    edit::put_table(&mut out, meta);
    out
}

/// A meta block's tree, name of the kind, and table.
pub(crate) fn decode_meta(raw: &[u8]) -> Result<(TreeId, String, TableMeta), String> {
    let mut input = Reader::new(raw);
    if input.byte()? != META {
        return Err("it is not a meta block".to_owned());
    }
    let tree = u32::try_from(input.number()?).map_err(|_| "its tree has too large a number")?;
    let tree = TreeId::new(tree);
    let kind = String::from_utf8(input.bytes()?.to_vec())
        .map_err(|_| "the name of its kind is not UTF-8".to_owned())?;
    let table = edit::table(&mut input)?;
    if input.left() != 0 {
        return Err(format!("{} bytes follow it", input.left()));
    }
    Ok((tree, kind, table))
}
