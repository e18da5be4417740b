//! Patches do to JSON what a simple model on a tree of JSON values does.

use nexusbase_documents::json::{Form, parse_document, parse_value, to_string};
use nexusbase_documents::patch::{JsonPatch, merge_patch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "0"]).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..3i64).prop_map(Value::from),
        select(vec!["", "x"]).prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec((name(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    vec((name(), value()), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut fields = match target {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            let old = fields.remove(name).unwrap_or(Value::Null);
            fields.insert(name.clone(), merged(old, value));
        }
    }
    Value::Object(fields)
}

fn pointer() -> impl Strategy<Value = String> {
    let part = select(vec!["a", "b", "a", "b", "0", "1", "-"]);
    vec(part, 0..3).prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
}

fn operation() -> impl Strategy<Value = Value> {
    let kind = select(vec![
        "add", "add", "remove", "replace", "move", "copy", "test",
    ]);
    (kind, pointer(), pointer(), value()).prop_map(|(op, path, from, value)| match op {
        "remove" => json!({ "op": op, "path": path }),
        "move" | "copy" => json!({ "op": op, "path": path, "from": from }),
        _ => json!({ "op": op, "path": path, "value": value }),
    })
}

/// Adds a value at a place, as the standard says.
fn add(root: &mut Value, path: &str, value: Value) -> Option<()> {
    let Some((parent, last)) = path.rsplit_once('/') else {
        *root = value;
        return Some(());
    };
    match root.pointer_mut(parent)? {
        Value::Object(fields) => {
            fields.insert(last.to_owned(), value);
        }
        Value::Array(elements) if last == "-" => elements.push(value),
        Value::Array(elements) => {
            let index = last.parse().ok().filter(|index| *index <= elements.len())?;
            elements.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(root: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = path.rsplit_once('/')?;
    match root.pointer_mut(parent)? {
        Value::Object(fields) => fields.remove(last),
        Value::Array(elements) => {
            let index = last.parse().ok().filter(|index| *index < elements.len())?;
            Some(elements.remove(index))
        }
        _ => None,
    }
}

/// One operation on a tree; `None` if it is refused.
fn carry_out(root: &mut Value, operation: &Value) -> Option<()> {
    let text = |member: &str| operation[member].as_str();
    let path = text("path")?;
    match text("op")? {
        "add" => add(root, path, operation["value"].clone())?,
        "remove" => drop(remove(root, path)?),
        "replace" => *root.pointer_mut(path)? = operation["value"].clone(),
        "move" => {
            let from = text("from")?;
            if path.starts_with(&format!("{from}/")) {
                return None;
            }
            root.pointer(from)?;
            if from != path {
                let value = remove(root, from)?;
                add(root, path, value)?;
            }
        }
        "copy" => {
            let value = root.pointer(text("from")?)?.clone();
            add(root, path, value)?;
        }
        _ => return (root.pointer(path)? == &operation["value"]).then_some(()),
    }
    // A document is an object at every moment.
    root.is_object().then_some(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_merge_patch_does_what_the_model_does(before in object(), patch in object()) {
        let document = parse_document(before.to_string().as_bytes()).unwrap();
        let patch_document = parse_document(patch.to_string().as_bytes()).unwrap();
        let found = merge_patch(&document, &patch_document).unwrap();
        let found: Value = serde_json::from_str(&to_string(&found, Form::Relaxed).unwrap()).unwrap();
        prop_assert_eq!(found, merged(before, &patch));
    }

    #[test]
    fn a_json_patch_does_what_the_model_does_or_nothing(
        before in object(),
        operations in vec(operation(), 1..4),
    ) {
        let document = parse_document(before.to_string().as_bytes()).unwrap();
        let bytes = document.as_bytes().to_vec();
        let patch = parse_value(Value::Array(operations.clone()).to_string().as_bytes()).unwrap();
        let patch = patch.as_array().expect("an array");
        let found = JsonPatch::parse(patch).and_then(|patch| patch.apply(&document));
        prop_assert_eq!(document.as_bytes(), bytes);
        let mut expected = before;
        let mut carried_out = operations.iter();
        let succeeds = carried_out.all(|operation| carry_out(&mut expected, operation).is_some());
        match found {
            Ok(found) => {
                let text = to_string(&found, Form::Relaxed).unwrap();
                let found: Value = serde_json::from_str(&text).unwrap();
                prop_assert!(succeeds, "not refused: {}", found);
                prop_assert_eq!(found, expected);
            }
            Err(error) => prop_assert!(!succeeds, "refused: {}", error),
        }
    }
}
