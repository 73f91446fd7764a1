//! `/metrics`: counters and gauges in the Prometheus text format 0.0.4.

use std::fmt::{Display, Write as _};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use veritas_model::{Condition, Provenance};

use crate::{
    api::{Api, Shared, blocking},
    extract::{NoParameters, Viewer},
    openapi::Refusals,
    problem::Problem,
};

/// Get metrics for Prometheus
///
/// What the engine counts about itself, and the basics of the system.
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "Health",
    responses((status = 200, description = "Prometheus text format 0.0.4", body = String,
        content_type = "text/plain"), Refusals))]
pub(crate) async fn metrics(State(api): Shared, _: Viewer, _: NoParameters) -> Result<Response, Problem> {
    let text = blocking(move || Ok(render(&api))).await?;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// The text while it grows.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a String cannot fail.
        let _: std::fmt::Result = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            let _: std::fmt::Result = write!(self.0, "{open}{label}=\"{}\"", escape(text));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _: std::fmt::Result = writeln!(self.0, "{close} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// Writes a gauge, or nothing when it is not known.
    fn gauge(&mut self, name: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, "gauge", help);
            self.sample(name, &[], value);
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn render(api: &Api) -> String {
    let mut text = Exposition::default();
    text.family("veritas_build_info", "gauge", "The version that answers.");
    text.sample("veritas_build_info", &[("version", api.sources.version)], 1);
    itself(api, &mut text);
    capabilities(api, &mut text);
    system(api, &mut text);
    text.0
}

fn itself(api: &Api, text: &mut Exposition) {
    let counters = &api.counters;
    text.family("veritas_api_responses_total", "counter", "Responses by class of status.");
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(counters.classes()) {
        text.sample("veritas_api_responses_total", &[("class", class)], count);
    }
    for (name, help, count) in [
        ("veritas_api_rate_limited_total", "Requests refused by a rate limit.", &counters.rate_limited),
        ("veritas_api_failed_logins_total", "Tokens that were not accepted.", &counters.failed_logins),
        ("veritas_api_overloaded_total", "Requests refused as one too many.", &counters.overloaded),
        ("veritas_api_timed_out_total", "Requests that ran out of time.", &counters.timed_out),
        ("veritas_api_panics_total", "Handlers that panicked.", &counters.panics),
        ("veritas_api_wrong_host_total", "Requests for a host that is not ours.", &counters.wrong_host),
    ] {
        text.counter(name, help, count.get());
    }
    text.family("veritas_component_ready", "gauge", "1 when the part of the engine is not degraded.");
    for (component, condition) in api.sources.health.components() {
        let ready = u8::from(condition == Condition::Ready);
        text.sample("veritas_component_ready", &[("component", &component)], ready);
    }
    let history = api.sources.history.statistics();
    text.gauge("veritas_history_points", "Points of the history in memory.", Some(history.points_in_memory));
    text.gauge("veritas_history_bytes", "Bytes of the history on the disk.", Some(history.bytes.get()));
    text.counter(
        "veritas_history_points_not_recorded_total",
        "Points that the disk did not take.",
        history.points_not_recorded,
    );
    text.counter(
        "veritas_history_values_dropped_total",
        "Values left out of the history.",
        history.values_dropped,
    );
    text.counter(
        "veritas_alert_transitions_unstored_total",
        "Times that a transition could not be stored.",
        api.sources.alerts.unstored(),
    );
    let firing = api.sources.alerts.firing().len();
    text.gauge("veritas_alerts_firing", "Alerts that are firing.", Some(firing));
}

fn capabilities(api: &Api, text: &mut Exposition) {
    let cache = api.sources.caches.statistics();
    for (name, help, count) in [
        ("veritas_cache_hits_total", "Look-ups that hit.", cache.hits),
        ("veritas_cache_misses_total", "Look-ups that missed.", cache.misses),
        ("veritas_cache_sets_total", "Values stored.", cache.sets),
        ("veritas_cache_deletes_total", "Entries deleted.", cache.deletes),
        ("veritas_cache_evictions_total", "Entries removed to make room.", cache.evictions),
        ("veritas_cache_expirations_total", "Entries removed for their age.", cache.expirations),
        ("veritas_cache_load_errors_total", "Loaders that failed.", cache.load_errors),
    ] {
        text.counter(name, help, count);
    }
    let memory = api.sources.caches.memory();
    let known = memory.provenance != Provenance::Unavailable;
    text.gauge("veritas_cache_bytes", "Bytes held by the caches.", known.then_some(memory.bytes.get()));
    text.gauge("veritas_cache_entries", "Entries held by the caches.", known.then_some(memory.entries));
    let statements = api.sources.database.snapshot();
    text.counter("veritas_database_statements_total", "Statements that were run.", statements.total);
    text.family("veritas_database_statement_seconds_total", "counter", "Seconds spent in them.");
    text.sample("veritas_database_statement_seconds_total", &[], statements.total_seconds);
    text.counter(
        "veritas_database_statements_dropped_total",
        "Statements counted under other, since as many as may be are known.",
        statements.dropped,
    );
    if let Some(connections) = api.sources.database.connections() {
        text.family("veritas_database_connections", "gauge", "Connections of the registered pools.");
        for (pool, reading) in &connections.pools {
            for (state, count) in [("active", reading.active), ("idle", reading.idle), ("max", reading.max)] {
                text.sample("veritas_database_connections", &[("pool", pool), ("state", state)], count);
            }
        }
    }
}

fn system(api: &Api, text: &mut Exposition) {
    let Some(reading) = api.sources.monitor.latest() else { return };
    let system = &reading.system;
    text.gauge("veritas_system_cpu_percent", "Use of what we may use.", system.cpu.percent);
    text.gauge("veritas_system_memory_percent", "Used memory.", system.memory.map(|memory| memory.percent));
    text.gauge("veritas_system_disk_percent", "Used disk.", system.disk.map(|disk| disk.percent));
    text.gauge("veritas_process_cpu_percent", "100 is one core.", reading.process.cpu_percent);
    text.gauge("veritas_process_resident_bytes", "Resident memory.", Some(reading.process.rss.get()));
    text.gauge("veritas_process_threads", "Threads.", Some(reading.process.threads));
    text.gauge("veritas_process_open_files", "Open descriptors.", reading.process.open_files);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut text = Exposition::default();
        text.sample("veritas_x", &[("pool", "a\"b\\c\nd"), ("state", "idle")], 1.5);
        assert_eq!(text.0, "veritas_x{pool=\"a\\\"b\\\\c\\nd\",state=\"idle\"} 1.5\n");
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let mut text = Exposition::default();
        text.gauge("veritas_x", "x", None::<u64>);
        assert_eq!(text.0, "");
    }
}
