//! How the parts of an index walk through a document together.
//!
//! A document without arrays has one row of cells, one cell for each part. Where parts meet an array, there is a
//! row for each of its elements, and parts that lead through the same array stay in step: the
//! row of an element has what each of them finds in *that* element. So `items.sku` and
//! `items.qty` stand side by side as they do in the document, and an array in an element goes on
//! in the same way. Two different arrays on one level would need a row for each pair of elements
//! and are refused.
//!
//! A step that is a number picks an element ([`Path::visit`](crate::path::Path::visit) says how)
//! and is no walk over the array. Where it leads to several values all the same, they count as an
//! array of their own.
//!
//! Every row is made of what stands in the document; nothing is made for elements that no part
//! applies to, as long as there is another row.

use bson::raw::{RawArray, RawBsonRef, RawDocument};

use super::too_large;
use crate::path::{Found, field};
use crate::store::error::Error;
use crate::store::index::IndexSpec;

/// As many cells one document may have in one index; they are in memory at once.
const CELLS_MAX: usize = 1 << 21;

/// What a part finds for one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// A value.
    Value(RawBsonRef<'a>),
    /// An object without the field, which counts as null.
    Missing,
    /// Not even that: an array without elements, or with none that the path applies to.
    Nothing,
}

/// The rows of a document, at least one.
#[derive(Debug)]
pub(super) struct Table<'a> {
    cells: Vec<Cell<'a>>,
    /// Per part: it has found none or several values, or an array.
    pub(super) multikey: Vec<bool>,
}

impl<'a> Table<'a> {
    /// The rows; each has a cell for each part.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = &[Cell<'a>]> {
        self.cells.chunks_exact(self.multikey.len())
    }

    /// Whether no part has found any value.
    pub(super) fn has_no_value(&self) -> bool {
        !self.cells.iter().any(|cell| matches!(cell, Cell::Value(_)))
    }
}

/// What the parts of an index find in a document.
pub(super) fn walk<'a>(spec: &IndexSpec, document: &'a RawDocument) -> Result<Table<'a>, Error> {
    let parts = spec.parts.len();
    let mut walk = Walk {
        spec,
        row: vec![Cell::Nothing; parts],
        table: Table {
            cells: Vec::with_capacity(parts),
            multikey: vec![false; parts],
        },
    };
    let all: Vec<usize> = (0..parts).collect();
    walk.object(document, 0, &all)?;
    Ok(walk.table)
}

struct Walk<'s, 'a> {
    spec: &'s IndexSpec,
    /// The row that is being made.
    row: Vec<Cell<'a>>,
    table: Table<'a>,
}

/// Where a row becomes several.
enum Fan<'a> {
    /// In the elements of an array.
    Elements {
        array: &'a RawArray,
        /// How many steps have led to it.
        taken: usize,
        /// The part that ends there.
        ended: Option<usize>,
        /// The parts that go on in the elements.
        going: Vec<usize>,
    },
    /// In the values that positions have led one part to.
    Values { part: usize, cells: Vec<Cell<'a>> },
}

impl<'a> Walk<'_, 'a> {
    /// Makes the rows of the parts in `group`, which the steps taken so far have led to `object`.
    fn object(
        &mut self,
        object: &'a RawDocument,
        taken: usize,
        group: &[usize],
    ) -> Result<(), Error> {
        let mut fan = None;
        for part in group {
            if let Some(met) = self.follow(object, taken, *part)? {
                fan = Some(match fan {
                    None => met,
                    Some(fan) => self.joined(fan, met)?,
                });
            }
        }
        match fan {
            None => self.emit(),
            Some(Fan::Elements {
                array,
                taken,
                ended,
                going,
            }) => self.elements(array, taken, ended, &going),
            Some(Fan::Values { part, cells }) => {
                for cell in cells {
                    self.row[part] = cell;
                    self.emit()?;
                }
                Ok(())
            }
        }
    }

    /// Follows a part through objects to its cell, or to where its row becomes several.
    fn follow(
        &mut self,
        mut object: &'a RawDocument,
        mut taken: usize,
        part: usize,
    ) -> Result<Option<Fan<'a>>, Error> {
        let path = &self.spec.parts[part].path;
        let mut cell = Cell::Missing;
        for step in path.parts().skip(taken) {
            taken += 1;
            let is_end = taken == path.parts().len();
            match field(object, step)? {
                Some(RawBsonRef::Array(array)) if is_end || !path.is_position(taken) => {
                    return Ok(Some(Fan::Elements {
                        array,
                        taken,
                        ended: is_end.then_some(part),
                        going: if is_end { Vec::new() } else { vec![part] },
                    }));
                }
                Some(RawBsonRef::Array(array)) => return self.positions(array, taken, part),
                Some(value) if is_end => cell = Cell::Value(value),
                Some(RawBsonRef::Document(inner)) => object = inner,
                Some(_) | None => break,
            }
        }
        self.row[part] = cell;
        Ok(None)
    }

    /// What a part finds whose next step picks an element of an array.
    fn positions(
        &mut self,
        array: &'a RawArray,
        taken: usize,
        part: usize,
    ) -> Result<Option<Fan<'a>>, Error> {
        let (mut cells, mut single) = (Vec::new(), true);
        let path = &self.spec.parts[part].path;
        path.visit_from(taken, array, &mut |found| {
            match found {
                Found::Missing => cells.push(Cell::Missing),
                Found::Apart => single = false,
                Found::Value {
                    value: RawBsonRef::Array(array),
                    unwrap: true,
                } => {
                    single = false;
                    for element in array {
                        cells.push(Cell::Value(element?));
                    }
                    if array.is_empty() {
                        cells.push(Cell::Value(RawBsonRef::Undefined));
                    }
                }
                Found::Value { value, .. } => {
                    single &= !matches!(value, RawBsonRef::Array(_));
                    cells.push(Cell::Value(value));
                }
            }
            Ok(false)
        })?;
        if !single || cells.len() != 1 {
            self.table.multikey[part] = true;
        }
        if cells.len() > 1 {
            return Ok(Some(Fan::Values { part, cells }));
        }
        self.row[part] = cells.pop().unwrap_or(Cell::Nothing);
        Ok(None)
    }

    /// Two parts that meet the same array go through it in step.
    fn joined(&self, fan: Fan<'a>, met: Fan<'a>) -> Result<Fan<'a>, Error> {
        match (fan, met) {
            (
                Fan::Elements {
                    array,
                    taken,
                    ended,
                    mut going,
                },
                Fan::Elements {
                    array: same,
                    ended: also_ended,
                    going: also_going,
                    ..
                },
            ) if std::ptr::eq(array, same) => {
                going.extend(also_going);
                Ok(Fan::Elements {
                    array,
                    taken,
                    ended: ended.or(also_ended),
                    going,
                })
            }
            _ => Err(Error::ParallelArrays {
                index: self.spec.name().to_owned(),
            }),
        }
    }

    fn elements(
        &mut self,
        array: &'a RawArray,
        taken: usize,
        ended: Option<usize>,
        going: &[usize],
    ) -> Result<(), Error> {
        let first = self.table.cells.len();
        let mut count = 0;
        for element in array {
            let element = element.map_err(crate::ValueError::from)?;
            count += 1;
            let start = self.table.cells.len();
            if let Some(part) = ended {
                self.row[part] = Cell::Value(element);
            }
            match element {
                RawBsonRef::Document(object) if !going.is_empty() => {
                    self.object(object, taken, going)?;
                }
                _ => self.nothing(going)?,
            }
            if ended.is_none() && self.is_nothing(start, going) {
                self.table.cells.truncate(start);
            }
        }
        if self.table.cells.len() == first {
            if let Some(part) = ended {
                self.row[part] = Cell::Value(RawBsonRef::Undefined);
            }
            self.nothing(going)?;
        }
        for part in going.iter().filter(|_| count != 1).chain(&ended) {
            self.table.multikey[*part] = true;
        }
        Ok(())
    }

    /// A row for an element, or a whole array, that these parts do not apply to.
    fn nothing(&mut self, going: &[usize]) -> Result<(), Error> {
        for part in going {
            self.row[*part] = Cell::Nothing;
            self.table.multikey[*part] = true;
        }
        self.emit()
    }

    /// Whether the rows from `start` on are just one, in which these parts have found nothing.
    fn is_nothing(&self, start: usize, going: &[usize]) -> bool {
        let row = &self.table.cells[start..];
        row.len() == self.row.len() && going.iter().all(|part| row[*part] == Cell::Nothing)
    }

    fn emit(&mut self) -> Result<(), Error> {
        let cells = self.table.cells.len() + self.row.len();
        if cells > CELLS_MAX {
            return Err(too_large(cells * size_of::<Cell<'_>>()));
        }
        self.table.cells.extend_from_slice(&self.row);
        Ok(())
    }
}
