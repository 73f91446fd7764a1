//! Values: what a setting holds once it was understood.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use veritas_model::AlertRule;

use crate::{AddressRange, SqliteTarget};

/// What a setting holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Address(SocketAddr),
    AddressRanges(Vec<AddressRange>),
    AlertRules(Vec<AlertRule>),
    Flag(bool),
    Integer(u64),
    Path(PathBuf),
    Seconds(Duration),
    SqliteTargets(Vec<SqliteTarget>),
    Text(String),
    Word(&'static str),
}

/// As `veritas config show` prints it.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| format!("[{}]", items.join(", "));
        match self {
            Self::Address(address) => write!(formatter, "\"{address}\""),
            Self::AddressRanges(ranges) => {
                formatter.write_str(&list(ranges.iter().map(|range| format!("\"{range}\"")).collect()))
            }
            Self::AlertRules(rules) => {
                formatter.write_str(&list(rules.iter().map(|rule| format!("{:?}", rule.name)).collect()))
            }
            Self::Flag(flag) => write!(formatter, "{flag}"),
            Self::Integer(integer) => write!(formatter, "{integer}"),
            Self::Path(path) => formatter.write_str(&quoted(path.to_string_lossy())),
            Self::Seconds(duration) => write!(formatter, "{}", duration.as_secs_f64()),
            Self::SqliteTargets(targets) => formatter.write_str(&list(
                targets
                    .iter()
                    .map(|target| {
                        format!(
                            "{{ name = {}, path = {} }}",
                            quoted(target.name.as_str()),
                            quoted(target.path.to_string_lossy())
                        )
                    })
                    .collect(),
            )),
            Self::Text(text) => formatter.write_str(&quoted(text.as_str())),
            Self::Word(word) => write!(formatter, "\"{word}\""),
        }
    }
}

/// Writes a text as TOML does.
fn quoted(text: impl Into<String>) -> String {
    toml::Value::String(text.into()).to_string()
}
