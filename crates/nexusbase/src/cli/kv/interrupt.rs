//! Ctrl-C, for work that can stop in good order.
//!
//! The first one asks the work to stop at the next good place. The second one ends the process,
//! as the first one would have done without this: nothing that was acknowledged is lost by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::Terminal;
use crate::cli::failure::{Failure, Outcome};

/// What a shell says of a process that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Sets `stopped` at the first Ctrl-C, from now on.
pub(in crate::cli) fn listen(stopped: &Arc<AtomicBool>, terminal: Terminal) -> Outcome {
    let failed = |e: std::io::Error| Failure::new("cannot listen for Ctrl-C").because(Some(&e));
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(failed)?;
    let interrupts = {
        // Signals need to know their runtime.
        let _entered = runtime.enter();
        signal(SignalKind::interrupt()).map_err(failed)?
    };
    let stopped = Arc::clone(stopped);
    let wait = move || runtime.block_on(serve(interrupts, &stopped, terminal));
    // It ends with the process.
    std::thread::Builder::new()
        .name("ctrl-c".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(failed)
}

async fn serve(mut interrupts: Signal, stopped: &AtomicBool, terminal: Terminal) {
    while interrupts.recv().await.is_some() {
        if stopped.swap(true, Ordering::AcqRel) {
            std::process::exit(INTERRUPTED);
        }
        terminal.note("stopping where it can be gone on; Ctrl-C again ends at once");
    }
}
