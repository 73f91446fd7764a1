//! `c IN ($1, $2, $3)` → `c = ANY($1)`.
//!
//! Holds on `PostgreSQL` for a list of parameters compared with a column whose type is
//! known. `IN` is defined as a chain of `OR`s of equalities, and so is `= ANY` of an array
//! of the same values: equal for `NULL` elements and a `NULL` column, too. `NOT IN` is
//! `<> ALL` in the same way. The parameter is an array of the column's type.

use sqlparser::ast::{Expr, Query};

use crate::{
    Dialect, ParameterSource,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if context.dialect != Dialect::PostgreSql {
        return None;
    }
    let mut sources = Vec::new();
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            let Expr::InList { expr, list, negated } = condition else { return None };
            let kind = &scopes.resolve(expr)?.column.kind;
            if list.len() < 2 || matches!(kind, ColumnType::Other(_)) {
                return None;
            }
            let numbers = list
                .iter()
                .map(|item| text::parameter_number(shape::value(item)?, context.dialect))
                .collect::<Option<Vec<usize>>>()?;
            sources.push(ParameterSource::ArrayOf(numbers));
            let array = format!("CAST(${} AS {}[])", context.parameters + sources.len(), kind.name());
            let operator = if *negated { "<> ALL" } else { "= ANY" };
            text::parse_expr(&format!("{expr} {operator}({array})"), Dialect::PostgreSql)
        })
    })?;
    Some(Draft {
        condition: Some("the values are passed as one array".to_owned()),
        sources,
        ..Draft::same_rows(query, "one statement and one plan for lists of every length")
    })
}
