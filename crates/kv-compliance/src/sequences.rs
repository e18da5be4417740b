//! Random sequences of operations, each compared with the model; a failing one is made as short
//! as it can be.

pub(crate) mod operations;
mod run;

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::fixture::Fixture;
use crate::harness::Promise;
use operations::{Kind, Operation, operation};
use run::Run;

pub(crate) const STORE: &[Promise] =
    &[("any sequence of operations does what the model does", plain)];

pub(crate) const VERSIONED: &[Promise] = &[(
    "any sequence of operations and versions does what the model does",
    versioned,
)];

fn plain(fixture: &mut Fixture) {
    sequences(fixture, Kind::Plain);
}

fn versioned(fixture: &mut Fixture) {
    sequences(fixture, Kind::Versioned);
}

/// A runner of as many cases as the environment says. Without that they are always the same, so
/// that a run says the same twice; with it they are others each time.
pub(crate) fn runner() -> TestRunner {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    let wanted = wanted.and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: wanted.unwrap_or(64),
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    if wanted.is_some() {
        return TestRunner::new(config);
    }
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, same)
}

/// Shows the shortest sequence that fails.
#[track_caller]
pub(crate) fn report<T: std::fmt::Debug>(outcome: Result<(), TestError<Vec<T>>>) {
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, steps)) => {
            let steps: Vec<_> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("after these steps:\n{}\n{reason}", steps.join("\n"));
        }
        Err(TestError::Abort(reason)) => panic!("the sequences were given up: {reason}"),
    }
}

fn sequences(fixture: &mut Fixture, kind: Kind) {
    let steps = vec(operation(kind), 1..40);
    // The engine is changed when it is opened again, and a test of proptest is no `FnMut`.
    let fixture = std::cell::RefCell::new(fixture);
    let count = std::cell::Cell::new(0_u64);
    let outcome = runner().run(&steps, |steps| {
        count.set(count.get() + 1);
        let mut fixture = fixture.borrow_mut();
        let name = format!("case-{}", count.get());
        let mut run = Run::new(&mut fixture, &name);
        let outcome = steps.iter().try_for_each(|step: &Operation| {
            run.step(step)
                .and_then(|()| run.compare())
                .map_err(|error| TestCaseError::fail(format!("at {step:?}: {error}")))
        });
        drop(run);
        fixture.engine().drop_store(&name)?;
        outcome
    });
    report(outcome);
}
