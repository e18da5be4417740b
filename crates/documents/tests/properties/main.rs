//! Promises over all values and all bytes, tried with random ones.

mod damage;
mod json;
mod keys;
mod random;
