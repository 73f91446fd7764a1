//! Reading one node: three rounds of questions, and what each failure costs of the reading.

use std::sync::Arc;

use redis::{Cmd, Value, cmd};
use tokio::time::{Duration, Instant};
use veritas_cache::server::{NodeReading, NotRead, Section};
use veritas_model::Clock;

use super::{
    commands,
    dialogue::Dialogue,
    events::{self, SLOW_ENTRIES},
    info::Info,
    reply::{accepted, text},
    sample::{self, Remembered},
};
use crate::options::Endpoint;

/// Questions sent together: a server answers them in one go, so that other clients
/// wait for these, which take it less than a millisecond.
const TOGETHER: usize = 250;

/// Time that is kept back for the last round when the sampling is slow.
const RESERVE: Duration = Duration::from_millis(50);

/// Reads one node until `deadline`; what was not read by then is missing.
pub(super) async fn read(
    endpoint: &Endpoint,
    prefix: &str,
    deadline: Instant,
    clock: &Arc<dyn Clock>,
    remembered: &mut Remembered,
) -> NodeReading {
    let address = endpoint.to_string();
    let mut dialogue = match Dialogue::begin(endpoint, deadline).await {
        Ok(dialogue) => dialogue,
        Err(why) => return NodeReading::missing(address, clock.monotonic(), &why),
    };
    let first = [info_all(), slow_log(), two_words("SLOWLOG", "LEN"), two_words("LATENCY", "LATEST")];
    let mut commands = first.to_vec();
    commands.extend(remembered.choosing());
    let replies = match dialogue.ask(&commands).await {
        Ok(replies) => replies,
        Err(why) => return NodeReading::missing(address, clock.monotonic(), &why),
    };
    let database = u32::try_from(endpoint.info.redis_settings().db()).unwrap_or(0);
    let (told, chosen) = replies.split_at(first.len().min(replies.len()));
    let mut reading = reading_of(address, told, prefix, clock);
    let counts_uses = reading.memory.as_ref().is_ok_and(|memory| memory.policy.counts_uses());
    let keys =
        reading.keyspace.as_ref().ok().and_then(|databases| {
            databases.iter().find(|known| known.index == database).map(|known| known.keys)
        });
    reading.sample =
        sample_keys(&mut dialogue, chosen, database, keys, counts_uses, prefix, remembered).await;
    reading
}

fn info_all() -> Cmd {
    two_words("INFO", "all")
}

fn slow_log() -> Cmd {
    let mut command = two_words("SLOWLOG", "GET");
    command.arg(SLOW_ENTRIES);
    command
}

fn two_words(command: &str, subcommand: &str) -> Cmd {
    let mut whole = cmd(command);
    whole.arg(subcommand);
    whole
}

/// Reads what the first round told.
fn reading_of(address: String, told: &[Value], prefix: &str, clock: &Arc<dyn Clock>) -> NodeReading {
    let read_at = clock.monotonic();
    let info = accepted("INFO", told.first())
        .and_then(|reply| text(reply).ok_or(NotRead::Unreadable { command: "INFO" }));
    let mut reading = match &info {
        Ok(info) => {
            let info = Info::parse(info);
            NodeReading {
                server: info.identity(),
                memory: info.memory(),
                keyspace: info.keyspace(),
                traffic: info.traffic(),
                clients: info.clients(),
                commands: commands::read(&info),
                replication: info.replication(),
                persistence: info.persistence(),
                ..NodeReading::missing(address, read_at, &NotRead::TimedOut)
            }
        }
        Err(why) => NodeReading::missing(address, read_at, why),
    };
    reading.slow_log = events::slow_log(told.get(1), told.get(2), prefix);
    reading.latency_events = events::latency(told.get(3));
    reading
}

/// Asks about the chosen keys and concludes from the answers.
async fn sample_keys(
    dialogue: &mut Dialogue,
    chosen: &[Value],
    database: u32,
    keys: Option<u64>,
    counts_uses: bool,
    prefix: &str,
    remembered: &mut Remembered,
) -> Section<veritas_cache::server::KeySample> {
    let mut chosen = remembered.choose(chosen, counts_uses);
    let mut questions = chosen.questions();
    while dialogue.left() > RESERVE {
        let commands = questions.next(&chosen, TOGETHER);
        if commands.is_empty() {
            break;
        }
        let replies = dialogue.ask(&commands).await?;
        questions.answer(&mut chosen, &replies);
    }
    let mut last = chosen.last_questions();
    let commands = last.next(&chosen, TOGETHER);
    // Without the kinds of the biggest keys the rest still holds.
    if let Ok(replies) = dialogue.ask(&commands).await {
        last.answer(&mut chosen, &replies);
    }
    sample::conclude(&chosen, &questions, &last, database, keys, prefix, remembered)
}
