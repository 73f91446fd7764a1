//! `/db/queries/{fingerprint}`: one statement with its plans, callers and history.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_database::{
    RequestRepetitions, SlowCall, StatementStatistics,
    server::{PlanReading, ServerStatement, StatementWindow},
};
use veritas_statistics::Histogram;

use super::{
    super::findings::CallerBody,
    queries::{QueryBody, collect},
    seconds_of_nanos,
};
use crate::{
    api::{Answer, Shared, blocking, of_store},
    extract::{NoParameters, Segment, Viewer},
    openapi::{NotFound, Refusals},
    problem::{Code, Problem},
};

/// The slow calls and callers that one answer holds at most.
const MOST: usize = 50;

/// What the process counted of a statement.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryInProcess)]
pub(crate) struct InProcess {
    /// Calls, failed ones included.
    pub(super) calls: u64,
    /// Calls that failed.
    errors: u64,
    /// Rows that all calls returned or changed.
    rows: u64,
    /// Calls slower than the slow threshold.
    slow: u64,
    /// Seconds of all calls.
    pub(super) total_seconds: f64,
    /// Mean seconds of a call.
    #[schema(required)]
    pub(super) mean_seconds: Option<f64>,
    /// Median seconds of a call, within 0.8 %.
    #[schema(required)]
    p50_seconds: Option<f64>,
    /// 95th percentile, within 0.8 %.
    #[schema(required)]
    p95_seconds: Option<f64>,
    /// 99th percentile, within 0.8 %.
    #[schema(required)]
    p99_seconds: Option<f64>,
    /// Where it is called from, most frequent first.
    callers: Vec<CallCount>,
    /// In whose name it ran, and how often each repeated it.
    requests: Vec<RequestBody>,
}

/// A place in the code and its calls.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryCaller)]
pub(crate) struct CallCount {
    caller: CallerBody,
    /// Calls from there; a lower bound when more places call than are kept.
    calls: u64,
}

/// The requests of one name.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryRequest)]
pub(crate) struct RequestBody {
    /// The route template or job.
    request: String,
    /// Requests that ran the statement.
    requests: u64,
    /// Those that ran it again and again.
    repeating: u64,
    /// Most calls in one request.
    most_calls: u64,
}

/// What a server counted of a statement, over all of its clients.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryOnServer)]
pub(crate) struct OnServer {
    pub(super) calls: u64,
    /// Seconds of all calls.
    pub(super) total_seconds: f64,
    /// Mean seconds of a call.
    #[schema(required)]
    pub(super) mean_seconds: Option<f64>,
    /// Standard deviation of the seconds of a call.
    #[schema(required)]
    deviation_seconds: Option<f64>,
    /// Rows returned or changed.
    rows: u64,
    /// Pages found in the server's buffers.
    buffers_hit: u64,
    /// Pages that were not.
    buffers_read: u64,
    /// Pages of temporary files written.
    temporary_written: u64,
    /// Bytes of write-ahead log; `null` where the server does not say.
    #[schema(required)]
    wal_bytes: Option<u64>,
    /// Seconds spent planning; `null` where the server does not count them.
    #[schema(required)]
    planning_seconds: Option<f64>,
}

/// One statement with its plans, callers and history.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryDetails)]
pub(crate) struct QueryReport {
    query: QueryBody,
    /// Plans by the server's name, the present one first.
    plans: BTreeMap<String, Vec<PlanBody>>,
    /// What it cost between two readings, by the server's name, newest last.
    history: BTreeMap<String, Vec<WindowBody>>,
    /// Slow calls that the process saw, newest last, at most 50.
    slow_calls: Vec<SlowCallBody>,
    /// When this answer was computed, in Unix seconds.
    generated_at: f64,
}

/// One plan.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryPlan)]
pub(crate) struct PlanBody {
    /// The shape of the plan, hashed: nodes, tables and indexes, without costs and values.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    shape: String,
    /// The plan as the server printed it, without literals.
    text: String,
    /// What the planner expects it to cost; `null` when that is not finite.
    #[schema(required)]
    cost: Option<f64>,
    /// Whether it is the plan for all values, or for one.
    generic: bool,
    /// When it was first seen, in Unix seconds.
    first_seen_at: f64,
    /// When it was last seen, in Unix seconds.
    last_seen_at: f64,
    /// Mean seconds of a call while it was in use; `null` where not known.
    #[schema(required)]
    mean_seconds: Option<f64>,
}

/// What a statement cost between two readings.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseQueryWindow)]
pub(crate) struct WindowBody {
    /// The end of the window, in Unix seconds.
    at: f64,
    /// How long the window is.
    seconds: f64,
    calls: u64,
    /// Mean seconds of a call; `null` without a call.
    #[schema(required)]
    mean_seconds: Option<f64>,
    rows: u64,
    /// Pages asked for.
    buffers: u64,
}

/// One slow call without its literals.
#[derive(Serialize, ToSchema)]
#[schema(as = DatabaseSlowCall)]
pub(crate) struct SlowCallBody {
    /// When it ended, in Unix seconds.
    at: f64,
    seconds: f64,
    rows: u64,
    failed: bool,
    /// The request in whose name it ran; `null` when not known.
    #[schema(required)]
    request: Option<String>,
    /// Where it was called from; `null` when not known.
    #[schema(required)]
    caller: Option<CallerBody>,
}

/// Get one statement
///
/// With its plans, callers and history, as far as they are known.
#[utoipa::path(get, path = "/db/queries/{fingerprint}", operation_id = "get_db_query", tag = "Database",
    params(("fingerprint" = String, Path, description = "The statement's fingerprint", pattern = "^[0-9a-f]{16}$")),
    responses((status = 200, description = "The statement", body = QueryReport), Refusals, NotFound))]
pub(crate) async fn one(
    State(api): Shared,
    _: Viewer,
    Segment(fingerprint): Segment,
    _: NoParameters,
) -> Answer<QueryReport> {
    blocking(move || {
        let findings =
            api.sources.control.findings().map_err(|error| of_store("read the findings", &error))?;
        let found = collect(&api, &findings).into_iter().find(|(_, query)| query.fingerprint == fingerprint);
        let Some((fingerprint, query)) = found else {
            return Err(Problem::new(Code::QueryUnknown, "see /db/queries for those that are known"));
        };
        let mut plans = BTreeMap::new();
        let mut history = BTreeMap::new();
        for (name, (of_server, windows)) in api.sources.database_servers.histories(fingerprint) {
            let _same =
                plans.insert(name.clone(), of_server.into_iter().map(PlanBody::from).collect::<Vec<_>>());
            let _same = history.insert(name, windows.iter().map(WindowBody::from).collect::<Vec<_>>());
        }
        let slow = api.sources.database.slow_log();
        let mut slow_calls: Vec<_> =
            slow.iter().filter(|call| call.fingerprint == fingerprint).map(SlowCallBody::from).collect();
        let first = slow_calls.len().saturating_sub(MOST);
        slow_calls.drain(..first);
        Ok(Json(QueryReport { query, plans, history, slow_calls, generated_at: api.now_seconds() }))
    })
    .await
}

impl InProcess {
    pub(super) fn of(statements: &[&StatementStatistics]) -> Self {
        let mut histogram = Histogram::new();
        for statement in statements {
            histogram.merge(&statement.histogram);
        }
        let sum = |of: fn(&StatementStatistics) -> u64| {
            statements.iter().map(|statement| of(statement)).fold(0, u64::saturating_add)
        };
        let seconds = |quantile| histogram.quantile(quantile).map(seconds_of_nanos);
        let callers = statements.iter().flat_map(|statement| &statement.callers);
        let mut callers: Vec<_> = callers
            .map(|count| CallCount { caller: CallerBody::from(&count.caller), calls: count.calls })
            .collect();
        callers.sort_by_key(|count| std::cmp::Reverse(count.calls));
        callers.truncate(MOST);
        let requests = statements.iter().flat_map(|statement| &statement.repetitions);
        Self {
            calls: sum(|statement| statement.calls),
            errors: sum(|statement| statement.errors),
            rows: sum(|statement| statement.rows_returned.saturating_add(statement.rows_affected)),
            slow: sum(|statement| statement.slow),
            total_seconds: statements.iter().map(|statement| statement.total_seconds).sum(),
            mean_seconds: histogram.mean().map(|nanos| nanos / 1e9),
            p50_seconds: seconds(0.50),
            p95_seconds: seconds(0.95),
            p99_seconds: seconds(0.99),
            callers,
            requests: requests.map(RequestBody::from).take(MOST).collect(),
        }
    }
}

impl From<&RequestRepetitions> for RequestBody {
    fn from(repetitions: &RequestRepetitions) -> Self {
        Self {
            request: repetitions.request.clone(),
            requests: repetitions.requests,
            repeating: repetitions.repeating,
            most_calls: repetitions.most_calls,
        }
    }
}

impl OnServer {
    pub(super) fn of(statement: &ServerStatement) -> Self {
        Self {
            calls: statement.seconds.count,
            total_seconds: statement.seconds.sum,
            mean_seconds: statement.seconds.mean(),
            deviation_seconds: statement.seconds.variance().map(f64::sqrt),
            rows: statement.rows,
            buffers_hit: statement.buffers_hit,
            buffers_read: statement.buffers_read,
            temporary_written: statement.temporary_written,
            wal_bytes: statement.wal_bytes,
            planning_seconds: statement.planning_seconds,
        }
    }
}

impl From<PlanReading> for PlanBody {
    fn from(plan: PlanReading) -> Self {
        Self {
            shape: format!("{:016x}", plan.shape),
            text: plan.text,
            cost: plan.cost.is_finite().then_some(plan.cost),
            generic: plan.generic,
            first_seen_at: plan.first_seen_at.seconds(),
            last_seen_at: plan.last_seen_at.seconds(),
            mean_seconds: plan.mean_seconds,
        }
    }
}

impl From<&StatementWindow> for WindowBody {
    fn from(window: &StatementWindow) -> Self {
        Self {
            at: window.at.seconds(),
            seconds: window.seconds,
            calls: window.work.count,
            mean_seconds: window.work.mean(),
            rows: window.rows,
            buffers: window.buffers,
        }
    }
}

impl From<&SlowCall> for SlowCallBody {
    fn from(call: &SlowCall) -> Self {
        Self {
            at: call.at.seconds(),
            seconds: call.elapsed.as_secs_f64(),
            rows: call.rows,
            failed: call.failed,
            request: call.request.clone(),
            caller: call.caller.as_ref().map(CallerBody::from),
        }
    }
}
