//! Indexes without which a condition cannot be served, where no other text helps.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Query, Select};

use crate::{
    Dialect, RewriteError,
    schema::{ColumnType, Schema},
    scope::{Resolved, Scopes},
    shape, text,
    walk::{Place, Walk, walk},
};

/// An index of a kind that is not on plain columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexHint {
    /// The table.
    pub table: String,
    /// The index, as SQL.
    pub sql: String,
    /// Which condition it serves, in words.
    pub why: &'static str,
}

/// Returns the indexes on expressions, on beginnings and on parts of texts that the
/// conditions of a `PostgreSQL` statement could use: `lower(c) = …`, `c LIKE 'abc%'`,
/// `c LIKE '%abc%'`. Rules only: nothing says that they pay.
///
/// # Errors
///
/// As [`rewrites`](crate::rewrites).
pub fn index_hints(sql: &str, dialect: Dialect, schema: &Schema) -> Result<Vec<IndexHint>, RewriteError> {
    struct Hints(Vec<IndexHint>);
    impl<'s> Walk<'s> for Hints {
        fn select(&mut self, select: &mut Select, scopes: &Scopes<'s>) {
            let mut within = Within { depth: 0, scopes, found: &mut self.0 };
            let _: ControlFlow<()> = sqlparser::ast::Visit::visit(&select.selection, &mut within);
        }
    }
    text::with_deep_stack(|| {
        let mut parsed = text::parse(sql, dialect)?;
        let mut hints = Hints(Vec::new());
        if dialect == Dialect::PostgreSql {
            let scopes = Scopes::new(schema, dialect, &parsed.query);
            walk(&mut parsed.query, Place::Top, &scopes, &mut hints);
        }
        hints.0.sort();
        hints.0.dedup();
        Ok(hints.0)
    })?
}

struct Within<'a, 's> {
    depth: usize,
    scopes: &'a Scopes<'s>,
    found: &'a mut Vec<IndexHint>,
}

impl sqlparser::ast::Visitor for Within<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            self.found.extend(hint(expr, self.scopes));
        }
        ControlFlow::Continue(())
    }
}

fn hint(expr: &Expr, scopes: &Scopes<'_>) -> Option<IndexHint> {
    let index = |column: &Resolved<'_>, definition: String, why| IndexHint {
        table: column.table.name.clone(),
        sql: format!(
            "CREATE INDEX ON {} {definition}",
            crate::rules::ident(&column.table.name, scopes.dialect)
        ),
        why,
    };
    if let Expr::Like { expr, pattern, negated: false, any: false, .. } = expr {
        let column = scopes.resolve(expr).filter(|column| column.column.kind == ColumnType::Text)?;
        let name = crate::rules::ident(&column.column.name, scopes.dialect);
        let pattern = shape::text(pattern)?;
        return if pattern.starts_with(['%', '_']) {
            let long_enough = pattern.split(['%', '_']).any(|part| part.chars().count() >= 3);
            long_enough.then(|| {
                index(
                    &column,
                    format!("USING gin ({name} gin_trgm_ops)"),
                    "a text within the column; needs pg_trgm",
                )
            })
        } else {
            Some(index(&column, format!("({name} text_pattern_ops)"), "the beginning of the column"))
        };
    }
    shape::comparisons(expr).into_iter().find_map(|comparison| {
        let Expr::Function(function) = comparison.subject else { return None };
        let name = shape::function_name(function)?;
        let arguments = shape::plain_arguments(function)?;
        let [column] = arguments.as_slice() else { return None };
        let column = scopes.resolve(column).filter(|column| column.column.kind == ColumnType::Text)?;
        let written = crate::rules::ident(&column.column.name, scopes.dialect);
        matches!(name.as_str(), "lower" | "upper" | "md5" | "length")
            .then(|| index(&column, format!("({name}({written}))"), "a function of the column"))
    })
}
