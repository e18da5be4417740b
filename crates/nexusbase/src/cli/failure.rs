//! A command that could not do what was asked: what to say, what to do next, which exit code.
//!
//! The error types of the layers below say what happened and where. What they cannot know is
//! which command the user gave, so the hints are here.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use nexusbase::kv::{Error as KvError, ErrorKind as KvErrorKind};
use nexusbase::{CommitError, Error, OpenError};
use nexusbase_db::Error as DbError;
use nexusbase_documents::SortError;
use nexusbase_documents::store::NameError;
use nexusbase_io::LockError;

/// What a command returns.
pub(super) type Outcome<T = ()> = Result<T, Failure>;

const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Whoever reads the output has seen enough.
    PipeClosed,
    /// The output says it all: the answer is no.
    Answered,
    /// It failed.
    Failed(Box<Report>),
}

/// What is said about a failure.
#[derive(Debug)]
pub(super) struct Report {
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    code: u8,
    is_answer: bool,
}

impl Failure {
    /// Something went wrong.
    pub(super) fn new(message: impl Display) -> Self {
        Self::Failed(Box::new(Report {
            message: message.to_string(),
            causes: Vec::new(),
            hint: None,
            code: FAILED,
            is_answer: false,
        }))
    }

    /// The command was used wrongly.
    pub(super) fn usage(message: impl Display) -> Self {
        let mut failure = Self::new(message);
        if let Self::Failed(report) = &mut failure {
            report.code = USAGE;
        }
        failure
    }

    /// The same, with the exit code of a command that could not even begin.
    pub(super) fn cannot_run(mut self) -> Self {
        if let Self::Failed(report) = &mut self {
            report.code = USAGE;
        }
        self
    }

    /// Whether it is no failure but an answer, or nobody to hear it.
    pub(super) const fn is_answer(&self) -> bool {
        match self {
            Self::PipeClosed | Self::Answered => true,
            Self::Failed(report) => report.is_answer,
        }
    }

    /// The same, as the answer of a command that asks whether something is as it should be.
    pub(super) fn into_answer(mut self) -> Self {
        if let Self::Failed(report) = &mut self {
            report.is_answer = true;
        }
        self
    }

    /// An error of a layer below, with its causes.
    pub(super) fn from_error(error: &(dyn StdError + 'static)) -> Self {
        Self::new(error).because(error.source())
    }

    /// The same, because of `cause` and its causes. What the message says already is left out.
    pub(super) fn because(mut self, cause: Option<&(dyn StdError + 'static)>) -> Self {
        if let Self::Failed(report) = &mut self {
            let mut next = cause;
            while let Some(cause) = next {
                let text = cause.to_string();
                let said = report.causes.last().unwrap_or(&report.message);
                if !said.contains(&text) && !report.message.contains(&text) {
                    report.causes.push(text);
                }
                next = cause.source();
            }
        }
        self
    }

    /// The same, with one more line below the message.
    pub(super) fn with_note(mut self, note: impl Display) -> Self {
        if let Self::Failed(report) = &mut self {
            report.message = format!("{}\n  {note}", report.message);
        }
        self
    }

    /// The same, with what to do next.
    pub(super) fn hint(mut self, hint: impl Display) -> Self {
        if let Self::Failed(report) = &mut self {
            report.hint = Some(hint.to_string());
        }
        self
    }

    /// Says on standard error what there is to say, and how the process ends.
    pub(super) fn report(&self) -> ExitCode {
        let report = match self {
            Self::PipeClosed => return ExitCode::SUCCESS,
            Self::Answered => return ExitCode::from(FAILED),
            Self::Failed(report) => report,
        };
        let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
        let cyan = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
        anstream::eprintln!("{red}error:{red:#} {}", report.message);
        for cause in &report.causes {
            anstream::eprintln!("  because: {cause}");
        }
        if let Some(hint) = &report.hint {
            anstream::eprintln!("{cyan}hint:{cyan:#} {hint}");
        }
        ExitCode::from(report.code)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::from_error(&error);
        match &error {
            OpenError::Locked {
                source: LockError::Held { holder, .. },
                ..
            } => {
                let holder = holder.map_or_else(|| "it".to_owned(), |pid| format!("process {pid}"));
                failure.hint(format_args!(
                    "if {holder} is a NexusBase server, name its address: --server \
                     http://127.0.0.1:7700 instead of --data"
                ))
            }
            _ => failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(DbError::Open(error)) => error.into(),
            Error::Name(_)
            | Error::Filter(_)
            | Error::Sort(SortError::Path { .. } | SortError::Duplicate { .. })
            | Error::Projection(_)
            | Error::IndexPath { .. } => Self::usage(&error).because(error.source()),
            error => Self::from_error(&error),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::from_error(&error)
    }
}

impl From<KvError> for Failure {
    fn from(error: KvError) -> Self {
        if let KvErrorKind::Invalid(_) = error.kind() {
            return Self::usage(&error).because(error.source());
        }
        let failure = Self::from_error(&error);
        match error.kind() {
            KvErrorKind::ReadOnly(_) => {
                failure.hint("`nexusbase kv set-options STORE --read-only false` allows changes")
            }
            _ => failure,
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error)
    }
}

impl From<nexusbase_io::Error> for Failure {
    fn from(error: nexusbase_io::Error) -> Self {
        Self::from_error(&error)
    }
}

/// Errors of writing to standard output; files have errors of their own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::PipeClosed
        } else {
            Self::new("cannot write the output").because(Some(&error))
        }
    }
}
