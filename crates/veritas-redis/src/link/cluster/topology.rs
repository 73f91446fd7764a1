//! The topology: asking the nodes who serves which slots.

use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, Value, cmd};
use tokio::{task::JoinSet, time::timeout};

use crate::{link::attach::plain, options::Endpoint};

/// Ranges of slots, first and last, and the address of who serves them.
pub(super) type Slots = Vec<(u16, u16, String)>;

pub(super) fn host_and_port(address: &str) -> Option<(&str, u16)> {
    // Newer servers add the bus port: 127.0.0.1:7001@17001.
    let address = address.split('@').next()?;
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// Asks the known nodes, then the seeds, until one tells the slots.
pub(super) async fn read_slots(
    seeds: Vec<Endpoint>,
    known: Vec<String>,
    limit: Duration,
) -> Result<Slots, String> {
    let mut trouble = String::from("no node is known");
    let template = seeds.first().cloned();
    let known = known.iter().filter_map(|address| {
        let (host, port) = host_and_port(address)?;
        Some(template.as_ref()?.at(host, port))
    });
    let endpoints: Vec<_> = seeds.iter().cloned().chain(known).collect();
    // All are asked at once: one that swallows packets holds nobody up.
    let mut asked = JoinSet::new();
    for endpoint in endpoints.into_iter().take(16) {
        asked.spawn(async move {
            let name = endpoint.to_string();
            match timeout(limit, ask_slots(endpoint)).await {
                Ok(Ok(slots)) => Ok(slots),
                Ok(Err(why)) => Err(format!("{name}: {why}")),
                Err(_) => Err(format!("{name} did not answer")),
            }
        });
    }
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(slots)) if !slots.is_empty() => return Ok(slots),
            Ok(Ok(_)) => trouble = "a node knows of no slots".into(),
            Ok(Err(why)) => trouble = why,
            Err(_) => trouble = "asking for the slots was broken off".into(),
        }
    }
    Err(trouble)
}

async fn ask_slots(endpoint: Endpoint) -> Result<Slots, String> {
    let host = endpoint.host_and_port().map(|(host, _)| host.to_owned()).unwrap_or_default();
    let settings = endpoint.info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
    let info = endpoint.info.clone().set_redis_settings(settings);
    let config = AsyncConnectionConfig::new();
    let mut connection = plain(info, config).await.map_err(|error| error.to_string())?;
    let answer: Value =
        cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await.map_err(|error| error.to_string())?;
    parse_slots(answer, &host).ok_or_else(|| "CLUSTER SLOTS was answered oddly".into())
}

/// Reads `[start, end, [host, port, …], replicas…]…`. A host that the node does not know is its own.
fn parse_slots(answer: Value, own_host: &str) -> Option<Slots> {
    let Value::Array(ranges) = answer else { return None };
    let mut slots = Slots::new();
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(start), Value::Int(end), Value::Array(primary), ..] = range.as_slice() else {
            return None;
        };
        let host = match primary.first()? {
            Value::BulkString(host) if !host.is_empty() && host != b"?" => {
                String::from_utf8(host.clone()).ok()?
            }
            Value::BulkString(_) | Value::Nil => own_host.to_owned(),
            _ => return None,
        };
        let Value::Int(port) = primary.get(1)? else { return None };
        slots.push((u16::try_from(*start).ok()?, u16::try_from(*end).ok()?, format!("{host}:{port}")));
    }
    Some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_and_an_unknown_host_is_the_asked_one() {
        let primary =
            |host: &[u8]| Value::Array(vec![Value::BulkString(host.to_vec()), Value::Int(7000), Value::Nil]);
        let range =
            |start, end, host: &[u8]| Value::Array(vec![Value::Int(start), Value::Int(end), primary(host)]);
        let answer = Value::Array(vec![range(0, 9, b"a"), range(10, 16_383, b"")]);
        let expected = vec![(0, 9, "a:7000".to_owned()), (10, 16_383, "me:7000".to_owned())];
        assert_eq!(parse_slots(answer, "me"), Some(expected));
        assert_eq!(parse_slots(Value::Array(vec![range(0, 70_000, b"a")]), "me"), None);
        assert_eq!(parse_slots(Value::Nil, "me"), None);
    }

    #[test]
    fn addresses_are_split_at_the_last_colon() {
        assert_eq!(host_and_port("127.0.0.1:7001@17001"), Some(("127.0.0.1", 7001)));
        assert_eq!(host_and_port("[::1]:7001"), Some(("::1", 7001)));
        assert_eq!(host_and_port("::1:7001"), Some(("::1", 7001)));
        assert_eq!(host_and_port("host"), None);
    }
}
