//! `/monitoring`: the last reading, the ones before it, and the alerts they raised.

mod body;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use veritas_model::{Provenance, Timestamp, round2};
use veritas_monitor::{ProcessError, Reading, read_process};
use veritas_store::{HistoryError, HistoryQuery, Point};

use crate::{
    api::{Answer, Api, Shared, blocking},
    auth::Role,
    bulk,
    extract::{NoParameters, Parameters, Viewer, require, within},
    openapi::{NotFound, Refusals, RoleRefusals},
    problem::{Code, Problem},
};
use body::{AlertBody, ProcessMetrics, SystemMetrics};

/// The last second of the year 9999.
const LAST_DATE: f64 = 253_402_300_799.0;
/// The longest step between points: a week.
const LONGEST_STEP: f64 = 604_800.0;
/// The most series that one question may name.
const MOST_SERIES: usize = 32;

/// Which process to look at.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProcessQuery {
    /// The number of a process on this machine; needs the role operator.
    /// Without it: the process that embeds the engine.
    #[param(minimum = 1, maximum = 4_194_304)]
    pid: Option<u32>,
}

/// How much the averages are over.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportQuery {
    /// Points that the averages are over, newest first.
    #[param(minimum = 1, maximum = 10000, default = 10)]
    window: Option<u32>,
}

/// Which points of the history to return.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParameters {
    /// Maximum number of data points to return.
    #[param(minimum = 1, maximum = 10000, default = 100)]
    limit: Option<u32>,
    /// The earliest time, inclusive, in Unix seconds.
    #[param(minimum = 0, maximum = 253_402_300_799_i64)]
    from: Option<f64>,
    /// The latest time, inclusive, in Unix seconds.
    #[param(minimum = 0, maximum = 253_402_300_799_i64)]
    to: Option<f64>,
    /// One point for each so many seconds (counted from the epoch), the last one of each.
    #[param(minimum = 1, maximum = 604_800)]
    step: Option<f64>,
    /// Series to add to every point, separated by commas (`system.cpu.percent,process.threads`).
    #[param(pattern = "^[A-Za-z0-9._:-]{1,200}(,[A-Za-z0-9._:-]{1,200}){0,31}$")]
    series: Option<String>,
}

/// How the machine and the process are doing.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResourceReport {
    /// When this answer was computed, in Unix seconds.
    timestamp: f64,
    current_metrics: SystemMetrics,
    process_metrics: ProcessMetrics,
    averages: Averages,
    /// The alerts that are firing.
    alerts: Vec<AlertBody>,
    /// Points that the history holds in memory.
    data_points_count: usize,
}

/// Means over the newest points of the history.
#[derive(Serialize, ToSchema)]
pub(crate) struct Averages {
    #[schema(required)]
    cpu_percent: Option<f64>,
    #[schema(required)]
    memory_percent: Option<f64>,
    #[schema(required)]
    disk_percent: Option<f64>,
    /// Points that they are over.
    points: usize,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// One point of the history.
#[derive(Serialize, ToSchema)]
pub(crate) struct HistoryPoint {
    /// When it was taken, in Unix seconds.
    timestamp: f64,
    system: SystemMetrics,
    process: ProcessMetrics,
    /// The series that were asked for, by name; `null` where the point has no such value.
    series: BTreeMap<String, Option<f64>>,
}

/// Get system metrics
///
/// The sampler's last tick: never blocks, never needs a second sample. GB are
/// 1024-based.
#[utoipa::path(get, path = "/monitoring/system", operation_id = "get_system_metrics", tag = "Monitoring",
    responses((status = 200, description = "The last reading", body = SystemMetrics), Refusals))]
pub(crate) async fn system(State(api): Shared, _: Viewer, _: NoParameters) -> Json<SystemMetrics> {
    Json(system_now(&api))
}

/// Get process metrics
///
/// Of the process that embeds the engine, or with `pid` (operator) of any on
/// this machine.
#[utoipa::path(get, path = "/monitoring/process", operation_id = "get_process_metrics", tag = "Monitoring",
    params(ProcessQuery),
    responses((status = 200, description = "The last reading", body = ProcessMetrics), RoleRefusals, NotFound))]
pub(crate) async fn process(
    State(api): Shared,
    Viewer(caller): Viewer,
    Parameters(query): Parameters<ProcessQuery>,
) -> Answer<ProcessMetrics> {
    let Some(pid) = query.pid else { return Ok(Json(process_now(&api))) };
    let pid = within("pid", pid, 1, 4_194_304)?;
    require(&caller, Role::Operator)?;
    blocking(move || {
        let clock = &*api.sources.clock;
        match read_process(pid, clock) {
            Ok(process) => Ok(Json(ProcessMetrics::of(clock.now(), &process))),
            Err(ProcessError::NotFound { .. }) => {
                Err(Problem::new(Code::ProcessUnknown, "no process has this number"))
            }
            Err(ProcessError::Unsupported) => {
                Err(Problem::new(Code::Unavailable, "processes can be read on Linux only"))
            }
            Err(error) => Err(Problem::internal("read a process", &error)),
        }
    })
    .await
}

/// Get performance alerts
///
/// Those that are firing.
#[utoipa::path(get, path = "/monitoring/alerts", operation_id = "get_alerts", tag = "Monitoring",
    responses((status = 200, description = "The firing alerts", body = Vec<AlertBody>), Refusals))]
pub(crate) async fn alerts(State(api): Shared, _: Viewer, _: NoParameters) -> Json<Vec<AlertBody>> {
    Json(firing(&api))
}

/// Get resource utilization report
///
/// The last reading, the firing alerts, and means over the newest points.
#[utoipa::path(get, path = "/monitoring/report", operation_id = "get_resource_report", tag = "Monitoring",
    params(ReportQuery),
    responses((status = 200, description = "The report", body = ResourceReport), Refusals))]
pub(crate) async fn report(
    State(api): Shared,
    _: Viewer,
    Parameters(query): Parameters<ReportQuery>,
) -> Answer<ResourceReport> {
    let window = within("window", query.window.unwrap_or(10), 1, 10_000)?;
    let reserved = api.bulk.reserve((window as usize).min(api.sources.history.len())).await?;
    blocking(move || {
        let _until_it_is_answered = reserved;
        let points = read_history(&api, &HistoryQuery::newest(window as usize))?;
        let mean = |series: &str| mean(points.iter().filter_map(|point| point.number(series)));
        let provenance = if points.is_empty() { Provenance::Unavailable } else { Provenance::Measured };
        Ok(Json(ResourceReport {
            timestamp: api.now_seconds(),
            current_metrics: system_now(&api),
            process_metrics: process_now(&api),
            averages: Averages {
                cpu_percent: mean("system.cpu.percent"),
                memory_percent: mean("system.memory.percent"),
                disk_percent: mean("system.disk.percent"),
                points: points.len(),
                provenance: provenance.as_str(),
            },
            alerts: firing(&api),
            data_points_count: api.sources.history.len(),
        }))
    })
    .await
}

/// Get monitoring history
///
/// The newest points that fit, oldest first.
#[utoipa::path(get, path = "/monitoring/history", operation_id = "get_monitoring_history", tag = "Monitoring",
    params(HistoryParameters),
    responses((status = 200, description = "The points, newest last", body = Vec<HistoryPoint>), Refusals))]
pub(crate) async fn history(
    State(api): Shared,
    _: Viewer,
    Parameters(parameters): Parameters<HistoryParameters>,
) -> Result<Response, Problem> {
    let (query, series) = parameters.question()?;
    let reserved = api.bulk.reserve(query.limit.min(api.sources.history.len())).await?;
    // Ten thousand points are some megabytes: they are written off the executor too.
    let text = blocking(move || {
        let points = read_history(&api, &query)?;
        let points: Vec<_> = points.iter().map(|point| HistoryPoint::of(point, &series)).collect();
        serde_json::to_vec(&points).map_err(|error| Problem::internal("write the history", &error))
    })
    .await?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], bulk::body(text, reserved)).into_response())
}

impl HistoryParameters {
    fn question(self) -> Result<(HistoryQuery, Vec<String>), Problem> {
        let date = |name: &str, seconds: Option<f64>| {
            let bounded = seconds.map(|seconds| within(name, seconds, 0.0, LAST_DATE)).transpose();
            bounded.map(|seconds| seconds.map(Timestamp::from_seconds))
        };
        let step = self.step.map(|step| within("step", step, 1.0, LONGEST_STEP)).transpose()?;
        let query = HistoryQuery {
            from: date("from", self.from)?,
            to: date("to", self.to)?,
            step: step.map(Duration::from_secs_f64),
            limit: within("limit", self.limit.unwrap_or(100), 1, 10_000)? as usize,
        };
        Ok((query, self.series.as_deref().map_or_else(|| Ok(Vec::new()), names)?))
    }
}

/// Splits a list of series.
fn names(list: &str) -> Result<Vec<String>, Problem> {
    let is_name = |name: &str| {
        (1..=200).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
    };
    let names: Vec<_> = list.split(',').map(str::to_owned).collect();
    if names.len() <= MOST_SERIES && names.iter().all(|name| is_name(name)) {
        return Ok(names);
    }
    Err(Problem::new(Code::ParameterInvalid, format!("series: 1 to {MOST_SERIES} names with commas between")))
}

impl HistoryPoint {
    fn of(point: &Point, series: &[String]) -> Self {
        let reading = Reading::from_series(
            point.at,
            |name| point.number(name),
            |name| point.text(name).map(str::to_owned),
        );
        Self {
            timestamp: point.at.seconds(),
            system: reading.as_ref().map_or_else(|| SystemMetrics::unknown(point.at), SystemMetrics::of),
            process: reading.as_ref().map_or_else(
                || ProcessMetrics::unknown(point.at),
                |reading| ProcessMetrics::of(point.at, &reading.process),
            ),
            series: series.iter().map(|name| (name.clone(), point.number(name))).collect(),
        }
    }
}

fn system_now(api: &Api) -> SystemMetrics {
    let unknown = || SystemMetrics::unknown(api.sources.clock.now());
    api.sources.monitor.latest().map_or_else(unknown, |reading| SystemMetrics::of(&reading))
}

fn process_now(api: &Api) -> ProcessMetrics {
    let unknown = || ProcessMetrics::unknown(api.sources.clock.now());
    let latest = api.sources.monitor.latest();
    latest.map_or_else(unknown, |reading| ProcessMetrics::of(reading.at, &reading.process))
}

fn firing(api: &Api) -> Vec<AlertBody> {
    api.sources.alerts.firing().into_iter().map(AlertBody::from).collect()
}

fn read_history(api: &Arc<Api>, query: &HistoryQuery) -> Result<Vec<Point>, Problem> {
    api.sources.history.query(query).map_err(|error: HistoryError| {
        tracing::warn!(error = &error as &dyn std::error::Error, "failed to read the history");
        Problem::new(Code::Unavailable, "the history cannot be read now; /readyz says more")
    })
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| round2(sum / count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_nothing_is_not_known() {
        assert_eq!(mean(std::iter::empty()), None);
        assert_eq!(mean([1.0, 2.0, 2.0].into_iter()), Some(1.67));
    }

    #[test]
    fn a_list_of_series_has_names_and_an_end() {
        assert_eq!(names("a.b,c").unwrap(), ["a.b", "c"]);
        for wrong in ["", "a,", ",", "a b", "a,b;c", &vec!["a"; 33].join(",")] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }
}
