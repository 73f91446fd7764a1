//! The test vectors of `docs/reference/cache-keys.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use veritas_cache::CacheKey;

use super::value::{Call, NAN, Value, hex};

/// Makes the document.
pub(crate) fn document() -> String {
    let values: Vec<Json> = values()
        .iter()
        .map(|value| json!({ "value": value.written(), "part": hex(CacheKey::of(value).as_bytes()) }))
        .collect();
    let calls: Vec<Json> = calls().iter().map(Call::written).collect();
    let document = json!({
        "about": "Test vectors of docs/reference/cache-keys.md; written by `cargo xtask docs`",
        "format": 1,
        "values": values,
        "calls": calls,
    });
    format!("{document:#}\n")
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn float(value: f64) -> Value {
    Value::Float(if value.is_nan() { NAN } else { value.to_bits() })
}

fn values() -> Vec<Value> {
    let map = |pairs: &[(&str, i128)]| {
        Value::Map(pairs.iter().map(|(name, value)| (text(name), Value::Int(*value))).collect())
    };
    let point = |x: i128, y: i128| {
        let fields = [("y".to_owned(), Value::Int(y)), ("x".to_owned(), Value::Int(x))];
        Value::Record("shop.Point".to_owned(), BTreeMap::from(fields))
    };
    let uuid = std::array::from_fn(|index| u8::try_from(index * 17).unwrap_or(0));
    vec![
        Value::Bool(false),
        Value::Bool(true),
        Value::Int(0),
        Value::Int(1),
        Value::Int(-1),
        Value::Int(255),
        Value::Int(256),
        Value::Int(65_536),
        Value::Int(i128::MAX),
        Value::Int(i128::MIN),
        float(0.0),
        float(-0.0),
        float(1.0),
        float(0.1),
        float(f64::INFINITY),
        float(f64::NAN),
        Value::Nothing,
        text(""),
        text("1"),
        text("aé\u{10ffff}"),
        text("None"),
        text(&"x".repeat(200)),
        Value::Bytes(Vec::new()),
        Value::Bytes(vec![0, 255]),
        Value::List(vec![]),
        Value::List(vec![Value::Int(1), text("1")]),
        Value::Tuple(vec![]),
        Value::Tuple(vec![Value::Int(1), text("1")]),
        Value::Tuple(vec![text("a b")]),
        Value::Tuple(vec![text("a"), text("b")]),
        map(&[]),
        map(&[("a", 1), ("b", 2)]),
        map(&[("aa", 1), ("b", 2)]),
        Value::Set(BTreeSet::from([Value::Int(300), Value::Int(2), Value::Int(-2)])),
        Value::Decimal(150, -2),
        Value::Decimal(15, -1),
        Value::Decimal(-15, 30),
        Value::Uuid(uuid),
        Value::Date(0),
        Value::Date(19_782),
        Value::Date(-1),
        Value::Time(0),
        Value::Time(45_296_000_001),
        Value::DateTime(0),
        Value::DateTime(1_709_210_096_000_001),
        Value::DateTime(-1),
        Value::Zoned(1_709_210_096_000_001, 0, None),
        Value::Zoned(1_709_210_096_000_001, 3_600, None),
        Value::Zoned(1_709_210_096_000_001, -12_600, None),
        Value::Zoned(1_709_210_096_000_001, 0, Some("UTC".to_owned())),
        Value::Duration(0),
        Value::Duration(1_500_000),
        Value::Duration(-1),
        Value::Enumeration("shop.Color".to_owned(), Box::new(text("RED"))),
        point(3, 4),
        point(4, 3),
    ]
}

fn calls() -> Vec<Call> {
    let call = |name: &str, version, arguments: &[(&str, Value)]| Call {
        name: name.to_owned(),
        version,
        arguments: arguments.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    vec![
        call("shop.now", 0, &[]),
        call("shop.user", 0, &[("user_id", Value::Int(123))]),
        call("shop.user", 1, &[("user_id", Value::Int(123))]),
        call("shop.user", 300, &[("user_id", Value::Int(123))]),
        call("shop.page", 0, &[("user_id", Value::Int(123)), ("section", text("profile"))]),
        call("shop.page", 0, &[("section", Value::Int(123)), ("user_id", text("profile"))]),
        call(
            "shop.prices",
            2,
            &[
                ("on", Value::Date(19_782)),
                ("currencies", Value::List(vec![text("EUR"), text("USD")])),
                ("above", Value::Decimal(1_999, -2)),
                ("color", Value::Enumeration("shop.Color".to_owned(), Box::new(text("RED")))),
                ("missing", Value::Nothing),
            ],
        ),
    ]
}
