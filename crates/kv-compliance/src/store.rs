//! Examples for what a view and a store promise.

pub(crate) mod expiry;
pub(crate) mod limits;
pub(crate) mod reads;
pub(crate) mod states;
pub(crate) mod writes;
