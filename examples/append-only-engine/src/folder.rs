//! The folder that an engine lives in: one file per store.
//!
//! A file is only ever made whole, beside its place, and then renamed to it; and it only ever
//! grows at its end. So there are two things that a power cut can leave behind: a file under the
//! wrong name, which is ignored, and a last record that is not whole, which is cut off.

use std::path::PathBuf;
use std::sync::Arc;

use nexusbase_io::{self as io, File, Fs};
use nexusbase_kv::{ErrorKind, StoreOptions};

use crate::record::{Change, Rows, decode, encode, record_length};

/// A folder with stores.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) path: PathBuf,
}

/// A store as it stands in its file.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) file: Arc<dyn File>,
    /// How long the file is.
    length: usize,
    pub(crate) options: StoreOptions,
    pub(crate) rows: Rows,
    /// Where the last whole record ends.
    pub(crate) end: usize,
}

impl Folder {
    fn file(&self, store: &str) -> PathBuf {
        self.path.join(format!("{store}.log"))
    }

    /// The stores that are there.
    pub(crate) fn stores(&self) -> io::Result<Vec<String>> {
        let files = self.fs.list(&self.path)?;
        let stores = files.iter().filter_map(|file| file.strip_suffix(".log"));
        let mut stores: Vec<_> = stores.map(str::to_owned).collect();
        stores.sort_unstable();
        Ok(stores)
    }

    /// Writes a store's file anew: for a new store, instead of one with a torn end, and instead of
    /// one with much that was overwritten. Returns the file and its length.
    pub(crate) fn save(
        &self,
        store: &str,
        options: &StoreOptions,
        rows: &Rows,
    ) -> io::Result<(Arc<dyn File>, u64)> {
        let new = self.path.join(format!("{store}.new"));
        if self.fs.exists(&new)? {
            self.fs.remove(&new)?;
        }
        let mut bytes = encode(&[Change::Options(options.clone())]);
        for (key, entry) in rows {
            bytes.extend(encode(&[Change::Put(key.clone(), entry.clone())]));
        }
        let file = self.fs.create(&new)?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        self.fs.rename(&new, &self.file(store))?;
        self.fs.sync_dir(&self.path)?;
        Ok((file, bytes.len() as u64))
    }

    /// Reads a store's file, changing nothing.
    pub(crate) fn read(&self, store: &str) -> Result<Content, ErrorKind> {
        let path = self.file(store);
        let file = self.fs.open(&path)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
        let length = file.read_at(&mut bytes, 0)?;
        bytes.truncate(length);
        let mut content = Content {
            file,
            length,
            options: StoreOptions::default(),
            rows: Rows::new(),
            end: 0,
        };
        while let Some((changes, length)) = decode(&bytes[content.end..]) {
            for change in changes {
                change.apply(&mut content.rows, &mut content.options);
            }
            content.end += length;
        }
        // The next write only begins when the one before is on the disk. So only the last record
        // can be torn: with a whole one behind it, it is damage. What lies within it is none, even
        // if a value looks like one; but who does not know where it ends looks everywhere. The
        // first one was there before the file had its name.
        let whole = |at: usize| decode(&bytes[at..]).is_some();
        let behind = content.end + record_length(&bytes[content.end..]).unwrap_or(1);
        if content.end == 0 || (behind..bytes.len()).any(whole) {
            return Err(ErrorKind::Corrupt {
                file: path,
                offset: content.end as u64,
                expected: "a record with the right checksum".to_owned(),
                found: "something else, and whole records behind it".to_owned(),
            });
        }
        Ok(content)
    }

    /// Reads a store's file, and cuts off its end if that is torn.
    pub(crate) fn load(&self, store: &str) -> Result<Content, ErrorKind> {
        let content = self.read(store)?;
        if content.end < content.length {
            self.save(store, &content.options, &content.rows)?;
            return self.read(store);
        }
        // A process that was killed may have written this without syncing it. From now on it is
        // read, so it must stay.
        content.file.sync_data()?;
        Ok(content)
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fs.rename(&self.file(from), &self.file(to))?;
        self.fs.sync_dir(&self.path)
    }

    pub(crate) fn remove(&self, store: &str) -> io::Result<()> {
        self.fs.remove(&self.file(store))?;
        self.fs.sync_dir(&self.path)
    }
}
