//! Which values a parameter may take, from what it is compared with.

use std::ops::ControlFlow;

use sqlparser::ast::{BinaryOperator, Expr, Query, Select, Visit, Visitor};
use veritas_statistics::Rng;

use crate::{
    Dialect, RewriteError,
    fuzz::{Content, Value, content::pick, pool::Pool},
    schema::{ColumnType, Schema},
    scope::Scopes,
    shape, text,
    walk::{Place, Walk, walk},
};

/// The values that a parameter may take.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Those of a column: of which table of the schema, which column.
    Column(usize, usize),
    /// Any of a type, but finite.
    Of(ColumnType),
    /// How many rows.
    Count,
    /// A year.
    Year,
    /// A time, often the first of a month.
    Truncated,
    /// A whole number as text.
    Digits,
    /// A text that is no number.
    Word,
}

impl Kind {
    pub(super) fn random(&self, content: &Content, pool: &Pool, rng: &mut Rng) -> Value {
        match self {
            Self::Count => Value::Integer(i64::try_from(rng.below(5)).unwrap_or(0)),
            Self::Year => Value::Integer(pool.year(rng)),
            Self::Truncated if rng.below(3) == 0 => Value::Text(pool.time(false, rng)),
            Self::Truncated => Value::Text(pool.first_of_month(rng)),
            Self::Digits => match pool.value(&ColumnType::Integer, false, rng) {
                Value::Integer(number) => Value::Text(number.to_string()),
                other => other,
            },
            Self::Word => Value::Text(pool.word(rng)),
            Self::Of(_) if rng.below(20) == 0 => Value::Null,
            Self::Of(ColumnType::Date) => Value::Text(pool.day(false, rng)),
            Self::Of(ColumnType::Timestamp | ColumnType::TimestampTz) => Value::Text(pool.time(false, rng)),
            Self::Of(kind) => pool.value(kind, false, rng),
            Self::Column(table, column) => {
                // Mostly a value that is there.
                let rows = &content.tables[*table];
                if rows.is_empty() || rng.below(5) == 0 {
                    return Value::Null;
                }
                match &pick(rows, rng)[*column] {
                    Value::Integer(number) if rng.below(5) == 0 => Value::Integer(number.saturating_add(1)),
                    value => value.clone(),
                }
            }
        }
    }
}

/// Returns the kind of each parameter; `None` for those of which nothing is known.
pub(super) fn kinds(sql: &str, dialect: Dialect, schema: &Schema) -> Result<Vec<Option<Kind>>, RewriteError> {
    struct Kinds<'s>(Vec<Option<Kind>>, &'s Schema);
    impl<'s> Walk<'s> for Kinds<'_> {
        fn query(&mut self, query: &mut Query, _: Place, scopes: &Scopes<'s>) {
            let Some((limit, offset)) = shape::limit_and_offset(query) else { return };
            for expr in limit.into_iter().chain(offset) {
                self.set(expr, &Kind::Count, scopes.dialect);
            }
        }
        fn select(&mut self, select: &mut Select, scopes: &Scopes<'s>) {
            let mut compared = Compared { depth: 0, scopes, kinds: self };
            let _: ControlFlow<()> = Visit::visit(&*select, &mut compared);
        }
    }
    impl Kinds<'_> {
        fn set(&mut self, expr: &Expr, kind: &Kind, dialect: Dialect) {
            let bare = match shape::bare(expr) {
                Expr::Cast { expr, .. } => shape::bare(expr),
                other => other,
            };
            if let Some(number) = shape::value(bare).and_then(|value| text::parameter_number(value, dialect))
                && let Some(place) = self.0.get_mut(number - 1)
                && place.is_none()
            {
                *place = Some(kind.clone());
            }
        }
    }
    struct Compared<'a, 'b, 's> {
        depth: usize,
        scopes: &'a Scopes<'s>,
        kinds: &'a mut Kinds<'b>,
    }
    impl Visitor for Compared<'_, '_, '_> {
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
            if self.depth > 0 {
                return ControlFlow::Continue(());
            }
            let dialect = self.scopes.dialect;
            match expr {
                Expr::InList { expr, list, .. } => {
                    if let Some(kind) = kind_of(expr, self.scopes, self.kinds.1) {
                        for item in list {
                            self.kinds.set(item, &kind, dialect);
                        }
                    }
                }
                Expr::Between { expr, low, high, .. } => {
                    if let Some(kind) = kind_of(expr, self.scopes, self.kinds.1) {
                        self.kinds.set(low, &kind, dialect);
                        self.kinds.set(high, &kind, dialect);
                    }
                }
                Expr::Like { pattern, .. } => {
                    self.kinds.set(pattern, &Kind::Of(ColumnType::Text), dialect);
                }
                _ => {
                    for comparison in shape::comparisons(expr) {
                        if let Some(kind) = kind_of(comparison.subject, self.scopes, self.kinds.1) {
                            self.kinds.set(comparison.constant, &kind, dialect);
                        }
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    text::with_deep_stack(|| {
        let mut parsed = text::parse(sql, dialect)?;
        let scopes = Scopes::new(schema, dialect, &parsed.query);
        let mut kinds = Kinds(vec![None; parsed.parameters], schema);
        walk(&mut parsed.query, Place::Top, &scopes, &mut kinds);
        Ok(kinds.0)
    })?
}

fn kind_of(expr: &Expr, scopes: &Scopes<'_>, schema: &Schema) -> Option<Kind> {
    if let Some(column) = scopes.resolve(expr) {
        let table = schema.tables.iter().position(|table| table == column.table)?;
        let place = column.table.columns.iter().position(|other| other == column.column)?;
        return Some(Kind::Column(table, place));
    }
    match shape::bare(expr) {
        Expr::Extract { .. } => Some(Kind::Year),
        Expr::Cast { expr, data_type, .. } => match ColumnType::parse(&data_type.to_string()) {
            ColumnType::Text => match scopes.resolve(expr).map(|column| &column.column.kind) {
                Some(kind) if kind.is_integer() => Some(Kind::Digits),
                Some(kind) => Some(Kind::Of(kind.clone())),
                None => None,
            },
            kind => Some(Kind::Of(kind)),
        },
        Expr::Function(function) => {
            let arguments = shape::plain_arguments(function)?;
            match shape::function_name(function)?.as_str() {
                "date" => Some(Kind::Of(ColumnType::Date)),
                "date_trunc" => Some(Kind::Truncated),
                "date_part" => Some(Kind::Year),
                "coalesce" | "lower" | "upper" | "min" | "max" | "sum" => {
                    kind_of(arguments.first()?, scopes, schema)
                }
                "count" => Some(Kind::Count),
                "left" | "substr" | "substring" => Some(Kind::Of(ColumnType::Text)),
                _ => None,
            }
        }
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::LongArrow | BinaryOperator::HashLongArrow => Some(Kind::Word),
            BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply => {
                kind_of(left, scopes, schema).or_else(|| kind_of(right, scopes, schema))
            }
            _ => None,
        },
        Expr::Value(_) if shape::integer(expr).is_some() => Some(Kind::Of(ColumnType::Integer)),
        _ => None,
    }
}
