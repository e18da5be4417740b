//! The engine keeps its promises.
#![cfg(test)]

use std::path::Path;
use std::sync::Arc;

use nexusbase_example_append_only_engine::AppendOnly;
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::Engine;
use nexusbase_kv_compliance::{self as compliance, Fixture};

/// The engine on a disk in memory, with a clock that the suite moves.
fn fixture() -> Fixture {
    let (disk, clock) = (SimDisk::new(1), SimClock::manual());
    let (on, time) = (disk.clone(), clock.clone());
    let open = move || {
        let env = Env {
            clock: Arc::new(time.clone()),
            ..Env::simulated(&on, 1)
        };
        let engine = AppendOnly::open(&env, Path::new("data")).expect("the engine opens");
        Arc::new(engine) as Arc<dyn Engine>
    };
    let after_power_cut = {
        let open = open.clone();
        move || {
            disk.crash(2);
            open()
        }
    };
    Fixture::new(open())
        .clock(&clock)
        .reopen(open)
        .power_cut(after_power_cut)
}

#[test]
fn store() {
    compliance::store(fixture);
}

#[test]
fn engine() {
    compliance::engine(fixture);
}
