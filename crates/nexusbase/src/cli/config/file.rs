//! A settings file: three formats, one list of keys and values.
//!
//! The extension says the format. Nested tables and dotted keys mean the same. Values keep their
//! text; whether it makes sense is checked when all sources are known.

use std::path::Path;

use serde_json::Value as Tree;

use super::{Kind, SETTINGS, Setting, nearest};
use crate::cli::failure::{Failure, Outcome};

/// How deeply a file can usefully be nested; more is refused with the key that does not exist.
const LEVELS_MAX: usize = 8;

/// The settings in the file at `path`.
pub(super) fn read(path: &Path) -> Outcome<Vec<(&'static str, String)>> {
    let parse = parser(path)?;
    let text = nexusbase_io::user_file::read_text(path)?;
    let tree = parse(&text).map_err(|reason| {
        Failure::usage(format_args!(
            "cannot understand {}: {reason}",
            path.display()
        ))
    })?;
    let mut found = Vec::new();
    match tree {
        Tree::Null => {} // an empty YAML file
        Tree::Object(_) => flatten(path, "", tree, 0, &mut found)?,
        _ => {
            return Err(Failure::usage(format_args!(
                "{} should consist of settings with names",
                path.display()
            )));
        }
    }
    Ok(found)
}

type Parser = fn(&str) -> Result<Tree, String>;

fn parser(path: &Path) -> Outcome<Parser> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    match extension.to_lowercase().as_str() {
        "toml" => Ok(|text| toml::from_str(text).map_err(|e| e.to_string())),
        "yaml" | "yml" => Ok(|text| serde_norway::from_str(text).map_err(|e| e.to_string())),
        "json" => Ok(|text| serde_json::from_str(text).map_err(|e| e.to_string())),
        _ => Err(Failure::usage(format_args!(
            "the format of {} is not known: its name should end in .toml, .yaml, .yml or .json",
            path.display()
        ))),
    }
}

fn flatten(
    path: &Path,
    prefix: &str,
    tree: Tree,
    level: usize,
    found: &mut Vec<(&'static str, String)>,
) -> Outcome {
    let text = match tree {
        Tree::Object(fields) if level < LEVELS_MAX && find(prefix).is_none() => {
            for (name, value) in fields {
                let key = if prefix.is_empty() {
                    name
                } else {
                    format!("{prefix}.{name}")
                };
                flatten(path, &key, value, level + 1, found)?;
            }
            return Ok(());
        }
        Tree::String(text) => Some(text),
        Tree::Bool(value) => Some(value.to_string()),
        Tree::Number(number) => Some(number.to_string()),
        Tree::Array(items) if find(prefix).is_some_and(|setting| setting.kind == Kind::List) => {
            let texts: Option<Vec<&str>> = items.iter().map(Tree::as_str).collect();
            texts.map(|texts| texts.join(", "))
        }
        Tree::Null | Tree::Array(_) | Tree::Object(_) => None,
    };
    let setting = find(prefix).ok_or_else(|| unknown(path, prefix))?;
    let text = text.ok_or_else(|| {
        let expected = match setting.kind {
            Kind::List => "a text or a list of texts",
            _ => "one text, number or boolean",
        };
        Failure::usage(format_args!(
            "the setting {prefix} in {} should be {expected}",
            path.display()
        ))
    })?;
    found.push((setting.key, text));
    Ok(())
}

fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

fn unknown(path: &Path, key: &str) -> Failure {
    let failure = Failure::usage(format_args!(
        "there is no setting {key:?}, but {} has one",
        path.display()
    ));
    let keys = SETTINGS.iter().map(|setting| setting.key.to_owned());
    match nearest(key, keys) {
        Some(near) => failure.hint(format_args!("did you mean {near:?}?")),
        None => failure.hint("`nexusbase config` lists all settings"),
    }
}
