//! What can be written behind `nexusbase kv`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use super::text::{Label, Setting, parse_count, parse_duration, parse_label, parse_setting};
use crate::cli::args::TargetArgs;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KvCommand {
    /// List the stores
    Stores(StoresArgs),
    /// List the engines, and what their stores can do
    Engines(EnginesArgs),
    /// Create a store
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// Take a store away, with its versions
    Drop(DropArgs),
    /// Give a store another name
    Rename(RenameArgs),
    /// Change what a store was told when it was created
    #[command(after_help = SET_OPTIONS_EXAMPLES)]
    SetOptions(SetOptionsArgs),
    /// Print the value under a key, as it is
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// Put a value under a key
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
    /// Take keys away
    Del(DelArgs),
    /// List keys
    #[command(after_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// List the versions of a store
    Versions(VersionsArgs),
    /// Take and delete versions
    #[command(subcommand)]
    Version(VersionCommand),
    /// Show what differs between a version and now, or between two versions
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Make a store what it was in a version
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Copy a store, perhaps to another engine
    #[command(after_help = COPY_EXAMPLES)]
    Copy(CopyArgs),
    /// Read all of a store and look whether it is as it should be
    #[command(after_help = CHECK_EXIT_CODES)]
    Check(CheckArgs),
    /// Print what changes, as it happens, on a server
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
}

const CREATE_EXAMPLES: &str = "\
Examples:
  nexusbase kv create settings --data DIR
  nexusbase kv create sessions --ttl 30m --label owner=web --data DIR
  nexusbase kv create drafts --keep-versions 20 --keep-versions-for 30d --data DIR

Times are a number and a unit: 90s, 10m, 1h, 30d, 2w. Versions with a name are always kept.";

const SET_OPTIONS_EXAMPLES: &str = "\
Examples:
  nexusbase kv set-options settings --read-only true --data DIR
  nexusbase kv set-options sessions --ttl none --keep-versions 5 --data DIR
  nexusbase kv set-options sessions --label owner=web --label team= --data DIR";

const GET_EXAMPLES: &str = "\
Examples:
  nexusbase kv get settings theme --data DIR
  nexusbase kv get images logo --output logo.png --data DIR
  nexusbase kv get settings theme --version 3 --data DIR
  nexusbase kv get blobs 00ff17 --hex --json --data DIR

The value is printed as it is; only on a terminal a line end follows it.
Exit codes: 0 printed; 1 there is no such key, or it failed; 2 wrong usage.";

const SET_EXAMPLES: &str = "\
Examples:
  nexusbase kv set settings theme dark --create --data DIR
  nexusbase kv set images logo --file logo.png --media-type image/png --data DIR
  date | nexusbase kv set settings started - --ttl 10m --data DIR
  nexusbase kv set settings theme light --if-value dark --data DIR
  nexusbase kv set settings theme --data DIR -- --dashes--    (begins with a dash)

Exit codes: 0 set; 1 it was not as expected (--if-absent, --if-value), or failed; 2 wrong usage.";

const LIST_EXAMPLES: &str = "\
Examples:
  nexusbase kv list settings --data DIR
  nexusbase kv list users --prefix user: --values --limit 10 --data DIR
  nexusbase kv list users --start a --end n --count --data DIR
  nexusbase kv list users --json --data DIR

What is no text is shown escaped (\\xff), and so is a backslash (\\\\). With --json, each row is one
line: {\"key\":K,\"value\":V}, where K and V are text, or {\"base64\":…} for what is no text.";

const DIFF_EXAMPLES: &str = "\
Examples:
  nexusbase kv diff settings 3 --data DIR          what changed since version 3
  nexusbase kv diff settings 3 release --data DIR  from version 3 to the one named release

Lines begin with + (added), - (removed) or ~ (changed).
Exit codes, as of diff(1): 0 no differences; 1 differences; 2 it could not compare.";

const RESTORE_EXAMPLES: &str = "\
Examples:
  nexusbase kv restore settings 3 --data DIR
  nexusbase kv restore settings release --no-save --data DIR

Before, the present state is taken as a version, so that nothing is lost; where the store does not
keep all versions, that one gets a name, so that it stays.";

const COPY_EXAMPLES: &str = "\
Examples:
  nexusbase kv copy settings settings-2 --data DIR
  nexusbase kv copy settings notes --engine file --data DIR

Versions are not copied. What was interrupted is gone on with by the same command.";

const CHECK_EXIT_CODES: &str = "\
Exit codes: 0 healthy (or mended); 1 problems were found and are still there; 2 it could not run.";

const WATCH_EXAMPLES: &str = "\
Examples:
  nexusbase kv watch --server http://127.0.0.1:7700
  nexusbase kv watch settings --prefix user: --json --server http://127.0.0.1:7700

Ctrl-C ends it. It works with a server only: a data folder is open in one process, so that nobody
else could change it meanwhile.";

#[derive(Debug, Args)]
pub(in crate::cli) struct StoresArgs {
    /// Print one JSON object per store
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct EnginesArgs {
    /// Print one JSON object per engine
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// The name of the new store, of letters, digits and _-.
    pub(super) store: String,

    /// The engine that keeps it, from `nexusbase kv engines`
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<String>,

    /// How long entries stay that are set without a time of their own, such as 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) ttl: Option<Duration>,

    /// Keep so many of the newest versions
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) keep_versions: Option<u64>,

    /// Keep versions for so long, such as 30d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) keep_versions_for: Option<Duration>,

    /// Refuse changes
    #[arg(long)]
    pub(super) read_only: bool,

    /// Note something about it; several times for several labels
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub(super) labels: Vec<Label>,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DropArgs {
    /// The store
    pub(super) store: String,

    /// Do not ask
    #[arg(short, long)]
    pub(super) yes: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RenameArgs {
    /// Its name
    pub(super) from: String,

    /// Its new name
    pub(super) to: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetOptionsArgs {
    /// The store
    pub(super) store: String,

    /// How long entries stay that are set without a time of their own; `none`: for ever
    #[arg(long, value_name = "TIME", value_parser = parse_setting(parse_duration))]
    pub(super) ttl: Option<Setting<Duration>>,

    /// Keep so many of the newest versions; `none`: any number
    #[arg(long, value_name = "N", value_parser = parse_setting(parse_count))]
    pub(super) keep_versions: Option<Setting<u64>>,

    /// Keep versions for so long; `none`: for ever
    #[arg(long, value_name = "TIME", value_parser = parse_setting(parse_duration))]
    pub(super) keep_versions_for: Option<Setting<Duration>>,

    /// Whether changes are refused
    #[arg(long, value_name = "BOOL")]
    pub(super) read_only: Option<bool>,

    /// Note something about it; without a value (NAME=) the label goes
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    pub(super) labels: Vec<Label>,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct GetArgs {
    /// The store
    pub(super) store: String,

    /// The key
    pub(super) key: String,

    /// Read a version, by number or name, instead of the newest state
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<String>,

    /// Write the value to a file
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) output: Option<PathBuf>,

    /// Print one JSON object, with the media type and when it expires
    #[arg(long, conflicts_with = "output")]
    pub(super) json: bool,

    /// The key is written in hexadecimal
    #[arg(long)]
    pub(super) hex: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SetArgs {
    /// The store
    pub(super) store: String,

    /// The key
    pub(super) key: String,

    /// The value, or - for standard input
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    #[arg(allow_negative_numbers = true)]
    pub(super) value: Option<String>,

    /// Read the value from a file, or from standard input for -
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: Option<PathBuf>,

    /// How long it stays, such as 10m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) ttl: Option<Duration>,

    /// What the value is, such as image/png
    #[arg(long, value_name = "TYPE")]
    pub(super) media_type: Option<String>,

    /// Only if there is nothing under the key
    #[arg(long, conflicts_with = "if_value")]
    pub(super) if_absent: bool,

    /// Only if this value is under the key
    #[arg(long, value_name = "OLD", allow_negative_numbers = true)]
    pub(super) if_value: Option<String>,

    /// Create the store if there is none
    #[arg(long)]
    pub(super) create: bool,

    /// The key is written in hexadecimal
    #[arg(long)]
    pub(super) hex: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DelArgs {
    /// The store
    pub(super) store: String,

    /// The keys
    #[arg(value_name = "KEY", required = true)]
    pub(super) keys: Vec<String>,

    /// The keys are written in hexadecimal
    #[arg(long)]
    pub(super) hex: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// The store
    pub(super) store: String,

    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,

    /// Only keys from this one on
    #[arg(long, value_name = "KEY")]
    pub(super) start: Option<String>,

    /// Only keys before this one
    #[arg(long, value_name = "KEY")]
    pub(super) end: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,

    /// The last key first
    #[arg(long)]
    pub(super) reverse: bool,

    /// Print the values too
    #[arg(long)]
    pub(super) values: bool,

    /// Print only how many there are
    #[arg(long, conflicts_with_all = ["limit", "reverse", "values"])]
    pub(super) count: bool,

    /// Read a version, by number or name, instead of the newest state
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<String>,

    /// Print one JSON object per row, with its value
    #[arg(long)]
    pub(super) json: bool,

    /// Keys are written in hexadecimal, here and in what is printed
    #[arg(long, conflicts_with = "json")]
    pub(super) hex: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VersionsArgs {
    /// The store
    pub(super) store: String,

    /// Print one JSON object per version
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum VersionCommand {
    /// Take the present state as a version
    Take(VersionTakeArgs),
    /// Forget a version
    Delete(VersionDeleteArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VersionTakeArgs {
    /// The store
    pub(super) store: String,

    /// A name for it; versions with a name stay until they are deleted
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,

    /// What to note about it
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) note: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct VersionDeleteArgs {
    /// The store
    pub(super) store: String,

    /// The version, by number or name
    #[arg(value_name = "VERSION")]
    pub(super) id: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DiffArgs {
    /// The store
    pub(super) store: String,

    /// The old version, by number or name
    pub(super) from: String,

    /// The new version, by number or name [default: the present state]
    pub(super) to: Option<String>,

    /// Print one JSON object per difference, with whole values
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The store
    pub(super) store: String,

    /// The version, by number or name
    #[arg(value_name = "VERSION")]
    pub(super) id: String,

    /// Do not take the present state as a version before
    #[arg(long)]
    pub(super) no_save: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CopyArgs {
    /// The store
    pub(super) from: String,

    /// The name of the copy
    pub(super) to: String,

    /// The engine that keeps the copy, from `nexusbase kv engines`
    #[arg(long, value_name = "ENGINE")]
    pub(super) engine: Option<String>,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The store
    pub(super) store: String,

    /// Take over what was edited by hand and makes sense
    #[arg(long)]
    pub(super) accept_edits: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArgs {
    /// The store; all of them without it
    pub(super) store: Option<String>,

    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX")]
    pub(super) prefix: Option<String>,

    /// Print one JSON object per event
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

impl KvCommand {
    /// Where it works.
    pub(super) const fn target(&self) -> &TargetArgs {
        match self {
            Self::Stores(a) => &a.target,
            Self::Engines(a) => &a.target,
            Self::Create(a) => &a.target,
            Self::Drop(a) => &a.target,
            Self::Rename(a) => &a.target,
            Self::SetOptions(a) => &a.target,
            Self::Get(a) => &a.target,
            Self::Set(a) => &a.target,
            Self::Del(a) => &a.target,
            Self::List(a) => &a.target,
            Self::Versions(a) => &a.target,
            Self::Version(VersionCommand::Take(a)) => &a.target,
            Self::Version(VersionCommand::Delete(a)) => &a.target,
            Self::Diff(a) => &a.target,
            Self::Restore(a) => &a.target,
            Self::Copy(a) => &a.target,
            Self::Check(a) => &a.target,
            Self::Watch(a) => &a.target,
        }
    }
}
