//! Names of stores and versions.

use super::error::{Error, ErrorKind, Operation, Result};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// Checks a name for a store: letters, digits, `_`, `-` and `.`, at most [`NAME_BYTES_MAX`],
/// beginning with a letter, a digit or `_`. Such a name is a file name and a part of a URL as it is.
///
/// # Errors
/// [`ErrorKind::Invalid`], saying what is wrong with it.
pub fn check_name(operation: Operation, name: &str) -> Result<()> {
    let wrong = |reason: String| {
        let kind = ErrorKind::Invalid(format!("{name:?} is no name: {reason}"));
        Err(Error::new(operation, kind).store(name))
    };
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return wrong(format!("names have 1 to {NAME_BYTES_MAX} characters"));
    }
    if name.starts_with(['.', '-']) {
        return wrong("it must begin with a letter, a digit or _".to_owned());
    }
    let strange = |c: &char| !(c.is_ascii_alphanumeric() || "_-.".contains(*c));
    if let Some(c) = name.chars().find(strange) {
        return wrong(format!(
            "{c:?} cannot be in a name; use letters, digits, _, - and ."
        ));
    }
    Ok(())
}
