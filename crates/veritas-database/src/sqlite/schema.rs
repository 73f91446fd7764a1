//! The schema of a target, as far as index advice needs it.

use rusqlite::Connection;

/// More tables than this are not looked at.
const MOST_TABLES: u32 = 2_000;

/// The tables of the `main` schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    tables: Vec<Table>,
}

/// A table that an index can be made on.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name, as the schema spells it.
    pub(crate) name: String,
    /// Its columns that an index can hold: generated ones included, hidden ones not.
    pub(crate) columns: Vec<String>,
    /// The column that is the row's number (`INTEGER PRIMARY KEY`), if there is one.
    pub(crate) rowid_alias: Option<String>,
}

impl Schema {
    /// Reads the ordinary tables: views, virtual and shadow tables, and SQLite's
    /// own are left out. Sees only what one read of the schema shows.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut listed = connection.prepare_cached(
            "SELECT name, wr FROM pragma_table_list \
             WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name LIMIT ?1",
        )?;
        let named: Vec<(String, bool)> = listed
            .query_map([MOST_TABLES], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut tables = Vec::with_capacity(named.len());
        for (name, without_rowid) in named {
            tables.push(Table::read(connection, name, without_rowid)?);
        }
        Ok(Self { tables })
    }

    /// Finds a table, whatever the case of its ASCII letters.
    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name))
    }
}

impl Table {
    fn read(connection: &Connection, name: String, without_rowid: bool) -> rusqlite::Result<Self> {
        // `hidden` is 1 for hidden columns of virtual tables, 2 and 3 for generated ones.
        let mut listed = connection.prepare_cached(
            "SELECT name, type, pk FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid",
        )?;
        let columns: Vec<(String, String, u32)> = listed
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let keys = columns.iter().filter(|(_, _, key)| *key > 0).count();
        let rowid_alias = columns
            .iter()
            .find(|(_, kind, key)| {
                *key == 1 && keys == 1 && !without_rowid && kind.eq_ignore_ascii_case("INTEGER")
            })
            .map(|(name, _, _)| name.clone());
        Ok(Self { name, columns: columns.into_iter().map(|(name, _, _)| name).collect(), rowid_alias })
    }

    /// Returns the schema's spelling of a column.
    pub(crate) fn column(&self, name: &str) -> Option<&str> {
        self.columns.iter().map(String::as_str).find(|column| column.eq_ignore_ascii_case(name))
    }

    /// Returns whether `column` is the row's number, which needs no index.
    pub(crate) fn is_rowid(&self, column: &str) -> bool {
        self.rowid_alias.as_deref() == Some(column)
    }
}

/// One index of a table, as the pragma lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedIndex {
    pub(crate) name: String,
    pub(crate) partial: bool,
    /// Key columns: name (`None`: an expression), descending, collation.
    pub(crate) keys: Vec<(Option<String>, bool, String)>,
}

/// Reads the indexes of a table.
pub(crate) fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ListedIndex>> {
    let mut listed = connection.prepare_cached("SELECT name, partial FROM pragma_index_list(?1)")?;
    let named: Vec<(String, bool)> =
        listed.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut keys = connection.prepare_cached(
        "SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1) WHERE key = 1 ORDER BY seqno",
    )?;
    named
        .into_iter()
        .map(|(name, partial)| {
            let keys = keys
                .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(ListedIndex { name, partial, keys })
        })
        .collect()
}

impl ListedIndex {
    /// Returns whether this index serves everything that `other` would: it is
    /// not partial, and `other`'s keys are its first ones, with the same
    /// collations, in the same order or in exactly the opposite one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let same = |opposite: bool| {
            self.keys.iter().zip(&other.keys).all(|(ours, theirs)| {
                ours.0.is_some()
                    && ours.0 == theirs.0
                    && ours.2.eq_ignore_ascii_case(&theirs.2)
                    && (ours.1 == theirs.1) != opposite
            })
        };
        !self.partial && self.keys.len() >= other.keys.len() && (same(false) || same(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE plain(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE, b, g AS (b + 1));
                 CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID;
                 CREATE TABLE sqliteful(x);
                 CREATE VIEW seen AS SELECT * FROM plain;
                 CREATE INDEX plain_ab ON plain(a, b DESC);
                 CREATE INDEX plain_part ON plain(b) WHERE b > 1;
                 CREATE INDEX plain_binary ON plain(a COLLATE BINARY);
                 CREATE INDEX plain_expression ON plain(b + 1)",
            )
            .unwrap();
        connection
    }

    #[test]
    fn the_schema_holds_ordinary_tables_only() {
        let schema = Schema::read(&connection()).unwrap();
        let plain = schema.table("PLAIN").unwrap();
        assert_eq!(plain.columns, ["id", "a", "b", "g"]);
        assert!(plain.is_rowid("id"));
        assert_eq!(schema.table("keyed").unwrap().rowid_alias, None);
        assert!(schema.table("sqliteful").is_some());
        assert!(schema.table("seen").is_none());
        assert!(schema.table("sqlite_schema").is_none());
    }

    #[test]
    fn an_index_covers_its_left_prefixes_and_nothing_else() {
        let listed = indexes(&connection(), "plain").unwrap();
        let named = |name: &str| listed.iter().find(|index| index.name == name).unwrap();
        let asked = |keys: &[(&str, bool, &str)]| ListedIndex {
            name: String::new(),
            partial: false,
            keys: keys.iter().map(|&(n, d, c)| (Some(n.to_owned()), d, c.to_owned())).collect(),
        };
        let by_a = asked(&[("a", false, "NOCASE")]);
        assert!(named("plain_ab").covers(&by_a));
        assert!(named("plain_ab").covers(&asked(&[("a", true, "NOCASE"), ("b", false, "BINARY")])));
        assert!(!named("plain_ab").covers(&asked(&[("a", false, "NOCASE"), ("b", false, "BINARY")])));
        assert!(!named("plain_binary").covers(&by_a));
        assert!(!named("plain_part").covers(&asked(&[("b", false, "BINARY")])));
        assert!(!named("plain_expression").covers(&asked(&[("b", false, "BINARY")])));
    }
}
