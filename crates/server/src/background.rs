//! What the server does without being asked: it goes on with indexes whose builds were
//! interrupted, and deletes documents whose time has come.
//!
//! Each kind of work has a thread of its own, so that it takes no place from requests. What fails
//! is logged once, until it has worked again, and stops nothing else. At the end of the service
//! the threads end after the step that they are at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nexusbase_documents::Error;
use nexusbase_documents::store::Built;

use crate::app::App;
use crate::config::ServeError;

/// How long expired documents may stay.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);
/// How many documents one step deletes.
const EXPIRY_STEP: usize = 1000;

/// The threads that work in the background.
pub(crate) struct Background {
    threads: Vec<JoinHandle<()>>,
    /// When they are gone, the threads wake up and end.
    wakers: Vec<Sender<()>>,
    ends: Arc<AtomicBool>,
}

impl Background {
    /// Starts the work.
    pub(crate) fn start(app: &Arc<App>) -> Result<Self, ServeError> {
        let mut background = Self {
            threads: Vec::new(),
            wakers: Vec::new(),
            ends: Arc::default(),
        };
        background.spawn("nexusbase-indexes", app, finish_indexes)?;
        background.spawn("nexusbase-expiry", app, expire)?;
        Ok(background)
    }

    fn spawn(
        &mut self,
        name: &str,
        app: &Arc<App>,
        work: fn(&App, &Rest),
    ) -> Result<(), ServeError> {
        let (waker, woken) = channel();
        let rest = Rest {
            woken,
            ends: Arc::clone(&self.ends),
        };
        let app = Arc::clone(app);
        let thread = Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || work(&app, &rest));
        let thread = thread.map_err(|source| ServeError::Start {
            what: "start a thread for work in the background",
            source,
        })?;
        self.threads.push(thread);
        self.wakers.push(waker);
        Ok(())
    }

    /// Ends the work in order.
    pub(crate) async fn stop(mut self) {
        let threads = std::mem::take(&mut self.threads);
        drop(self);
        // A step may still take a moment.
        let joined = tokio::task::spawn_blocking(|| {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("work in the background panicked; this is a defect");
                }
            }
        });
        // It is never cancelled, and does not panic.
        let _ = joined.await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        self.wakers.clear();
    }
}

/// How a thread rests, and learns that it is to end.
struct Rest {
    woken: Receiver<()>,
    ends: Arc<AtomicBool>,
}

impl Rest {
    /// Whether to go on after a pause, which the end cuts short.
    fn pause(&self, pause: Duration) -> bool {
        self.woken.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::Acquire)
    }
}

/// Finishes the indexes whose builds were interrupted when the database was closed or failed.
fn finish_indexes(app: &App, rest: &Rest) {
    let unfinished = match app.vault.unfinished_indexes() {
        Ok(unfinished) => unfinished,
        Err(error) => {
            tracing::error!(%error, "cannot tell which indexes are unfinished");
            return;
        }
    };
    for index in unfinished {
        if rest.ends() {
            return;
        }
        let (collection, name) = (&index.collection, index.spec.name());
        tracing::info!(
            collection,
            index = name,
            "going on with an unfinished index"
        );
        match app.vault.continue_index(&index, || !rest.ends()) {
            Ok(Built::Finished | Built::Already) => {
                tracing::info!(collection, index = name, "the index is ready");
            }
            Ok(Built::Paused) => return,
            Err(error) => {
                tracing::error!(collection, index = name, %error, "the index cannot be finished");
            }
        }
    }
}

/// Deletes documents whose time has come, again and again.
fn expire(app: &App, rest: &Rest) {
    let mut failed = false;
    loop {
        match expire_all(app, rest) {
            Ok(0) => failed = false,
            Ok(documents) => {
                failed = false;
                tracing::debug!(documents, "documents have expired");
            }
            Err(error) if !failed => {
                failed = true;
                tracing::error!(%error, "documents cannot be let expire; trying again");
            }
            Err(_) => {}
        }
        if !rest.pause(EXPIRY_PAUSE) {
            return;
        }
    }
}

/// Deletes all documents whose time has come. Returns how many.
fn expire_all(app: &App, rest: &Rest) -> Result<usize, Error> {
    let mut documents = 0;
    while !rest.ends() {
        let step = app.vault.expire_step(EXPIRY_STEP)?;
        documents += step.documents;
        if !step.more || step.documents == 0 {
            break;
        }
    }
    Ok(documents)
}
