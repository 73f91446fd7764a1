//! Statements written another way: rules over syntax trees.

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
