//! Crash simulations: a seed decides everything that happens, and a model judges it.
//!
//! Three worlds are simulated on the [simulated disk](nexusbase_io::sim): the [log](log_sim) alone,
//! with several groups and all kinds of records, the [forest](forest_sim) of trees alone, and a
//! whole [database](db_sim). Chance, planned faults and death are the same for all, and are
//! written once, in `world.rs`. Each runs random work, lets single operations fail, fills the
//! disk, kills the process or cuts the power at any operation (also in the middle of a recovery),
//! opens again, and compares what is there with a model that knows what was acknowledged, what was
//! only submitted, and nothing else.
//!
//! What they promise: a seed gives the same run on every machine, so a failure can be run again
//! alone; and they bite: `tests/bites.rs` breaks the code on purpose and demands to be told.
//!
//! What they do not: there is one thread, so races between threads are not found here; and time
//! does not pass but by reading the clock.

pub mod db_sim;
pub mod forest_sim;
pub mod log_sim;
mod many;
mod story;
mod world;

pub use many::{Batch, run_many};
pub use story::{Check, Failure, Report, Story};
pub use world::{Config, Defect};
