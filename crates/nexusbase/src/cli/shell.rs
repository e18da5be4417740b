//! Commands as text that a shell reads back: what `demo` prints must work when pasted.

use std::path::{Path, PathBuf};

use nexusbase_io::Fs;

/// One word for a POSIX shell.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How the running program is called: by its name where the shell finds this very file under it,
/// by its full path otherwise.
pub(super) fn program(fs: &dyn Fs) -> String {
    let Ok(path) = std::env::current_exe() else {
        return "nexusbase".to_owned();
    };
    if found_in_path(fs).is_some_and(|found| found == path) {
        "nexusbase".to_owned()
    } else {
        quote(&path.to_string_lossy())
    }
}

fn found_in_path(fs: &dyn Fs) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join("nexusbase"))
        .find(|path: &PathBuf| is_there(fs, path))
}

fn is_there(fs: &dyn Fs, path: &Path) -> bool {
    fs.exists(path).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quote("/usr/bin/nexusbase"), "/usr/bin/nexusbase");
        assert_eq!(quote(r#"{"a": 1}"#), r#"'{"a": 1}'"#);
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
