//! A filter matches what a plain evaluator says it matches.
//!
//! The evaluator works on decoded values and copies whatever it likes. Documents and filters are
//! small and drawn from few values, so that they meet one another.

use std::cmp::Ordering;

use bson::{Array, Bson, DateTime, Document, doc};
use nexusbase_documents::filter::Filter;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::random::{decimal_value, raw_document, regex_value};

type Known = (&'static str, &'static str, fn(&str) -> bool);

/// Patterns, their options, and what they mean.
const PATTERNS: [Known; 6] = [
    ("^a", "", |text| text.starts_with('a')),
    ("^a", "i", |text| text.starts_with(['a', 'A'])),
    ("b$", "", |text| {
        text.ends_with('b') || text.ends_with("b\n")
    }),
    ("^a.?b", "s", |text| {
        let mut rest = text.chars();
        rest.next() == Some('a') && (rest.next() == Some('b') || rest.next() == Some('b'))
    }),
    ("a(?!b)", "", |text| text.replace("ab", "").contains('a')),
    ("", "", |_| true),
];

const TYPES: [(&str, i32); 9] = [
    ("double", 1),
    ("string", 2),
    ("object", 3),
    ("array", 4),
    ("bool", 8),
    ("null", 10),
    ("regex", 11),
    ("int", 16),
    ("decimal", 19),
];

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "0", "1"]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Bson> {
    prop_oneof![
        4 => (-2i32..6).prop_map(Bson::Int32),
        1 => (0i64..4).prop_map(Bson::Int64),
        2 => select(vec![0.0, -0.0, 0.5, 1.0, 2.5, f64::NAN, f64::INFINITY]).prop_map(Bson::Double),
        1 => select(vec!["1.0", "2.5", "NaN"]).prop_map(decimal_value),
        4 => select(vec!["", "a", "ab", "A", "b", "a\nb", "b\n"]).prop_map(Bson::from),
        3 => Just(Bson::Null),
        1 => any::<bool>().prop_map(Bson::Boolean),
        1 => select(vec![Bson::MinKey, Bson::MaxKey]),
        1 => (0i64..3).prop_map(|n| Bson::DateTime(DateTime::from_millis(n))),
        1 => pattern(),
    ]
}

fn pattern() -> impl Strategy<Value = Bson> {
    select(PATTERNS.to_vec()).prop_map(|(text, options, _)| regex_value(text, options))
}

fn value() -> impl Strategy<Value = Bson> {
    scalar().prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            2 => vec(inner.clone(), 0..4).prop_map(Bson::Array),
            1 => vec((name(), inner), 0..3)
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Document> {
    vec((name(), value()), 0..4).prop_map(|fields| fields.into_iter().collect())
}

fn path() -> impl Strategy<Value = String> {
    vec(name(), 1..4).prop_map(|names| names.join("."))
}

fn one(operator: &str, operand: impl Into<Bson>) -> Document {
    doc! { operator: operand.into() }
}

/// An operand that is not taken for something else.
fn plain() -> impl Strategy<Value = Bson> {
    value().prop_filter("a pattern", |value| {
        !matches!(value, Bson::RegularExpression(_))
    })
}

fn operators() -> impl Strategy<Value = Document> {
    let leaf = prop_oneof![
        3 => (select(vec!["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), plain())
            .prop_map(|(operator, value)| one(operator, value)),
        2 => (select(vec!["$in", "$nin", "$all"]), vec(value(), 0..3))
            .prop_map(|(operator, values)| one(operator, values)),
        1 => any::<bool>().prop_map(|there| one("$exists", there)),
        1 => vec(select(TYPES.to_vec()), 1..3).prop_map(|types| {
            let types = types.into_iter().map(|(name, code)| match code % 2 {
                0 => Bson::from(name),
                _ => Bson::from(code),
            });
            one("$type", types.collect::<Array>())
        }),
        1 => Just(one("$type", "number")),
        1 => select(PATTERNS.to_vec())
            .prop_map(|(text, options, _)| doc! { "$options": options, "$regex": text }),
        1 => (select(vec![-3, -1, 1, 2, 3]), -2i32..3)
            .prop_map(|(divisor, remainder)| one("$mod", vec![divisor, remainder])),
        1 => (0i32..4).prop_map(|size| one("$size", size)),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let fields = vec((path(), inner.clone()), 0..3);
        let object = fields.prop_map(|fields| {
            let fields = fields
                .into_iter()
                .map(|(path, test)| (path, Bson::from(test)));
            one("$elemMatch", fields.collect::<Document>())
        });
        let object = object.boxed();
        prop_oneof![
            2 => inner.clone().prop_map(|inner| one("$not", inner)),
            2 => inner.clone().prop_map(|inner| one("$elemMatch", inner)),
            2 => object.clone(),
            1 => vec(object, 1..3).prop_map(|elements| one("$all", elements)),
            1 => (inner.clone(), inner).prop_map(|(mut one, other)| {
                one.extend(other);
                one
            }),
        ]
    })
}

fn filter() -> impl Strategy<Value = Document> {
    let condition = prop_oneof![
        3 => (path(), operators()).prop_map(|(path, operators)| doc! { path: operators }),
        1 => (path(), value()).prop_map(|(path, value)| doc! { path: value }),
    ];
    condition.prop_recursive(2, 6, 3, |inner| {
        (select(vec!["$and", "$or", "$nor"]), vec(inner, 1..3))
            .prop_map(|(operator, parts)| one(operator, parts))
    })
}

/// The place of a value's type in the order of types.
fn class(value: &Bson) -> u8 {
    match value {
        Bson::MinKey => 0,
        Bson::Null => 1,
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => 2,
        Bson::String(_) => 3,
        Bson::Document(_) => 4,
        Bson::Array(_) => 5,
        Bson::Boolean(_) => 6,
        Bson::DateTime(_) => 7,
        Bson::RegularExpression(_) => 8,
        Bson::MaxKey => 9,
        other => panic!("not drawn: {other:?}"),
    }
}

/// Exact for the numbers that are drawn.
fn number(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        Bson::Decimal128(n) => Some(n.to_string().parse().unwrap()),
        _ => None,
    }
}

fn order(a: &Bson, b: &Bson) -> Ordering {
    let by_class = class(a).cmp(&class(b));
    by_class.then_with(|| match (a, b) {
        (Bson::String(a), Bson::String(b)) => a.cmp(b),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::DateTime(a), Bson::DateTime(b)) => a.cmp(b),
        (Bson::RegularExpression(a), Bson::RegularExpression(b)) => {
            (a.pattern.as_str(), a.options.as_str()).cmp(&(b.pattern.as_str(), b.options.as_str()))
        }
        (Bson::Array(a), Bson::Array(b)) => {
            let pairs = a.iter().zip(b);
            let unequal = pairs.map(|(a, b)| order(a, b)).find(|order| order.is_ne());
            unequal.unwrap_or(a.len().cmp(&b.len()))
        }
        (Bson::Document(a), Bson::Document(b)) => {
            let pairs = a.iter().zip(b);
            let orders = pairs.map(|((a_name, a), (b_name, b))| {
                let by_name = class(a).cmp(&class(b)).then_with(|| a_name.cmp(b_name));
                by_name.then_with(|| order(a, b))
            });
            let unequal = orders.into_iter().find(|order| order.is_ne());
            unequal.unwrap_or(a.len().cmp(&b.len()))
        }
        (a, b) => match (number(a), number(b)) {
            (Some(a), Some(b)) if a.is_nan() || b.is_nan() => b.is_nan().cmp(&a.is_nan()),
            (Some(a), Some(b)) => a.partial_cmp(&b).unwrap(),
            _ => Ordering::Equal,
        },
    })
}

/// A value that a path leads to, and whether its elements count too; none for a missing one.
type Finding<'a> = Option<(&'a Bson, bool)>;

fn find<'a>(value: Option<&'a Bson>, steps: &[&str], found: &mut Vec<Finding<'a>>) {
    let Some((step, rest)) = steps.split_first() else {
        found.push(value.map(|value| (value, true)));
        return;
    };
    match value {
        Some(Bson::Document(object)) => find(object.get(step), rest, found),
        Some(Bson::Array(array)) => {
            let index = step.parse::<usize>().ok();
            let indexed = index.and_then(|index| array.get(index));
            for element in array {
                if let Bson::Document(object) = element
                    && (object.contains_key(step) || indexed.is_none())
                {
                    find(object.get(step), rest, found);
                }
            }
            match (indexed, rest) {
                (Some(element), []) => found.push(Some((element, false))),
                (Some(Bson::Document(object)), [next, rest @ ..]) => {
                    find(object.get(next), rest, found);
                }
                (Some(Bson::Array(inner)), [next, rest @ ..]) => {
                    let index = next.parse::<usize>().ok();
                    find(index.and_then(|index| inner.get(index)), rest, found);
                }
                (None | Some(_), _) => {}
            }
        }
        _ => found.push(None),
    }
}

fn matches(filter: &Document, document: &Document) -> bool {
    filter.iter().all(|(name, operand)| {
        let parts = || operand.as_array().unwrap().iter();
        let part = |part: &Bson| matches(part.as_document().unwrap(), document);
        match name.as_str() {
            "$and" => parts().all(part),
            "$or" => parts().any(part),
            "$nor" => !parts().any(part),
            path => {
                let steps: Vec<&str> = path.split('.').collect();
                let mut found = Vec::new();
                find(document.get(steps[0]), &steps[1..], &mut found);
                field(operand, &found)
            }
        }
    })
}

fn is_operators(operand: &Bson) -> bool {
    let fields = operand
        .as_document()
        .and_then(|object| object.keys().next());
    fields.is_some_and(|name| name.starts_with('$'))
}

fn field(operand: &Bson, found: &[Finding<'_>]) -> bool {
    match operand {
        Bson::Document(object) if is_operators(operand) => all_operators(object, &|test| {
            found.iter().any(|finding| match finding {
                None => test.missing,
                Some((value, unwrap)) => {
                    (test.holds)(value)
                        || *unwrap
                            && !test.of_arrays
                            && value.as_array().is_some_and(|a| a.iter().any(test.holds))
                }
            })
        }),
        operand => {
            let operators = match operand {
                Bson::RegularExpression(_) => doc! { "$in": [operand] },
                _ => doc! { "$eq": operand },
            };
            field(&Bson::from(operators), found)
        }
    }
}

/// A positive test.
struct Test<'t> {
    holds: &'t dyn Fn(&Bson) -> bool,
    /// What it says of a missing field.
    missing: bool,
    /// It is not about elements.
    of_arrays: bool,
}

/// Whether all operators hold, as the caller says for each positive test.
fn all_operators(operators: &Document, ask: &dyn Fn(&Test<'_>) -> bool) -> bool {
    operators.iter().all(|(operator, operand)| {
        let simple = |holds: &dyn Fn(&Bson) -> bool, missing| {
            let of_arrays = false;
            ask(&Test {
                holds,
                missing,
                of_arrays,
            })
        };
        let of_array = |holds: &dyn Fn(&Bson) -> bool| {
            let (missing, of_arrays) = (false, true);
            ask(&Test {
                holds,
                missing,
                of_arrays,
            })
        };
        let equal = |operand: &Bson| {
            let holds = |value: &Bson| equals_or_matches(operand, value);
            simple(&holds, holds(&Bson::Null))
        };
        match operator.as_str() {
            "$in" => operand.as_array().unwrap().iter().any(equal),
            "$nin" => !operand.as_array().unwrap().iter().any(equal),
            "$ne" => !equal(operand),
            "$all" => {
                let operands = operand.as_array().unwrap();
                let part = |operand: &Bson| match operand {
                    Bson::Document(inner) if is_operators(operand) => all_operators(inner, ask),
                    operand => equal(operand),
                };
                !operands.is_empty() && operands.iter().all(part)
            }
            "$not" => !all_operators(operand.as_document().unwrap(), ask),
            "$exists" => operand.as_bool().unwrap() == simple(&|_| true, false),
            "$type" => simple(&|value| has_type(operand, value), false),
            "$options" => true,
            "$regex" => {
                let options = operators.get_str("$options").unwrap();
                let pattern = regex_value(operand.as_str().unwrap(), options);
                simple(&|value| equals_or_matches(&pattern, value), false)
            }
            "$mod" => simple(&|value| leaves(operand, value), false),
            "$size" => of_array(&|value| {
                let size = value.as_array().map(Vec::len);
                size == usize::try_from(operand.as_i32().unwrap()).ok()
            }),
            "$elemMatch" => of_array(&|value| {
                let elements = value.as_array();
                elements.is_some_and(|elements| elements.iter().any(|e| element(operand, e)))
            }),
            range => {
                let holds = |value: &Bson| in_range(range, operand, value);
                simple(&holds, holds(&Bson::Null))
            }
        }
    })
}

fn element(operand: &Bson, element: &Bson) -> bool {
    let conditions = operand.as_document().unwrap();
    if is_operators(operand) {
        return all_operators(conditions, &|test| (test.holds)(element));
    }
    match element {
        Bson::Document(object) => matches(conditions, object),
        Bson::Array(array) => {
            let fields = array.iter().enumerate();
            let fields = fields.map(|(index, value)| (index.to_string(), value.clone()));
            matches(conditions, &fields.collect())
        }
        _ => false,
    }
}

/// Equality as in a list of values, where a regular expression is a pattern.
fn equals_or_matches(operand: &Bson, value: &Bson) -> bool {
    match (operand, value) {
        (Bson::RegularExpression(regex), Bson::String(text)) => {
            let (pattern, options) = (regex.pattern.as_str(), regex.options.as_str());
            let known = PATTERNS
                .iter()
                .find(|known| (known.0, known.1) == (pattern, options));
            (known.expect("a known pattern").2)(text)
        }
        _ => order(operand, value).is_eq(),
    }
}

fn in_range(operator: &str, operand: &Bson, value: &Bson) -> bool {
    let extreme = matches!(operand, Bson::MinKey | Bson::MaxKey);
    if operator != "$eq" && !extreme && class(operand) != class(value) {
        return false;
    }
    let order = order(value, operand);
    let is_nan = |value| number(value).is_some_and(f64::is_nan);
    if order.is_ne() && !extreme && (is_nan(operand) || is_nan(value)) {
        return false;
    }
    match operator {
        "$eq" => order.is_eq(),
        "$gt" => order.is_gt(),
        "$gte" => order.is_ge(),
        "$lt" => order.is_lt(),
        "$lte" => order.is_le(),
        other => panic!("not drawn: {other}"),
    }
}

fn has_type(operand: &Bson, value: &Bson) -> bool {
    let code = value.element_type() as i32;
    match operand {
        Bson::Array(operands) => operands.iter().any(|operand| has_type(operand, value)),
        Bson::String(name) if name == "number" => number(value).is_some(),
        Bson::String(name) => TYPES.contains(&(name.as_str(), code)),
        Bson::Int32(wanted) => *wanted == code,
        other => panic!("not drawn: {other:?}"),
    }
}

fn leaves(operand: &Bson, value: &Bson) -> bool {
    let operands = operand.as_array().unwrap();
    let [divisor, remainder] = [0, 1].map(|at| f64::from(operands[at].as_i32().unwrap()));
    number(value).is_some_and(|number| number.is_finite() && number.trunc() % divisor == remainder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_filter_matches_what_a_plain_evaluator_says(
        filter in filter(),
        documents in vec(document(), 1..6),
    ) {
        let parsed = Filter::parse(&raw_document(&filter));
        // Whether values and $elemMatch are mixed in an $all is drawn too.
        prop_assume!(parsed.is_ok());
        let parsed = parsed.unwrap();
        for document in documents {
            prop_assert_eq!(
                parsed.matches(&raw_document(&document)).unwrap(),
                matches(&filter, &document),
                "{} on {}", filter, document
            );
        }
    }

    #[test]
    fn every_drawn_filter_of_one_operator_is_understood(operators in operators()) {
        let parsed = Filter::parse(&raw_document(&doc! { "a": operators }));
        prop_assert!(parsed.is_ok(), "{}", parsed.unwrap_err());
    }
}
