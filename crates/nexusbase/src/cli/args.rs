//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::http::ApiKey;
use super::keys::args::KeysCommand;
use super::kv::args::KvCommand;
use super::loadtest::args::LoadTestArgs;

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, with the reason on standard error; 2 wrong usage.

Each setting of `serve` can also come from a file (--config) or from an environment variable
(NEXUSBASE_LISTEN, NEXUSBASE_DURABILITY …); `nexusbase config` lists them all. Commands that take
--data or --server also read NEXUSBASE_DATA, NEXUSBASE_SERVER and NEXUSBASE_API_KEY, and for https://
NEXUSBASE_CA: a PEM file of the authorities to trust instead of the usual ones.";

const DOCTOR_EXIT_CODES: &str = "\
Exit codes: 0 healthy (or repaired); 1 problems were found and are still there; 2 it could not \
run, for example because a server has the folder open.";

/// NexusBase: documents in a folder, or over HTTP.
#[derive(Debug, Parser)]
#[command(name = "nexusbase", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(disable_help_subcommand = false, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Say nothing but what was asked for, and errors
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub(super) quiet: bool,

    /// When to use colours (`auto` respects NO_COLOR and pipes)
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(help_heading = "Common options")]
    pub(super) color: ColorWhen,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ColorWhen {
    Auto,
    Always,
    Never,
}

impl ColorWhen {
    pub(super) fn apply(self) {
        match self {
            Self::Auto => {}
            Self::Always => anstream::ColorChoice::Always.write_global(),
            Self::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve a data folder over HTTP
    Serve(ServeArgs),
    /// Make a small database to try things with, and serve it
    Demo(DemoArgs),
    /// Ask a server whether it is ready for requests
    Health(HealthArgs),
    /// Insert documents from a file with one JSON object per line
    Import(ImportArgs),
    /// Write all documents of a collection, one JSON object per line
    Export(ExportArgs),
    /// Find documents
    Query(QueryArgs),
    /// Create, drop and list indexes
    #[command(subcommand)]
    Index(IndexCommand),
    /// List the collections
    Collections(CollectionsArgs),
    /// Make, list, rotate and revoke the keys that requests to a server bring
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Work with key-value stores
    #[command(subcommand)]
    Kv(KvCommand),
    /// Work on a server with many users at once, and check that nothing is lost
    #[command(after_help = super::loadtest::args::EXIT_CODES)]
    Loadtest(LoadTestArgs),
    /// Look at the log of a data folder, also while a server has it open
    #[command(subcommand)]
    Log(LogCommand),
    /// Look at the trees' files of a data folder
    #[command(subcommand)]
    Forest(ForestCommand),
    /// Read and check everything in a data folder, and repair what can be repaired
    #[command(after_help = DOCTOR_EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Print the settings that `serve` would use, and where each comes from
    Config(ServeArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) settings: SettingsArgs,
}

/// Settings that have a flag; the others come from file or environment.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SettingsArgs {
    /// The data folder; created if it is missing or empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data: Option<PathBuf>,

    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:7700]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,

    /// Allow addresses that other machines can reach; connections are not encrypted
    #[arg(long)]
    pub(super) allow_remote: bool,

    /// Whether requests must bring a key: required, or off (on loopback only) [default: required]
    #[arg(long, value_name = "MODE")]
    pub(super) auth: Option<String>,

    /// When a write is reported: when a power cut cannot take it back (`always`), or before
    /// (`interval`, `never`) [default: always]
    #[arg(long, value_name = "MODE")]
    pub(super) durability: Option<String>,

    /// How much to log to standard error: error, warn, info, debug, trace; exceptions follow, as
    /// in info,access=off [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(super) log_level: Option<String>,

    /// Read settings from a TOML, YAML or JSON file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The folder of the demo's database
    #[arg(long, value_name = "DIR", default_value = "nexusbase-demo")]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) data: PathBuf,

    /// Where to listen [default: 127.0.0.1:7700, or a free port if that one is taken]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The server [default: NEXUSBASE_SERVER, or http://127.0.0.1:7700]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) server: Option<String>,
}

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArgs {
    /// Work on this data folder, which no other process may have open
    #[arg(long, value_name = "DIR", conflicts_with = "server", value_hint = ValueHint::DirPath)]
    pub(super) data: Option<PathBuf>,

    /// Work on a running server, such as http://127.0.0.1:7700
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) server: Option<String>,

    /// The key for that server; better in the variable NEXUSBASE_API_KEY, where no other user sees it
    #[arg(long, value_name = "KEY", conflicts_with = "data")]
    pub(super) api_key: Option<ApiKey>,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The collection; created if it is missing
    pub(super) collection: String,

    /// The file, or - for standard input; blank lines are skipped
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,

    #[command(flatten)]
    pub(super) target: TargetArgs,

    /// What to do at a line that cannot be imported
    #[arg(long, value_name = "WHAT", default_value = "stop")]
    pub(super) on_error: OnError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OnError {
    /// End there; the lines before are imported, the lines after are not
    Stop,
    /// Report it and go on with the next line
    Skip,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The collection
    pub(super) collection: String,

    /// Write every value with its type, so that `import` restores exactly what was there
    #[arg(long)]
    pub(super) canonical: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct QueryArgs {
    /// The collection
    pub(super) collection: String,

    /// Which documents, as JSON: '{"section": "net", "size": {"$gt": 1000}}'
    #[arg(default_value = "{}")]
    pub(super) filter: String,

    /// In which order: fields separated by commas, a leading - for descending
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub(super) sort: Option<String>,

    /// How many at most
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,

    /// How many to leave out at the start
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) skip: usize,

    /// Which fields, separated by commas; _id is always among them
    #[arg(long, value_name = "FIELDS")]
    pub(super) fields: Option<String>,

    /// Say how the documents were found instead of printing them
    #[arg(long)]
    pub(super) explain: bool,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum IndexCommand {
    /// Create an index on a field or a dotted path
    Create(IndexArgs),
    /// Drop the index on a field or a dotted path
    Drop(IndexArgs),
    /// List the indexes of a collection
    List(IndexListArgs),
}

#[derive(Debug, Args)]
pub(super) struct IndexArgs {
    /// The collection
    pub(super) collection: String,

    /// The field, such as size or owner.mail
    pub(super) path: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct IndexListArgs {
    /// The collection
    pub(super) collection: String,

    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct CollectionsArgs {
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Print every record: segment, offset, index, term, kind, size, checksum
    Dump(LogDumpArgs),
    /// Check every record
    Verify(LogVerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct LogDumpArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data: PathBuf,

    /// Print the bytes of every entry too
    #[arg(long)]
    pub(super) hex: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogVerifyArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data: PathBuf,
}

/// A data folder that nobody else may have open.
#[derive(Clone, Debug, Args)]
pub(super) struct FolderArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub(super) folder: FolderArgs,

    /// Rebuild what can be rebuilt, after a copy of everything was kept
    #[arg(long)]
    pub(super) repair: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ForestCommand {
    /// Show trees, levels and sizes, and what flushes and compactions have cost since opening
    Stats(FolderArgs),
    /// Read and check one table, and show what is in it
    Table(ForestTableArgs),
    /// Show the manifest, edit by edit
    Manifest(FolderArgs),
}

#[derive(Debug, Args)]
pub(super) struct ForestTableArgs {
    /// The table's file, such as DIR/forest/000000000000002a.tbl
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: PathBuf,

    /// Print every row too
    #[arg(long)]
    pub(super) rows: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}
