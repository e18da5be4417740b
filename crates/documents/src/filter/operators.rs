//! From a document to a filter: the operators on one field.

use std::sync::Arc;

use bson::raw::{RawBsonRef, RawDocument};

use super::operands::{self, literal};
use super::parse::{Parser, all, damaged, first_name, has_operators, not, operand, operand_array};
use super::{
    Comparison, Condition, Element, FIELD_OPERATORS, LOGICAL_OPERATORS, PATTERNS_MAX, Pattern, Test,
};
use crate::error::FilterError;
use crate::path::{Path, field};
use crate::pointer::Place;
use crate::value::type_name;

/// What the object that an operator stands in says besides.
struct Siblings<'a> {
    document: &'a RawDocument,
    at: Place<'a>,
}

impl Parser {
    /// Reads an object of operators on one field, and appends what it demands.
    pub(super) fn operators(
        &mut self,
        path: &Arc<Path>,
        document: &RawDocument,
        at: Place<'_>,
        out: &mut Vec<Condition>,
    ) -> Result<(), FilterError> {
        let siblings = Siblings { document, at };
        let mut options = false;
        for element in document {
            let (operator, value) = element.map_err(|source| damaged(at, source))?;
            let here = at.name(operator.as_str());
            match operator.as_str() {
                "$all" => self.all_of(path, value, here, out)?,
                "$not" => out.push(not(all(self.negated(path, value, here)?))),
                "$options" if options => {} // a repetition of the name; the first one counts
                "$options" => {
                    require_regex(&siblings, here)?;
                    options = true;
                }
                name => {
                    let (test, negated) = self.test(path, name, value, here, &siblings)?;
                    let path = Arc::clone(path);
                    let condition = Condition::Field { path, test };
                    out.push(if negated { not(condition) } else { condition });
                }
            }
        }
        Ok(())
    }

    /// The test that an operator stands for, and whether it is negated.
    fn test(
        &mut self,
        path: &Arc<Path>,
        operator: &str,
        value: RawBsonRef<'_>,
        at: Place<'_>,
        siblings: &Siblings<'_>,
    ) -> Result<(Test, bool), FilterError> {
        let compare = |operator, comparison| {
            let literal = literal(operator, value, at)?;
            Ok::<_, FilterError>(Test::Compare(comparison, literal))
        };
        let no_pattern = |operator, comparison| {
            if matches!(value, RawBsonRef::RegularExpression(_)) {
                return Err(FilterError::Regex { at: at.pointer() });
            }
            compare(operator, comparison)
        };
        let test = match operator {
            "$eq" => compare("$eq", Comparison::Eq)?,
            "$ne" => return Ok((no_pattern("$ne", Comparison::Eq)?, true)),
            "$gt" => no_pattern("$gt", Comparison::Gt)?,
            "$gte" => no_pattern("$gte", Comparison::Gte)?,
            "$lt" => no_pattern("$lt", Comparison::Lt)?,
            "$lte" => no_pattern("$lte", Comparison::Lte)?,
            "$in" => self.one_of("$in", value, at)?,
            "$nin" => return Ok((self.one_of("$nin", value, at)?, true)),
            "$exists" => return Ok((Test::Exists, !operands::is_true(value))),
            "$type" => Test::Type(operands::types(value, at)?),
            "$regex" => Test::Pattern(self.regex(value, at, siblings)?),
            "$mod" => operands::modulo(value, at)?,
            "$size" => Test::Size(operands::size(value, at)?),
            "$elemMatch" => Test::Element(self.element(path, value, at)?),
            unknown => {
                return Err(FilterError::UnknownOperator {
                    operator: unknown.to_owned(),
                    at: at.pointer(),
                    supported: FIELD_OPERATORS,
                });
            }
        };
        Ok((test, false))
    }

    /// Reads the operand of `$not`: an object of operators, at least one, or a pattern.
    fn negated(
        &mut self,
        path: &Arc<Path>,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Vec<Condition>, FilterError> {
        const EXPECTED: &str = "an object with at least one operator, or a regular expression";
        let mut conditions = Vec::new();
        match value {
            RawBsonRef::Document(document) if has_operators(document, at)? => {
                self.operators(path, document, at, &mut conditions)?;
            }
            RawBsonRef::Document(_) => {
                return Err(operand("$not", at, EXPECTED, "an object without operators"));
            }
            RawBsonRef::RegularExpression(regex) => {
                let (text, options) = (regex.pattern.as_str(), regex.options.as_str());
                let test = Test::Pattern(self.pattern(text, options, at)?);
                let path = Arc::clone(path);
                conditions.push(Condition::Field { path, test });
            }
            other => return Err(operand("$not", at, EXPECTED, type_name(other))),
        }
        Ok(conditions)
    }

    /// Reads the operand of `$all`, and appends one condition for each of its values.
    fn all_of(
        &mut self,
        path: &Arc<Path>,
        value: RawBsonRef<'_>,
        at: Place<'_>,
        out: &mut Vec<Condition>,
    ) -> Result<(), FilterError> {
        let array = operand_array("$all", value, at)?;
        if array.is_empty() {
            out.push(Condition::Any(Vec::new())); // asked for nothing, it finds nothing
        }
        let is_element = |value: RawBsonRef<'_>| {
            let first = value.as_document().and_then(first_name);
            first == Some("$elemMatch")
        };
        let mut elements = None;
        for (index, value) in array.into_iter().enumerate() {
            let here = at.index(index);
            let value = value.map_err(|source| damaged(at, source))?;
            if *elements.get_or_insert(is_element(value)) != is_element(value) {
                let expected = "either $elemMatch in all of its places or in none";
                return Err(operand("$all", here, expected, "the other"));
            }
            let test = match value {
                RawBsonRef::Document(document) if is_element(value) => {
                    self.operators(path, document, here, out)?;
                    continue;
                }
                value => self.equal("$all", value, here)?,
            };
            let path = Arc::clone(path);
            out.push(Condition::Field { path, test });
        }
        Ok(())
    }

    /// Equality with a value in a list, where a regular expression is a pattern.
    fn equal(
        &mut self,
        operator: &'static str,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Test, FilterError> {
        match value {
            RawBsonRef::RegularExpression(regex) => {
                let (text, options) = (regex.pattern.as_str(), regex.options.as_str());
                Ok(Test::Pattern(self.pattern(text, options, at)?))
            }
            RawBsonRef::Document(document)
                if first_name(document).is_some_and(|name| name.starts_with('$')) =>
            {
                let found = "an object with operators";
                Err(operand(operator, at, "values only", found))
            }
            value => Ok(Test::Compare(Comparison::Eq, literal(operator, value, at)?)),
        }
    }

    /// Reads the operand of `$in` or `$nin`.
    fn one_of(
        &mut self,
        operator: &'static str,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Test, FilterError> {
        let array = operand_array(operator, value, at)?;
        let (mut literals, mut tests) = (Vec::new(), Vec::new());
        for (index, value) in array.into_iter().enumerate() {
            let value = value.map_err(|source| damaged(at, source))?;
            match self.equal(operator, value, at.index(index))? {
                Test::Compare(_, literal) => literals.push(literal),
                test => tests.push(test),
            }
        }
        let values = Test::In(operands::ordered(literals, at)?);
        if tests.is_empty() {
            return Ok(values);
        }
        tests.insert(0, values);
        Ok(Test::Either(tests))
    }

    /// Reads the operand of `$elemMatch`: operators on the element, or conditions on its fields.
    pub(super) fn element(
        &mut self,
        path: &Arc<Path>,
        value: RawBsonRef<'_>,
        at: Place<'_>,
    ) -> Result<Element, FilterError> {
        let Some(document) = value.as_document() else {
            let expected = "an object of conditions";
            return Err(operand("$elemMatch", at, expected, type_name(value)));
        };
        let mut conditions = Vec::new();
        let of_value = first_name(document)
            .is_some_and(|name| name.starts_with('$') && !LOGICAL_OPERATORS.contains(&name));
        if of_value {
            has_operators(document, at)?;
            self.operators(path, document, at, &mut conditions)?;
            return Ok(Element::Value(conditions));
        }
        self.without_text(|own| own.object(document, at, &mut conditions))?;
        Ok(Element::Object(conditions))
    }

    /// Reads the operand of `$regex`, and the `$options` next to it.
    fn regex(
        &mut self,
        value: RawBsonRef<'_>,
        at: Place<'_>,
        siblings: &Siblings<'_>,
    ) -> Result<Pattern, FilterError> {
        let options_at = siblings.at.name("$options");
        let options = match sibling(siblings, "$options")? {
            None => None,
            Some(RawBsonRef::String(options)) => Some(options),
            Some(other) => {
                let found = type_name(other);
                return Err(operand("$options", options_at, "a string", found));
            }
        };
        match value {
            RawBsonRef::String(text) => self.pattern(text, options.unwrap_or_default(), at),
            RawBsonRef::RegularExpression(regex) => {
                let own = regex.options.as_str();
                if !own.is_empty() && options.is_some() {
                    let expected = "to be the only place of options";
                    let found = "options in $regex as well";
                    return Err(operand("$options", options_at, expected, found));
                }
                self.pattern(regex.pattern.as_str(), options.unwrap_or(own), at)
            }
            other => {
                let expected = "a string or a regular expression";
                Err(operand("$regex", at, expected, type_name(other)))
            }
        }
    }

    /// Compiles a pattern.
    pub(super) fn pattern(
        &mut self,
        text: &str,
        options: &str,
        at: Place<'_>,
    ) -> Result<Pattern, FilterError> {
        let refused = |reason| FilterError::Pattern {
            at: at.pointer(),
            reason,
        };
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            return Err(refused(format!(
                "a filter has at most {PATTERNS_MAX} patterns"
            )));
        }
        Pattern::new(text, options).map_err(refused)
    }
}

fn sibling<'a>(siblings: &Siblings<'a>, name: &str) -> Result<Option<RawBsonRef<'a>>, FilterError> {
    // The whole filter was checked for damage; this is the same error in another dress.
    field(siblings.document, name).map_err(|_| FilterError::Operand {
        operator: "$regex",
        at: siblings.at.pointer(),
        expected: "an object that can be read",
        found: "damage",
    })
}

fn require_regex(siblings: &Siblings<'_>, at: Place<'_>) -> Result<(), FilterError> {
    match sibling(siblings, "$regex")? {
        Some(_) => Ok(()),
        None => Err(operand("$options", at, "a $regex next to it", "none")),
    }
}
