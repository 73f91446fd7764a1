//! Configuration: defaults < file < environment < flags; a value knows its origin.
//!
//! One table, [`SETTINGS`], defines every setting: its key in `veritas.toml`, its
//! environment variable, what it takes, its default and its help. Parsing, error
//! messages, `veritas config show` and the reference page all come from it.
//!
//! What it does not: read the process's environment or guess where a file is
//! (both are handed in), read secrets (only paths of secret files are settings),
//! or notice that a file changes later.
//!
//! ```
//! use veritas_config::{Loader, Origin};
//!
//! let configuration = Loader::new()
//!     .file("veritas.toml", "[sampling]\ninterval = \"500ms\"\n")
//!     .environment([("VERITAS_LISTEN".to_owned(), "127.0.0.1:7000".to_owned())])
//!     .flag("listen", "--listen", "127.0.0.1:0")
//!     .load()?;
//! assert_eq!(configuration.config.listen.port(), 0);
//! assert_eq!(configuration.config.sampling.interval.as_millis(), 500);
//! assert_eq!(configuration.origin("listen"), Some(&Origin::Flag("--listen".to_owned())));
//!
//! let error = Loader::new().file("veritas.toml", "[sampling]\nintervall = 2").load().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "veritas.toml:2: unknown key \"sampling.intervall\"\nhint: did you mean \"sampling.interval\"?"
//! );
//! # Ok::<(), veritas_config::LoadError>(())
//! ```

mod addresses;
mod config;
mod error;
mod file;
mod kind;
mod load;
mod reference;
mod rules;
mod settings;
mod suggest;
mod value;

pub use addresses::AddressRange;
pub use config::{
    Config, Database, History, Jwt, JwtMode, Limits, LogLevel, MySqlTarget, Optimize, PostgresTarget,
    RedisTarget, Sampling, ScratchPlace, SqliteTarget,
};
pub use error::{LoadError, Origin, Problem};
pub use kind::Kind;
pub use load::{Configuration, Entry, Loader};
pub use reference::reference;
pub use settings::{SETTINGS, Setting};
