//! Indexes of the session's database.

use std::collections::BTreeMap;

use veritas_database::server::{Engine, IndexReading, Section};
use veritas_model::Bytes;

use super::{Columns, not_read};
use crate::session::{Session, ident, qualified};

/// A column of an index each, in order. Prefixes (`name(10)`) stand in `SUB_PART`.
const INDEXES: &str = "SELECT s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME, s.NON_UNIQUE, s.INDEX_TYPE, s.COLUMN_NAME, \
     s.COLLATION, s.SUB_PART, s.IGNORED, NULL FROM information_schema.STATISTICS s \
     WHERE s.TABLE_SCHEMA = DATABASE() ORDER BY s.TABLE_NAME, s.INDEX_NAME, s.SEQ_IN_INDEX LIMIT 5000";

/// The same in `MySQL` 8, whose indexes also hold expressions.
const INDEXES_MYSQL: &str = "SELECT s.TABLE_SCHEMA, s.TABLE_NAME, s.INDEX_NAME, s.NON_UNIQUE, s.INDEX_TYPE, s.COLUMN_NAME, \
     s.COLLATION, s.SUB_PART, IF(s.IS_VISIBLE = 'YES', 'NO', 'YES'), s.EXPRESSION FROM information_schema.STATISTICS s \
     WHERE s.TABLE_SCHEMA = DATABASE() ORDER BY s.TABLE_NAME, s.INDEX_NAME, s.SEQ_IN_INDEX LIMIT 5000";

/// How often each index was read, where that is counted.
const READS: &str = "SELECT OBJECT_NAME, INDEX_NAME, COUNT_READ FROM performance_schema.table_io_waits_summary_by_index_usage \
     WHERE OBJECT_SCHEMA = DATABASE() AND INDEX_NAME IS NOT NULL LIMIT 5000";

/// The size of each index, as the statistics have it.
const SIZES: &str = "SELECT table_name, index_name, stat_value * @@innodb_page_size FROM mysql.innodb_index_stats \
     WHERE database_name = DATABASE() AND stat_name = 'size' LIMIT 5000";

/// Columns of foreign keys, in order.
const FOREIGN_KEYS: &str = "SELECT k.TABLE_NAME, k.CONSTRAINT_NAME, k.COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE k \
     WHERE k.TABLE_SCHEMA = DATABASE() AND k.REFERENCED_TABLE_NAME IS NOT NULL \
     ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION LIMIT 5000";

/// Columns that foreign keys refer to, in order.
const REFERRED: &str = "SELECT k.REFERENCED_TABLE_NAME, k.CONSTRAINT_NAME, k.REFERENCED_COLUMN_NAME \
     FROM information_schema.KEY_COLUMN_USAGE k WHERE k.REFERENCED_TABLE_SCHEMA = DATABASE() \
     ORDER BY k.REFERENCED_TABLE_NAME, k.CONSTRAINT_NAME, k.POSITION_IN_UNIQUE_CONSTRAINT LIMIT 5000";

type Named = BTreeMap<(String, String), u64>;
type Keys = BTreeMap<(String, String), Vec<String>>;

/// Reads the indexes.
pub(super) fn read(session: &mut Session, counts_reads: bool) -> Section<Vec<IndexReading>> {
    let sql = if session.engine() == Engine::MySql { INDEXES_MYSQL } else { INDEXES };
    let rows = session.query(sql).map_err(|error| not_read(&error, "the indexes"))?;
    let reads = if counts_reads { named(session, READS) } else { None };
    let sizes = named(session, SIZES).unwrap_or_default();
    let mut keys = keys(session, FOREIGN_KEYS);
    keys.append(
        &mut self::keys(session, REFERRED)
            .into_iter()
            .map(|((table, name), columns)| ((table, name + " (referred to)"), columns))
            .collect(),
    );
    let mut indexes: Vec<IndexReading> = Vec::new();
    for row in rows {
        let mut columns = Columns::of(row);
        let (schema, table, name) = (columns.name(), columns.name(), columns.name());
        let unique = columns.text().as_deref() == Some("0");
        let method = columns.name().to_lowercase();
        let column = columns.text();
        let descending = columns.text().as_deref() == Some("D");
        let prefix = columns.number().map(|length| format!("({length})")).unwrap_or_default();
        let ignored = columns.text().as_deref() == Some("YES");
        let expression = columns.text();
        let direction = if descending { " DESC" } else { "" };
        let key = match (column, expression) {
            (Some(column), _) => format!("{column}{prefix}{direction}"),
            (None, expression) => format!("({}){direction}", expression.unwrap_or_default()),
        };
        if let Some(last) = indexes.last_mut().filter(|last| last.table == table && last.name == name) {
            last.keys.push(key);
            continue;
        }
        let place = (table.clone(), name.clone());
        let is_primary = name == "PRIMARY";
        indexes.push(IndexReading {
            size: Bytes::new(sizes.get(&place).copied().unwrap_or(0)),
            scans: reads.as_ref().map(|reads| reads.get(&place).copied().unwrap_or(0)),
            constraint: (is_primary || unique).then(|| name.clone()),
            schema,
            table,
            name,
            keys: vec![key],
            include: Vec::new(),
            predicate: None,
            method,
            definition: String::new(),
            expected_size: None,
            scanned_at: None,
            unique,
            protected: None,
            valid: !ignored,
        });
    }
    for index in &mut indexes {
        index.definition = definition(index);
        index.protected = keys
            .iter()
            .find(|((table, _), columns)| *table == index.table && index.keys.starts_with(columns))
            .map(|((_, name), _)| format!("it may serve the foreign key {name}"));
    }
    // A foreign key needs one index, not all of those that could serve it.
    let others: Vec<(String, String, Vec<String>)> =
        indexes.iter().map(|index| (index.table.clone(), index.name.clone(), index.keys.clone())).collect();
    for index in &mut indexes {
        let serves: Vec<&Vec<String>> = keys
            .iter()
            .filter(|((table, _), columns)| *table == index.table && index.keys.starts_with(columns))
            .map(|(_, columns)| columns)
            .collect();
        let is_alone = serves.iter().any(|columns| {
            !others.iter().any(|(table, name, keys)| {
                *table == index.table && *name != index.name && keys.starts_with(columns)
            })
        });
        if !is_alone {
            index.protected = None;
        }
    }
    indexes.sort_by_key(|index| std::cmp::Reverse(index.size));
    Ok(indexes)
}

fn definition(index: &IndexReading) -> String {
    let kind = match (index.unique, index.method.as_str()) {
        (true, _) => "UNIQUE INDEX",
        (_, "fulltext") => "FULLTEXT INDEX",
        (_, "spatial") => "SPATIAL INDEX",
        _ => "INDEX",
    };
    let columns: Vec<String> = index.keys.iter().map(|key| quoted(key)).collect();
    let table = qualified(&index.schema, &index.table);
    if index.name == "PRIMARY" {
        return format!("ALTER TABLE {table} ADD PRIMARY KEY ({})", columns.join(", "));
    }
    format!("CREATE {kind} {} ON {table} ({})", ident(&index.name), columns.join(", "))
}

/// Quotes the column of a key as it stands in a reading.
fn quoted(key: &str) -> String {
    if key.starts_with('(') {
        return key.to_owned();
    }
    let (key, direction) = key.strip_suffix(" DESC").map_or((key, ""), |key| (key, " DESC"));
    let prefix = key.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    match prefix.filter(|(_, length)| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()))
    {
        Some((name, length)) => format!("{}({length}){direction}", ident(name)),
        None => format!("{}{direction}", ident(key)),
    }
}

/// Reads numbers by table and index; `None` without the right.
fn named(session: &mut Session, sql: &str) -> Option<Named> {
    let row = |row| {
        let mut columns = Columns::of(row);
        ((columns.name(), columns.name()), columns.count())
    };
    Some(session.query(sql).ok()?.into_iter().map(row).collect())
}

/// Reads columns by table and constraint.
fn keys(session: &mut Session, sql: &str) -> Keys {
    let mut keys = Keys::new();
    for row in session.query(sql).unwrap_or_default() {
        let mut columns = Columns::of(row);
        keys.entry((columns.name(), columns.name())).or_default().push(columns.name());
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_quoted_as_they_were_written() {
        assert_eq!(quoted("a"), "`a`");
        assert_eq!(quoted("a(10) DESC"), "`a`(10) DESC");
        assert_eq!(quoted("odd (name)"), "`odd (name)`");
        assert_eq!(quoted("(lower(`a`))"), "(lower(`a`))");
    }
}
