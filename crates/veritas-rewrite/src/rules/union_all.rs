//! A `UNION` that takes nothing away becomes `UNION ALL`.
//!
//! `UNION` removes duplicates within each side and between them. There are none within a
//! side that returns none by itself (see `distinct`), and none between two sides that
//! project different constants in the same place (whole numbers, or texts that begin with
//! a letter where all sides have a text), or that project, in the same place, a key of the
//! same table and keep only rows with different values of one column. In `EXISTS` and in
//! `IN`, without a limit, duplicates do not matter.

use sqlparser::ast::{BinaryOperator, Distinct, Expr, Query, Select, SetExpr, SetOperator, SetQuantifier};

use crate::{
    keys::projected,
    rules::{Context, Draft, distinct::returns_no_duplicates, each_query},
    scope::Scopes,
    shape,
    walk::Place,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    let query = each_query(context, query, |query, place, scopes| {
        let nobody_counts = matches!(place, Place::Exists | Place::In)
            && shape::is_unlimited(query)
            && query.order_by.is_none();
        let unneeded = sides(&query.body).is_some_and(|sides| {
            nobody_counts || (query.with.is_none() && have_no_duplicates(&sides, scopes))
        });
        if unneeded {
            keep_all(&mut query.body);
        }
        unneeded
    })?;
    Some(Draft::same_rows(query, "no duplicates are looked for where there are none"))
}

/// Returns the sides of a chain of `UNION`s; `None` where it is something else.
fn sides(body: &SetExpr) -> Option<Vec<&Select>> {
    match body {
        SetExpr::SetOperation {
            left,
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::None | SetQuantifier::Distinct,
            right,
        } => {
            let SetExpr::Select(last) = right.as_ref() else { return None };
            let mut sides = match left.as_ref() {
                SetExpr::Select(first) => vec![first.as_ref()],
                other => sides(other)?,
            };
            sides.push(last);
            Some(sides)
        }
        _ => None,
    }
}

fn keep_all(body: &mut SetExpr) {
    if let SetExpr::SetOperation { left, set_quantifier, .. } = body {
        *set_quantifier = SetQuantifier::All;
        keep_all(left);
    }
}

fn have_no_duplicates(sides: &[&Select], scopes: &Scopes<'_>) -> bool {
    let within: Vec<Scopes<'_>> = sides.iter().map(|side| scopes.within(side)).collect();
    let each = sides.iter().zip(&within).all(|(side, within)| {
        side.distinct == Some(Distinct::Distinct)
            || (side.distinct.is_none() && returns_no_duplicates(side, within))
    });
    let places = sides.iter().map(|side| side.projection.len()).min().unwrap_or_default();
    let tagged = || (0..places).any(|place| are_tags(sides, place, scopes));
    let apart = || {
        (0..sides.len()).all(|one| {
            (one + 1..sides.len()).all(|other| {
                are_apart((sides[one], &within[one]), (sides[other], &within[other])).unwrap_or(false)
            })
        })
    };
    each && (tagged() || apart())
}

/// Returns whether every side has another constant in this place of its projection.
fn are_tags(sides: &[&Select], place: usize, scopes: &Scopes<'_>) -> bool {
    let known =
        |side: &&Select| side.projection[..=place].iter().all(|item| shape::item_expr(item).is_some());
    if !sides.iter().all(known) {
        return false;
    }
    let constants: Vec<&Expr> =
        sides.iter().filter_map(|side| shape::item_expr(&side.projection[place])).collect();
    let differ = |one: &Expr, other: &Expr| match (shape::integer(one), shape::integer(other)) {
        (Some(one), Some(other)) => one != other,
        (None, None) => match (shape::text(one), shape::text(other)) {
            (Some(one), Some(other)) => are_different_words(one, other, scopes),
            _ => false,
        },
        _ => false,
    };
    (0..constants.len())
        .all(|one| (one + 1..constants.len()).all(|other| differ(constants[one], constants[other])))
}

/// Returns whether two texts differ under every collation that we let pass: words, and
/// where upper and lower case may be equal, not only in that.
fn are_different_words(one: &str, other: &str, scopes: &Scopes<'_>) -> bool {
    let is_word = |text: &str| {
        text.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    is_word(one)
        && is_word(other)
        && match scopes.dialect {
            crate::Dialect::MySql => !one.eq_ignore_ascii_case(other),
            _ => one != other,
        }
}

/// Returns whether two sides keep different rows of one table, and project its key.
fn are_apart(one: (&Select, &Scopes<'_>), other: (&Select, &Scopes<'_>)) -> Option<bool> {
    let table = |(_, within): (&Select, &Scopes<'_>)| match within.innermost().sources.as_slice() {
        [source] if !within.innermost().opaque => source.table.map(std::ptr::from_ref),
        _ => None,
    };
    if table(one)? != table(other)? || shape::is_grouped(one.0) || shape::is_grouped(other.0) {
        return None;
    }
    let (first, second) = (projected(one.0, one.1)?, projected(other.0, other.1)?);
    let known = one.1.innermost().sources.first()?.table?;
    let both = |name: &String| {
        first.iter().zip(&second).any(|(first, second)| {
            first.is_some_and(|column| column.column.name == *name)
                && second.is_some_and(|column| column.column.name == *name)
        })
    };
    if !known.identifying_keys().any(|key| key.iter().all(both)) {
        return None;
    }
    let (first, second) = (asked(one), asked(other));
    Some(first.iter().any(|(column, value)| {
        second.iter().any(|(other, with)| {
            column == other
                && match (shape::integer(value), shape::integer(with)) {
                    (Some(value), Some(with)) => value != with,
                    _ => match (shape::text(value), shape::text(with)) {
                        (Some(value), Some(with)) => are_different_words(value, with, one.1),
                        _ => false,
                    },
                }
        })
    }))
}

/// Returns the columns that a side compares with a constant: whole numbers and texts.
fn asked<'e>(side: (&'e Select, &Scopes<'_>)) -> Vec<(String, &'e Expr)> {
    let mut found = Vec::new();
    for condition in shape::conjuncts(side.0.selection.as_ref()) {
        for comparison in shape::comparisons(condition) {
            if let Some(column) = side.1.resolve(comparison.subject)
                && comparison.operator == BinaryOperator::Eq
                && column.depth == 0
            {
                let fits = match &column.column.kind {
                    kind if kind.is_integer() => shape::integer(comparison.constant).is_some(),
                    crate::schema::ColumnType::Text => shape::text(comparison.constant).is_some(),
                    _ => false,
                };
                if fits {
                    found.push((column.column.name.clone(), comparison.constant));
                }
            }
        }
    }
    found
}
