//! The engines that come with NexusBase. Each depends on [`domain`](crate::domain) and on no other.
//!
//! | engine | for | durable | larger than memory |
//! | --- | --- | --- | --- |
//! | [`lsm`] | data that has to stay, of any size | yes | yes |
//! | [`file`](mod@file) | what people want to read and edit; small to middle sizes | yes | no |
//! | [`memory`] | caches, tests, what can be made again | no | no |

pub mod file;
pub mod lsm;
pub mod memory;
