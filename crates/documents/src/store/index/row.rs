//! The rows that a document has in an index, and how a row is taken apart.

use bson::raw::{RawBsonRef, RawDocument};
use nexusbase_db::TRANSACTION_BYTES_MAX;

use super::walk::{Cell, Table, walk};
use super::{VALUE_KEY_BYTES_MAX, text, too_large};
use crate::ValueError;
use crate::json::{Form, write_value};
use crate::store::definition::IndexDefinition;
use crate::store::error::Error;
use crate::value::key::{encode_directed, split_first_directed};

/// The rows of a document in an index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The values of the parts, encoded; sorted, each once.
    pub(crate) values: Vec<Vec<u8>>,
    /// Which parts have found none or several values, or an array: by them the index does not
    /// order documents as a sort would. Empty if the index leaves the document out.
    pub(crate) multikey: Vec<bool>,
}

/// The rows of `document` in `index`; none if the index leaves it out.
pub(crate) fn rows(index: &IndexDefinition, document: &RawDocument) -> Result<Rows, Error> {
    if index.spec.is_text {
        return text::rows(index, document);
    }
    let Some(table) = table(index, document)? else {
        return Ok(Rows::default());
    };
    let mut values = Vec::with_capacity(table.rows().len());
    let mut bytes = 0;
    for row in table.rows() {
        let key = encoded(index, row)?;
        if key.len() > VALUE_KEY_BYTES_MAX {
            return Err(Error::KeyTooLarge {
                path: index.spec.text(),
                bytes: key.len(),
                limit: VALUE_KEY_BYTES_MAX,
            });
        }
        bytes += key.len();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(too_large(bytes));
        }
        values.push(key);
    }
    values.sort_unstable();
    values.dedup();
    let multikey = table.multikey;
    Ok(Rows { values, multikey })
}

/// What the row of `document` with these encoded values says, as JSON: an object with the paths of
/// the index. An array without elements, or with none that the path applies to, shows as `[]`.
pub(crate) fn describe(
    index: &IndexDefinition,
    document: &RawDocument,
    values: &[u8],
) -> Result<String, Error> {
    let mut text = String::from("{");
    let Some(table) = table(index, document)? else {
        return Ok(text + "}");
    };
    for row in table.rows() {
        if encoded(index, row)? != values {
            continue;
        }
        for (part, cell) in index.spec.parts.iter().zip(row) {
            if text.len() > 1 {
                text.push(',');
            }
            write_value(
                RawBsonRef::String(part.path.as_str()),
                Form::Relaxed,
                &mut text,
            )?;
            text.push(':');
            match value_of(*cell) {
                RawBsonRef::Undefined => text.push_str("[]"),
                value => write_value(value, Form::Relaxed, &mut text)?,
            }
        }
        break;
    }
    Ok(text + "}")
}

/// What the parts find in a document, unless the index leaves it out.
fn table<'a>(
    index: &IndexDefinition,
    document: &'a RawDocument,
) -> Result<Option<Table<'a>>, Error> {
    let spec = &index.spec;
    if let Some(partial) = &spec.partial
        && !partial.filter.matches(document)?
    {
        return Ok(None);
    }
    let table = walk(spec, document)?;
    Ok((!spec.sparse || !table.has_no_value()).then_some(table))
}

const fn value_of(cell: Cell<'_>) -> RawBsonRef<'_> {
    match cell {
        Cell::Value(value) => value,
        Cell::Missing => RawBsonRef::Null,
        Cell::Nothing => RawBsonRef::Undefined,
    }
}

fn encoded(index: &IndexDefinition, row: &[Cell<'_>]) -> Result<Vec<u8>, ValueError> {
    let mut key = Vec::with_capacity(24);
    for (part, cell) in index.spec.parts.iter().zip(row) {
        encode_directed(value_of(*cell), part.direction, &mut key)?;
    }
    Ok(key)
}

impl IndexDefinition {
    /// The key and the value of the row with these values, of the document under `id_key`.
    pub(crate) fn row(&self, values: &[u8], id_key: &[u8]) -> (Vec<u8>, Vec<u8>) {
        if self.spec.unique {
            (values.to_vec(), id_key.to_vec())
        } else {
            ([values, id_key].concat(), Vec::new())
        }
    }

    /// The values of a row and the `_id` key of its document; none when the row is damaged.
    pub(crate) fn split_row<'r>(
        &self,
        key: &'r [u8],
        value: &'r [u8],
    ) -> Option<(&'r [u8], &'r [u8])> {
        let mut rest = key;
        for part in self.spec.parts.iter().take(self.spec.row_values()) {
            (_, rest) = split_first_directed(rest, part.direction)?;
        }
        if self.spec.unique {
            rest.is_empty().then_some((key, value))
        } else {
            Some((&key[..key.len() - rest.len()], rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use nexusbase_db::TreeId;

    use super::*;
    use crate::json::parse_document;
    use crate::store::IndexSpec;

    fn index(spec: IndexSpec) -> IndexDefinition {
        IndexDefinition::new(spec, TreeId::new(9))
    }

    /// The rows as JSON, in the order of their keys, and the flags.
    fn found(spec: &IndexSpec, document: &str) -> (Vec<String>, Vec<bool>) {
        let document = parse_document(document.as_bytes()).unwrap();
        let index = index(spec.clone());
        let rows = rows(&index, &document).unwrap();
        let say = |values: &Vec<u8>| describe(&index, &document, values).unwrap();
        (rows.values.iter().map(say).collect(), rows.multikey)
    }

    fn on(paths: &str) -> IndexSpec {
        IndexSpec::on(paths).unwrap()
    }

    #[test]
    fn an_array_stands_by_each_element_once() {
        for (document, rows, multikey) in [
            (r#"{"a":1}"#, &["1"][..], false),
            (r#"{"a":null}"#, &["null"], false),
            (r#"{"b":1}"#, &["null"], false),
            (r#"{"a":{"b":1}}"#, &[r#"{"b":1}"#], false),
            (r#"{"a":[]}"#, &["[]"], true),
            (r#"{"a":[5]}"#, &["5"], true),
            (r#"{"a":[3,1,3.0,[1]]}"#, &["1", "3", "[1]"], true),
        ] {
            let rows: Vec<_> = rows.iter().map(|row| format!("{{\"a\":{row}}}")).collect();
            assert_eq!(
                found(&on("a"), document),
                (rows, vec![multikey]),
                "{document}"
            );
        }
    }

    #[test]
    fn a_path_through_an_array_leaves_out_elements_that_it_does_not_apply_to() {
        for (document, rows, multikey) in [
            (r#"{"a":{"b":1}}"#, &["1"][..], false),
            (r#"{"a":5}"#, &["null"], false),
            (r#"{"a":[{"b":1}]}"#, &["1"], false),
            (r#"{"a":[{"b":1},{"c":1}]}"#, &["null", "1"], true),
            (r#"{"a":[1,{"b":2}]}"#, &["2"], true),
            (r#"{"a":[1,[{"b":2}]]}"#, &["[]"], true),
            (r#"{"a":[]}"#, &["[]"], true),
            (r#"{"a":[{"b":[]},{"b":[2,1]}]}"#, &["[]", "1", "2"], true),
        ] {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| format!("{{\"a.b\":{row}}}"))
                .collect();
            assert_eq!(
                found(&on("a.b"), document),
                (rows, vec![multikey]),
                "{document}"
            );
        }
    }

    #[test]
    fn parts_below_one_array_stay_in_step() {
        let spec = on("items.sku,items.qty,buyer");
        let document = r#"{"buyer":"b","items":[{"sku":1,"qty":9},{"sku":2},{"sku":1,"qty":8},5]}"#;
        let (rows, multikey) = found(&spec, document);
        let row = |sku, qty| format!(r#"{{"items.sku":{sku},"items.qty":{qty},"buyer":"b"}}"#);
        assert_eq!(rows, [row("1", "8"), row("1", "9"), row("2", "null")]);
        assert_eq!(multikey, [true, true, false]);
        let (rows, _) = found(&spec, r#"{"buyer":"b","items":[5]}"#);
        assert_eq!(rows, [row("[]", "[]")]);
        // Element by element further down as well, and an array beside its own fields.
        let nested = r#"{"a":[{"x":1,"c":[{"d":1},{"d":2}]},{"x":2,"c":[]},{"x":3}]}"#;
        let (rows, multikey) = found(&on("a.c.d,a.x"), nested);
        let row = |d, x| format!(r#"{{"a.c.d":{d},"a.x":{x}}}"#);
        let expected = [row("[]", 2), row("null", 3), row("1", 1), row("2", 1)];
        assert_eq!(rows, expected);
        assert_eq!(multikey, [true, true]);
        let (rows, _) = found(&on("a,a.x"), r#"{"a":[{"x":1},7]}"#);
        assert_eq!(rows, [r#"{"a":7,"a.x":[]}"#, r#"{"a":{"x":1},"a.x":1}"#]);
    }

    #[test]
    fn an_array_in_an_element_makes_only_its_own_part_multikey() {
        let (rows, multikey) = found(&on("a.x,a.y"), r#"{"a":[{"x":[1,2],"y":5}]}"#);
        assert_eq!(rows.len(), 2);
        assert_eq!(multikey, [true, false]);
    }

    #[test]
    fn arrays_at_different_places_are_refused() {
        for (paths, document) in [
            ("a,b", r#"{"a":[1],"b":[2]}"#),
            ("a,b", r#"{"a":[],"b":[]}"#),
            ("a.b,a.c", r#"{"a":[{"b":[1],"c":[2]}]}"#),
            ("a.b,a.c", r#"{"a":{"b":[1],"c":[2]}}"#),
        ] {
            let document = parse_document(document.as_bytes()).unwrap();
            let refused = rows(&index(on(paths)), &document);
            assert!(
                matches!(refused, Err(Error::ParallelArrays { .. })),
                "{paths}"
            );
        }
        // In different elements they never meet.
        let (rows, _) = found(&on("a.b,a.c"), r#"{"a":[{"b":[1,2]},{"c":[3,4]}]}"#);
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn a_position_picks_one_element() {
        let (rows, multikey) = found(&on("a.0,a.1"), r#"{"a":[7,8,9]}"#);
        assert_eq!(rows, [r#"{"a.0":7,"a.1":8}"#]);
        assert_eq!(multikey, [false, false]);
        let (rows, multikey) = found(&on("a.0.b"), r#"{"a":[{"b":[1,2]}]}"#);
        assert_eq!(rows, [r#"{"a.0.b":1}"#, r#"{"a.0.b":2}"#]);
        assert_eq!(multikey, [true]);
    }

    #[test]
    fn what_is_sparse_or_partial_leaves_documents_out() {
        let sparse = on("a,b.c").sparse();
        for (document, count) in [
            (r#"{"x":1}"#, 0),
            (r#"{"b":[]}"#, 0),
            (r#"{"b":[1]}"#, 0),
            (r#"{"a":null}"#, 1),
            (r#"{"b":{"c":1}}"#, 1),
            (r#"{"b":[{"c":1},{}]}"#, 2),
            (r#"{"a":[]}"#, 1),
        ] {
            assert_eq!(found(&sparse, document).0.len(), count, "{document}");
        }
        let filter = parse_document(br#"{"on":true}"#).unwrap();
        let partial = on("a").partial(&filter).unwrap();
        assert_eq!(found(&partial, r#"{"a":1}"#).0.len(), 0);
        assert_eq!(found(&partial, r#"{"a":1,"on":true}"#).0.len(), 1);
    }

    #[test]
    fn more_rows_than_fit_into_memory_are_refused() {
        let paths: Vec<_> = (0..31).map(|n| format!("a.x{n}")).collect();
        let elements = vec!["{}"; 100_000].join(",");
        let document = parse_document(format!("{{\"a\":[{elements}]}}").as_bytes()).unwrap();
        let refused = rows(&index(on(&paths.join(","))), &document);
        assert!(super::super::is_too_large(&refused.unwrap_err()));
    }

    #[test]
    fn the_bytes_of_rows_do_not_change() {
        let document = parse_document(br#"{"_id":"k","a":1,"b":["x",null]}"#).unwrap();
        let spec = on("a,-b");
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let rows_of = |spec: IndexSpec| -> Vec<(String, String)> {
            let index = index(spec);
            let rows = rows(&index, &document).unwrap().values;
            let id = super::super::id_key(RawBsonRef::String("k")).unwrap();
            let both = rows.iter().map(|values| index.row(values, &id));
            both.map(|(key, value)| (hex(&key), hex(&value))).collect()
        };
        let (one, x, null, id) = ("30bff000000000000000", "bf87ffff", "df", "406b0000");
        let plain = [
            (format!("{one}{x}{id}"), String::new()),
            (format!("{one}{null}{id}"), String::new()),
        ];
        assert_eq!(rows_of(spec.clone()), plain);
        let unique = [
            (format!("{one}{x}"), id.to_owned()),
            (format!("{one}{null}"), id.to_owned()),
        ];
        assert_eq!(rows_of(spec.unique()), unique);
    }
}
