//! Runs checks, and reports every promise that was broken.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use nexusbase_kv::{Capability, Error, ErrorKind, Result, Store};

use crate::fixture::Fixture;

/// Whoever is said not to wait may take so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A promise, and what checks it. It panics when the promise is broken.
pub(crate) type Promise<F = Fixture> = (&'static str, fn(&mut F));

/// Checks all promises, each with a fixture of its own.
pub(crate) fn hold<F>(suite: &str, make: &mut dyn FnMut() -> F, promises: &[Promise<F>]) {
    let mut broken = Vec::new();
    for (promise, check) in promises {
        let mut fixture = make();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&mut fixture)));
        // What a broken engine does when it is dropped must not hide what it did before.
        let end = catch_unwind(AssertUnwindSafe(|| drop(fixture)));
        if let Err(panic) = outcome.and(end) {
            broken.push(format!(
                "- {promise}\n    {}",
                text(&*panic).replace('\n', "\n    ")
            ));
        }
    }
    assert!(
        broken.is_empty(),
        "{suite}: {} of {} promises are broken:\n{}",
        broken.len(),
        promises.len(),
        broken.join("\n")
    );
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
    text.unwrap_or_else(|| "it panicked without a text".to_owned())
}

/// Does something with a store in another thread, and fails when that has to wait for whatever
/// this thread holds.
#[track_caller]
pub(crate) fn beside<T: Send + 'static>(
    store: &Arc<dyn Store>,
    work: impl FnOnce(&dyn Store) -> T + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    let store = Arc::clone(store);
    std::thread::spawn(move || {
        // Nobody listens any more when it took too long.
        let _ = tell.send(work(&*store));
    });
    told.recv_timeout(PATIENCE)
        .expect("another thread does not have to wait for a reader or a transaction")
}

/// The error of what must fail.
#[track_caller]
pub(crate) fn refused<T>(what: &str, result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("{what} must fail, and did not"),
        Err(error) => error,
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $kind:pat,)*) => {$(
        $(#[$doc])*
        #[track_caller]
        pub(crate) fn $name<T>(what: &str, result: Result<T>) -> Error {
            let error = refused(what, result);
            assert!(matches!(error.kind(), $kind), "{what}: another error was expected than {error:?}");
            error
        }
    )*};
}

kinds! {
    /// What must answer that there is no such store.
    no_store => ErrorKind::StoreNotFound,
    /// What must answer that there is such a store.
    store_exists => ErrorKind::StoreExists,
    /// What must answer that it is closed.
    closed => ErrorKind::Closed,
    /// What must answer that something is too large.
    too_large => ErrorKind::TooLarge { .. },
    /// What must answer that the caller said nonsense.
    invalid => ErrorKind::Invalid(_),
    /// What must answer that another was first.
    conflict => ErrorKind::Conflict,
    /// What must answer that it can only be read.
    read_only => ErrorKind::ReadOnly(_),
    /// What must answer that there is no such version.
    no_version => ErrorKind::VersionNotFound(_),
    /// What must answer that there is such a version.
    version_exists => ErrorKind::VersionExists(_),
    /// What must answer that there is no such key.
    no_key => ErrorKind::KeyNotFound,
}

/// What must answer that the engine cannot do it.
#[track_caller]
pub(crate) fn unsupported<T>(what: &str, result: Result<T>, capability: Capability) -> Error {
    let error = refused(what, result);
    assert!(
        matches!(error.kind(), ErrorKind::Unsupported(found) if *found == capability),
        "{what}: another error was expected than {error:?}"
    );
    error
}
