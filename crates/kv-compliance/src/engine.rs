//! Examples for what an engine promises.

pub(crate) mod capabilities;
pub(crate) mod durable;
pub(crate) mod handles;
pub(crate) mod names;
