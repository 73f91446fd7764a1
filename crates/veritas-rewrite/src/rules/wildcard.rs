//! `SELECT *` → the columns that are used.
//!
//! Holds when the caller says which columns of the result it reads, and every table's
//! columns are known. The rows and their order are the same; they lack columns that
//! nobody reads. Not with `DISTINCT`, whose result depends on what is projected, and not
//! where an order or a grouping goes by the number of a column.

use sqlparser::ast::{Query, SelectItem};

use crate::{
    Form,
    keys::projected,
    rules::{Context, Draft, ident},
    scope::fold,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let used = context.usage.columns.as_ref()?;
    let select = shape::selecting(query)?;
    let by_number = |expr| shape::integer(expr).is_some();
    if select.distinct.is_some()
        || shape::is_grouped(select)
        || shape::order_items(query)?.iter().any(|item| by_number(&item.expr))
    {
        return None;
    }
    let within = context.scopes.within(select);
    let is_used = |name: &str| used.iter().any(|used| used.eq_ignore_ascii_case(name));
    let (mut items, mut kept, mut place) = (Vec::new(), Vec::new(), 0);
    for item in &select.projection {
        let one = sqlparser::ast::Select { projection: vec![item.clone()], ..select.clone() };
        let columns = projected(&one, &within)?;
        match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                for (index, column) in columns.iter().enumerate() {
                    let column = (*column)?;
                    if is_used(&column.column.name) {
                        let source = &within.innermost().sources.get(column.source)?.written;
                        let name = ident(&column.column.name, context.dialect);
                        items.push(text::parse_item(&format!("{source}.{name}"), context.dialect)?);
                        kept.push(place + index);
                    }
                }
            }
            SelectItem::UnnamedExpr(expr) if within.resolve(expr).is_some() => {
                let name = match expr {
                    sqlparser::ast::Expr::Identifier(name) => name,
                    sqlparser::ast::Expr::CompoundIdentifier(parts) => parts.last()?,
                    _ => return None,
                };
                if is_used(&fold(name, context.dialect)) {
                    items.push(item.clone());
                    kept.push(place);
                }
            }
            // An order may go by its name.
            _ => {
                items.push(item.clone());
                kept.push(place);
            }
        }
        place += columns.len();
    }
    if items.is_empty() || kept.len() == place {
        return None;
    }
    let mut changed = query.clone();
    shape::selecting_mut(&mut changed)?.projection = items;
    Some(Draft {
        condition: Some("the caller reads no other column of the result".to_owned()),
        form: Some(Form::Columns { kept, ordered: context.ordered }),
        ..Draft::same_rows(changed, "less is read, sorted and sent; an index may hold all that is asked")
    })
}
