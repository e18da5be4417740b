//! What can be written behind `nexusbase keys`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::args::TargetArgs;
use crate::cli::kv::text::parse_duration;

const CREATE_EXAMPLES: &str = "\
Examples:
  nexusbase keys create me --role admin --data DIR
  nexusbase keys create shop --role write --collections orders,public-* --server URL
  nexusbase keys create reports --role read --expires-in 90d --server URL

The key goes to standard output, once: it is stored nowhere. Without --collections and --stores it
is for everything; with one of them, only for what is named there.";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum KeysCommand {
    /// Make a key and print it
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List the keys, without their secrets
    List(ListArgs),
    /// Give a key a new secret and print it
    Rotate(RotateArgs),
    /// Revoke a key for good
    Revoke(RevokeArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum RoleArg {
    /// Look at data
    Read,
    /// Change data; create and drop collections, indexes and stores
    Write,
    /// Everything, and manage keys
    Admin,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct CreateArgs {
    /// What to call it, such as the program that gets it
    pub(super) name: String,

    /// What it may do
    #[arg(long)]
    pub(super) role: RoleArg,

    /// The collections that it is for, separated by commas; a * ends the beginning of names
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) collections: Vec<String>,

    /// The stores that it is for
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) stores: Vec<String>,

    /// How long it counts, such as 90d; for ever if nothing is said
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) expires_in: Option<Duration>,

    /// How many requests per second it may send, 0 for any number
    #[arg(long, value_name = "N")]
    pub(super) requests_per_second: Option<u32>,

    /// How many of them at once
    #[arg(long, value_name = "N", requires = "requests_per_second")]
    pub(super) burst: Option<u32>,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ListArgs {
    /// Print one JSON object per key
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RotateArgs {
    /// Its id, from `nexusbase keys list`
    pub(super) id: String,

    /// For how long the old secret counts, too, such as 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) grace: Option<Duration>,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Its id, from `nexusbase keys list`
    pub(super) id: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

impl RoleArg {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}
