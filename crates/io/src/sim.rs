//! The simulated world: a disk with a fault model, a clock and randomness that follow a seed.
