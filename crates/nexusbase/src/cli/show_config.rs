//! `nexusbase config`: the settings that `serve` would use, as a TOML file with comments.
//!
//! What is printed can be saved and given back by `--config`.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use super::args::SettingsArgs;
use super::config::{Kind, SETTINGS, Value, Values, environment};
use super::failure::Outcome;

pub(super) fn run(arguments: &SettingsArgs) -> Outcome {
    let values = Values::collect(arguments, environment()?.into_iter())?;
    let checked = values.check();
    let dim = Style::new().fg_color(Some(AnsiColor::BrightBlack.into()));
    let mut out = anstream::stdout().lock();
    for warning in &values.warnings {
        anstream::eprintln!("warning: {warning}");
    }
    for setting in SETTINGS {
        let key = setting.key;
        let (line, origin) = match values.get(key) {
            Some(value) => (
                format!("{key} = {}", written(setting.kind, value)),
                value.origin.to_string(),
            ),
            None => (format!("# {key} ="), "not set".to_owned()),
        };
        writeln!(out, "{line:<40} {dim}# {origin}: {}{dim:#}", setting.about)?;
    }
    out.flush()?;
    // A value that makes no sense is shown all the same: that is when one looks here.
    checked.map(|_| ())
}

fn written(kind: Kind, value: &Value) -> String {
    let is_bare = match kind {
        Kind::Text | Kind::List => false,
        Kind::Flag => value.text.parse::<bool>().is_ok(),
        Kind::Number => value.text.parse::<i64>().is_ok(),
    };
    if is_bare {
        value.text.clone()
    } else {
        toml::Value::String(value.text.clone()).to_string()
    }
}
