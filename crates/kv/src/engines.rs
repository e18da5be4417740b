//! The engines that come with NexusBase. Each depends on [`domain`](crate::domain) and on no other.
