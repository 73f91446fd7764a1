//! A Redis server: the view of it, taken at an interval, and the findings that follow.

use std::{sync::Arc, time::Duration};

use veritas_api::Sources;
use veritas_model::Condition;
use veritas_redis::{
    RedisOptions,
    server::{ServerView, findings::findings},
};

use crate::analysis::Advisor;

/// Time between two readings.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Takes readings of one server.
pub(crate) struct ServerWatch {
    view: ServerView,
    sources: Arc<Sources>,
}

impl ServerWatch {
    pub(crate) fn new(options: RedisOptions, sources: Arc<Sources>) -> Self {
        let view = ServerView::new(options, Arc::clone(&sources.clock)).named("redis");
        Self { view, sources }
    }

    /// Takes a reading, within a second, and says in the health whether there was one.
    pub(crate) fn tick(&self) {
        let reading = self.view.read_blocking();
        let reason = reading.nodes.iter().find_map(|node| node.server.as_ref().err());
        let condition = match reason {
            Some(why) => Condition::Degraded(why.to_string()),
            None => Condition::Ready,
        };
        self.sources.health.set("redis", condition);
        self.sources.cache_server.publish(reading);
    }
}

/// Says what is wrong with the server, by its last two readings.
pub(crate) fn advisor(sources: &Arc<Sources>) -> Advisor {
    let latest = Arc::clone(&sources.cache_server);
    Box::new(move |_, _| {
        let found = latest.get().map(|latest| findings(&latest.reading, latest.before.as_deref()));
        Ok((found.unwrap_or_default(), Vec::new()))
    })
}
