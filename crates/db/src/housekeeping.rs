//! Housekeeping: what has to happen although nobody waits for it.
//!
//! One thread per database, which sleeps until the bell rings or its time has come. Everything it
//! does is [`Database::housekeeping_step`](crate::Database::housekeeping_step), which a
//! database without the thread can call by itself.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use nexusbase_log::LogWriter;
use parking_lot::{Condvar, Mutex};

use crate::commit::Pipeline;
use crate::database::Core;
use crate::options::Durability;

/// A log that was quiet for this long says so (see `LogWriter::claim`).
const IDLE: Duration = Duration::from_millis(500);
/// How many batches a step writes before it looks after the rest.
const LED_MAX: usize = 16;

/// Wakes the housekeeping thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    /// Lock `db.bell`: held for a few instructions.
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    rung: bool,
    ended: bool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.state.lock().rung = true;
        self.changed.notify_one();
    }

    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_one();
    }

    /// Sleeps until the bell rings, at most for `time`. Returns false at the end.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.rung && !state.ended {
            self.changed.wait_for(&mut state, time);
        }
        state.rung = false;
        !state.ended
    }
}

/// The housekeeping thread; ended and joined when dropped.
#[derive(Debug)]
pub(crate) struct Housekeeper {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    pub(crate) fn start(core: Arc<Core>, durability: Durability) -> std::io::Result<Self> {
        let bell = Arc::clone(&core.bell);
        let pause = match durability {
            Durability::Interval(interval) => interval.clamp(Duration::from_millis(1), IDLE),
            Durability::Always | Durability::Never => IDLE,
        };
        let thread = std::thread::Builder::new()
            .name("nexusbase-house".to_owned())
            .spawn({
                let bell = Arc::clone(&bell);
                move || {
                    let clock = Arc::clone(&core.env.clock);
                    let (mut before, mut last) = (0, clock.monotonic());
                    while bell.sleep((last + pause).saturating_sub(clock.monotonic())) {
                        // A bell calls for what cannot wait; the rest keeps its time.
                        let now = clock.monotonic();
                        let due = now >= last + pause;
                        step(&core, &mut before, due);
                        if due {
                            last = now;
                        }
                    }
                }
            })?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.bell.end();
        if let Some(thread) = self.thread.take()
            // It may be the one that drops the last handle, out of a task's waker.
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there has been reported by its own hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Writes what nobody writes, and does what is `due` once per interval. `before` carries the
/// visible index from one such time to the next, to notice idleness.
pub(crate) fn step(core: &Core, before: &mut u64, due: bool) {
    let pipeline: &Pipeline = &core.pipeline;
    let mut led = 0;
    while led < LED_MAX && pipeline.lead() {
        led += 1;
    }
    if led == LED_MAX {
        // There may be more, but the rest of this is due as well.
        core.bell.ring();
    }
    if pipeline.is_stopped().is_some() {
        // The folder may belong to somebody else already.
        return;
    }
    // Neither of these fails anybody: a commit that needs the space will say so.
    let _ = core.log.prepare_spare_step();
    while core.log.recycle_step().unwrap_or(false) {}
    if !due {
        return;
    }
    let lent = match core.durability {
        Durability::Interval(_) => pipeline.sync_log().is_some(),
        Durability::Always | Durability::Never => true,
    };
    if !lent {
        pipeline.request_sync();
    }
    let visible = core.registry.visible.get();
    if visible == *before && core.durability != Durability::Never {
        pipeline.with_writer(LogWriter::claim);
    }
    *before = visible;
}
