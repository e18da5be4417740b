//! The stores of a database: all engines that come with NexusBase, together.

use std::path::Path;
use std::sync::Arc;

use nexusbase_db::Database;

use crate::domain::{MultiStore, Result};
use crate::{engines, stores};

/// The name of the folder, within the data folder, that the `file` engine works in.
pub const FILES_DIR: &str = "files";

/// The stores of the database `db`, whose data folder is `folder`.
///
/// # Errors
/// When an engine cannot be opened.
pub fn standard(db: &Database, folder: &Path) -> Result<Arc<dyn MultiStore>> {
    let stores = stores(db.env());
    stores.register(engines::lsm::engine(db)?)?;
    let files = folder.join(FILES_DIR);
    let options = engines::file::FileOptions::default();
    stores.register(engines::file::engine(db.env(), &files, options)?)?;
    stores.register(engines::memory::engine(db.env()))?;
    Ok(stores)
}
