//! The file: which keys it sets, and on which line.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{LoadError, Origin, Problem, kind::article, settings, suggest::nearest};

/// What a file sets.
pub(crate) struct Settled<'text> {
    /// Key, value and line of each known key.
    pub(crate) values: Vec<(&'static settings::Setting, Spanned<DeValue<'text>>, usize)>,
    /// The unknown keys.
    pub(crate) problems: Vec<Problem>,
}

/// Reads `text` as TOML and sorts its keys into known and unknown ones.
pub(crate) fn read<'text>(name: &str, text: &'text str) -> Result<Settled<'text>, LoadError> {
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = error.span().map_or((1, 1), |span| position(text, &span));
        // The parser's own rendering shows the line, which may hold anything.
        LoadError::Syntax { name: name.to_owned(), line, column, message: error.message().to_owned() }
    })?;
    let mut settled = Settled { values: Vec::new(), problems: Vec::new() };
    walk(name, text, "", table.into_inner(), &mut settled);
    Ok(settled)
}

fn walk<'text>(name: &str, text: &str, prefix: &str, table: DeTable<'text>, settled: &mut Settled<'text>) {
    for (key, value) in table {
        let (line, _) = position(text, &key.span());
        let path =
            if prefix.is_empty() { key.as_ref().to_string() } else { format!("{prefix}.{}", key.as_ref()) };
        let inner = format!("{path}.");
        if let Some(setting) = settings::find(&path) {
            settled.values.push((setting, value, line));
        } else if settings::SETTINGS.iter().any(|setting| setting.key.starts_with(&inner)) {
            match value.into_inner() {
                DeValue::Table(table) => walk(name, text, &path, table, settled),
                other => settled.problems.push(Problem {
                    origin: Origin::File { name: name.to_owned(), line },
                    what: format!("{path:?} is {}, and must be a table", article(other.type_str())),
                    hint: format!("write [{path}] and its keys below it"),
                }),
            }
        } else {
            settled.problems.push(Problem {
                origin: Origin::File { name: name.to_owned(), line },
                what: format!("unknown key {path:?}"),
                hint: suggestion(&path),
            });
        }
    }
}

/// Says which key was probably meant.
fn suggestion(path: &str) -> String {
    if path.contains("secret") || path.contains("password") {
        return "secrets are read from files: set \"jwt.secret_file\"".to_owned();
    }
    let keys = || settings::SETTINGS.iter().map(|setting| setting.key);
    let last = path.rsplit('.').next().unwrap_or(path);
    // The right word in the wrong table is as common as a wrong letter.
    nearest(path, keys())
        .or_else(|| keys().find(|key| key.rsplit('.').next() == Some(last)))
        .or_else(|| nearest(path, keys().filter_map(|key| key.split_once('.')).map(|(table, _)| table)))
        .map_or_else(
            || "`veritas config show` lists every key".to_owned(),
            |near| format!("did you mean {near:?}?"),
        )
}

/// Returns line and column, from 1, of where a span starts.
fn position(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
