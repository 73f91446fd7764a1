//! Which columns tell the rows of a `SELECT` apart.

use sqlparser::ast::{Distinct, Expr, JoinConstraint, JoinOperator, OrderByExpr, Query, Select, SelectItem};

use crate::{
    Dialect,
    scope::{Resolved, Scopes, constraint, fold, merges_columns},
    shape,
};

/// Returns whether no two rows of `select`, before grouping, agree in all of `columns`.
///
/// Each table is either identified by a unique key among the columns, or joined by a
/// unique key to tables that are, so that it adds at most one row to each of theirs.
/// `scopes` are those within the select.
pub(crate) fn determine(select: &Select, scopes: &Scopes<'_>, columns: &[Resolved<'_>]) -> bool {
    let scope = scopes.innermost();
    if scope.opaque || scope.sources.is_empty() || !has_known_joins(select) {
        return false;
    }
    let equalities = equalities(select, scopes);
    let mut determined = vec![false; scope.sources.len()];
    loop {
        let mut grew = false;
        for (index, source) in scope.sources.iter().enumerate() {
            let Some(table) = source.table else { return false };
            if determined[index] {
                continue;
            }
            let fixed = |name: &String| {
                columns
                    .iter()
                    .any(|column| column.depth == 0 && column.source == index && column.column.name == *name)
                    || equalities.iter().any(|equality| {
                        equality.source == index
                            && equality.column == *name
                            && equality.other.is_none_or(|other| determined[other])
                    })
            };
            if table.identifying_keys().any(|key| key.iter().all(fixed)) {
                determined[index] = true;
                grew = true;
            }
        }
        if !grew {
            return determined.iter().all(|known| *known);
        }
    }
}

/// A column of a table that has one value for each row of another table (or altogether).
struct Equality {
    source: usize,
    column: String,
    /// The table whose row gives the value; `None` for a constant.
    other: Option<usize>,
}

fn equalities(select: &Select, scopes: &Scopes<'_>) -> Vec<Equality> {
    let mut found = Vec::new();
    for condition in shape::conjuncts(select.selection.as_ref()) {
        add_equality(condition, scopes, None, &mut found);
    }
    for join in select.from.iter().flat_map(|item| &item.joins) {
        let Some(JoinConstraint::On(on)) = constraint(&join.join_operator) else { continue };
        // The condition of an outer join says something of the joined table only.
        let only = match &join.join_operator {
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Some(&join.relation),
            _ => None,
        };
        let only = only.map(|relation| match relation {
            sqlparser::ast::TableFactor::Table { name, alias, .. } => {
                alias.as_ref().map(|alias| fold(&alias.name, scopes.dialect)).or_else(|| {
                    name.0.last().and_then(|part| part.as_ident()).map(|name| fold(name, scopes.dialect))
                })
            }
            _ => None,
        });
        for condition in shape::conjuncts(Some(on)) {
            add_equality(condition, scopes, only.as_ref(), &mut found);
        }
    }
    found
}

/// `only`: the name of the one table of which the condition says something.
fn add_equality(
    condition: &Expr,
    scopes: &Scopes<'_>,
    only: Option<&Option<String>>,
    found: &mut Vec<Equality>,
) {
    for comparison in shape::comparisons(condition) {
        if comparison.operator != sqlparser::ast::BinaryOperator::Eq {
            continue;
        }
        let Some(column) = scopes.resolve(comparison.subject).filter(|column| column.depth == 0) else {
            continue;
        };
        if let Some(only) = only
            && only.as_ref() != Some(&scopes.innermost().sources[column.source].alias)
        {
            continue;
        }
        let other = match scopes.resolve(comparison.constant) {
            Some(other)
                if other.column.kind.compares_with(&column.column.kind)
                    && (other.depth > 0 || other.source != column.source) =>
            {
                (other.depth == 0).then_some(other.source)
            }
            // MySQL compares a text with a number as numbers: many texts are one number.
            None if (shape::is_literal(comparison.constant) || shape::is_parameter(comparison.constant))
                && column.column.kind.is_exact()
                && (scopes.dialect != Dialect::MySql || column.column.kind.is_integer()) =>
            {
                None
            }
            _ => continue,
        };
        found.push(Equality { source: column.source, column: column.column.name.clone(), other });
    }
}

/// Returns whether there are only joins to which the reasoning here applies.
fn has_known_joins(select: &Select) -> bool {
    select.from.iter().all(|item| {
        !matches!(item.relation, sqlparser::ast::TableFactor::NestedJoin { .. })
            && item.joins.iter().all(|join| {
                !matches!(join.relation, sqlparser::ast::TableFactor::NestedJoin { .. })
                    && matches!(
                        join.join_operator,
                        JoinOperator::Join(_)
                            | JoinOperator::Inner(_)
                            | JoinOperator::Left(_)
                            | JoinOperator::LeftOuter(_)
                            | JoinOperator::CrossJoin(_)
                    )
            })
    })
}

/// Returns the plain columns that a `SELECT` projects, each with its place in the result;
/// expressions have a place, too. `None` where the places are not known.
pub(crate) fn projected<'s>(select: &Select, scopes: &Scopes<'s>) -> Option<Vec<Option<Resolved<'s>>>> {
    let scope = scopes.innermost();
    let mut found = Vec::new();
    let all_of = |index: usize, found: &mut Vec<Option<Resolved<'s>>>| -> Option<()> {
        let source = &scope.sources[index];
        let table = source.table?;
        found.extend(table.columns.iter().map(|column| {
            let nullable = column.nullable || source.nullable;
            Some(Resolved { depth: 0, source: index, table, column, nullable })
        }));
        Some(())
    };
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                found.push(scopes.resolve(expr));
            }
            SelectItem::Wildcard(options) => {
                if scope.opaque || merges_columns(select) || !is_plain(options) {
                    return None;
                }
                (0..scope.sources.len()).try_for_each(|index| all_of(index, &mut found))?;
            }
            SelectItem::QualifiedWildcard(
                sqlparser::ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let [part] = name.0.as_slice() else { return None };
                let alias = fold(part.as_ident()?, scopes.dialect);
                let mut sources =
                    (0..scope.sources.len()).filter(|index| scope.sources[*index].alias == alias);
                let index = sources.next()?;
                if sources.next().is_some() || !is_plain(options) {
                    return None;
                }
                all_of(index, &mut found)?;
            }
            _ => return None,
        }
    }
    Some(found)
}

fn is_plain(options: &sqlparser::ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

/// Returns the column by which an item of the `ORDER BY` of a `SELECT` orders: a column, or
/// one that it names by its alias or its number.
pub(crate) fn ordering<'s>(item: &OrderByExpr, select: &Select, scopes: &Scopes<'s>) -> Option<Resolved<'s>> {
    if let Some(number) = shape::integer(&item.expr) {
        let places = projected(select, scopes)?;
        return *places.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
    }
    if let Expr::Identifier(name) = &item.expr {
        let name = fold(name, scopes.dialect);
        // What has no alias has a name, too: of its column, or of its function or type.
        let mut doubtful = false;
        let mut named = select.projection.iter().filter_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if fold(alias, scopes.dialect) == name => Some(expr),
            SelectItem::UnnamedExpr(expr) => match expr {
                Expr::Identifier(column) if fold(column, scopes.dialect) == name => Some(expr),
                Expr::CompoundIdentifier(parts)
                    if parts.last().is_some_and(|column| fold(column, scopes.dialect) == name) =>
                {
                    Some(expr)
                }
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => None,
                other => {
                    doubtful |= other.to_string().to_lowercase().contains(&name);
                    None
                }
            },
            _ => None,
        });
        let (first, second) = (named.next(), named.next());
        if doubtful || second.is_some() {
            return None;
        }
        if let Some(expr) = first {
            return scopes.resolve(expr);
        }
    }
    scopes.resolve(&item.expr)
}

/// Returns the columns that a `SELECT` groups by; `None` where it groups by anything else.
pub(crate) fn grouping<'s>(select: &Select, scopes: &Scopes<'s>) -> Option<Vec<Resolved<'s>>> {
    let keys = shape::group_keys(select)?;
    // SQLite and MySQL let an alias stand for its expression there, and in HAVING.
    let is_alias = |key: &Expr| match key {
        Expr::Identifier(name) => select.projection.iter().any(|item| {
            matches!(item, SelectItem::ExprWithAlias { expr, alias }
                if fold(alias, scopes.dialect) == fold(name, scopes.dialect) && expr != key)
        }),
        _ => false,
    };
    keys.iter()
        .map(|key| {
            let shadowed = scopes.dialect != Dialect::PostgreSql && is_alias(key);
            if shadowed { None } else { scopes.resolve(key) }
        })
        .collect()
}

/// Returns whether the order that a query asks for has no ties: then a limit cuts off the
/// same rows whatever the plan, and the result is one list. `scopes` are those around it.
pub(crate) fn is_order_total(query: &Query, scopes: &Scopes<'_>) -> bool {
    let Some(select) = shape::selecting(query) else { return false };
    let Some(items) = shape::order_items(query) else { return false };
    let within = scopes.within(select);
    let columns: Vec<Resolved<'_>> =
        items.iter().filter_map(|item| ordering(item, select, &within)).collect();
    if matches!(select.distinct, Some(Distinct::On(_))) {
        return false;
    }
    let Some(keys) = shape::group_keys(select) else { return false };
    if keys.is_empty() && shape::is_grouped(select) {
        return true; // One row.
    }
    if !keys.is_empty() {
        return grouping(select, &within)
            .is_some_and(|keys| keys.iter().all(|key| key.column.kind.is_exact() && columns.contains(key)));
    }
    determine(select, &within, &columns)
}
