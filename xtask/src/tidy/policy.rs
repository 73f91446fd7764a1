//! What `deny.toml` allows: the one list, read by cargo-deny as well.

use std::{fs, path::Path};

use anyhow::Context as _;
use toml::Value;

/// Licences that are fine, and packages of which two versions are.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Policy {
    /// SPDX names.
    pub(crate) licences: Vec<String>,
    /// Licence of a package whose manifest names none that we read.
    pub(crate) exceptions: Vec<(String, Vec<String>)>,
    /// Names of packages that may be there more than once.
    pub(crate) duplicates: Vec<String>,
    /// Names of packages that may not be there at all.
    pub(crate) banned: Vec<String>,
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Policy> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    parse(&text).with_context(|| format!("failed to read {}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Policy> {
    let table: Value = toml::from_str(text)?;
    let words = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    let packages = |key: &str| -> Vec<String> {
        let items = table.get("bans").and_then(|bans| bans.get(key)).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(name_of).collect()
    };
    let licences = table.get("licenses");
    let exceptions = licences.and_then(|section| section.get("exceptions")).and_then(Value::as_array);
    Ok(Policy {
        licences: words(licences.and_then(|section| section.get("allow"))),
        exceptions: exceptions
            .into_iter()
            .flatten()
            .filter_map(|exception| Some((name_of(exception)?, words(exception.get("allow")))))
            .collect(),
        duplicates: packages("skip"),
        banned: packages("deny"),
    })
}

/// cargo-deny takes `crate = "name@version"`, `name = "name"`, or the bare text.
fn name_of(entry: &Value) -> Option<String> {
    let text =
        entry.as_str().or_else(|| entry.get("crate")?.as_str()).or_else(|| entry.get("name")?.as_str())?;
    Some(text.split(['@', ':']).next().unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_read_in_each_form() {
        let policy = parse(
            "[licenses]\nallow = ['MIT']\nexceptions = [{ crate = 'a', allow = ['Zlib'] }]\n\
             [bans]\nskip = ['b', { crate = 'c@1', reason = 'r' }]\ndeny = [{ name = 'd' }]\n",
        )
        .unwrap();
        let expected = Policy {
            licences: vec!["MIT".to_owned()],
            exceptions: vec![("a".to_owned(), vec!["Zlib".to_owned()])],
            duplicates: vec!["b".to_owned(), "c".to_owned()],
            banned: vec!["d".to_owned()],
        };
        assert_eq!(policy, expected);
        assert_eq!(parse("").unwrap(), Policy::default());
    }
}
