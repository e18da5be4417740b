//! The engines that come with NexusBase. Each depends on [`domain`](crate::domain) and on no other.
//!
//! | engine | for | durable | larger than memory |
//! | --- | --- | --- | --- |
//! | [`memory`] | caches, tests, what can be made again | no | no |

pub mod memory;
