//! Query optimization: statement recorders, findings, and an index advisor that proves by running.

mod context;
mod findings;
pub mod fingerprint;
mod pool;
mod recorder;
pub mod scope;
mod shape;
mod snapshot;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "tracing")]
mod sqlx_layer;
pub mod value;

pub use pool::{ConnectionReading, PoolGauge, PoolReading};
pub use recorder::{CallSite, Execution, Recorder, RecorderOptions, StatementCall};
pub use shape::StatementKind;
pub use snapshot::{CallerCount, RequestRepetitions, SlowCall, StatementSnapshot, StatementStatistics};
#[cfg(feature = "tracing")]
pub use sqlx_layer::{SqlxLayer, StatementVisibility, Visibility};
pub use value::Value;
