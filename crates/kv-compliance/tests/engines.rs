//! The engines of NexusBase pass the suite.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use nexusbase_db::{Database, Options};
use nexusbase_io::Env;
use nexusbase_io::sim::{SimClock, SimDisk};
use nexusbase_kv::{Engine, engines};
use nexusbase_kv_compliance::{Fixture, MultiFixture};

/// The four suites of one engine, whose module has a `fixture`.
macro_rules! suites {
    ($($suite:ident)*) => {
        $(
            #[test]
            fn $suite() {
                nexusbase_kv_compliance::$suite(fixture);
            }
        )*
    };
}

fn env(clock: &SimClock, disk: &SimDisk) -> Env {
    Env {
        clock: Arc::new(clock.clone()),
        fs: Arc::new(disk.clone()),
        ..Env::os()
    }
}

/// An engine on a disk of its own, which outlives it.
fn again(clock: &SimClock, open: fn(&SimClock, &SimDisk) -> Arc<dyn Engine>) -> Fixture {
    let disk = SimDisk::new(0);
    let again = |cut: bool| {
        let (clock, disk) = (clock.clone(), disk.clone());
        move || {
            if cut {
                disk.crash(1);
            }
            open(&clock, &disk)
        }
    };
    Fixture::new(open(clock, &disk))
        .clock(clock)
        .reopen(again(false))
        .power_cut(again(true))
}

mod memory {
    use super::*;

    fn fixture() -> Fixture {
        on(&SimClock::manual())
    }

    pub(super) fn on(clock: &SimClock) -> Fixture {
        let env = env(clock, &SimDisk::new(0));
        Fixture::new(engines::memory::engine(&env)).clock(clock)
    }

    suites!(store engine transactional versioned);
}

mod file {
    use super::*;

    fn open(clock: &SimClock, disk: &SimDisk) -> Arc<dyn Engine> {
        let options = engines::file::FileOptions::default();
        engines::file::engine(&env(clock, disk), Path::new("/files"), options).unwrap()
    }

    fn fixture() -> Fixture {
        on(&SimClock::manual())
    }

    pub(super) fn on(clock: &SimClock) -> Fixture {
        again(clock, open)
    }

    suites!(store engine transactional versioned);
}

mod lsm {
    use super::*;

    /// The engine on a database of its own, which it takes with it.
    fn open(clock: &SimClock, disk: &SimDisk) -> Arc<dyn Engine> {
        let options = Options {
            env: env(clock, disk),
            segment_bytes: 1 << 20,
            ..Options::default()
        };
        let db = Database::open_with("/db", options).unwrap();
        engines::lsm::engine(&db).unwrap()
    }

    fn fixture() -> Fixture {
        on(&SimClock::manual())
    }

    pub(super) fn on(clock: &SimClock) -> Fixture {
        again(clock, open)
    }

    suites!(store engine transactional versioned);
}

#[test]
fn multistore() {
    nexusbase_kv_compliance::multistore(|| {
        let clock = SimClock::manual();
        let stores = nexusbase_kv::stores(&env(&clock, &SimDisk::new(0)));
        MultiFixture::new(
            stores,
            vec![lsm::on(&clock), file::on(&clock), memory::on(&clock)],
        )
    });
}
