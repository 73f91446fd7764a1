//! Single records as the API gives them, for whoever prints them elsewhere: a
//! finding is the same JSON in a report as under `/findings`.

use std::collections::HashMap;

use serde_json::Value;
use veritas_model::{Change, Finding};

use crate::routes::{changes::ChangeBody, findings::FindingBody};

/// Returns a finding as `GET /findings/{id}` gives it; `proposal_id` is `null`.
pub fn finding(finding: Finding) -> Value {
    serde_json::to_value(FindingBody::of(finding, &HashMap::new())).unwrap_or_default()
}

/// Returns a change as `GET /changes` lists it.
pub fn change(change: Change) -> Value {
    serde_json::to_value(ChangeBody::from(change)).unwrap_or_default()
}
