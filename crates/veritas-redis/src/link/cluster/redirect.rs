//! Redirects: what a node sends on to another.

use redis::Value;
use tokio::sync::mpsc;

use crate::{
    counters::{Counters, add},
    error::answer,
    link::{
        Node,
        work::{Answers, Ask, Keys, Merge, Reply, Work},
    },
};
/// How often a key is sent on before it is given up: its deadline comes first, as a rule.
const MAX_DETOURS: u8 = 64;

/// What another node has to answer.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(super) work: Work,
    pub(super) target: Target,
    /// Whether it has waited before it is followed.
    pub(super) rested: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Moved {
        slot: u16,
        address: String,
    },
    Ask {
        address: String,
    },
    /// The slots are to be read again first.
    Again,
}

impl Target {
    /// Reads what the server says: `MOVED 3999 127.0.0.1:6381`. A missing host is the answering node's.
    fn read(value: &Value, from: &str) -> Option<Self> {
        let Value::ServerError(error) = value else { return None };
        let read = || {
            let (slot, address) = error.details()?.split_once(' ')?;
            let host = from.rsplit_once(':').map_or(from, |(host, _)| host);
            let address = address.trim();
            let address =
                if address.starts_with(':') { format!("{host}{address}") } else { address.to_owned() };
            Some((slot.parse::<u16>().ok()?, address))
        };
        match error.code() {
            "MOVED" => read().map(|(slot, address)| Self::Moved { slot, address }),
            "ASK" => read().map(|(_, address)| Self::Ask { address }),
            "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" => Some(Self::Again),
            _ => None,
        }
    }
}

/// Answers a work, but for the questions that the node sent on to another.
pub(crate) fn answer_or_redirect(
    work: Work,
    answers: Answers,
    node: &Node,
    router: &mpsc::UnboundedSender<Redirect>,
    counters: &Counters,
) {
    let Answers::Raw(values) = answers else { return work.answer(answers) };
    let targets: Vec<_> = values.iter().map(|value| Target::read(value, &node.name)).collect();
    if targets.iter().all(Option::is_none) || work.detours >= MAX_DETOURS {
        return work.answer(Answers::Raw(values));
    }
    let Work { ask, expires, reply, ticket, detours, .. } = work;
    let merge = Merge::new(values.len(), reply, ticket);
    for (place, (value, target)) in values.into_iter().zip(targets).enumerate() {
        let Some(target) = target else {
            merge.fill(&[place], Answers::Each(vec![answer(value)]));
            continue;
        };
        add(&counters.redirects, 1);
        let ask = match &ask {
            Ask::Get(keys) => {
                let mut one = Keys::with_capacity(1, keys.get(place).len());
                one.push(keys.get(place));
                Ask::Get(one)
            }
            Ask::Commands(commands) => Ask::Commands(vec![commands[place].clone()]),
        };
        let reply = Reply::part(&merge, vec![place]);
        let asking = matches!(target, Target::Ask { .. });
        let work = Work { ask, expires, reply, ticket: None, detours: detours + 1, asking };
        // A router that is gone leaves a lost connection as the answer.
        router.send(Redirect { work, target, rested: false }).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what an error of the server says of where to go.
    fn target(error: &str) -> Option<Target> {
        let bytes = format!("-{error}\r\n").into_bytes();
        let value = redis::parse_redis_value(&bytes).unwrap();
        Target::read(&value, "own:7000")
    }

    #[test]
    fn redirects_are_read_and_a_missing_host_is_the_answering_node_s() {
        let moved = |slot, address: &str| Some(Target::Moved { slot, address: address.into() });
        assert_eq!(target("MOVED 3999 127.0.0.1:6381"), moved(3999, "127.0.0.1:6381"));
        assert_eq!(target("MOVED 3999 :6381"), moved(3999, "own:6381"));
        assert_eq!(target("ASK 1 b:2"), Some(Target::Ask { address: "b:2".into() }));
        assert_eq!(target("CLUSTERDOWN Hash slot not served"), Some(Target::Again));
        assert_eq!(target("TRYAGAIN Multiple keys request during rehashing of slot"), Some(Target::Again));
    }

    #[test]
    fn what_is_no_redirect_is_an_answer() {
        for error in ["MOVED", "MOVED x 127.0.0.1:1", "MOVED 99999 a:1", "ASK 3", "WRONGTYPE of a key"] {
            assert_eq!(target(error), None, "{error}");
        }
        assert_eq!(Target::read(&Value::Nil, "own:7000"), None);
    }
}
