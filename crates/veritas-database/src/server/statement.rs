//! Statements as the server counts them, their plans, and their history.

use veritas_model::{Fingerprint, Moments, Timestamp};

use super::literals;
use crate::{StatementKind, fingerprint, shape::Shape};

/// One statement, counted by the server over all applications.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerStatement {
    /// The statement without its literals, hashed: the same as the recorder's.
    pub fingerprint: Fingerprint,
    /// The statement without its literals.
    pub normalized: String,
    /// The statement as the server keeps it, with `$1` where literals were: it can be explained.
    /// The normalized text where the server left literals or comments in.
    pub text: String,
    /// The server's numbers for it: several where the server tells apart what we do not.
    pub server_ids: Vec<i64>,
    /// The tables that it touches, lower case, qualified as in the text.
    pub tables: Vec<String>,
    /// Whether it changes rows.
    pub writes: bool,
    /// Calls, and their seconds.
    pub seconds: Moments,
    /// Rows returned or changed.
    pub rows: u64,
    /// Pages found in the server's buffers.
    pub buffers_hit: u64,
    /// Pages that were not.
    pub buffers_read: u64,
    /// Pages of temporary files written: sorts and hashes that did not fit.
    pub temporary_written: u64,
    /// Bytes of write-ahead log; `None` where the server does not say.
    pub wal_bytes: Option<u64>,
    /// Seconds spent planning; `None` where the server does not count them.
    pub planning_seconds: Option<f64>,
}

impl ServerStatement {
    /// Reads off a text, as the server keeps it, what statement that is. All counters are zero.
    /// Cost: parses it, tens of microseconds.
    pub fn of_text(text: &str) -> Self {
        let statement = fingerprint::statement(text);
        let shape = Shape::of_normalized(&statement.text);
        let kept = if literals::is_free(text) { text } else { &statement.text };
        Self {
            fingerprint: statement.fingerprint,
            normalized: statement.text.to_string(),
            text: kept.to_owned(),
            server_ids: Vec::new(),
            tables: shape.tables.to_vec(),
            writes: writes(statement.kind, &statement.text),
            seconds: Moments::default(),
            rows: 0,
            buffers_hit: 0,
            buffers_read: 0,
            temporary_written: 0,
            wal_bytes: None,
            planning_seconds: None,
        }
    }

    /// Adds the counters of another entry of the same statement.
    pub fn add(&mut self, other: Self) {
        // The text of the costlier one is the one to explain.
        if other.seconds.sum > self.seconds.sum {
            self.text = other.text;
        }
        self.server_ids.extend(other.server_ids);
        self.seconds = self.seconds.and(&other.seconds);
        self.rows = self.rows.saturating_add(other.rows);
        self.buffers_hit = self.buffers_hit.saturating_add(other.buffers_hit);
        self.buffers_read = self.buffers_read.saturating_add(other.buffers_read);
        self.temporary_written = self.temporary_written.saturating_add(other.temporary_written);
        self.wal_bytes = self.wal_bytes.zip(other.wal_bytes).map(|(one, two)| one.saturating_add(two));
        self.planning_seconds = self.planning_seconds.zip(other.planning_seconds).map(|(one, two)| one + two);
    }
}

/// Tells whether a statement changes rows, or a part of it does (`WITH … AS (DELETE …)`).
fn writes(kind: StatementKind, normalized: &str) -> bool {
    match kind {
        StatementKind::Insert | StatementKind::Update | StatementKind::Delete => true,
        StatementKind::Select => {
            let part = |word: &str| normalized.contains(word);
            normalized.starts_with("with ") && (part("(insert ") || part("(update ") || part("(delete "))
        }
        StatementKind::Other => normalized.starts_with("merge "),
    }
}

/// What a statement cost between two readings.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementWindow {
    /// The end of the window.
    pub at: Timestamp,
    /// How long the window is, in seconds.
    pub seconds: f64,
    /// Calls in it, and their seconds.
    pub work: Moments,
    /// Rows in it.
    pub rows: u64,
    /// Pages asked for in it.
    pub buffers: u64,
}

/// One plan of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanReading {
    /// The shape of the plan, hashed: nodes, tables and indexes, without costs and values.
    pub shape: u64,
    /// The plan as the server printed it, without literals.
    pub text: String,
    /// What the planner expects it to cost.
    pub cost: f64,
    /// Whether it is the plan for all values, or for one.
    pub generic: bool,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// Mean seconds of a call while it was in use; `None` where not known.
    pub mean_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_off_its_text() {
        let statement =
            ServerStatement::of_text("SELECT * FROM shop.Orders o JOIN items i USING (id) WHERE o.id = $1");
        assert_eq!(
            statement.fingerprint,
            fingerprint::fingerprint("select * from shop.orders o join items i using (id) where o.id = 7")
        );
        assert_eq!(statement.tables, ["items", "shop.orders"]);
        assert!(statement.text.contains("shop.Orders") && !statement.writes);
    }

    #[test]
    fn what_changes_rows_is_told_from_what_does_not() {
        let cases = [
            ("INSERT INTO t VALUES ($1)", true),
            ("WITH gone AS (DELETE FROM t RETURNING id) SELECT count(*) FROM gone", true),
            ("WITH x AS (SELECT a FROM t) SELECT * FROM x", false),
            ("MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN DELETE", true),
            ("BEGIN", false),
        ];
        for (text, changes) in cases {
            assert_eq!(ServerStatement::of_text(text).writes, changes, "{text}");
        }
    }

    #[test]
    fn literals_that_the_server_left_are_not_kept() {
        let statement = ServerStatement::of_text("SELECT * FROM users WHERE email = 'ada@example.org'");
        assert_eq!(statement.text, "select * from users where email = ?");
    }

    #[test]
    fn entries_of_one_statement_are_added_up() {
        let entry = |calls: u64, sum: f64, text: &str, wal| ServerStatement {
            seconds: Moments { count: calls, sum, sum_of_squares: sum },
            wal_bytes: wal,
            server_ids: vec![i64::try_from(calls).unwrap()],
            ..ServerStatement::of_text(text)
        };
        let mut one = entry(2, 1.0, "SELECT a FROM t WHERE b IN ($1)", Some(5));
        one.add(entry(3, 4.0, "SELECT a FROM t WHERE b IN ($1, $2)", Some(7)));
        assert_eq!((one.seconds.count, one.seconds.sum, one.wal_bytes), (5, 5.0, Some(12)));
        assert_eq!(one.text, "SELECT a FROM t WHERE b IN ($1, $2)");
        assert_eq!(one.server_ids, [2, 3]);
        one.add(entry(1, 0.0, "SELECT a FROM t WHERE b IN ($1)", None));
        assert_eq!(one.wal_bytes, None);
    }
}
