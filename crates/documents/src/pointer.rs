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

/// A place in a document that is being read, which costs nothing until somebody asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'p> {
    /// The whole.
    Root,
    /// A field of an object.
    Name(&'p Place<'p>, &'p str),
    /// An element of an array.
    Index(&'p Place<'p>, usize),
}

impl<'p> Place<'p> {
    /// The place of a field of what stands here.
    pub(crate) fn name(&'p self, name: &'p str) -> Self {
        Self::Name(self, name)
    }

    /// The place of an element of what stands here.
    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// The place as a JSON pointer.
    pub(crate) fn pointer(&self) -> String {
        let mut steps = Vec::new();
        let mut place = self;
        while let Self::Name(parent, _) | Self::Index(parent, _) = place {
            steps.push(place);
            place = parent;
        }
        let mut pointer = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Self::Root => {}
                Self::Name(_, name) => push_name(&mut pointer, name),
                Self::Index(_, index) => push_index(&mut pointer, *index),
            }
        }
        pointer
    }
}

/// How much of a name stands in a pointer that is made while reading, in bytes: long names many
/// times over must not take much time.
const NAME_SHOWN: usize = 128;

/// A pointer with one more step.
pub(crate) fn join(pointer: &str, name: &str) -> String {
    let shown = &name[..name.floor_char_boundary(NAME_SHOWN)];
    let mut joined = String::with_capacity(pointer.len() + 1 + shown.len());
    joined.push_str(pointer);
    push_name(&mut joined, shown);
    if shown.len() < name.len() {
        joined.push('…');
    }
    joined
}

/// A pointer to an array element.
pub(crate) fn join_index(pointer: &str, index: usize) -> String {
    join(pointer, &index.to_string())
}
