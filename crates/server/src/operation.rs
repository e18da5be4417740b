//! Work on the database: off the threads that serve connections, bounded in number and time.
//!
//! An operation waits for a place among those that may be under way, then runs on a thread that
//! may block, and keeps its place until it has ended, even if nobody waits for its answer any
//! more. When the request's time is up before it began, it never begins; when it had begun, a
//! read is given up (504), and of a write the caller is told that its outcome is not known. A
//! write that succeeded is therefore never reported as failed. A read whose caller has gone is
//! given up too.
//!
//! Rights are looked at once more when an operation begins: a body may come in slowly, and who has
//! lost the rights meanwhile does nothing any more.
//!
//! An operation takes a permit and hands the models to the work: who has none has no models.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::auth::{Change, Level, Models, Permit, Read};
use crate::observe::Deadline;
use crate::problem::{Kind, Problem};

/// How long an operation waits for a place.
const PLACE_WAIT: Duration = Duration::from_secs(1);

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Whether an operation has begun, and whether somebody still waits for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    fn begin(&self) -> bool {
        self.step(WAITING, RUNNING)
    }

    /// Gives the operation up. Returns whether it had not begun, and so never will.
    fn give_up(&self) -> bool {
        let early = self.step(WAITING, GIVEN_UP);
        self.0.store(GIVEN_UP, Ordering::Release);
        early
    }

    fn step(&self, from: u8, to: u8) -> bool {
        let order = Ordering::AcqRel;
        self.0
            .compare_exchange(from, to, order, Ordering::Acquire)
            .is_ok()
    }

    /// Whether nobody waits any more. An operation of several steps looks between them.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }
}

/// Gives a read up when nobody waits for it any more, because its caller is gone.
struct Waiting(Progress);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

/// Runs an operation that changes nothing.
pub(crate) async fn read<L: Level, T: Send + 'static>(
    permit: Permit<L>,
    deadline: Deadline,
    work: impl FnOnce(&Models, &Progress) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    run(permit.into_models(), deadline, Access::Read, work).await
}

/// Runs operations of a transaction, which look up by themselves what the caller's role allows.
pub(crate) async fn transact<T: Send + 'static>(
    permit: Permit<Read>,
    deadline: Deadline,
    work: impl FnOnce(&Models, &Progress) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    run(permit.into_models(), deadline, Access::Write, work).await
}

/// Runs an operation that may change something.
pub(crate) async fn write<L: Change, T: Send + 'static>(
    permit: Permit<L>,
    deadline: Deadline,
    work: impl FnOnce(&Models, &Progress) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    run(permit.into_models(), deadline, Access::Write, work).await
}

async fn run<T: Send + 'static>(
    models: Models,
    Deadline(deadline): Deadline,
    access: Access,
    work: impl FnOnce(&Models, &Progress) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let wait_end = deadline.min(Instant::now() + PLACE_WAIT);
    let place = models.operation_places().acquire_owned();
    let waiting = models.waiting_operation();
    let Ok(Ok(place)) = timeout_at(wait_end, place).await else {
        return Err(busy("too many operations are under way"));
    };
    drop(waiting);
    let progress = Progress::default();
    let its_progress = progress.clone();
    let _waiting = matches!(access, Access::Read).then(|| Waiting(progress.clone()));
    let task = tokio::task::spawn_blocking(move || {
        let _place = place;
        if its_progress.begin() {
            models.check_current()?;
            work(&models, &its_progress)
        } else {
            Err(busy("no thread was free in time"))
        }
    });
    match timeout_at(deadline, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(join)) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Ok(Err(_)) => Err(busy("the server is stopping")),
        Err(_) if progress.give_up() => Err(busy("no thread was free in time")),
        Err(_) => Err(late(access)),
    }
}

/// A problem of too much work, in which nothing was done.
pub(crate) fn busy(reason: &str) -> Problem {
    let detail = format!("{reason}; nothing was done. Try again in a moment");
    Problem::new(Kind::Busy, detail)
}

fn late(access: Access) -> Problem {
    match access {
        Access::Read => Problem::new(
            Kind::Timeout,
            "the answer took longer than the time limit; ask for less, or create an index that \
             helps",
        ),
        Access::Write => Problem::new(
            Kind::OutcomeUnknown,
            "the time limit ended the request while it was being carried out: it may have been \
             done, wholly or in part, or may be done yet. Look before you repeat it",
        ),
    }
}
