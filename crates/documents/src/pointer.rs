//! JSON pointers (RFC 6901) for error messages: where in a document something is.

use std::fmt::Write;

/// Appends one step to a pointer.
pub(crate) fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    for c in name.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// Appends the step to an array element.
pub(crate) fn push_index(pointer: &mut String, index: usize) {
    let _ = write!(pointer, "/{index}"); // writing to a string cannot fail
}

/// A pointer with one more step.
pub(crate) fn join(pointer: &str, name: &str) -> String {
    let mut joined = String::with_capacity(pointer.len() + 1 + name.len());
    joined.push_str(pointer);
    push_name(&mut joined, name);
    joined
}

/// A pointer to an array element.
pub(crate) fn join_index(pointer: &str, index: usize) -> String {
    join(pointer, &index.to_string())
}
