//! `veritas cache advise`: asks the engine that owns a data directory about its caches.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde_json::Value;
use veritas::{
    api::auth::{KeySet, Role},
    model::SystemClock,
    store::DataDir,
};

use super::bytes;
use crate::{arguments::AdviseArguments, client::Client, configuration, failure::Failure, reference::print};

/// How long the token lives that one question needs.
const TOKEN_LIFE: Duration = Duration::from_mins(1);
/// How long the engine may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `veritas cache advise`.
pub(crate) fn run(arguments: &AdviseArguments) -> Result<(), Failure> {
    let config = configuration::load(&arguments.places, &[])?.config;
    let nobody = |error: anyhow::Error| {
        let hint = format!(
            "start `veritas serve --data-dir {0}`, or name the directory of the engine with --data-dir",
            config.data_dir.display()
        );
        Failure::new(Failure::GENERAL, error, hint)
    };
    let path = DataDir::address_path_in(&config.data_dir);
    let address: SocketAddr = std::fs::read_to_string(&path)
        .with_context(|| format!("no engine has written its address to {}", path.display()))
        .and_then(|text| text.trim().parse().with_context(|| format!("{} holds no address", path.display())))
        .map_err(nobody)?;
    let keys =
        KeySet::load(&DataDir::keys_path_in(&config.data_dir)).map_err(|error| nobody(error.into()))?;
    let keys = keys.naming(config.jwt.issuer, config.jwt.audience);
    let token = keys.issue("cache-advise", Role::Viewer, TOKEN_LIFE, &SystemClock::new())?.token;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let answer = runtime.block_on(async {
        let asked = async { Client::connect(address, &token).await?.get("/cache/advice").await };
        tokio::time::timeout(PATIENCE, asked).await.context("the engine does not answer")?
    });
    let mut answer =
        answer.with_context(|| format!("failed to ask the engine at {address}")).map_err(nobody)?;
    if let Some(wanted) = &arguments.namespace {
        keep(&mut answer, wanted)?;
    }
    if arguments.json {
        return print(format!("{}\n", serde_json::to_string_pretty(&answer)?).as_bytes());
    }
    print(render(&answer).as_bytes())
}

/// Leaves one namespace of the answer.
fn keep(answer: &mut Value, wanted: &str) -> Result<(), Failure> {
    let Some(namespaces) = answer["namespaces"].as_array_mut() else { return Ok(()) };
    let known: Vec<String> = namespaces.iter().map(|of| text(&of["name"]).to_owned()).collect();
    namespaces.retain(|of| of["name"] == wanted);
    if namespaces.is_empty() {
        let hint = if known.is_empty() {
            "no cache was looked at yet".to_owned()
        } else {
            format!("the caches are {}", known.join(", "))
        };
        return Err(Failure::new(Failure::GENERAL, anyhow::anyhow!("there is no cache {wanted:?}"), hint));
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

/// Writes the answer for people.
fn render(answer: &Value) -> String {
    let mut page = String::new();
    let namespaces = answer["namespaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    if namespaces.is_empty() {
        page.push_str("no cache was looked at yet\n");
    }
    for namespace in namespaces {
        // Writing to a text cannot fail.
        render_one(&mut page, namespace).unwrap_or_default();
    }
    page
}

fn render_one(page: &mut String, of: &Value) -> std::fmt::Result {
    let watching = if of["bypass"] == true { ", only watching" } else { "" };
    writeln!(page, "{}{watching}", text(&of["name"]))?;
    writeln!(
        page,
        "  {} look-ups in {:.0} s, {:.2} % hit; may hold {}, for {} s; {} % of the keys sampled",
        of["look_ups"],
        number(&of["observed_seconds"]),
        number(&of["hit_rate"]),
        bytes(number(&of["capacity_bytes"])),
        number(&of["ttl_seconds"]),
        number(&of["sampled_percent"]),
    )?;
    if let Some(net) = of["net"].as_object() {
        writeln!(
            page,
            "  saves {:.2} µs a look-up, costs {:.2} µs (net between {:.2} and {:.2} µs)",
            number(&net["saved_seconds"]) * 1e6,
            number(&net["spent_seconds"]) * 1e6,
            number(&net["low"]) * 1e6,
            number(&net["high"]) * 1e6,
        )?;
    }
    let points = of["miss_ratio_curve"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !points.is_empty() {
        writeln!(page, "  {:>12}  {:>9}  (simulated)", "capacity", "hits")?;
        for point in points {
            let bound = number(&point["error_bound"]) * 100.0;
            let bound = if bound > 0.0 { format!(" ± {bound:.2}") } else { String::new() };
            writeln!(
                page,
                "  {:>12}  {:>7.2} %{bound}",
                bytes(number(&point["capacity_bytes"])),
                (1.0 - number(&point["miss_ratio"])) * 100.0,
            )?;
        }
    }
    if let Some(advice) = of["capacity_advice"].as_object() {
        writeln!(
            page,
            "  -> let it hold {} instead of {}: {:.2} % of the look-ups hit instead of {:.2} %",
            bytes(number(&advice["to_bytes"])),
            bytes(number(&advice["from_bytes"])),
            (1.0 - number(&advice["advised_miss_ratio"])) * 100.0,
            (1.0 - number(&advice["miss_ratio"])) * 100.0,
        )?;
    }
    if let Some(advice) = of["ttl_advice"].as_object() {
        writeln!(
            page,
            "  -> let its entries live {} s instead of {} s: {:.2} % of the look-ups hit instead of {:.2} %",
            number(&advice["to_seconds"]),
            number(&advice["from_seconds"]),
            number(&advice["advised_hit_ratio"]) * 100.0,
            number(&advice["hit_ratio"]) * 100.0,
        )?;
    }
    for reason in of["reasons"].as_array().map(Vec::as_slice).unwrap_or_default() {
        writeln!(page, "  {}", text(reason))?;
    }
    writeln!(page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn advice_is_one_paragraph_a_cache() {
        let answer = json!({ "namespaces": [{
            "name": "users", "look_ups": 1000, "observed_seconds": 60.0, "hit_rate": 52.5, "bypass": false,
            "capacity_bytes": 65536, "ttl_seconds": 300.0, "sampled_percent": 100.0,
            "net": { "saved_seconds": 0.001, "spent_seconds": 1e-6, "low": 0.0009, "high": 0.0011 },
            "miss_ratio_curve": [{ "capacity_bytes": 131_072, "miss_ratio": 0.25, "error_bound": 0.01 }],
            "capacity_advice": { "from_bytes": 65536, "to_bytes": 131_072, "miss_ratio": 0.475,
                "advised_miss_ratio": 0.25 },
            "ttl_advice": null, "reasons": ["the time to live is as it should be"],
        }]});
        let page = render(&answer);
        assert!(
            page.contains("let it hold 128 KiB instead of 64.0 KiB: 75.00 % of the look-ups hit"),
            "{page}"
        );
        assert!(page.contains("75.00 % ± 1.00") && page.contains("as it should be"), "{page}");
    }

    #[test]
    fn an_unknown_cache_is_told_with_the_known_ones() {
        let mut answer = json!({ "namespaces": [{ "name": "users" }, { "name": "feeds" }] });
        let failure = keep(&mut answer, "user").expect_err("there is none");
        assert!(format!("{failure:?}").contains("users, feeds"), "{failure:?}");
    }
}
