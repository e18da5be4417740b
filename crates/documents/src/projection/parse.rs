//! From text or a document to a projection.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bson::raw::{CString, RawBsonRef, RawDocument};

use super::{Action, Mode, Node, Nodes, Positional, Projection, Slice};
use crate::NESTING_MAX;
use crate::document::check_structure;
use crate::error::{PathError, ProjectionError, ValueError};
use crate::filter::element_condition;
use crate::path::Path;
use crate::sort::text_score;
use crate::value::{Class, Number, type_name};

impl Projection {
    /// Reads a list of paths separated by commas, such as `name,owner.mail`.
    ///
    /// # Errors
    /// One that names the field that is wrong.
    pub fn parse(text: &str) -> Result<Self, ProjectionError> {
        if text.trim().is_empty() {
            return Err(ProjectionError::Empty);
        }
        Self::from_fields(text.split(',').map(str::trim))
    }

    /// The projection to these paths and `_id`. Naming one twice, or a field and one inside it,
    /// is refused.
    ///
    /// # Errors
    /// One that names the field that is wrong.
    pub fn from_fields<'a>(
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ProjectionError> {
        let mut tree = Tree::default();
        let id = path("_id", "_id")?;
        tree.insert(&id, Action::Whole, &|| "_id".to_owned())?;
        for field in fields {
            let path = path(field, field)?;
            if path != id {
                tree.insert(&path, Action::Whole, &|| field.to_owned())?;
            }
        }
        Ok(Self {
            mode: Mode::Keeping,
            root: tree.nodes(),
            positional: None,
            score: None,
        })
    }

    /// Reads a document as the module describes it. The empty document shows everything.
    ///
    /// # Errors
    /// One that names the field that is wrong.
    pub fn from_document(document: &RawDocument) -> Result<Self, ProjectionError> {
        check_structure(document)?;
        let mut reader = Reader::default();
        let mut tree = Tree::default();
        reader.fields(document, &mut tree, None)?;
        reader.finish(tree)
    }

    /// Reads a projection from any value, of which only an object is one.
    ///
    /// # Errors
    /// As for [`Projection::from_document`].
    pub fn from_value(value: RawBsonRef<'_>) -> Result<Self, ProjectionError> {
        match value {
            RawBsonRef::Document(document) => Self::from_document(document),
            other => Err(ProjectionError::NotAnObject {
                found: type_name(other),
            }),
        }
    }
}

fn path(text: &str, field: &str) -> Result<Path, ProjectionError> {
    Path::parse(text).map_err(|source| ProjectionError::Path {
        field: field.to_owned(),
        source,
    })
}

/// Fields that are named, while they are collected.
#[derive(Default)]
struct Tree(BTreeMap<Box<str>, Branch>);

enum Branch {
    Leaf(Action),
    Below(Tree),
}

impl Tree {
    /// The objects that the first parts of a path lead through, made where they are not there.
    fn below<'t>(
        &'t mut self,
        path: &Path,
        parts: usize,
        field: &dyn Fn() -> String,
    ) -> Result<&'t mut Self, ProjectionError> {
        let mut tree = self;
        for (number, part) in path.parts().take(parts).enumerate() {
            let below = || Branch::Below(Self::default());
            tree = match tree.0.entry(part.into()).or_insert_with(below) {
                Branch::Below(tree) => tree,
                Branch::Leaf(_) => return Err(lies_in(field(), path.parts().len() - 1 - number)),
            };
        }
        Ok(tree)
    }

    fn insert(
        &mut self,
        path: &Path,
        action: Action,
        field: &dyn Fn() -> String,
    ) -> Result<(), ProjectionError> {
        let tree = self.below(path, path.parts().len().saturating_sub(1), field)?;
        match tree.0.entry(path.parts().last().unwrap_or_default().into()) {
            Entry::Vacant(entry) => {
                entry.insert(Branch::Leaf(action));
                Ok(())
            }
            Entry::Occupied(entry) => {
                let field = field();
                let mut other = field.strip_suffix(".$").unwrap_or(&field).to_owned();
                let mut branch = Some(entry.get());
                while let Some(Branch::Below(tree)) = branch {
                    branch = tree.0.first_key_value().map(|(name, branch)| {
                        other.push('.');
                        other.push_str(name);
                        branch
                    });
                }
                Err(ProjectionError::Collision { field, other })
            }
        }
    }

    fn nodes(self) -> Nodes {
        let node = |(name, branch)| {
            let action = match branch {
                Branch::Leaf(action) => action,
                Branch::Below(tree) => Action::Below(tree.nodes()),
            };
            Node { name, action }
        };
        Nodes(self.0.into_iter().map(node).collect())
    }
}

/// The error for a field that lies within another, which has so many parts less.
fn lies_in(field: String, parts_less: usize) -> ProjectionError {
    let names: Vec<&str> = field.split('.').filter(|name| *name != "$").collect();
    let other = names[..names.len().saturating_sub(parts_less)].join(".");
    ProjectionError::Collision { field, other }
}

/// The object that is being read within a projection.
struct Outer<'o> {
    name: &'o str,
    outer: Option<&'o Outer<'o>>,
    /// How many parts the path of it has.
    parts: usize,
}

impl Outer<'_> {
    /// The path of a field in it.
    fn path_of(outer: Option<&Self>, name: &str) -> String {
        let mut names = vec![name];
        let mut next = outer;
        while let Some(outer) = next {
            names.push(outer.name);
            next = outer.outer;
        }
        names.reverse();
        names.join(".")
    }
}

/// A projection that is being read.
#[derive(Default)]
struct Reader {
    /// Whether fields are kept or left out, as far as one of them said so.
    mode: Option<Mode>,
    /// What was said of `_id` itself.
    id: Option<bool>,
    /// There is an `$elemMatch`.
    elements: bool,
    /// How many patterns are in them.
    patterns: usize,
    positional: Option<Positional>,
    score: Option<CString>,
}

impl Reader {
    fn fields(
        &mut self,
        document: &RawDocument,
        tree: &mut Tree,
        outer: Option<&Outer<'_>>,
    ) -> Result<(), ProjectionError> {
        for field in document {
            let (name, value) = field.map_err(ValueError::from)?;
            self.field(name.as_str(), value, tree, outer)?;
        }
        Ok(())
    }

    fn field(
        &mut self,
        name: &str,
        value: RawBsonRef<'_>,
        tree: &mut Tree,
        outer: Option<&Outer<'_>>,
    ) -> Result<(), ProjectionError> {
        let field = || Outer::path_of(outer, name);
        let shown = name.strip_suffix(".$").unwrap_or(name);
        let path = Path::parse(shown).map_err(|source| ProjectionError::Path {
            field: field(),
            source,
        })?;
        let parts = outer.map_or(0, |outer| outer.parts) + path.parts().len();
        if parts > NESTING_MAX {
            return Err(ProjectionError::Path {
                field: field(),
                source: PathError::TooLong { parts },
            });
        }
        if let RawBsonRef::Document(document) = value {
            let operator = document.into_iter().next().transpose();
            let operator = operator.map_err(ValueError::from)?;
            if let Some((operator, operand)) = operator
                && operator.as_str().starts_with('$')
            {
                let single = document.iter_elements().count() == 1;
                let operator = operator.as_str();
                if operator == "$meta" {
                    return self.score(name, value, outer);
                }
                if shown != name || !single || !matches!(operator, "$slice" | "$elemMatch") {
                    return Err(computed(field(), operator));
                }
                let action = self.operator(operator, &path, operand, outer)?;
                return tree.insert(&path, action, &field);
            }
            if operator.is_none() || shown != name {
                return Err(computed(field(), "an object"));
            }
            let name = shown;
            let tree = tree.below(&path, path.parts().len(), &field)?;
            return self.fields(document, tree, Some(&Outer { name, outer, parts }));
        }
        let Some(kept) = is_kept(value) else {
            return Err(computed(field(), type_name(value)));
        };
        if shown != name {
            self.positional(&path, kept, outer, &field)?;
        } else if outer.is_none() && name == "_id" {
            if self.id.replace(kept).is_some() {
                return Err(lies_in(field(), 0));
            }
            return Ok(());
        }
        let mode = if kept { Mode::Keeping } else { Mode::Dropping };
        if *self.mode.get_or_insert(mode) != mode {
            let field = field();
            return Err(ProjectionError::Mixed { field, kept });
        }
        tree.insert(&path, Action::Whole, &field)
    }

    fn operator(
        &mut self,
        operator: &str,
        path: &Path,
        operand: RawBsonRef<'_>,
        outer: Option<&Outer<'_>>,
    ) -> Result<Action, ProjectionError> {
        let field = || Outer::path_of(outer, path.as_str());
        if operator == "$slice" {
            return Slice::parse(&field, operand).map(Action::Slice);
        }
        let field = field();
        if outer.is_some() || path.parts().len() > 1 {
            return Err(ProjectionError::Operand {
                operator: "$elemMatch",
                field,
                expected: "a field of the document itself",
                found: "one inside another".to_owned(),
            });
        }
        self.elements = true;
        match element_condition(path, operand, &mut self.patterns) {
            Ok(element) => Ok(Action::Element(element)),
            Err(source) => Err(ProjectionError::Condition {
                field,
                source: Box::new(source),
            }),
        }
    }

    /// Reads a field that gets the score of a search.
    fn score(
        &mut self,
        name: &str,
        value: RawBsonRef<'_>,
        outer: Option<&Outer<'_>>,
    ) -> Result<(), ProjectionError> {
        let refused = |expected, found: &str| ProjectionError::Operand {
            operator: "$meta",
            field: Outer::path_of(outer, name),
            expected,
            found: found.to_owned(),
        };
        if text_score(value).transpose()? != Some(true) {
            return Err(refused("\"textScore\"", "something else"));
        }
        if outer.is_some() || name.contains('.') || name == "_id" {
            let expected = "a field of the document itself, other than _id";
            return Err(refused(expected, "another one"));
        }
        let field = CString::try_from(name).map_err(ValueError::from)?;
        if self.score.replace(field).is_some() {
            return Err(refused("to stand once", "a second one"));
        }
        Ok(())
    }

    fn positional(
        &mut self,
        path: &Path,
        kept: bool,
        outer: Option<&Outer<'_>>,
        field: &dyn Fn() -> String,
    ) -> Result<(), ProjectionError> {
        let refused = |reason| ProjectionError::Positional {
            field: field(),
            reason,
        };
        if !kept {
            return Err(refused("cannot be left out"));
        }
        if self.positional.is_some() {
            return Err(refused("is the second one, and there may be one only"));
        }
        let text = field();
        let path = match outer {
            None => path.clone(),
            Some(_) => Path::parse(text.strip_suffix(".$").unwrap_or(&text)).map_err(|source| {
                let field = text.clone();
                ProjectionError::Path { field, source }
            })?,
        };
        self.positional = Some(Positional { text, path });
        Ok(())
    }

    fn finish(self, mut tree: Tree) -> Result<Projection, ProjectionError> {
        if let Some(positional) = self.positional.as_ref().filter(|_| self.elements) {
            return Err(ProjectionError::Positional {
                field: positional.text.clone(),
                reason: "cannot stand beside an $elemMatch",
            });
        }
        let keeping = self.elements || self.id == Some(true);
        let mode = self.mode.unwrap_or(if keeping {
            Mode::Keeping
        } else {
            Mode::Dropping
        });
        // Kept unless it is said otherwise, or parts of it are named.
        let named = match mode {
            Mode::Keeping => self.id != Some(false),
            Mode::Dropping => self.id == Some(false),
        };
        let partly = tree.0.contains_key("_id");
        if partly && self.id.is_some() {
            return Err(lies_in("_id".to_owned(), 0));
        }
        if named && !partly {
            tree.insert(&path("_id", "_id")?, Action::Whole, &|| "_id".to_owned())?;
        }
        Ok(Projection {
            mode,
            root: tree.nodes(),
            positional: self.positional,
            score: self.score,
        })
    }
}

/// Whether a value says to keep a field or to leave it out; none if it says neither.
fn is_kept(value: RawBsonRef<'_>) -> Option<bool> {
    match value {
        RawBsonRef::Boolean(kept) => Some(kept),
        number if Class::of(number) == Class::Number => {
            let number = Number::of(number)?;
            Some(number.is_nan() || number.compare(Number::Int(0)).is_ne())
        }
        _ => None,
    }
}

fn computed(field: String, found: &str) -> ProjectionError {
    let found = found.to_owned();
    ProjectionError::Computed { field, found }
}
