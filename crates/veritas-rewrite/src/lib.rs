//! Statements written another way: rules over syntax trees, each with its contract, and a
//! fuzzer that tries to refute what they offer.
//!
//! [`rewrites`] reads one query and a [`Schema`] (tables, types, what may be `NULL`, keys)
//! and returns other texts that return the same rows. Each says what it asks of the
//! caller ([`Rewrite::condition`]), how the old parameters become the new ones
//! ([`Rewrite::parameters`]), and in which form both can be compared ([`Rewrite::form`]):
//!
//! | rule | what is done |
//! |---|---|
//! | [`Rule::OffsetToKeyset`] | the next page begins after a key |
//! | [`Rule::OrToUnionAll`] | each side of an `OR` is asked by itself, without overlap |
//! | [`Rule::NotInToNotExists`] | with guards where something may be `NULL` |
//! | [`Rule::CorrelatedToJoin`] | aggregates of all rows at once |
//! | [`Rule::DistinctToExists`] | duplicates are not made instead of removed |
//! | [`Rule::FunctionToRange`] | `date_trunc`, `extract(year …)`, `date(…)` |
//! | [`Rule::CoalesceToColumn`], [`Rule::PrefixToLike`] | `coalesce(c, 0) = 5`, `left(c, 3) = 'abc'` |
//! | [`Rule::ArithmeticToValue`], [`Rule::CastToValue`] | `c + 1 < 10`, `c::text = '7'` |
//! | [`Rule::InListToAny`] | one array instead of a list of parameters |
//! | [`Rule::CountToExists`] | `count(*) > 0` |
//! | [`Rule::UnneededOrderBy`], [`Rule::UnneededDistinct`], [`Rule::UnneededJoin`] | what changes nothing goes |
//! | [`Rule::UnionToUnionAll`], [`Rule::HavingToWhere`], [`Rule::LeftJoinToInner`] | where nothing is lost |
//! | [`Rule::JsonToContainment`] | what a GIN index can serve |
//! | [`Rule::WildcardToColumns`], [`Rule::SingleToBatch`] | only with [`Usage`]: what the caller reads, and how often it asks |
//!
//! Of a statement without its literals [`batched`] says the batch by its form alone.
//!
//! Whether one pays is for others to measure. [`fuzz`] compares both texts on random
//! databases. [`index_hints`] names indexes where no text helps (`lower(c) = …`).
//!
//! What is not here: I/O; `INSERT`, `UPDATE` and `DELETE`; statements whose result depends
//! on the plan (a limit without a total order, windows, volatile or unknown functions, sums
//! of floats); rules that rest on types in `SQLite`, where a column holds what it likes, and
//! in `MySQL`, where a text equals many numbers. Two things are not promised: an error of
//! the old text (an overflow in the arithmetic that went) may not occur any more, and of
//! values that are equal and print differently (`1.0`, `1.00`) another one may be returned
//! where any of them may be.
//!
//! ```
//! use veritas_rewrite::{
//!     Dialect, ParameterSource, Rule, Schema, rewrites,
//!     schema::{Column, ColumnType, Table},
//! };
//!
//! let column = |name: &str, kind| Column { name: name.into(), kind, nullable: false };
//! let orders = Table {
//!     schema: None,
//!     name: "orders".into(),
//!     columns: vec![column("id", ColumnType::BigInt), column("placed", ColumnType::Timestamp)],
//!     unique_keys: vec![vec!["id".into()]],
//!     foreign_keys: vec![],
//! };
//! let schema = Schema { tables: vec![orders] };
//! let sql = "SELECT id, placed FROM orders ORDER BY placed, id LIMIT 20 OFFSET $1";
//! let offered = rewrites(sql, Dialect::PostgreSql, &schema)?;
//! assert_eq!(offered[0].rule, Rule::OffsetToKeyset);
//! assert_eq!(
//!     offered[0].sql,
//!     "SELECT id, placed FROM orders WHERE (orders.placed, orders.id) > ($1, $2) ORDER BY placed, id LIMIT 20",
//! );
//! // The last row of the page before: its second column, then its first.
//! assert_eq!(offered[0].parameters.0, [ParameterSource::LastRow(1), ParameterSource::LastRow(0)]);
//! # Ok::<(), veritas_rewrite::RewriteError>(())
//! ```

mod batched;
pub mod fuzz;
mod gate;
mod hints;
mod keys;
mod rewrite;
mod rules;
pub mod schema;
mod scope;
mod shape;
mod text;
mod walk;

pub use batched::batched;
pub use hints::{IndexHint, index_hints};
pub use rewrite::{Dialect, Form, ParameterMap, ParameterSource, Rewrite, RewriteError, Rule, Usage};
pub use schema::Schema;
pub use text::{MAX_BYTES, MAX_OPERATORS};

/// Returns the other ways to write a statement that return the same.
///
/// Cost: one thread is started and ends; some milliseconds for a long statement.
///
/// # Errors
///
/// When the text is beyond the bounds, does not parse, cannot be printed as it was read,
/// or is not one query.
pub fn rewrites(sql: &str, dialect: Dialect, schema: &Schema) -> Result<Vec<Rewrite>, RewriteError> {
    rewrites_for(sql, dialect, schema, &Usage::default())
}

/// As [`rewrites`], and what follows from the way that the application uses the statement.
///
/// # Errors
///
/// As [`rewrites`].
pub fn rewrites_for(
    sql: &str,
    dialect: Dialect,
    schema: &Schema,
    usage: &Usage,
) -> Result<Vec<Rewrite>, RewriteError> {
    text::with_deep_stack(|| {
        let parsed = text::parse(sql, dialect)?;
        let scopes = scope::Scopes::new(schema, dialect, &parsed.query);
        if !gate::admits(&parsed.query, &scopes) {
            return Ok(Vec::new());
        }
        let context = rules::Context {
            dialect,
            usage,
            parameters: parsed.parameters,
            ordered: keys::is_order_total(&parsed.query, &scopes),
            scopes,
        };
        Ok(rules::apply_all(&context, &parsed.query))
    })?
}
