//! Leases: the right to load a key for all processes, as long as its holder lives.
//!
//! For a key without a value the lease stands *in the place of the value*: eleven
//! bytes that no frame begins with. So one command takes it and finds out whether
//! another process was faster; whoever reads the key sees that it is being loaded;
//! and a set or a delete takes the lease away together with the value that its
//! holder was about to write. To refresh a value that still serves, the lease stands
//! beside it, and the new value replaces exactly the old one.
//!
//! The holder's value is written by a script that compares the last eight bytes of
//! what stands there (a frame's checksum, a lease's random token) with what the
//! holder knows. It runs in the server as one step, on one key, so it works the same
//! in a cluster.

use std::time::Duration;

use redis::Value;
use tokio::sync::oneshot;

use super::{
    LeaseOptions, Tiers,
    read::{SEAL, Wanted},
    server_time::millis,
    space::Space,
    versions::random,
};
use crate::{RedisTier, TierError};

/// What a lease begins with; frames begin otherwise.
const MAGIC: [u8; 3] = [b'L', 0xc5, 1];

const MARKER: usize = MAGIC.len() + SEAL;

/// Replaces what stands under a key if it ends so.
const REPLACE: &str = "if redis.call('GETRANGE',KEYS[1],-8,-1)==ARGV[1] then \
     redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) return 1 end return 0";
const RENEW: &str = "if redis.call('GETRANGE',KEYS[1],-8,-1)==ARGV[1] then return redis.call('PEXPIRE',KEYS[1],ARGV[2]) end return 0";
const RELEASE: &str =
    "if redis.call('GETRANGE',KEYS[1],-8,-1)==ARGV[1] then return redis.call('DEL',KEYS[1]) end return 0";

/// Returns the seal of a lease, if these bytes are one.
pub(crate) fn is_marker(bytes: &[u8]) -> Option<[u8; SEAL]> {
    (bytes.len() == MARKER && bytes.starts_with(&MAGIC))
        .then(|| bytes.last_chunk::<SEAL>().copied())
        .flatten()
}

/// The right to load a key, renewed until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Where the value goes, and what must stand there then.
    target: Vec<u8>,
    target_seal: [u8; SEAL],
    /// Tells the renewal whether the lease is to be given back.
    stop: Option<oneshot::Sender<()>>,
}

impl Tiers {
    /// Takes the lease of a key that has no value, or, with the seal of what stands
    /// there and is dead, in its place. `None`: something else stands there.
    pub(crate) async fn lease(
        &self,
        space: &Space,
        wanted: Wanted<'_>,
        dead: Option<[u8; SEAL]>,
    ) -> Result<Option<Lease>, TierError> {
        self.lease_many(space, &[(wanted, dead)]).await.pop().unwrap_or(Err(TierError::Unexpected))
    }

    /// Takes the lease to replace a value that ends with `seal`. `None`: another has it.
    pub(crate) async fn lease_refresh(
        &self,
        space: &Space,
        wanted: Wanted<'_>,
        seal: [u8; SEAL],
    ) -> Result<Option<Lease>, TierError> {
        let key = space.keys.lease(wanted.canonical);
        let (own, command) = marking(&key, None, space.options.lease);
        let taken = is_taken(&self.redis.command(command, Some(&key)).await?);
        Ok(taken.then(|| self.held(space, key, own, wanted.key.to_vec(), seal)))
    }

    /// Takes the leases of several keys in one go; the answers are in their order.
    pub(crate) async fn lease_many(
        &self,
        space: &Space,
        wanted: &[(Wanted<'_>, Option<[u8; SEAL]>)],
    ) -> Vec<Result<Option<Lease>, TierError>> {
        let mut seals = Vec::with_capacity(wanted.len());
        let mut commands = Vec::with_capacity(wanted.len());
        for (wanted, dead) in wanted {
            let (seal, command) = marking(wanted.key, *dead, space.options.lease);
            seals.push(seal);
            commands.push((command, wanted.key));
        }
        let answers = self.redis.commands_on_keys(commands).await;
        let leased = wanted.iter().zip(seals).zip(answers).map(|(((wanted, _), seal), answer)| {
            let key = || wanted.key.to_vec();
            Ok(is_taken(&answer?).then(|| self.held(space, key(), seal, key(), seal)))
        });
        leased.collect()
    }

    fn held(
        &self,
        space: &Space,
        key: Vec<u8>,
        seal: [u8; SEAL],
        target: Vec<u8>,
        target_seal: [u8; SEAL],
    ) -> Lease {
        let (stop, stopped) = oneshot::channel();
        self.redis.thread().spawn(renew(self.redis.clone(), key, seal, space.options.lease, stopped));
        Lease { target, target_seal, stop: Some(stop) }
    }
}

/// Makes a lease's seal and bytes.
fn marker() -> ([u8; SEAL], Vec<u8>) {
    let seal = random().to_le_bytes();
    let mut marker = MAGIC.to_vec();
    marker.extend_from_slice(&seal);
    (seal, marker)
}

/// Returns a lease's seal and the command that takes it: where nothing stands, or
/// where what stands ends with a seal.
fn marking(key: &[u8], dead: Option<[u8; SEAL]>, options: LeaseOptions) -> ([u8; SEAL], redis::Cmd) {
    let (seal, marker) = marker();
    let command = if let Some(dead) = dead {
        let mut command = script(REPLACE, key, dead);
        command.arg(&marker).arg(life_ms(options));
        command
    } else {
        let mut command = redis::cmd("SET");
        command.arg(key).arg(&marker).arg("NX").arg("PX").arg(life_ms(options));
        command
    };
    (seal, command)
}

fn is_taken(answer: &Value) -> bool {
    matches!(answer, Value::Okay | Value::Int(1))
}

fn life_ms(options: LeaseOptions) -> u64 {
    millis(options.life).max(1)
}

/// Keeps a lease alive until it is stopped, and gives it back.
async fn renew(
    redis: RedisTier,
    key: Vec<u8>,
    seal: [u8; SEAL],
    options: LeaseOptions,
    mut stopped: oneshot::Receiver<()>,
) {
    let pause = (options.life / 3).max(Duration::from_millis(1));
    loop {
        tokio::select! {
            // Sent or dropped: in either case it is over.
            _ = &mut stopped => break,
            () = tokio::time::sleep(pause) => {}
        }
        let mut command = script(RENEW, &key, seal);
        command.arg(life_ms(options));
        // After an error it is tried again at the next turn, twice before the lease dies.
        if redis.command(command, Some(&key)).await == Ok(Value::Int(0)) {
            // It is someone else's, or nobody's: the value will not be stored.
            return;
        }
    }
    // Harmless when a value stands there by now: it ends otherwise.
    drop(redis.command(script(RELEASE, &key, seal), Some(&key)).await);
}

fn script(text: &str, key: &[u8], seal: [u8; SEAL]) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(1).arg(key).arg(seal.as_slice());
    command
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The renewal may have ended by itself.
            stop.send(()).ok();
        }
    }
}

/// How many bytes of values are sent in one go, unless a single one is larger.
const CHUNK_BYTES: usize = 256 * 1024;

/// How many values are sent in one go.
const CHUNK_LENGTH: usize = 256;

/// Writes values, each for its own life, unless its key was set, deleted or leased by
/// another meanwhile; returns of each whether it was written.
pub(crate) async fn replace_many(
    redis: &RedisTier,
    writes: Vec<(Lease, Vec<u8>, Duration)>,
) -> Vec<Result<bool, TierError>> {
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut at = 0;
    while at < writes.len() {
        let (mut end, mut bytes) = (at, 0);
        let mut commands = Vec::new();
        while let Some((lease, frame, life)) = writes.get(end) {
            if end > at && (end - at >= CHUNK_LENGTH || bytes + frame.len() > CHUNK_BYTES) {
                break;
            }
            let mut command = script(REPLACE, &lease.target, lease.target_seal);
            command.arg(frame).arg(millis(*life).max(1));
            commands.push((command, lease.target.as_slice()));
            bytes += frame.len();
            end += 1;
        }
        let answers = redis.commands_on_keys(commands).await;
        for ((lease, ..), answer) in writes[at..end].iter().zip(answers) {
            let written = answer.map(|answer| answer == Value::Int(1));
            if written == Ok(true) {
                // The server tells all others, not us: someone of ours may wait as well.
                redis.shared().coherence.wake(&lease.target);
            }
            outcomes.push(written);
        }
        at = end;
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_no_frame_and_a_frame_no_lease() {
        let marker = [b'L', 0xc5, 1, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(is_marker(&marker), Some([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(is_marker(&marker[..10]), None);
        assert_eq!(is_marker(b"V\xc5\x01abcdefgh"), None);
        assert_eq!(is_marker(b""), None);
    }
}
