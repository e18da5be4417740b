//! Settings: what they are called, where they come from, and which source wins.
//!
//! Sources, later ones winning: the defaults, a file (TOML, YAML or JSON), environment variables,
//! flags. Every value remembers its source, so that `nexusbase config` can say why a setting is as
//! it is, and an error can say where to change it.
//!
//! One table ([`SETTINGS`]) names every setting once; file keys, variable names and the output of
//! `nexusbase config` follow from it. That is why no configuration crate is used: those keep
//! sources apart or merge them into a struct by `serde`, but none tells an unknown key from a
//! known one by itself, names the nearest known one, or maps `NEXUSBASE_LIMITS_BODY_BYTES` to
//! `limits.body_bytes` without guessing which `_` is a separator. The parsers of the three file
//! formats are crates.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nexusbase::Durability;
use nexusbase_server::{AuthMode, Limits, ServerConfig, TlsFiles};

use super::args::SettingsArgs;
use super::failure::{Failure, Outcome};
use super::serve::ADMIN_KEY;
use super::server_log::{LogFilter, LogFormat};

/// What all variables begin with.
const PREFIX: &str = "NEXUSBASE_";
/// Variables with that beginning that are no settings of the server.
const OTHER_VARIABLES: [&str; 5] = [
    "NEXUSBASE_CA",
    "NEXUSBASE_CONFIG",
    "NEXUSBASE_SERVER",
    "NEXUSBASE_API_KEY",
    ADMIN_KEY,
];

/// How a value is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    /// Several texts; in one text, commas stand between them.
    List,
}

/// A setting.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) about: &'static str,
}

const fn setting(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { key, kind, about }
}

/// With less, a few large values would push all else out.
const MEMORY_MB_MIN: usize = 16;

/// All settings, in the order in which they are shown.
pub(super) const SETTINGS: &[Setting] = &[
    setting("data", Kind::Text, "the data folder"),
    setting("listen", Kind::Text, "where to listen"),
    setting(
        "allow_remote",
        Kind::Flag,
        "listen where other machines can reach it",
    ),
    setting(
        "auth",
        Kind::Text,
        "whether requests must bring a key: required or off",
    ),
    setting("open_metrics", Kind::Flag, "show /metrics without a key"),
    setting("durability", Kind::Text, "always, interval or never"),
    setting(
        "durability_interval_ms",
        Kind::Number,
        "what a power cut may take back, with interval",
    ),
    setting(
        "memory_mb",
        Kind::Number,
        "memory for tables, cache and unflushed writes, in MiB",
    ),
    setting(
        "log_level",
        Kind::Text,
        "off, error, warn, info, debug or trace; exceptions follow: info,access=off",
    ),
    setting("log_format", Kind::Text, "text or json"),
    setting(
        "slow_query_ms",
        Kind::Number,
        "requests that take longer are logged (slow); 0: none",
    ),
    setting(
        "tls.certificate",
        Kind::Text,
        "PEM file of the certificate chain, to serve HTTPS",
    ),
    setting("tls.key", Kind::Text, "PEM file of its private key"),
    setting(
        "cors.origins",
        Kind::List,
        "whose web pages may read and write; * for all",
    ),
    setting(
        "limits.body_bytes",
        Kind::Number,
        "largest body of a request",
    ),
    setting(
        "limits.request_timeout_ms",
        Kind::Number,
        "time for one request",
    ),
    setting(
        "limits.shutdown_timeout_ms",
        Kind::Number,
        "time for open requests at the end",
    ),
    setting(
        "limits.page_default",
        Kind::Number,
        "documents per answer, if none is asked for",
    ),
    setting("limits.page_max", Kind::Number, "most documents per answer"),
    setting(
        "limits.concurrent_operations",
        Kind::Number,
        "operations at once",
    ),
    setting("limits.connections", Kind::Number, "connections at once"),
    setting(
        "limits.event_streams",
        Kind::Number,
        "streams of events at once",
    ),
    setting(
        "limits.open_transactions",
        Kind::Number,
        "transactions over several requests at once",
    ),
    setting(
        "limits.requests_per_second",
        Kind::Number,
        "requests of one key, 0 for any number",
    ),
    setting(
        "limits.burst",
        Kind::Number,
        "how many of them at once, 0 for as many as per second",
    ),
    setting(
        "limits.refusals_per_second",
        Kind::Number,
        "refusals with a reason for one address without a key, 0 for any number",
    ),
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// The values that won, by key.
#[derive(Debug, Default)]
pub(super) struct Values {
    by_key: BTreeMap<&'static str, Value>,
    /// What is odd, but no error.
    pub(super) warnings: Vec<String>,
}

/// The variables of the environment that are for this program. The others may be anything.
///
/// One that is no text is refused: without it the server would be set up in another way than meant.
pub(super) fn environment() -> Outcome<Vec<(String, String)>> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        name.starts_with(PREFIX).then_some((name, value))
    });
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Failure::usage(format_args!(
            "the variable {name} is not UTF-8"
        ))),
    })
    .collect()
}

/// What `serve` needs to know, checked.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) data: Option<PathBuf>,
    pub(super) durability: Durability,
    /// What the trees may take, in bytes.
    pub(super) memory_bytes: u64,
    pub(super) log_level: LogFilter,
    pub(super) log_format: LogFormat,
    pub(super) server: ServerConfig,
}

impl Values {
    /// Collects the values from all sources; `variables` is the environment.
    pub(super) fn collect(
        arguments: &SettingsArgs,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Outcome<Self> {
        let mut values = Self::default();
        for (key, text) in defaults() {
            values.set(key, text, Origin::Default);
        }
        let variables: BTreeMap<String, String> = variables
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .collect();
        let named = variables.get("NEXUSBASE_CONFIG").map(PathBuf::from);
        if let Some(path) = arguments.config.clone().or(named) {
            for (key, text) in file::read(&path)? {
                values.set(key, text, Origin::File(path.clone()));
            }
        }
        values.take_variables(variables);
        values.take_flags(arguments);
        Ok(values)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key)
    }

    fn set(&mut self, key: &'static str, text: String, origin: Origin) {
        self.by_key.insert(key, Value { text, origin });
    }

    fn take_variables(&mut self, mut variables: BTreeMap<String, String>) {
        for setting in SETTINGS {
            let name = variable(setting.key);
            if let Some(text) = variables.remove(&name) {
                self.set(setting.key, text, Origin::Environment(name));
            }
        }
        for name in variables.into_keys() {
            if !OTHER_VARIABLES.contains(&name.as_str()) {
                let names = SETTINGS.iter().map(|setting| variable(setting.key));
                let near = nearest(&name, names)
                    .map_or_else(String::new, |near| format!("; did you mean {near}?"));
                let warning = format!("the variable {name} sets nothing{near}");
                self.warnings.push(warning);
            }
        }
    }

    fn take_flags(&mut self, arguments: &SettingsArgs) {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let flags = [
            ("data", "--data", arguments.data.as_ref().map(path)),
            ("listen", "--listen", arguments.listen.clone()),
            ("auth", "--auth", arguments.auth.clone()),
            ("durability", "--durability", arguments.durability.clone()),
            ("log_level", "--log-level", arguments.log_level.clone()),
        ];
        for (key, flag, text) in flags {
            if let Some(text) = text {
                self.set(key, text, Origin::Flag(flag));
            }
        }
        if arguments.allow_remote {
            let (text, origin) = ("true".to_owned(), Origin::Flag("--allow-remote"));
            self.set("allow_remote", text, origin);
        }
    }

    /// Checks all values.
    pub(super) fn check(&self) -> Outcome<Settings> {
        let limits = Limits {
            body_bytes: self.number("limits.body_bytes")?,
            request_timeout: self.milliseconds("limits.request_timeout_ms")?,
            shutdown_timeout: self.milliseconds("limits.shutdown_timeout_ms")?,
            page_default: self.number("limits.page_default")?,
            page_max: self.number("limits.page_max")?,
            concurrent_operations: self.number("limits.concurrent_operations")?,
            connections: self.number("limits.connections")?,
            event_streams: self.number("limits.event_streams")?,
            open_transactions: self.number("limits.open_transactions")?,
            requests_per_second: self.rate("limits.requests_per_second")?,
            burst: self.rate("limits.burst")?,
            refusals_per_second: self.rate("limits.refusals_per_second")?,
        };
        let listen: SocketAddr = self.parse("listen", "an address such as 127.0.0.1:7700")?;
        let interval = self.milliseconds("durability_interval_ms")?;
        let durability = match self.text("durability") {
            "always" => Durability::Always,
            "interval" => Durability::Interval(interval),
            "never" => Durability::Never,
            _ => return Err(self.wrong("durability", "always, interval or never")),
        };
        let auth = match self.text("auth") {
            "required" => AuthMode::Required,
            "off" => AuthMode::Off,
            _ => return Err(self.wrong("auth", "required or off")),
        };
        Ok(Settings {
            data: self.get("data").map(|value| PathBuf::from(&value.text)),
            durability,
            memory_bytes: self.memory_bytes()?,
            log_level: self.parse(
                "log_level",
                "off, error, warn, info, debug or trace, perhaps with exceptions such as \
                 info,access=off",
            )?,
            log_format: self.parse("log_format", "text or json")?,
            server: ServerConfig {
                listen,
                allow_remote: self.parse("allow_remote", "true or false")?,
                auth,
                open_metrics: self.parse("open_metrics", "true or false")?,
                limits,
                tls: self.tls()?,
                origins: self.parse(
                    "cors.origins",
                    "origins such as https://app.example.com, or * for all",
                )?,
                slow_request: Duration::from_millis(
                    self.parse("slow_query_ms", "a whole number, 0 for none")?,
                ),
                ..ServerConfig::default()
            },
        })
    }

    /// The certificate and its key, of which neither is of use alone.
    fn tls(&self) -> Outcome<Option<TlsFiles>> {
        match (self.get("tls.certificate"), self.get("tls.key")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
                certificate: PathBuf::from(&certificate.text),
                key: PathBuf::from(&key.text),
            })),
            (Some(_), None) => Err(self.wrong("tls.key", "set, because tls.certificate is")),
            (None, Some(_)) => Err(self.wrong("tls.certificate", "set, because tls.key is")),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.get(key).map_or("", |value| &value.text)
    }

    fn parse<T: FromStr>(&self, key: &str, expected: &str) -> Outcome<T> {
        let parsed = self.text(key).trim().parse();
        parsed.map_err(|_| self.wrong(key, expected))
    }

    /// A number of at least 1: no limit means anything at 0.
    fn number(&self, key: &str) -> Outcome<usize> {
        let expected = "a whole number of at least 1";
        match self.parse(key, expected)? {
            0 => Err(self.wrong(key, expected)),
            number => Ok(number),
        }
    }

    /// A number that may be 0, for no limit.
    fn rate(&self, key: &str) -> Outcome<u32> {
        self.parse(key, "a whole number")
    }

    fn milliseconds(&self, key: &str) -> Outcome<Duration> {
        let number = self.number(key)?;
        Ok(Duration::from_millis(
            u64::try_from(number).unwrap_or(u64::MAX),
        ))
    }

    fn memory_bytes(&self) -> Outcome<u64> {
        let number = self.number("memory_mb")?;
        let bytes = u64::try_from(number)
            .ok()
            .and_then(|mib| mib.checked_mul(1 << 20));
        bytes
            .filter(|_| number >= MEMORY_MB_MIN)
            .ok_or_else(|| self.wrong("memory_mb", "a number of MiB, at least 16"))
    }

    fn wrong(&self, key: &str, expected: &str) -> Failure {
        let (text, origin) = match self.get(key) {
            Some(value) => (value.text.as_str(), value.origin.clone()),
            None => ("", Origin::Default),
        };
        Failure::usage(format_args!(
            "the setting {key} should be {expected}, but is {text:?} (from {origin})"
        ))
    }
}

/// The variable of a setting: `limits.body_bytes` is `NEXUSBASE_LIMITS_BODY_BYTES`.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_uppercase())
}

/// The one of `names` that is closest to `name`, if it is close at all.
fn nearest(name: &str, names: impl Iterator<Item = String>) -> Option<String> {
    names
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

fn defaults() -> Vec<(&'static str, String)> {
    let ServerConfig {
        listen,
        allow_remote,
        open_metrics,
        limits,
        origins,
        slow_request,
        ..
    } = ServerConfig::default();
    let ms = |duration: Duration| duration.as_millis().to_string();
    vec![
        ("listen", listen.to_string()),
        ("allow_remote", allow_remote.to_string()),
        ("auth", "required".to_owned()),
        ("open_metrics", open_metrics.to_string()),
        ("durability", "always".to_owned()),
        ("durability_interval_ms", "100".to_owned()),
        ("memory_mb", "256".to_owned()),
        ("log_level", "info".to_owned()),
        ("log_format", "text".to_owned()),
        ("slow_query_ms", ms(slow_request)),
        ("cors.origins", origins.to_string()),
        ("limits.body_bytes", limits.body_bytes.to_string()),
        ("limits.request_timeout_ms", ms(limits.request_timeout)),
        ("limits.shutdown_timeout_ms", ms(limits.shutdown_timeout)),
        ("limits.page_default", limits.page_default.to_string()),
        ("limits.page_max", limits.page_max.to_string()),
        (
            "limits.concurrent_operations",
            limits.concurrent_operations.to_string(),
        ),
        ("limits.connections", limits.connections.to_string()),
        ("limits.event_streams", limits.event_streams.to_string()),
        (
            "limits.open_transactions",
            limits.open_transactions.to_string(),
        ),
        (
            "limits.requests_per_second",
            limits.requests_per_second.to_string(),
        ),
        ("limits.burst", limits.burst.to_string()),
        (
            "limits.refusals_per_second",
            limits.refusals_per_second.to_string(),
        ),
    ]
}
