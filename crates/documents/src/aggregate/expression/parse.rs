//! From a value in a pipeline to an expression.
//!
//! The pipeline's nesting is checked before, so the recursion here is bounded. Every refusal
//! names its place as a JSON pointer.

use bson::raw::{RawBsonRef, RawDocument};

use super::operators::{Arguments, OPERATORS, operator};
use super::{Control, Expression, FieldPath, Operator, Value, Variable};
use crate::aggregate::error::PipelineError;
use crate::document::duplicate_name;
use crate::error::DocumentError;
use crate::path::Path;
use crate::pointer::{join, join_index};
use crate::value::type_name;

/// The operators that are not in the table, because they do not evaluate all of their operands.
const CONTROLS: [&str; 10] = [
    "$and", "$cond", "$filter", "$ifNull", "$let", "$literal", "$map", "$or", "$reduce", "$switch",
];

/// Reads expressions, and knows the variables that are defined around them.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    variables: Vec<String>,
}

/// The refusal of something that does not belong where it stands.
pub(crate) fn mistake(at: &str, expected: &'static str, found: RawBsonRef<'_>) -> PipelineError {
    expected_at(at, expected, type_name(found))
}

fn expected_at(at: &str, expected: &'static str, found: impl Into<String>) -> PipelineError {
    PipelineError::Expected {
        at: at.to_owned(),
        expected,
        found: found.into(),
    }
}

fn damaged(at: &str, source: bson::error::Error) -> PipelineError {
    let (at, source) = (at.to_owned(), Box::new(source));
    PipelineError::Document(DocumentError::Damaged { at, source })
}

/// Reads the path of a field as it stands in a stage, without a `$` before it.
pub(crate) fn check_path(text: &str, at: &str) -> Result<Path, PipelineError> {
    let refused = |source| PipelineError::Path {
        at: at.to_owned(),
        source,
    };
    if text.contains('\0') {
        // No stored name has one.
        let path = text.to_owned();
        return Err(expected_at(at, "a path without NUL", format!("{path:?}")));
    }
    Path::parse(text).map_err(refused)
}

/// Reads the path of a field with a `$` before it.
pub(crate) fn field_path(text: &str, at: &str) -> Result<Path, PipelineError> {
    match text.strip_prefix('$') {
        Some(path) => check_path(path, at),
        None => Err(expected_at(
            at,
            "a path that begins with $",
            format!("{text:?}"),
        )),
    }
}

impl Parser {
    /// Reads an expression.
    pub(crate) fn expression(
        &mut self,
        value: RawBsonRef<'_>,
        at: &str,
    ) -> Result<Expression, PipelineError> {
        match value {
            RawBsonRef::String(text) if text.starts_with('$') => self.reference(text, at),
            RawBsonRef::Document(object) => self.object(object, at),
            RawBsonRef::Array(array) => {
                let mut elements = Vec::new();
                for (index, element) in array.into_iter().enumerate() {
                    let here = join_index(at, index);
                    let element = element.map_err(|source| damaged(&here, source))?;
                    elements.push(self.expression(element, &here)?);
                }
                Ok(Expression::Array(elements))
            }
            other => Ok(Expression::Constant(Value::Owned(other.into()))),
        }
    }

    fn reference(&self, text: &str, at: &str) -> Result<Expression, PipelineError> {
        let Some(reference) = text.strip_prefix("$$") else {
            let path = FieldPath::new(&field_path(text, at)?);
            let variable = Variable::Root;
            return Ok(Expression::Path { variable, path });
        };
        let (name, path) = match reference.split_once('.') {
            Some((name, path)) => (name, FieldPath::new(&check_path(path, at)?)),
            None => (reference, FieldPath::itself()),
        };
        let local = self.variables.iter().rposition(|known| known == name);
        let variable = match (local, name) {
            (Some(number), _) => Variable::Local(number),
            (None, "ROOT" | "CURRENT") => Variable::Root,
            (None, "REMOVE") => return Ok(Expression::MISSING),
            (None, _) => {
                let (name, at) = (name.to_owned(), at.to_owned());
                return Err(PipelineError::UnknownVariable { name, at });
            }
        };
        Ok(Expression::Path { variable, path })
    }

    /// Reads an object: of fields, or of one operator.
    fn object(&mut self, object: &RawDocument, at: &str) -> Result<Expression, PipelineError> {
        check_duplicates(object, at)?;
        let mut fields = Vec::new();
        for (number, field) in object.iter().enumerate() {
            let (name, value) = field.map_err(|source| damaged(at, source))?;
            let here = join(at, name.as_str());
            if name.as_str().starts_with('$') {
                if number > 0 || object.iter().nth(1).is_some() {
                    let found = format!("{} beside other fields", name.as_str());
                    return Err(expected_at(at, "one operator by itself, or fields", found));
                }
                return self.operator(name.as_str(), value, &here);
            }
            check_name(name.as_str(), &here)?;
            fields.push((name.to_owned(), self.expression(value, &here)?));
        }
        Ok(Expression::Object(fields))
    }

    fn operator(
        &mut self,
        name: &str,
        value: RawBsonRef<'_>,
        at: &str,
    ) -> Result<Expression, PipelineError> {
        if let Some(operator) = operator(name) {
            let arguments = self.arguments(operator, value, at)?;
            return Ok(Expression::Call {
                operator,
                arguments,
            });
        }
        Ok(Expression::Control(Box::new(match name {
            "$literal" => return Ok(Expression::Constant(Value::Owned(value.into()))),
            "$and" => Control::And(self.list(value, at)?),
            "$or" => Control::Or(self.list(value, at)?),
            "$cond" => self.cond(value, at)?,
            "$ifNull" => {
                let operands = self.list(value, at)?;
                if operands.len() < 2 {
                    return Err(mistake(at, "an array of at least two operands", value));
                }
                Control::IfNull(operands)
            }
            "$switch" => self.switch(value, at)?,
            "$let" => self.with_variables(value, at)?,
            "$filter" => {
                let [input, condition, limit, name] =
                    named(value, at, ["input", "cond", "limit", "as"], 2)?;
                let input = self.required(input, at)?;
                let limit = limit.map(|limit| self.expression(limit, &join(at, "limit")));
                let limit = limit.transpose()?;
                let names = vec![variable_name(name, "this", at)?];
                let condition = self.inside(names, condition, &join(at, "cond"))?;
                Control::Filter {
                    input,
                    condition,
                    limit,
                }
            }
            "$map" => {
                let [input, body, name] = named(value, at, ["input", "in", "as"], 2)?;
                let input = self.required(input, at)?;
                let names = vec![variable_name(name, "this", at)?];
                let body = self.inside(names, body, &join(at, "in"))?;
                Control::Map { input, body }
            }
            "$reduce" => {
                let [input, initial, body] = named(value, at, ["input", "initialValue", "in"], 3)?;
                let input = self.required(input, at)?;
                let initial = self.required(initial, at)?;
                let names = vec!["value".to_owned(), "this".to_owned()];
                let body = self.inside(names, body, &join(at, "in"))?;
                Control::Reduce {
                    input,
                    initial,
                    body,
                }
            }
            _ => return Err(unknown(name, at)),
        })))
    }

    /// The operands of an operator in the table, in its order.
    fn arguments(
        &mut self,
        operator: &Operator,
        value: RawBsonRef<'_>,
        at: &str,
    ) -> Result<Vec<Expression>, PipelineError> {
        let (least, most) = match operator.arguments {
            Arguments::Count(least, most) => (least, most),
            Arguments::Date => match value {
                RawBsonRef::Document(object) if matches!(object.get("date"), Ok(Some(_))) => {
                    return self.named(&["date", "timezone"], 1, value, at);
                }
                _ => (1, 1),
            },
            Arguments::Named(names, required) => return self.named(names, required, value, at),
        };
        let arguments = self.list(value, at)?;
        if arguments.len() < least || arguments.len() > most {
            let found = format!("{} operands", arguments.len());
            return Err(expected_at(at, operator.arguments.described(), found));
        }
        Ok(arguments)
    }

    /// Named operands in the order of `names`, of which the first ones are required.
    fn named(
        &mut self,
        names: &[&'static str],
        required: usize,
        value: RawBsonRef<'_>,
        at: &str,
    ) -> Result<Vec<Expression>, PipelineError> {
        let fields = named_fields(value, at, names, required)?;
        let place = |number: usize| join(at, names.get(number).copied().unwrap_or_default());
        let arguments = fields.into_iter().enumerate();
        arguments
            .map(|(number, field)| match field {
                Some(field) => self.expression(field, &place(number)),
                None => Ok(Expression::MISSING),
            })
            .collect()
    }

    /// Reads the operands of an operator: an array of them, or one by itself.
    fn list(&mut self, value: RawBsonRef<'_>, at: &str) -> Result<Vec<Expression>, PipelineError> {
        match self.expression(value, at)? {
            Expression::Array(elements) if matches!(value, RawBsonRef::Array(_)) => Ok(elements),
            single => Ok(vec![single]),
        }
    }

    fn required(
        &mut self,
        value: Option<RawBsonRef<'_>>,
        at: &str,
    ) -> Result<Expression, PipelineError> {
        self.expression(value.unwrap_or(RawBsonRef::Null), at)
    }

    fn cond(&mut self, value: RawBsonRef<'_>, at: &str) -> Result<Control, PipelineError> {
        let operands = match value {
            RawBsonRef::Document(_) => self.named(&["if", "then", "else"], 3, value, at)?,
            _ => self.list(value, at)?,
        };
        let operands: Result<[Expression; 3], _> = operands.try_into();
        let [condition, then, otherwise] =
            operands.map_err(|_| mistake(at, "if, then and else", value))?;
        Ok(Control::Cond {
            condition,
            then,
            otherwise,
        })
    }

    fn switch(&mut self, value: RawBsonRef<'_>, at: &str) -> Result<Control, PipelineError> {
        let [list, default] = named(value, at, ["branches", "default"], 1)?;
        let at_branches = join(at, "branches");
        let array = list.and_then(RawBsonRef::as_array);
        let array = array.ok_or_else(|| mistake(&at_branches, "an array of branches", value))?;
        let mut branches = Vec::new();
        for (index, branch) in array.into_iter().enumerate() {
            let here = join_index(&at_branches, index);
            let branch = branch.map_err(|source| damaged(&here, source))?;
            let [case, then] = named(branch, &here, ["case", "then"], 2)?;
            branches.push((self.required(case, &here)?, self.required(then, &here)?));
        }
        if branches.is_empty() {
            return Err(expected_at(&at_branches, "at least one branch", "none"));
        }
        let default = default.map(|default| self.expression(default, &join(at, "default")));
        let default = default.transpose()?;
        Ok(Control::Switch { branches, default })
    }

    fn with_variables(
        &mut self,
        value: RawBsonRef<'_>,
        at: &str,
    ) -> Result<Control, PipelineError> {
        let [definitions, body] = named(value, at, ["vars", "in"], 2)?;
        let at_definitions = join(at, "vars");
        let definitions = definitions.unwrap_or(RawBsonRef::Null);
        let object = definitions
            .as_document()
            .ok_or_else(|| mistake(&at_definitions, "an object of variables", definitions))?;
        let (mut names, mut variables) = (Vec::new(), Vec::new());
        for field in object {
            let (name, value) = field.map_err(|source| damaged(&at_definitions, source))?;
            let here = join(&at_definitions, name.as_str());
            variables.push(self.expression(value, &here)?);
            names.push(checked_variable(name.as_str(), &here)?);
        }
        let body = self.inside(names, body, &join(at, "in"))?;
        Ok(Control::Let { variables, body })
    }

    /// Reads an expression in which more variables are defined.
    fn inside(
        &mut self,
        names: Vec<String>,
        body: Option<RawBsonRef<'_>>,
        at: &str,
    ) -> Result<Expression, PipelineError> {
        let before = self.variables.len();
        self.variables.extend(names);
        let body = self.required(body, at);
        self.variables.truncate(before);
        body
    }
}

fn unknown(name: &str, at: &str) -> PipelineError {
    let mut supported: Vec<&'static str> = OPERATORS.iter().map(|operator| operator.name).collect();
    supported.extend(CONTROLS);
    supported.sort_unstable();
    PipelineError::UnknownOperator {
        operator: name.to_owned(),
        at: at.to_owned(),
        supported,
    }
}

/// Refuses an object that would make one with two fields of one name.
pub(crate) fn check_duplicates(object: &RawDocument, at: &str) -> Result<(), PipelineError> {
    match duplicate_name(object).map_err(|source| damaged(at, source))? {
        Some(name) => Err(expected_at(
            at,
            "each field once",
            format!("{name:?} twice"),
        )),
        None => Ok(()),
    }
}

/// Refuses a name that no path could address.
fn check_name(name: &str, at: &str) -> Result<(), PipelineError> {
    let path = Path::parse(name).map_err(|source| PipelineError::Path {
        at: at.to_owned(),
        source,
    })?;
    if path.parts().len() > 1 {
        let found = format!("{name:?}");
        return Err(expected_at(at, "a field name without a dot", found));
    }
    Ok(())
}

/// The operands of an operator that names them, in the order of `names`.
fn named<'a, const N: usize>(
    value: RawBsonRef<'a>,
    at: &str,
    names: [&'static str; N],
    required: usize,
) -> Result<[Option<RawBsonRef<'a>>; N], PipelineError> {
    let fields = named_fields(value, at, &names, required)?;
    let mut found = [None; N];
    found.copy_from_slice(&fields);
    Ok(found)
}

fn named_fields<'a>(
    value: RawBsonRef<'a>,
    at: &str,
    names: &[&'static str],
    required: usize,
) -> Result<Vec<Option<RawBsonRef<'a>>>, PipelineError> {
    let Some(object) = value.as_document() else {
        return Err(mistake(at, "an object with named operands", value));
    };
    let mut found = vec![None; names.len()];
    for field in object {
        let (name, value) = field.map_err(|source| damaged(at, source))?;
        match names.iter().position(|known| *known == name.as_str()) {
            Some(number) => found[number] = Some(value),
            None => {
                let here = join(at, name.as_str());
                let found = format!("{:?}", name.as_str());
                return Err(expected_at(
                    &here,
                    "an operand that the operator has",
                    found,
                ));
            }
        }
    }
    match found.iter().take(required).position(Option::is_none) {
        Some(number) => Err(expected_at(&join(at, names[number]), "an operand", "none")),
        None => Ok(found),
    }
}

fn variable_name(
    value: Option<RawBsonRef<'_>>,
    default: &str,
    at: &str,
) -> Result<String, PipelineError> {
    match value {
        None => Ok(default.to_owned()),
        Some(RawBsonRef::String(name)) => checked_variable(name, &join(at, "as")),
        Some(other) => Err(mistake(&join(at, "as"), "the name of a variable", other)),
    }
}

/// Refuses a name that a variable cannot have: it begins with a small letter.
fn checked_variable(name: &str, at: &str) -> Result<String, PipelineError> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii();
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || !c.is_ascii());
    if (begins && name.chars().all(is_part)) || name == "CURRENT" {
        Ok(name.to_owned())
    } else {
        let expected = "a variable name of letters, digits and _ that begins with a small letter";
        Err(expected_at(at, expected, format!("{name:?}")))
    }
}
