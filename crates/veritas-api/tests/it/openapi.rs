//! The OpenAPI document: complete, true, and the one that is committed.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use http::{Method, Request};
use serde_json::Value;
use veritas_api::auth::Role;

use crate::{
    client::send,
    matrix::{ask, operations, wide},
    world::{PROFILES, World},
};

fn document() -> Value {
    serde_json::to_value(veritas_api::openapi()).unwrap()
}

/// Each operation as `METHOD path` with its description.
fn described(document: &Value) -> BTreeMap<String, Value> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    methods
        .map(|(path, method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
        .collect()
}

/// Every operation, written down independently of the routes.
const OPERATIONS: &str = "
    GET /api/v1/performance/cache/stats
    DELETE /api/v1/performance/cache/stats
    GET /api/v1/performance/cache/memory
    GET /api/v1/performance/cache/namespaces
    GET /api/v1/performance/cache/keys
    DELETE /api/v1/performance/cache/entries
    GET /api/v1/performance/cache/advice
    GET /api/v1/performance/cache/server
    GET /api/v1/performance/db/optimization
    GET /api/v1/performance/db/stats
    GET /api/v1/performance/db/connections
    GET /api/v1/performance/db/queries
    GET /api/v1/performance/db/queries/{fingerprint}
    GET /api/v1/performance/db/indexes
    GET /api/v1/performance/db/locks
    GET /api/v1/performance/db/servers
    GET /api/v1/performance/profiling/profiles
    GET /api/v1/performance/profiling/profile/{profile_name}
    DELETE /api/v1/performance/profiling/profiles
    GET /api/v1/performance/monitoring/system
    GET /api/v1/performance/monitoring/process
    GET /api/v1/performance/monitoring/alerts
    GET /api/v1/performance/monitoring/report
    GET /api/v1/performance/monitoring/history
    GET /api/v1/performance/findings
    GET /api/v1/performance/findings/{id}
    GET /api/v1/performance/proposals
    GET /api/v1/performance/proposals/{id}
    POST /api/v1/performance/proposals/{id}/approve
    POST /api/v1/performance/proposals/{id}/dismiss
    GET /api/v1/performance/changes
    GET /api/v1/performance/changes/{id}
    POST /api/v1/performance/changes/{id}/revert
    GET /api/v1/performance/alerts/rules
    PUT /api/v1/performance/alerts/rules/{name}
    DELETE /api/v1/performance/alerts/rules/{name}
    GET /api/v1/performance/alerts/history
    GET /api/v1/performance/audit
    POST /api/v1/performance/tokens/revoke
    GET /livez
    GET /readyz
    GET /metrics
    GET /openapi.json
    GET /docs
    GET /docs/docs.css
    GET /docs/docs.js
    GET /.well-known/jwks.json
";

#[test]
fn the_document_has_each_operation_once() {
    let expected: BTreeSet<_> = OPERATIONS.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let document = document();
    let described = described(&document);
    assert_eq!(described.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    let ids: BTreeSet<_> = described.values().map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.len(), described.len(), "operation ids are unique");
}

#[test]
fn each_operation_is_described_whole() {
    let document = document();
    for (name, operation) in described(&document) {
        for key in ["operationId", "summary"] {
            assert!(operation[key].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {key}");
        }
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name}");
        let is_open = operation["security"] == serde_json::json!([{}]);
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        assert_eq!(responses.contains_key("401"), !is_open, "{name}");
        for status in ["422", "429", "500", "503"] {
            assert!(responses.contains_key(status), "{name} does not say {status}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{name} {parameter}");
            let schema = &parameter["schema"];
            let bounds = ["minimum", "pattern", "enum", "minLength"];
            let is_flag = schema["type"].to_string().contains("boolean");
            let bounded = is_flag || bounds.iter().any(|key| !schema[key].is_null());
            assert!(bounded, "{name}: {parameter} has no bounds");
        }
    }
    assert_eq!(document["security"], serde_json::json!([{"bearer": []}]));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let target = document.pointer(reference.strip_prefix('#').unwrap());
                    assert!(target.is_some(), "{reference} leads nowhere");
                }
                object.values().for_each(|value| walk(value, document));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

#[test]
fn every_property_of_an_answer_is_required() {
    let document = document();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if name.ends_with("Input") {
            continue;
        }
        let Some(properties) = schema["properties"].as_object() else { continue };
        let required: BTreeSet<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for key in properties.keys() {
            assert!(required.contains(key.as_str()), "{name}.{key} may be missing");
        }
    }
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let committed = include_str!("../../../../docs/reference/openapi.json");
    let generated = serde_json::to_string_pretty(&veritas_api::openapi()).unwrap();
    assert!(
        committed.trim() == generated,
        "regenerate it: cargo run -p veritas-api --example openapi > docs/reference/openapi.json"
    );
}

#[tokio::test]
async fn every_described_operation_is_routed_and_every_other_method_is_not() {
    let _alone = PROFILES.lock().await;
    let mut world = World::busy();
    world.limits = wide();
    let router = world.router();
    let token = world.token(Role::Admin);
    let operations = operations();
    let mut methods = BTreeMap::<&str, BTreeSet<&str>>::new();
    for operation in &operations {
        let answer = ask(&router, operation, Some(&token)).await;
        assert!(answer.status != 405 && answer.status != 501, "{operation:?}");
        if answer.status == 404 {
            assert_ne!(answer.problem(404), "not_found", "{operation:?} is not routed");
        }
        methods.entry(&operation.path).or_default().insert(operation.method.as_str());
    }
    for (path, described) in methods {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if described.contains(method) {
                continue;
            }
            let request = Request::builder()
                .method(method.parse::<Method>().unwrap())
                .uri(path)
                .header("authorization", format!("Bearer {token}"));
            let answer = send(&router, request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.problem(405), "method_not_allowed", "{method} {path}");
            let allow: BTreeSet<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
            assert!(described.is_subset(&allow), "{method} {path}: {allow:?}");
        }
    }
}

/// Checks a value against a schema: what the document uses of JSON Schema.
fn conforms(value: &Value, schema: &Value, document: &Value, path: &str) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(value, document.pointer(&reference[1..]).unwrap(), document, path);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(options) = schema[key].as_array() {
            let fits = options.iter().any(|option| conforms(value, option, document, path).is_ok());
            return if fits { Ok(()) } else { Err(format!("{path}: {value} fits none of {key}")) };
        }
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(value, part, document, path)?;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{path}: {value} is not in {words:?}"));
    }
    let types: Vec<_> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    if !types.iter().any(|kind| is(kind)) {
        return Err(format!("{path}: {value} is no {types:?}"));
    }
    if let Some(number) = value.as_f64() {
        let low = schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY);
        let high = schema["maximum"].as_f64().unwrap_or(f64::INFINITY);
        if !(low..=high).contains(&number) {
            return Err(format!("{path}: {number} is not within {low} and {high}"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(item, &schema["items"], document, &format!("{path}[]"))?;
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(key) {
            return Err(format!("{path}.{key} is missing"));
        }
    }
    for (key, value) in object {
        let schema = match schema["properties"].get(key) {
            Some(schema) => schema,
            None if schema["additionalProperties"].is_object() => &schema["additionalProperties"],
            None if schema["properties"].is_object() && schema["allOf"].is_null() => {
                return Err(format!("{path}.{key} is not documented"));
            }
            None => continue,
        };
        conforms(value, schema, document, &format!("{path}.{key}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn answers_and_examples_are_what_the_document_says() {
    let _alone = PROFILES.lock().await;
    let document = document();
    let described = described(&document);
    for mut world in [World::busy(), World::idle()] {
        world.limits = wide();
        let router = world.router();
        let token = world.token(Role::Admin);
        for operation in operations() {
            let answer = ask(&router, &operation, Some(&token)).await;
            let (_, description) = described
                .iter()
                .find(|(_, described)| described["operationId"] == operation.id.as_str())
                .unwrap();
            let response = &description["responses"][answer.status.as_str()];
            assert!(!response.is_null(), "{}: {} is not documented", operation.id, answer.status);
            let content = match response["$ref"].as_str() {
                Some(reference) => &document.pointer(&reference[1..]).unwrap()["content"],
                None => &response["content"],
            };
            let kind = answer.header("content-type").unwrap().split(';').next().unwrap();
            let schema = &content[kind]["schema"];
            assert!(!schema.is_null(), "{}: {kind} is not documented", operation.id);
            if kind.ends_with("json") {
                conforms(&answer.json(), schema, &document, &operation.id).unwrap();
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if let Some(example) = schema.get("example") {
            conforms(example, schema, &document, name).unwrap();
        }
    }
}

#[test]
fn the_examples_are_those_of_the_published_document() {
    let published = include_str!("../../../../docs/reference/performance.md");
    let document = document();
    let mut compared = 0;
    for (key, schema) in [
        ("\"hit_rate\"", "CacheStats"),
        ("\"estimated_entries\"", "CacheMemory"),
        ("\"user_id\"", "DatabaseOptimization"),
        ("\"query_types\"", "DatabaseStats"),
        ("\"active_connections\"", "DatabaseConnections"),
        ("\"frequency_mhz\"", "SystemMetrics"),
        ("\"num_threads\"", "ProcessMetrics"),
    ] {
        let block = published.split("```json").skip(1).find(|block| block.contains(key)).unwrap();
        let sample: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
        contains(&document["components"]["schemas"][schema]["example"], &sample, schema);
        compared += 1;
    }
    assert_eq!(compared, 7);
}

#[track_caller]
fn contains(example: &Value, sample: &Value, path: &str) {
    match sample {
        Value::Object(object) => {
            for (key, value) in object {
                contains(&example[key], value, &format!("{path}.{key}"));
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                contains(&example[index], value, &format!("{path}[{index}]"));
            }
        }
        value => assert_eq!(example, value, "{path}"),
    }
}
