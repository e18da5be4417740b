//! What the random tests share: operations, the simplest thing that could be right, and a runner.

pub(crate) mod config;
pub(crate) mod generate;
pub(crate) mod kinds;
pub(crate) mod ops;
pub(crate) mod oracle;
pub(crate) mod reduce;
pub(crate) mod runner;
