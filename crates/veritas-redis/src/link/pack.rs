//! Packing: the commands of one round trip, and where the answers of each work will be.

use std::pin::Pin;

use redis::{Cmd, Pipeline, Value};

use super::{
    Wire,
    attach::ping,
    work::{Ask, Work},
};

/// Where the answers of one work are among the replies.
pub(super) enum Place {
    /// In an array that several works share, after those of the works before it.
    Shared { first: bool, length: usize },
    /// One reply per command; after one each to `ASKING`, if that was asked.
    Each { length: usize, asking: bool },
}

enum Request {
    One(Cmd),
    Many(Pipeline),
}

/// The commands of a trip.
pub(super) struct Packed {
    request: Request,
    pub(super) places: Vec<Place>,
    /// Whether it reads keys.
    pub(super) reads: bool,
}

impl Packed {
    /// Makes one `MGET` of gets that follow each other, or single `GET`s: on a
    /// cluster, whose nodes refuse keys of two slots in one command.
    ///
    /// With `keep` the works keep their commands, to be sent to another node after all.
    pub(super) fn pack(works: &mut [Option<Work>], length: usize, singly: bool, keep: bool) -> Self {
        let mut commands = Vec::with_capacity(if singly { length } else { works.len() });
        let mut places = Vec::with_capacity(works.len());
        let mut open: Option<Cmd> = None;
        let mut reads = false;
        for work in works.iter_mut().flatten() {
            match &mut work.ask {
                Ask::Get(keys) if !singly => {
                    reads = true;
                    places.push(Place::Shared { first: open.is_none(), length: keys.len() });
                    let mget = open.get_or_insert_with(|| {
                        let mut mget = Cmd::with_capacity(keys.len() + 1, keys.weight());
                        mget.arg("MGET");
                        mget
                    });
                    for key in keys.iter() {
                        mget.arg(key);
                    }
                }
                Ask::Get(keys) => {
                    reads = true;
                    places.push(Place::Each { length: keys.len(), asking: work.asking });
                    for key in keys.iter() {
                        if work.asking {
                            commands.push(redis::cmd("ASKING"));
                        }
                        let mut get = Cmd::with_capacity(2, key.len() + 3);
                        get.arg("GET").arg(key);
                        commands.push(get);
                    }
                }
                Ask::Commands(asked) => {
                    commands.extend(open.take());
                    places.push(Place::Each { length: asked.len(), asking: work.asking });
                    if !keep {
                        commands.extend(std::mem::take(asked).into_iter().map(|command| command.cmd));
                        continue;
                    }
                    for command in asked {
                        if work.asking {
                            commands.push(redis::cmd("ASKING"));
                        }
                        commands.push(command.cmd.clone());
                    }
                }
            }
        }
        commands.extend(open);
        let request = match commands.len() {
            0 => Request::One(ping(0)),
            1 => Request::One(commands.remove(0)),
            _ => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                Request::Many(pipeline)
            }
        };
        Self { request, places, reads }
    }

    /// Sends the commands; one value for each comes back, the server's errors among them.
    pub(super) fn send<'a>(
        &'a self,
        wire: &'a mut dyn Wire,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, redis::RedisError>> + Send + 'a>> {
        match &self.request {
            Request::One(command) => {
                Box::pin(async move { wire.req_packed_command(command).await.map(|value| vec![value]) })
            }
            Request::Many(pipeline) => wire.req_packed_commands(pipeline, 0, pipeline.len()),
        }
    }
}
