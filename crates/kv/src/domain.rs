//! The interfaces: what a store, a transaction, a version and an engine are, for those who use
//! them and for those who write a new engine.
//!
//! | interface | what it is |
//! | --- | --- |
//! | [`View`] | one state that can be read |
//! | [`Store`] | a store: the newest state, and changes to it, each atomic |
//! | [`Transactional`] | a store with transactions over several reads and writes |
//! | [`Versioned`] | a store with states that can be gone back to |
//! | [`Engine`] | keeps stores in one way, and says what they can do |
//! | [`MultiStore`] | many stores over many engines, by name |
//!
//! Nothing here knows an engine: engines use these modules, never the other way round (a test
//! checks it). What every engine must promise stands at each method, and the compliance suite
//! (`nexusbase-kv-compliance`) checks it.

pub mod capabilities;
pub mod cursor;
pub mod diff;
pub mod engine;
pub mod entry;
pub mod error;
pub mod event;
pub mod multi_store;
pub mod name;
pub mod page;
pub mod store;
pub mod transaction;
pub mod version;
pub mod view;

pub use capabilities::{Capabilities, Capability, Limits, Transactions};
pub use cursor::{Cursor, Rows};
pub use diff::{Diff, Difference};
pub use engine::{CheckFinding, CheckMode, CheckReport, Engine, StoreInfo, StoreOptions};
pub use entry::{Entry, Put, Row, RowRef};
pub use error::{Error, ErrorKind, Operation, Result};
pub use event::{Event, EventKind, Events, Next, Subscription};
pub use multi_store::{CopyProgress, CopyReport, CreateOptions, MultiStore};
pub use name::check_name;
pub use nexusbase_db::{Direction, KeyRange};
pub use page::{Page, PageQuery};
pub use store::{Expected, Store, StoreStats, Swap, Write};
pub use transaction::{Mode, Transaction, Transactional, WriteView, transact};
pub use version::{Retention, Version, VersionId, Versioned};
pub use view::View;
