//! Commands of any kind, to the node of a key, to any node, or to all.

use std::time::Duration;

use redis::{Cmd, Value};

use super::{RedisTier, Route, first};
use crate::{
    error::{TierError, answer},
    link::work::{Answer, Answers, Ask, Command},
};

impl RedisTier {
    /// Sends any command that answers at once; blocking ones hold up everybody
    /// else on the connection. `key` says which node of a cluster is asked; without one, any.
    ///
    /// # Errors
    ///
    /// As [`TierError`] lists.
    pub async fn command(&self, command: Cmd, key: Option<&[u8]>) -> Result<Value, TierError> {
        self.commands(vec![(command, key.and_then(|key| self.slot(key)))], self.options().deadline)
            .await
            .pop()
            .unwrap_or(Err(TierError::Unexpected))
    }

    /// Sends several commands about keys in one go, each with its own outcome.
    pub async fn commands_on_keys(&self, commands: Vec<(Cmd, &[u8])>) -> Vec<Result<Value, TierError>> {
        let commands = commands.into_iter().map(|(command, key)| (command, self.slot(key))).collect();
        self.commands(commands, self.options().deadline).await
    }

    /// Sends one command to every node and returns the answers by the nodes' names,
    /// each within `deadline`: for commands that tell of a server, some of which are slow.
    pub async fn command_on_nodes(
        &self,
        command: &Cmd,
        deadline: Duration,
    ) -> Vec<(String, Result<Value, TierError>)> {
        let nodes = match &self.inner.route {
            Route::One(node) => vec![(node.name.clone(), None)],
            Route::Cluster(table) => {
                table.slot_of_each().into_iter().map(|(name, slot)| (name, Some(slot))).collect()
            }
        };
        let sent: Vec<_> = nodes
            .into_iter()
            .map(|(name, slot)| {
                let commands = vec![Command { cmd: command.clone(), slot }];
                let bytes = weight(command);
                let pending =
                    self.gate(slot, 1).and_then(|()| self.submit(Ask::Commands(commands), bytes, deadline));
                (name, pending)
            })
            .collect();
        let mut answers = Vec::with_capacity(sent.len());
        for (name, pending) in sent {
            let answer = match pending {
                Ok(pending) => first(pending.await),
                Err(error) => Err(error),
            };
            answers.push((name, answer));
        }
        answers
    }

    /// Returns a slot of every node, for commands without a key; one `None` where there is one node.
    pub(crate) fn node_slots(&self) -> Vec<Option<u16>> {
        match &self.inner.route {
            Route::One(_) => vec![None],
            Route::Cluster(table) => table.slot_of_each().into_iter().map(|(_, slot)| Some(slot)).collect(),
        }
    }

    pub(crate) async fn commands(
        &self,
        commands: Vec<(Cmd, Option<u16>)>,
        deadline: Duration,
    ) -> Vec<Answer> {
        let length = commands.len();
        let all = |error| vec![Err(error); length];
        let slot = if length == 1 { commands[0].1 } else { None };
        if let Err(error) = self.gate(slot, length) {
            return all(error);
        }
        let bytes = commands.iter().map(|(cmd, _)| weight(cmd)).sum();
        let commands = commands.into_iter().map(|(cmd, slot)| Command { cmd, slot }).collect();
        let answers = match self.submit(Ask::Commands(commands), bytes, deadline) {
            Ok(pending) => pending.await,
            Err(error) => Answers::Failed(error),
        };
        let answers = match answers {
            Answers::Raw(values) => values.into_iter().map(answer).collect(),
            Answers::Each(answers) => answers,
            Answers::Failed(error) => all(error),
        };
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            self.inner.shared.counters.failed(*error, 1);
        }
        answers
    }
}

/// Returns the bytes that a command holds while it waits.
fn weight(command: &Cmd) -> usize {
    let length = |argument: redis::Arg<&[u8]>| match argument {
        redis::Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    };
    command.args_iter().map(|argument| length(argument) + 16).sum()
}
