//! `/profiling`: what profiled functions cost.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use veritas_model::{Provenance, Ratio, Timestamp};
use veritas_profile::Profile;

use super::Message;
use crate::{
    api::{Answer, Shared, blocking},
    extract::{NoParameters, Operator, Segment, Viewer},
    openapi::{NotFound, Refusals, RoleRefusals},
    problem::{Code, Problem},
};

/// What the calls of one name cost.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile, example = json!({"execution_time": 0.15, "profile_output": "...\n",
    "memory_usage_bytes": 1_048_576, "timestamp": 1_672_531_200.123, "details": {"count": 1, "errors": 0,
    "cancelled": 0, "mean_seconds": 0.15, "min_seconds": 0.15, "max_seconds": 0.15, "p50_seconds": 0.15,
    "p90_seconds": 0.15, "p95_seconds": 0.15, "p99_seconds": 0.15, "total_seconds": 0.15,
    "self_seconds": 0.15, "self_percent": 100.0, "file": "src/content.rs", "line": 12,
    "distinct_arguments": null, "polling": null}, "provenance": "measured"}))]
pub(crate) struct ProfileBody {
    /// Seconds of the call that ended last; `null` when none has ended.
    #[schema(required)]
    execution_time: Option<f64>,
    /// A table of the ten names with the most cumulative time.
    profile_output: String,
    /// Net bytes that the last call allocated (may be negative); `null` where it is not measured.
    #[schema(required)]
    memory_usage_bytes: Option<i64>,
    /// When the last call ended, in Unix seconds; `null` when none has ended.
    #[schema(required)]
    timestamp: Option<f64>,
    /// More about all of its calls.
    details: ProfileDetails,
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
}

/// More about all calls of one name.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileDetails {
    /// Calls that ended.
    count: u64,
    /// Calls among them that panicked or returned an error.
    errors: u64,
    /// Futures dropped before they were ready.
    cancelled: u64,
    #[schema(required)]
    mean_seconds: Option<f64>,
    #[schema(required)]
    min_seconds: Option<f64>,
    #[schema(required)]
    max_seconds: Option<f64>,
    #[schema(required)]
    p50_seconds: Option<f64>,
    #[schema(required)]
    p90_seconds: Option<f64>,
    #[schema(required)]
    p95_seconds: Option<f64>,
    #[schema(required)]
    p99_seconds: Option<f64>,
    /// Time with this name on the stack.
    total_seconds: f64,
    /// The same less the time of profiled callees.
    self_seconds: f64,
    /// Percent of all profiles' self time.
    #[schema(required)]
    self_percent: Option<f64>,
    /// The source file of its first site.
    file: String,
    /// The line of its first site.
    line: u32,
    /// How often the arguments repeat; `null` unless the site asks for it.
    #[schema(required)]
    distinct_arguments: Option<ArgumentsBody>,
    /// What only futures have; `null` of plain functions.
    #[schema(required)]
    polling: Option<PollingBody>,
}

/// How often the arguments of a function repeat.
#[derive(Serialize, ToSchema)]
#[schema(as = DistinctArguments)]
pub(crate) struct ArgumentsBody {
    /// Calls whose arguments were looked at.
    calls: u64,
    /// Distinct arguments among them.
    distinct: u64,
    /// Relative standard error of `distinct`.
    relative_error: f64,
    /// `measured` where the count is exact, else `estimated`.
    #[schema(value_type = super::ProvenanceWord)]
    provenance: &'static str,
    /// Percent of the calls that a small cache would have answered (simulated).
    #[schema(required)]
    simulated_hit_rate: Option<f64>,
}

/// What only futures have.
#[derive(Serialize, ToSchema)]
#[schema(as = Polling)]
pub(crate) struct PollingBody {
    /// Polls.
    polls: u64,
    /// Seconds inside polls.
    busy_seconds: f64,
    /// The longest single poll.
    longest_poll_seconds: f64,
}

impl ProfileBody {
    fn of(profile: &Profile, all: &[Profile]) -> Self {
        let seconds = |duration: Option<std::time::Duration>| duration.map(|duration| duration.as_secs_f64());
        Self {
            execution_time: seconds(profile.last),
            profile_output: veritas_profile::render(profile, all),
            memory_usage_bytes: profile.memory_net_bytes,
            timestamp: profile.last_at.map(Timestamp::seconds),
            details: ProfileDetails {
                count: profile.calls,
                errors: profile.errors,
                cancelled: profile.cancelled,
                mean_seconds: seconds(profile.mean),
                min_seconds: seconds(profile.min),
                max_seconds: seconds(profile.max),
                p50_seconds: seconds(profile.p50),
                p90_seconds: seconds(profile.p90),
                p95_seconds: seconds(profile.p95),
                p99_seconds: seconds(profile.p99),
                total_seconds: profile.total.as_secs_f64(),
                self_seconds: profile.self_time.as_secs_f64(),
                self_percent: profile.share.map(Ratio::percent),
                file: profile.file.clone(),
                line: profile.line,
                distinct_arguments: profile.distinct_arguments.map(|arguments| ArgumentsBody {
                    calls: arguments.calls,
                    distinct: arguments.distinct,
                    relative_error: arguments.relative_error,
                    provenance: if arguments.relative_error > 0.0 {
                        Provenance::Estimated.as_str()
                    } else {
                        Provenance::Measured.as_str()
                    },
                    simulated_hit_rate: arguments.simulated_hit_ratio().map(Ratio::percent),
                }),
                polling: profile.polling.map(|polling| PollingBody {
                    polls: polling.polls,
                    busy_seconds: polling.busy.as_secs_f64(),
                    longest_poll_seconds: polling.longest_poll.as_secs_f64(),
                }),
            },
            provenance: Provenance::Measured.as_str(),
        }
    }
}

/// Get all performance profiles
///
/// By name. The text tables are rendered on read.
#[utoipa::path(get, path = "/profiling/profiles", operation_id = "get_profiles", tag = "Profiling",
    responses((status = 200, description = "The profiles by name", body = BTreeMap<String, ProfileBody>),
        Refusals))]
pub(crate) async fn profiles(_: Viewer, _: NoParameters) -> Answer<BTreeMap<String, ProfileBody>> {
    blocking(|| {
        let all = veritas_profile::profiles();
        let bodies = all.iter().map(|profile| (profile.name.clone(), ProfileBody::of(profile, &all)));
        Ok(Json(bodies.collect()))
    })
    .await
}

/// Get specific performance profile
#[utoipa::path(get, path = "/profiling/profile/{profile_name}", operation_id = "get_profile", tag = "Profiling",
    params(("profile_name" = String, Path, description = "The name of the profile", min_length = 1)),
    responses((status = 200, description = "The profile", body = ProfileBody), Refusals, NotFound))]
pub(crate) async fn profile(_: Viewer, Segment(name): Segment, _: NoParameters) -> Answer<ProfileBody> {
    let all = veritas_profile::profiles();
    let profile = all.iter().find(|profile| profile.name == name);
    let profile = profile.ok_or_else(|| Problem::new(Code::ProfileUnknown, "no profile has this name"))?;
    Ok(Json(ProfileBody::of(profile, &all)))
}

/// Clear performance profiles
///
/// Calls that are under way count when they end. Needs the role operator.
#[utoipa::path(delete, path = "/profiling/profiles", operation_id = "clear_profiles", tag = "Profiling",
    responses((status = 200, description = "They are cleared", body = Message,
        example = json!({"message": "Performance profiles cleared successfully"})), RoleRefusals))]
pub(crate) async fn clear(
    State(api): Shared,
    Operator(caller): Operator,
    _: NoParameters,
) -> Answer<Message> {
    blocking(move || {
        api.audited(&caller, "clear_profiles", "profiling/profiles", || {
            veritas_profile::reset();
            Ok(Json(Message { message: "Performance profiles cleared successfully" }))
        })
    })
    .await
}
