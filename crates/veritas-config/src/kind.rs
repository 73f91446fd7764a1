//! What a setting takes, and how it is read from a file and from a text.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use toml::{Spanned, de::DeValue};

use crate::{SqliteTarget, rules, suggest::nearest, value::Value};

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `HOST:PORT`, the host an IP address.
    Address,
    /// A list of IP addresses and ranges in CIDR form.
    AddressRanges,
    /// Tables that describe alert rules; in the file only.
    AlertRules,
    /// `true` or `false`.
    Flag,
    /// A whole number within limits, both included.
    Integer {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// A path; in a file it is relative to the file's folder.
    Path,
    /// A number of seconds, or a text with a unit (`500ms`, `10s`, `5m`, `1h`), within
    /// limits, both included.
    Seconds {
        /// The least, in seconds.
        least: f64,
        /// The most, in seconds.
        most: f64,
    },
    /// Tables with `name` and `path`; as a text `NAME=FILE,NAME=FILE`.
    SqliteTargets,
    /// Any text that is not empty.
    Text,
    /// An address with a scheme, and without a password: settings hold no secrets.
    Url {
        /// The setting that names the file with the password.
        password_file: &'static str,
    },
    /// One of these words, or an address as [`Self::Url`].
    WordOrUrl {
        /// The words.
        words: &'static [&'static str],
        /// The setting that names the file with the password.
        password_file: &'static str,
    },
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What is wrong with one value: what it is or is not, and what to do.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

impl Kind {
    /// Describes what is taken, for hints and the reference page.
    pub fn describe(&self) -> String {
        match self {
            Self::Address => "an IP address and a port, such as \"127.0.0.1:9900\"".to_owned(),
            Self::AddressRanges => "a list of addresses and ranges, such as [\"10.0.0.0/8\"]".to_owned(),
            Self::AlertRules => "tables [[alerts.rules]]".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Integer { least, most } => format!("a whole number from {least} to {most}"),
            Self::Path => "a path".to_owned(),
            Self::Seconds { least, most } => {
                format!(
                    "seconds from {least} to {most}, or a text such as \"500ms\", \"10s\", \"5m\", \"1h\""
                )
            }
            Self::SqliteTargets => {
                "tables with name and path, such as [{ name = \"app\", path = \"app.db\" }]".to_owned()
            }
            Self::Text => "a text".to_owned(),
            Self::Url { .. } => {
                "an address such as \"redis://user@127.0.0.1:6379\", without a password".to_owned()
            }
            Self::WordOrUrl { words, .. } => {
                format!("one of {}, or an address with a scheme, without a password", quoted(words))
            }
            Self::Word(words) => format!("one of {}", quoted(words)),
        }
    }

    fn expects(&self) -> String {
        format!("it takes {}", self.describe())
    }

    /// Reads a value of the file. `folder` is what relative paths start from.
    pub(crate) fn read_toml(self, value: &Spanned<DeValue<'_>>, folder: &Path) -> Result<Value, Complaint> {
        let value = value.as_ref();
        let mistyped = || Complaint::new(format!("is {}", article(value.type_str())), self.expects());
        match (self, value) {
            (Self::AlertRules, DeValue::Array(tables)) => rules::read(tables).map(Value::AlertRules),
            (Self::AddressRanges, DeValue::Array(items)) => {
                let texts: Option<Vec<_>> = items.iter().map(|item| item.as_ref().as_str()).collect();
                self.address_ranges(texts.ok_or_else(mistyped)?.into_iter())
            }
            (Self::SqliteTargets, DeValue::Array(tables)) => self.targets(tables, folder),
            (Self::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
            (Self::Integer { .. }, DeValue::Integer(integer)) => {
                self.integer(i128::from_str_radix(integer.as_str(), integer.radix()).ok())
            }
            (Self::Seconds { .. }, DeValue::Integer(integer)) => {
                self.seconds(i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(to_float))
            }
            (Self::Seconds { .. }, DeValue::Float(float)) => self.seconds(float.as_str().parse().ok()),
            (Self::Path, DeValue::String(text)) if !text.is_empty() => {
                Ok(Value::Path(folder.join(text.as_ref())))
            }
            (
                Self::Address
                | Self::Path
                | Self::Seconds { .. }
                | Self::Text
                | Self::Url { .. }
                | Self::WordOrUrl { .. }
                | Self::Word(_),
                DeValue::String(text),
            ) => self.read_text(text),
            _ => Err(mistyped()),
        }
    }

    /// Reads the text of a flag, an environment variable or a default.
    pub(crate) fn read_text(self, text: &str) -> Result<Value, Complaint> {
        let refused = || Complaint::new(format!("is not {}", self.noun()), self.expects());
        match self {
            Self::Address => text.parse().map(Value::Address).map_err(|_| refused()),
            Self::AddressRanges => self.address_ranges(items(text)),
            Self::AlertRules if text.is_empty() => Ok(Value::AlertRules(Vec::new())),
            Self::AlertRules => Err(refused()),
            Self::Flag => text.parse().map(Value::Flag).map_err(|_| refused()),
            Self::Integer { .. } => self.integer(Some(text.parse().map_err(|_| refused())?)),
            Self::Path | Self::Text | Self::Url { .. } if text.is_empty() => {
                Err(Complaint::new("is empty", self.expects()))
            }
            Self::Path => Ok(Value::Path(PathBuf::from(text))),
            Self::Seconds { .. } => self.seconds(Some(seconds(text).ok_or_else(refused)?)),
            Self::SqliteTargets => {
                let targets = items(text).map(|item| {
                    let (name, path) =
                        item.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty())?;
                    Some(SqliteTarget { name: name.to_owned(), path: PathBuf::from(path) })
                });
                let targets: Option<Vec<_>> = targets.collect();
                let hint = "as a text it takes NAME=FILE,NAME=FILE";
                named_once(targets.ok_or_else(|| Complaint::new("is not a list of targets", hint))?)
            }
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::WordOrUrl { words, .. } if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Self::Url { password_file } | Self::WordOrUrl { password_file, .. } => {
                self.url(text, password_file)
            }
            Self::Word(words) => {
                words.iter().find(|word| **word == text).map(|word| Value::Word(word)).ok_or_else(|| {
                    let hint = nearest(text, words.iter().copied()).map_or_else(
                        || self.expects(),
                        |word| format!("did you mean \"{word}\"? {}", self.expects()),
                    );
                    Complaint::new(format!("is not {}", self.noun()), hint)
                })
            }
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::AddressRanges => "a list of addresses",
            Self::AlertRules => "a list of rules",
            Self::Flag => "true or false",
            Self::Integer { .. } => "a whole number",
            Self::Path => "a path",
            Self::Seconds { .. } => "a duration",
            Self::SqliteTargets => "a list of targets",
            Self::Text => "a text",
            Self::Url { .. } => "an address with a scheme",
            Self::WordOrUrl { .. } => "a known word or an address with a scheme",
            Self::Word(_) => "a known word",
        }
    }

    fn integer(self, integer: Option<i128>) -> Result<Value, Complaint> {
        let Self::Integer { least, most } = self else { return Err(Complaint::new("", "")) };
        integer
            .and_then(|integer| u64::try_from(integer).ok())
            .filter(|integer| (least..=most).contains(integer))
            .map(Value::Integer)
            .ok_or_else(|| Complaint::new("is out of range", self.expects()))
    }

    fn seconds(self, seconds: Option<f64>) -> Result<Value, Complaint> {
        let Self::Seconds { least, most } = self else { return Err(Complaint::new("", "")) };
        seconds
            .filter(|seconds| (least..=most).contains(seconds))
            .map(|seconds| Value::Seconds(Duration::from_secs_f64(seconds)))
            .ok_or_else(|| Complaint::new("is out of range", self.expects()))
    }

    fn url(self, text: &str, password_file: &str) -> Result<Value, Complaint> {
        let Some((_, rest)) =
            text.split_once("://").filter(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        else {
            return Err(Complaint::new(format!("is not {}", self.noun()), self.expects()));
        };
        let before_host = rest.rsplit_once('@').map_or("", |(before, _)| before);
        if before_host.contains(':') || rest.contains("pass=") || rest.contains("password=") {
            return Err(Complaint::new(
                "holds a password",
                format!("write it to a file that only this user can read, and name that in {password_file}"),
            ));
        }
        Ok(Value::Text(text.to_owned()))
    }

    fn address_ranges<'a>(self, texts: impl Iterator<Item = &'a str>) -> Result<Value, Complaint> {
        let ranges: Result<Vec<_>, String> = texts.map(str::parse).collect();
        ranges
            .map(Value::AddressRanges)
            .map_err(|what| Complaint::new(format!("is refused: {what}"), self.expects()))
    }

    fn targets(self, tables: &toml::de::DeArray<'_>, folder: &Path) -> Result<Value, Complaint> {
        let mut targets = Vec::with_capacity(tables.len());
        for table in tables {
            let mistyped = || Complaint::new("is not a list of targets", self.expects());
            let table = table.as_ref().as_table().ok_or_else(mistyped)?;
            if let Some(key) = table.keys().find(|key| !["name", "path"].contains(&key.as_ref().as_ref())) {
                return Err(Complaint::new(
                    format!("has a target with an unknown key {:?}", key.as_ref()),
                    self.expects(),
                ));
            }
            let text = |key: &str| {
                table
                    .get(key)
                    .and_then(|value| value.as_ref().as_str())
                    .filter(|text| !text.is_empty())
                    .ok_or_else(|| {
                        Complaint::new(
                            format!("has a target whose {key} is missing or not a text"),
                            self.expects(),
                        )
                    })
            };
            targets.push(SqliteTarget { name: text("name")?.to_owned(), path: folder.join(text("path")?) });
        }
        named_once(targets)
    }
}

fn named_once(targets: Vec<SqliteTarget>) -> Result<Value, Complaint> {
    for (position, target) in targets.iter().enumerate() {
        if targets[..position].iter().any(|earlier| earlier.name == target.name) {
            let what = format!("has two targets named {:?}", target.name);
            return Err(Complaint::new(what, "give each target a name of its own"));
        }
    }
    Ok(Value::SqliteTargets(targets))
}

/// Splits a list that is written as a text.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Reads `10`, `0.5`, `500ms`, `10s`, `5m`, `1h`.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    number.trim_end().parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

#[expect(clippy::cast_precision_loss, reason = "limits on seconds are far below 2^53")]
pub(crate) const fn to_float(integer: i64) -> f64 {
    integer as f64
}

pub(crate) fn article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

pub(crate) fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_seconds(text: &str, expected: Option<f64>) {
        assert_eq!(seconds(text), expected, "{text:?}");
    }

    #[test]
    fn durations_have_units() {
        check_seconds("10", Some(10.0));
        check_seconds("0.5", Some(0.5));
        check_seconds("500ms", Some(0.5));
        check_seconds(" 10 s ", Some(10.0));
        check_seconds("5m", Some(300.0));
        check_seconds("1h", Some(3_600.0));
        check_seconds("1 fortnight", None);
        check_seconds("s", None);
        check_seconds("", None);
        check_seconds("nan", None);
        check_seconds("inf", None);
        check_seconds("1e400", None);
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_one() {
        let complaint = Kind::Word(&["report_only", "approve"]).read_text("aprove").unwrap_err();
        assert!(complaint.hint.starts_with("did you mean \"approve\"?"), "{}", complaint.hint);
    }

    #[test]
    fn targets_come_as_a_text_too() {
        let value = Kind::SqliteTargets.read_text("app=/srv/app.db, logs=logs.db").unwrap();
        assert_eq!(
            value.to_string(),
            "[{ name = \"app\", path = \"/srv/app.db\" }, { name = \"logs\", path = \"logs.db\" }]"
        );
        assert!(Kind::SqliteTargets.read_text("app").is_err());
        assert!(Kind::SqliteTargets.read_text("app=").is_err());
        assert!(Kind::SqliteTargets.read_text("app=a,app=b").is_err());
    }
}
