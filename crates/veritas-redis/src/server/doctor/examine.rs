//! The conversation of the doctor with a server.

use std::time::Duration;

use redis::{Cmd, Value, cmd};
use tokio::time::Instant;
use veritas_cache::server::NotRead;
use veritas_model::Clock;

use super::{
    super::{dialogue::Dialogue, info::Info, reply::text, topology},
    Check, Verdict, judge,
};
use crate::options::{Endpoint, RedisOptions, Topology};

/// How many round trips are timed.
const PINGS: usize = 5;

/// How many nodes of a cluster are knocked at.
const MAX_NODES: usize = 16;

pub(super) async fn examine(options: &RedisOptions, clock: &dyn Clock, deadline: Duration) -> Vec<Check> {
    let deadline = Instant::now() + deadline;
    let mut checks = Vec::new();
    let Some(mut dialogue) = reach(options, deadline, &mut checks).await else { return checks };
    let info = match dialogue.ask_one(cmd("INFO")).await {
        Ok(info) => info,
        Err(why) => {
            checks.push(judge::silent(&why));
            return checks;
        }
    };
    let told = text(&info);
    let fields = told.as_deref().map(Info::parse);
    let must_stop = judge::kind(&options.topology, &info, fields.as_ref(), &mut checks);
    if must_stop {
        return checks;
    }
    time(&mut dialogue, options, clock, &mut checks).await;
    if let Some(info) = &fields {
        checks.extend(judge::memory(info));
    }
    if matches!(options.topology, Topology::Cluster(_)) {
        let state = dialogue.ask_one(two_words("CLUSTER", "INFO")).await;
        checks.push(judge::cluster(&state));
    }
    rights(&mut dialogue, options, &mut checks).await;
    // On RESP3 the connection may be sent what nobody asked for: nothing comes after this.
    let tracking = tracking(&options.prefix);
    let replies = dialogue.ask(&tracking).await;
    checks.extend(judge::tracking(&replies));
    checks
}

/// Connects to the server, or to every node of the cluster; returns a connection to
/// the first that let us in.
async fn reach(options: &RedisOptions, deadline: Instant, checks: &mut Vec<Check>) -> Option<Dialogue> {
    let nodes = match topology::nodes(&options.topology, deadline).await {
        Ok(nodes) => nodes,
        Err(why) => {
            checks.push(judge::unreached(&options.topology, &why));
            return None;
        }
    };
    let mut first = None;
    let mut dead: Vec<(String, NotRead)> = Vec::new();
    let count = nodes.len();
    for node in nodes.iter().take(MAX_NODES) {
        match Dialogue::begin(node, share(deadline)).await {
            // The other half of the time is left for the examination.
            Ok(dialogue) => {
                first.get_or_insert((node, dialogue));
            }
            Err(why) => dead.push((node.to_string(), why)),
        }
    }
    match first {
        None => {
            let why = dead.first().map_or(NotRead::TimedOut, |(_, why)| why.clone());
            checks.push(judge::unreached(&options.topology, &why));
            None
        }
        Some((node, mut dialogue)) => {
            dialogue.set_deadline(deadline);
            checks.push(judge::reached(&options.topology, node, count, &dead));
            checks.push(log_in(node));
            Some(dialogue)
        }
    }
}

fn log_in(endpoint: &Endpoint) -> Check {
    let settings = endpoint.info.redis_settings();
    match (settings.username(), settings.password()) {
        (Some(user), Some(_)) => Check::new("log-in", Verdict::Fine, format!("as {user}")),
        (_, Some(_)) => Check::new("log-in", Verdict::Fine, "as the default user"),
        _ => Check::new("log-in", Verdict::Note, "without a password")
            .hint("who reaches the port may read and write everything: set a user and a password"),
    }
}

/// Times round trips and compares the clocks.
async fn time(dialogue: &mut Dialogue, options: &RedisOptions, clock: &dyn Clock, checks: &mut Vec<Check>) {
    let mut fastest: Option<Duration> = None;
    for _ in 0..PINGS {
        let sent_at = clock.monotonic();
        if dialogue.ask_one(cmd("PING")).await.is_err() {
            break;
        }
        let took = clock.monotonic().since(sent_at);
        fastest = Some(fastest.map_or(took, |fastest| fastest.min(took)));
    }
    checks.push(judge::round_trip(fastest, options.deadline));
    let asked_at = clock.monotonic();
    let reply = dialogue.ask_one(cmd("TIME")).await;
    let took = clock.monotonic().since(asked_at);
    checks.push(judge::clock(&reply, clock.now(), took));
}

/// Looks what the user may do, by doing it.
async fn rights(dialogue: &mut Dialogue, options: &RedisOptions, checks: &mut Vec<Check>) {
    let view = view_commands();
    checks.push(judge::view(&view, &dialogue.ask(&commands(&view)).await));
    let tier = tier_commands(options);
    checks.push(judge::tier(&tier, &dialogue.ask(&commands(&tier)).await));
}

/// A command that is tried, and its name in the list of rights.
pub(super) struct Trial {
    pub(super) right: &'static str,
    command: Cmd,
}

fn trial(right: &'static str, arguments: &[&str]) -> Trial {
    let mut words = right.split('|');
    let mut command = cmd(&words.next().unwrap_or_default().to_ascii_uppercase());
    for word in words {
        command.arg(word.to_ascii_uppercase());
    }
    for argument in arguments {
        command.arg(*argument);
    }
    Trial { right, command }
}

fn commands(trials: &[Trial]) -> Vec<Cmd> {
    trials.iter().map(|trial| trial.command.clone()).collect()
}

/// What a [`ServerView`](super::super::ServerView) asks; of a key that is not there.
fn view_commands() -> Vec<Trial> {
    let none = "veritas:doctor:none";
    vec![
        trial("info", &["server"]),
        trial("slowlog|get", &["1"]),
        trial("slowlog|len", &[]),
        trial("latency|latest", &[]),
        trial("scan", &["0", "COUNT", "1"]),
        trial("randomkey", &[]),
        trial("memory|usage", &[none]),
        trial("pttl", &[none]),
        trial("type", &[none]),
        trial("object|freq", &[none]),
    ]
}

/// What the second tier of the caches does, done to one key of ours that goes away by itself.
fn tier_commands(options: &RedisOptions) -> Vec<Trial> {
    // Several doctors at once do no harm: each sees its own answers.
    let key = format!("{}:doctor:trial", options.prefix);
    let count = format!("{}:doctor:count", options.prefix);
    let pattern = format!("{}:*", options.prefix);
    let mut trials = vec![
        trial("set", &[&key, "1", "PX", "1000"]),
        trial("get", &[&key]),
        trial("mget", &[&key]),
        trial("getrange", &[&key, "0", "0"]),
        trial("incr", &[&count]),
        trial("pexpire", &[&count, "1000"]),
        trial("pttl", &[&key]),
        trial("eval", &["return redis.call('get', KEYS[1])", "1", &key]),
        trial("memory|usage", &[&key]),
        trial("memory|stats", &[]),
        trial("scan", &["0", "MATCH", &pattern, "COUNT", "1"]),
        trial("randomkey", &[]),
        trial("dbsize", &[]),
        trial("time", &[]),
        trial("client|id", &[]),
        trial("unlink", &[&key]),
        trial("unlink", &[&count]),
    ];
    match options.topology {
        Topology::Cluster(_) => trials.push(trial("cluster|slots", &[])),
        Topology::Sentinel { .. } => trials.push(trial("role", &[])),
        Topology::Single(_) => {}
    }
    trials
}

/// Asks for RESP3 and to be told of changes, as the second tier does.
fn tracking(prefix: &str) -> [Cmd; 2] {
    let mut hello = cmd("HELLO");
    hello.arg(3);
    let mut tracking = two_words("CLIENT", "TRACKING");
    tracking.arg("ON").arg("BCAST").arg("NOLOOP").arg("PREFIX").arg(format!("{prefix}:doctor:tracking:"));
    [hello, tracking]
}

fn two_words(command: &str, subcommand: &str) -> Cmd {
    let mut whole = cmd(command);
    whole.arg(subcommand);
    whole
}

/// Returns half of the time that is left.
fn share(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
}

/// A reply, or why there is none.
pub(super) type Answer = Result<Value, NotRead>;
