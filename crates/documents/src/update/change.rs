//! What each operation does to one value.

use bson::DateTime;
use bson::raw::RawBsonRef;

use super::apply::Application;
use super::array;
use super::error::UpdateError;
use super::operation::{Bits, Operation};
use super::plan::Leaf;
use crate::tree::Node;
use crate::value::arithmetic::{self, Answer, ArithmeticError, Overflow};
use crate::value::{compare, type_name};

impl Leaf {
    /// The error that the value cannot be changed in this way.
    pub(super) fn target(&self, expected: &'static str, node: &Node<'_>) -> UpdateError {
        UpdateError::Target {
            operator: self.operator,
            path: self.path.clone(),
            expected,
            found: node.read(type_name),
        }
    }

    fn arithmetic(&self, source: ArithmeticError) -> UpdateError {
        UpdateError::Arithmetic {
            operator: self.operator,
            path: self.path.clone(),
            source,
        }
    }
}

impl<'a> Application<'a> {
    /// Changes the value in a slot, or makes one.
    pub(super) fn change(
        &mut self,
        leaf: &'a Leaf,
        slot: &mut Option<Node<'a>>,
    ) -> Result<(), UpdateError> {
        let value = match &leaf.operation {
            Operation::Set(value) => value.as_raw_bson_ref(),
            Operation::SetOnInsert(value) if self.insert => value.as_raw_bson_ref(),
            Operation::SetOnInsert(_) => return Ok(()),
            Operation::Unset => {
                *slot = None;
                return Ok(());
            }
            Operation::Rename(number) => return self.rename(leaf, *number, slot),
            Operation::Date => {
                let millis = i64::try_from(self.now.unix_ms).unwrap_or(i64::MAX);
                RawBsonRef::DateTime(DateTime::from_millis(millis))
            }
            Operation::Timestamp => RawBsonRef::Timestamp(self.now.timestamp),
            Operation::Add(operand) | Operation::Multiply(operand) => {
                match calculate(leaf, operand.as_raw_bson_ref(), slot.as_ref())? {
                    Some(result) => result,
                    None => return Ok(()),
                }
            }
            Operation::Min(value) | Operation::Max(value) => {
                let value = value.as_raw_bson_ref();
                if let Some(node) = slot {
                    let ordering = node.read(|old| compare(value, old))?;
                    let is_better = match leaf.operation {
                        Operation::Min(_) => ordering.is_lt(),
                        _ => ordering.is_gt(),
                    };
                    if !is_better {
                        return Ok(());
                    }
                }
                value
            }
            Operation::Bits(steps) => change_bits(leaf, steps, slot.as_ref())?,
            Operation::Push(push) => return array::push(self, leaf, push, slot),
            Operation::AddToSet(values) => return array::add_to_set(self, leaf, values, slot),
            Operation::Pop(end) => return array::pop(leaf, *end, slot),
            Operation::Pull(pull) => return array::pull(leaf, pull, slot),
            Operation::PullAll(values) => return array::pull_all(leaf, values, slot),
        };
        let node = Node::Raw(value);
        self.charge(node.bytes())?;
        *slot = Some(node);
        Ok(())
    }

    fn rename(
        &mut self,
        leaf: &Leaf,
        number: usize,
        slot: &mut Option<Node<'a>>,
    ) -> Result<(), UpdateError> {
        if let Some(value) = self.moved.get_mut(number).and_then(Option::take) {
            if self.is_in_array() {
                let path = leaf.path.clone();
                return Err(UpdateError::RenameInArray { path });
            }
            *slot = Some(value);
        }
        Ok(())
    }
}

/// The result of `$inc` or `$mul`; `None` if it is of the type and value that are there, so that
/// -0 + 0 leaves -0.
fn calculate(
    leaf: &Leaf,
    operand: RawBsonRef<'_>,
    node: Option<&Node<'_>>,
) -> Result<Option<Answer>, UpdateError> {
    let is_sum = matches!(leaf.operation, Operation::Add(_));
    let Some(node) = node else {
        // A missing field counts as an int32 zero.
        let calculate = if is_sum {
            arithmetic::add
        } else {
            arithmetic::multiply
        };
        let result = calculate(operand, RawBsonRef::Int32(0), Overflow::Refuse);
        return result.map(Some).map_err(|source| leaf.arithmetic(source));
    };
    node.read(|old| {
        let calculate = if is_sum {
            arithmetic::add
        } else {
            arithmetic::multiply
        };
        match calculate(old, operand, Overflow::Refuse) {
            Ok(result) => {
                let same_type = std::mem::discriminant(&old) == std::mem::discriminant(&result);
                let same = same_type && compare(old, result)?.is_eq();
                Ok((!same).then_some(result))
            }
            Err(ArithmeticError::NotANumber { .. }) => Err(leaf.target("a number", node)),
            Err(source) => Err(leaf.arithmetic(source)),
        }
    })
}

/// The result of `$bit`; a missing field counts as an int32 zero.
fn change_bits(
    leaf: &Leaf,
    steps: &[Bits],
    node: Option<&Node<'_>>,
) -> Result<Answer, UpdateError> {
    let (mut value, mut narrow) = match node {
        None => (0, true),
        Some(Node::Raw(RawBsonRef::Int32(n))) => (i64::from(*n), true),
        Some(Node::Raw(RawBsonRef::Int64(n))) => (*n, false),
        Some(node) => return Err(leaf.target("an integer", node)),
    };
    for step in steps {
        value = (step.operator)(value, step.operand);
        narrow &= step.narrow;
    }
    // Two numbers that fit into 32 bits make one that does.
    Ok(match i32::try_from(value) {
        Ok(value) if narrow => RawBsonRef::Int32(value),
        _ => RawBsonRef::Int64(value),
    })
}
