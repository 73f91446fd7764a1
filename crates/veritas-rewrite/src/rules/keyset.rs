//! `ORDER BY k LIMIT n OFFSET m` → `WHERE k > last key ORDER BY k LIMIT n`.
//!
//! Holds when the order has no ties (it contains a unique key of what is selected) and
//! every column of it is a plain, projected column that is never `NULL`. The rows after
//! the first `m` are then those whose keys come after the key of row `m`, whatever `m`
//! is; no duplicates, no `NULL`s to place. A row comparison means the lexicographic order
//! where all directions agree, and is written out where they do not.
//!
//! Not the same call: the caller passes the last row's key. Page by page the result is
//! the same as long as the rows stay the same; when rows come or go between two pages,
//! the keyset neither repeats nor skips a row, which `OFFSET` does.

use sqlparser::ast::{LimitClause, OrderBySort, Query};

use crate::{
    Dialect, Form, ParameterSource,
    keys::{determine, ordering, projected},
    rules::{Context, Draft},
    schema::ColumnType,
    scope::Resolved,
    shape, text,
};

struct Key<'s> {
    column: Resolved<'s>,
    /// Its place in the result.
    place: usize,
    written: String,
    descending: bool,
}

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let select = shape::selecting(query)?;
    if select.distinct.is_some() || shape::is_grouped(select) {
        return None;
    }
    let (limit, offset) = shape::limit_and_offset(query)?;
    let number = |expr| shape::value(expr).and_then(|value| text::parameter_number(value, context.dialect));
    let literal = |expr| shape::integer(expr).and_then(|number| u64::try_from(number).ok());
    let (limit_parameter, limit_literal) = (number(limit?), literal(limit?));
    let (offset_parameter, offset_literal) = (number(offset?), literal(offset?));
    if (limit_parameter.is_none() && limit_literal.is_none())
        || (offset_parameter.is_none() && offset_literal.is_none_or(|offset| offset == 0))
    {
        return None;
    }
    let keys = keys(context, query)?;

    let mut first = query.clone();
    match &mut first.limit_clause {
        Some(LimitClause::LimitOffset { offset, .. }) => *offset = None,
        Some(clause) => {
            *clause = LimitClause::LimitOffset { limit: limit.cloned(), offset: None, limit_by: vec![] };
        }
        None => return None,
    }
    let mut next = first.clone();
    let condition = text::parse_expr(&after(&keys, context), context.dialect)?;
    let select = shape::selecting_mut(&mut next)?;
    select.selection = shape::conjunction(select.selection.take().into_iter().chain([condition]));

    let (first, first_parameters) = text::print(first, context.parameters, &[], context.dialect)?;
    let names: Vec<&str> = keys.iter().map(|key| key.column.column.name.as_str()).collect();
    Some(Draft {
        query: next,
        condition: Some(format!(
            "the caller passes {} of the last row of the page before; the first page is asked for without \
             that condition; a page cannot be reached by its number",
            names.join(", ")
        )),
        sources: keys.iter().map(|key| ParameterSource::LastRow(key.place)).collect(),
        form: Some(Form::Pages {
            first,
            first_parameters,
            offset: offset_parameter,
            offset_literal,
            limit: limit_parameter,
            limit_literal,
        }),
        index: None,
        note: "OFFSET reads all the rows that it skips; a key leads straight to the page",
    })
}

fn keys<'s>(context: &Context<'s>, query: &Query) -> Option<Vec<Key<'s>>> {
    let select = shape::selecting(query)?;
    let within = context.scopes.within(select);
    let places = projected(select, &within)?;
    let mut keys: Vec<Key<'s>> = Vec::new();
    for item in shape::order_items(query)? {
        let column = ordering(item, select, &within)?;
        let sorts = column.column.kind.is_exact() || column.column.kind == ColumnType::Numeric;
        if column.nullable || column.depth > 0 || !sorts {
            return None;
        }
        let place = places.iter().position(|place| *place == Some(column))?;
        let source = within.innermost().sources.get(column.source)?;
        let name = super::ident(&column.column.name, context.dialect);
        let descending = item.options.sort == Some(OrderBySort::Desc);
        if matches!(item.options.sort, Some(OrderBySort::Using(_))) {
            return None;
        }
        keys.push(Key { column, place, written: format!("{}.{name}", source.written), descending });
        let columns: Vec<_> = keys.iter().map(|key| key.column).collect();
        if determine(select, &within, &columns) {
            return Some(keys);
        }
    }
    None
}

/// Writes the condition that a row comes after the last one.
fn after(keys: &[Key<'_>], context: &Context<'_>) -> String {
    let sign = context.dialect.parameter_sign();
    let parameter = |index: usize| format!("{sign}{}", context.parameters + index + 1);
    let beyond = |key: &Key<'_>| if key.descending { "<" } else { ">" };
    if let [key] = keys {
        return format!("{} {} {}", key.written, beyond(key), parameter(0));
    }
    // MySQL does not use an index for a comparison of rows.
    let agree = keys.iter().all(|key| key.descending == keys[0].descending);
    if agree && context.dialect != Dialect::MySql {
        let columns: Vec<&str> = keys.iter().map(|key| key.written.as_str()).collect();
        let values: Vec<String> = (0..keys.len()).map(parameter).collect();
        return format!("({}) {} ({})", columns.join(", "), beyond(&keys[0]), values.join(", "));
    }
    let alternatives: Vec<String> = (0..keys.len())
        .map(|last| {
            let equal = (0..last).map(|index| format!("{} = {} AND ", keys[index].written, parameter(index)));
            let equal: String = equal.collect();
            format!("({equal}{} {} {})", keys[last].written, beyond(&keys[last]), parameter(last))
        })
        .collect();
    // The first condition follows from the second: an index can begin there.
    let first = format!("{} {}= {}", keys[0].written, beyond(&keys[0]), parameter(0));
    format!("{first} AND ({})", alternatives.join(" OR "))
}
