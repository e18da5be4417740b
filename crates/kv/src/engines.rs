//! The engines that come with NexusBase. Each depends on [`domain`](crate::domain) and on no other.
//!
//! | engine | for | durable | larger than memory |
//! | --- | --- | --- | --- |
//! | [`lsm`] | data that has to stay, of any size | yes | yes |
//! | [`memory`] | caches, tests, what can be made again | no | no |

pub mod lsm;
pub mod memory;
