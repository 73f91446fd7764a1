//! `/alerts`: the rules, and what became of them.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use veritas_alert::{PutRuleError, RemoveRuleError, warnings};
use veritas_model::{AlertRule, AlertTransition, Comparison, Severity};
use veritas_monitor::SERIES;

use super::{ListQuery, Message};
use crate::{
    api::{Answer, Shared, blocking, of_store},
    extract::{Admin, Json as Body, NoParameters, Parameters, Segment, Viewer},
    openapi::{BodyRefusals, Conflict, NotFound, Refusals, RoleRefusals},
    problem::{Code, Problem},
};

/// Largest threshold: enough for bytes of any disk.
const LARGEST: f64 = 1e15;
/// Longest hold, in seconds.
const LONGEST: f64 = 86_400.0;

/// When to raise an alert.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertRule)]
pub(crate) struct RuleBody {
    /// Its name; the `type` of its alerts.
    #[schema(pattern = "^[a-z0-9_]{1,64}$")]
    name: String,
    /// The series that it watches.
    series: String,
    /// Whether it fires above or below the threshold, strictly.
    comparison: ComparisonWord,
    /// The threshold, in the unit of the series.
    threshold: f64,
    /// How far the value must go back beyond the threshold for the alert to clear.
    #[schema(minimum = 0)]
    hysteresis: f64,
    /// How long the condition must hold before it fires.
    #[schema(minimum = 0)]
    hold_seconds: f64,
    /// How long it keeps firing after the condition ended.
    #[schema(minimum = 0)]
    keep_firing_seconds: f64,
    /// How urgent it is.
    severity: SeverityWord,
    /// What it says, before the value.
    title: String,
    /// What looks odd about it.
    warnings: Vec<String>,
}

/// A rule as it is put.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AlertRuleInput, example = json!({"series": "system.cpu.percent", "comparison": "above",
    "threshold": 80.0, "hysteresis": 5.0, "hold_seconds": 10.0, "keep_firing_seconds": 0.0,
    "severity": "warning", "title": "High CPU usage"}))]
pub(crate) struct RuleInput {
    /// The series that it watches.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,200}$")]
    series: String,
    /// Whether it fires above or below the threshold, strictly.
    comparison: ComparisonWord,
    /// The threshold, in the unit of the series.
    #[schema(minimum = -1e15, maximum = 1e15)]
    threshold: f64,
    /// How far the value must go back beyond the threshold for the alert to clear.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1e15, default = 0.0)]
    hysteresis: f64,
    /// How long the condition must hold before it fires.
    #[schema(minimum = 0, maximum = 86400)]
    hold_seconds: f64,
    /// How long it keeps firing after the condition ended.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86400, default = 0.0)]
    keep_firing_seconds: f64,
    /// How urgent it is.
    severity: SeverityWord,
    /// What it says, before the value: no control characters.
    #[schema(pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,50}$")]
    title: String,
}

/// The direction of a rule.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schema(as = Comparison)]
pub(crate) enum ComparisonWord {
    Above,
    Below,
}

/// How urgent an alert is.
#[derive(Serialize, Deserialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "lowercase", try_from = "String")]
#[schema(as = Severity)]
pub(crate) enum SeverityWord {
    Info,
    Warning,
    Critical,
}

// By way of a string, since serde takes `{"above": null}` for the word as well.
impl TryFrom<String> for ComparisonWord {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, &'static str> {
        Comparison::parse(&word).map(Self::from).ok_or("comparison: must be above or below")
    }
}

impl TryFrom<String> for SeverityWord {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, &'static str> {
        Severity::parse(&word).map(Self::from).ok_or("severity: must be info, warning or critical")
    }
}

impl From<Comparison> for ComparisonWord {
    fn from(comparison: Comparison) -> Self {
        match comparison {
            Comparison::Above => Self::Above,
            Comparison::Below => Self::Below,
        }
    }
}

impl From<Severity> for SeverityWord {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// The rules in force, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rules {
    rules: Vec<RuleBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One change of a rule's status.
#[derive(Serialize, ToSchema)]
#[schema(as = AlertTransition)]
pub(crate) struct TransitionBody {
    /// The rule.
    rule: String,
    /// The status entered.
    #[schema(value_type = StatusWord)]
    status: &'static str,
    /// When it was entered, in Unix seconds.
    at: f64,
    /// When the condition began to hold, in Unix seconds.
    since: f64,
    /// The value at that time.
    #[schema(required)]
    value: Option<f64>,
    /// The threshold at that time.
    threshold: f64,
    /// The severity at that time.
    severity: SeverityWord,
    /// What it says.
    message: String,
    /// What is to blame; `null` when it is not known.
    #[schema(required)]
    cause: Option<String>,
}

/// Where a rule stands.
#[derive(ToSchema)]
#[schema(as = AlertStatus, rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the words of `AlertStatus` in the OpenAPI document")]
pub(crate) enum StatusWord {
    Pending,
    Firing,
    Resolved,
}

/// What became of the rules, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct AlertHistory {
    transitions: Vec<TransitionBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

impl From<AlertRule> for RuleBody {
    fn from(rule: AlertRule) -> Self {
        let known: Vec<_> = SERIES.iter().map(|series| series.name).collect();
        Self {
            warnings: warnings(&rule, &known).iter().map(ToString::to_string).collect(),
            comparison: rule.comparison.into(),
            hysteresis: rule.clear.map_or(0.0, |clear| (rule.threshold - clear).abs()),
            name: rule.name,
            series: rule.series,
            threshold: rule.threshold,
            hold_seconds: rule.hold.as_secs_f64(),
            keep_firing_seconds: rule.keep_firing_for.as_secs_f64(),
            severity: rule.severity.into(),
            title: rule.title,
        }
    }
}

impl From<AlertTransition> for TransitionBody {
    fn from(transition: AlertTransition) -> Self {
        Self {
            rule: transition.rule,
            status: transition.status.as_str(),
            at: transition.at.seconds(),
            since: transition.since.seconds(),
            value: transition.value.is_finite().then_some(transition.value),
            threshold: transition.threshold,
            severity: transition.severity.into(),
            message: transition.message,
            cause: transition.cause,
        }
    }
}

impl RuleInput {
    fn named(self, name: String) -> Result<AlertRule, Problem> {
        let bounded = |field: &str, value: f64, low: f64, high: f64| {
            let message = || Problem::new(Code::BodyInvalid, format!("{field}: must be {low} to {high}"));
            (low..=high).contains(&value).then_some(value).ok_or_else(message)
        };
        let threshold = bounded("threshold", self.threshold, -LARGEST, LARGEST)?;
        let hysteresis = bounded("hysteresis", self.hysteresis, 0.0, LARGEST)?;
        let hold = bounded("hold_seconds", self.hold_seconds, 0.0, LONGEST)?;
        let keep = bounded("keep_firing_seconds", self.keep_firing_seconds, 0.0, LONGEST)?;
        if self.title.chars().count() > 50 {
            return Err(Problem::new(Code::BodyInvalid, "title: at most 50 characters"));
        }
        let (comparison, clear) = match self.comparison {
            ComparisonWord::Above => (Comparison::Above, threshold - hysteresis),
            ComparisonWord::Below => (Comparison::Below, threshold + hysteresis),
        };
        Ok(AlertRule {
            name,
            series: self.series,
            comparison,
            threshold,
            clear: (hysteresis > 0.0).then_some(clear),
            hold: Duration::from_secs_f64(hold),
            keep_firing_for: Duration::from_secs_f64(keep),
            severity: match self.severity {
                SeverityWord::Info => Severity::Info,
                SeverityWord::Warning => Severity::Warning,
                SeverityWord::Critical => Severity::Critical,
            },
            title: self.title,
        })
    }
}

/// List alert rules
///
/// The defaults and the stored ones, by name.
#[utoipa::path(get, path = "/alerts/rules", operation_id = "list_alert_rules", tag = "Alerts",
    responses((status = 200, description = "The rules in force", body = Rules), Refusals))]
pub(crate) async fn rules(State(api): Shared, _: Viewer, _: NoParameters) -> Answer<Rules> {
    blocking(move || {
        let rules = api.sources.alerts.rules().into_iter().map(RuleBody::from).collect();
        Ok(Json(Rules { rules, generated_at: api.now_seconds() }))
    })
    .await
}

/// Put an alert rule
///
/// Adds it or changes the one of its name; durable when it is answered. Needs
/// the role admin.
#[utoipa::path(put, path = "/alerts/rules/{name}", operation_id = "put_alert_rule", tag = "Alerts",
    params(("name" = String, Path, description = "Its name", pattern = "^[a-z0-9_]{1,64}$")),
    request_body = RuleInput,
    responses((status = 200, description = "The rule, in force", body = RuleBody),
        RoleRefusals, BodyRefusals, Conflict))]
pub(crate) async fn put_rule(
    State(api): Shared,
    Admin(caller): Admin,
    Segment(name): Segment,
    _: NoParameters,
    Body(input): Body<RuleInput>,
) -> Answer<RuleBody> {
    let rule = input.named(name)?;
    veritas_alert::validate(&rule).map_err(|error| Problem::new(Code::BodyInvalid, error.to_string()))?;
    blocking(move || {
        let object = rule.name.clone();
        api.audited(&caller, "put_alert_rule", &object, || {
            match api.sources.alerts.put_rule(rule.clone(), &caller.subject) {
                Ok(()) => Ok(Json(rule.into())),
                Err(PutRuleError::Refused { source }) => {
                    Err(Problem::new(Code::BodyInvalid, source.to_string()))
                }
                Err(PutRuleError::Store { source, .. }) => Err(of_store("store an alert rule", &source)),
            }
        })
    })
    .await
}

/// Remove an alert rule
///
/// A removed default stays removed. Needs the role admin.
#[utoipa::path(delete, path = "/alerts/rules/{name}", operation_id = "remove_alert_rule", tag = "Alerts",
    params(("name" = String, Path, description = "Its name", pattern = "^[a-z0-9_]{1,64}$")),
    responses((status = 200, description = "It is removed", body = Message,
        example = json!({"message": "Alert rule removed successfully"})), RoleRefusals, NotFound))]
pub(crate) async fn remove_rule(
    State(api): Shared,
    Admin(caller): Admin,
    Segment(name): Segment,
    _: NoParameters,
) -> Answer<Message> {
    let unknown = || Problem::new(Code::RuleUnknown, "no alert rule has this name");
    if name.len() > 64 {
        return Err(unknown());
    }
    blocking(move || {
        api.audited(&caller, "remove_alert_rule", &name, || {
            match api.sources.alerts.remove_rule(&name, &caller.subject) {
                Ok(()) => Ok(Json(Message { message: "Alert rule removed successfully" })),
                Err(RemoveRuleError::NotFound { .. }) => Err(unknown()),
                Err(RemoveRuleError::Store { source, .. }) => Err(of_store("remove an alert rule", &source)),
            }
        })
    })
    .await
}

/// List what became of the alert rules
///
/// Every change of status, newest first.
#[utoipa::path(get, path = "/alerts/history", operation_id = "list_alert_history", tag = "Alerts",
    params(ListQuery),
    responses((status = 200, description = "The transitions", body = AlertHistory), Refusals))]
pub(crate) async fn history(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ListQuery>,
) -> Answer<AlertHistory> {
    let limit = query.limit()?;
    blocking(move || {
        let transitions = api.sources.alerts.history(limit);
        let transitions = transitions.map_err(|error| of_store("read the alert history", &error))?;
        Ok(Json(AlertHistory {
            transitions: transitions.into_iter().map(TransitionBody::from).collect(),
            generated_at: api.now_seconds(),
        }))
    })
    .await
}
