//! One user: does one thing after another, and checks every answer against what it knows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexusbase_io::Clock;
use serde_json::Value;
use ureq::http::Method;

use super::client::{Answer, Client, Silence};
use super::mix::{Kind, Mix};
use super::model::{Known, Model, State, content, version_of};
use super::random::Random;
use super::tally::{Outcome, Tally};

/// How long a user waits before it tries a server again that cannot be reached.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a user sleeps at most before it looks whether the test was stopped.
const NAP: Duration = Duration::from_millis(100);

/// What all users have in common.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) collection: &'a str,
    pub(super) mix: Mix,
    /// Between two operations of one user; none for as fast as possible.
    pub(super) interval: Option<Duration>,
    pub(super) end: Duration,
    pub(super) clock: &'a dyn Clock,
    pub(super) stopped: &'a AtomicBool,
}

/// A user.
#[derive(Debug)]
pub(super) struct User<'a> {
    plan: &'a Plan<'a>,
    client: Client,
    prefix: String,
    made: u64,
    random: Random,
    model: Model,
    tally: Tally,
    findings: Vec<String>,
}

/// What a user leaves.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) model: Model,
    pub(super) tally: Tally,
    /// Answers that cannot be right.
    pub(super) findings: Vec<String>,
}

impl<'a> User<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        client: Client,
        number: u16,
        seed: u64,
        tally: Tally,
    ) -> Self {
        Self {
            plan,
            client,
            prefix: format!("u{number}"),
            made: 0,
            random: Random::new(seed),
            model: Model::default(),
            tally,
            findings: Vec::new(),
        }
    }

    /// Works until the time is up. The first operation begins at `start`.
    pub(super) fn run(mut self, start: Duration) -> Left {
        let mut due = start;
        while due < self.plan.end && self.wait_until(due) {
            let kind = self.choose();
            let outcome = match kind {
                Kind::Read => self.read(),
                Kind::Insert => self.insert(),
                Kind::Update => self.update(),
                Kind::Delete => self.delete(),
            };
            let now = self.plan.clock.monotonic();
            // From when it should have begun: a server that is slow makes later ones late.
            self.tally.record(kind, outcome, now.saturating_sub(due));
            due = match self.plan.interval {
                Some(interval) => due + interval,
                None if outcome == Outcome::Unreachable => now + PAUSE,
                None => now,
            };
        }
        Left {
            model: self.model,
            tally: self.tally,
            findings: self.findings,
        }
    }

    /// Sleeps until then. Returns whether the test goes on.
    fn wait_until(&self, due: Duration) -> bool {
        loop {
            if self.plan.stopped.load(Ordering::Acquire) {
                return false;
            }
            let left = due.saturating_sub(self.plan.clock.monotonic());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    fn choose(&mut self) -> Kind {
        let kind = self.plan.mix.choose(self.random.next());
        match self.model.any(|_| 0) {
            None => Kind::Insert,
            Some(_) => kind,
        }
    }

    /// A document of this user, and what it is known to be. What is not known is found out first.
    fn pick(&mut self) -> (String, Known) {
        let random = &mut self.random;
        let found = self.model.any(|len| random.below(len));
        let (id, known) = found.map_or((String::new(), Known::Certain(None)), |(id, known)| {
            (id.to_owned(), known.clone())
        });
        (id, known)
    }

    fn path(&self, id: &str) -> String {
        format!("/collections/{}/documents/{id}", self.plan.collection)
    }

    fn read(&mut self) -> Outcome {
        let (id, known) = self.pick();
        self.look(&id, &known)
    }

    /// Reads a document and compares it with what it can be.
    fn look(&mut self, id: &str, known: &Known) -> Outcome {
        let answer = match self.client.send(&Method::GET, &self.path(id), None) {
            Ok(answer) => answer,
            Err(silence) => return silent(silence),
        };
        let found: State = match answer.status {
            200 => match version_of(id, &answer.body) {
                Ok(version) => Some(version),
                Err(reason) => {
                    self.findings.push(format!("read {id}: {reason}"));
                    return Outcome::Ok;
                }
            },
            404 => None,
            status => return refused(status),
        };
        if known.states().contains(&found) {
            self.model.settle(id, found);
        } else {
            let expected = known.states();
            self.findings.push(format!(
                "read {id}: found version {found:?}, expected one of {expected:?}"
            ));
        }
        Outcome::Ok
    }

    fn insert(&mut self) -> Outcome {
        self.made += 1;
        let id = format!("{}-{}", self.prefix, self.made);
        let version = self.version();
        let mut document = content(&id, version);
        document["_id"] = id.as_str().into();
        let path = format!("/collections/{}/documents", self.plan.collection);
        let send = |client: &Client| client.send(&Method::POST, &path, Some(&document));
        self.write(&id, &Known::Certain(None), Some(version), 201, send)
    }

    fn update(&mut self) -> Outcome {
        let (id, known) = self.pick();
        let Known::Certain(_) = known else {
            return self.look(&id, &known);
        };
        let version = self.version();
        let (path, document) = (self.path(&id), content(&id, version));
        let send = |client: &Client| client.send(&Method::PUT, &path, Some(&document));
        self.write(&id, &known, Some(version), 200, send)
    }

    fn delete(&mut self) -> Outcome {
        let (id, known) = self.pick();
        let Known::Certain(_) = known else {
            return self.look(&id, &known);
        };
        let path = self.path(&id);
        let send = |client: &Client| client.send(&Method::DELETE, &path, None);
        self.write(&id, &known, None, 204, send)
    }

    fn version(&mut self) -> u64 {
        self.random.next() >> 12
    }

    /// Writes, and says what is known afterwards. `success` is the only status that means that it
    /// was done as the model expects.
    fn write(
        &mut self,
        id: &str,
        before: &Known,
        after: State,
        success: u16,
        send: impl FnOnce(&Client) -> Result<Answer, Silence>,
    ) -> Outcome {
        self.model.begin(id, after);
        match send(&self.client) {
            Ok(answer) if answer.status == success => {
                self.model.settle(id, after);
                Outcome::Ok
            }
            Ok(Answer { status, body }) => {
                let outcome = refused(status);
                if outcome == Outcome::Refused {
                    if matches!(status, 201 | 404 | 409) {
                        let detail = body.get("detail").and_then(Value::as_str);
                        self.findings.push(format!(
                            "write {id}: expected {before:?}, but the server answers {status} {}",
                            detail.unwrap_or_default()
                        ));
                    }
                    self.restore(id, before);
                }
                outcome
            }
            Err(silence) => {
                if silence == Silence::Unreachable {
                    self.restore(id, before);
                }
                silent(silence)
            }
        }
    }

    /// Nothing was done.
    fn restore(&mut self, id: &str, before: &Known) {
        if let Known::Certain(state) = before {
            self.model.settle(id, *state);
        }
    }
}

/// What a status other than success means.
const fn refused(status: u16) -> Outcome {
    match status {
        // The server says of these that nothing was done.
        503 | 507 => Outcome::Refused,
        500.. => Outcome::Failed,
        _ => Outcome::Refused,
    }
}

const fn silent(silence: Silence) -> Outcome {
    match silence {
        Silence::TimedOut => Outcome::TimedOut,
        Silence::Unreachable => Outcome::Unreachable,
        Silence::Broken => Outcome::Broken,
    }
}
