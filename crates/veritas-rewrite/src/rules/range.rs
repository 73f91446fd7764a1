//! `date_trunc('month', t) = x`, `extract(year FROM t) = n`, `date(t) = d` → a range of `t`.
//!
//! Holds for columns of `PostgreSQL`'s `timestamp` types, where a condition keeps rows.
//! Truncation never decreases: the times that truncate to `x` are those from `x` to the
//! next such time, provided that `x` is truncated itself; if not, there are none, and the
//! added condition `date_trunc('month', x) = x` says so. A year is the range from its
//! first to the next year's first day, a day the range from its midnight to the next.
//! `NULL` makes every form not true. Infinite times belong to no finite range and have no
//! finite date; an infinite parameter is excluded by the condition that is told.
//!
//! `timestamp with time zone` is truncated in the session's time zone: its local time
//! decreases when clocks are set back, and a date could come twice where that happens
//! across midnight; the condition excludes such zones.

use sqlparser::ast::{BinaryOperator, CastKind, DataType, DateTimeField, Expr, Query, TimezoneInfo};

use crate::{
    Dialect,
    rules::{Context, Draft, each_select},
    schema::ColumnType,
    scope::Scopes,
    shape, text,
};

pub(super) fn apply(context: &Context<'_>, query: &Query) -> Option<Draft> {
    if context.dialect != Dialect::PostgreSql {
        return None;
    }
    let mut conditions: Vec<&'static str> = Vec::new();
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            let range = convert(condition, scopes)?;
            for added in range.conditions {
                if !conditions.contains(&added) {
                    conditions.push(added);
                }
            }
            text::parse_expr(&range.sql, Dialect::PostgreSql)
        })
    })?;
    Some(Draft {
        condition: (!conditions.is_empty()).then(|| conditions.join("; ")),
        ..Draft::same_rows(query, "an index on the column serves a range, not a function of the column")
    })
}

struct Range {
    sql: String,
    conditions: Vec<&'static str>,
}

const FINITE: &str = "the time passed is not infinite";
const YEAR: &str = "the year passed is a whole number from 1 to 9998";
const ZONE: &str = "the session's time zone never sets its clocks back across midnight";

/// What of the column is compared.
enum Part {
    Truncated(&'static str, &'static str),
    Year,
    Date,
}

fn convert(condition: &Expr, scopes: &Scopes<'_>) -> Option<Range> {
    if let Expr::Between { expr, negated: false, low, high } = condition {
        let (Part::Date, column) = part(expr)? else { return None };
        let zoned = is_zoned(column, scopes)?;
        let (low, high) = (Day::of(low)?, Day::of(high)?);
        let conditions = told(low.passed || high.passed, FINITE, zoned);
        let sql = format!("{column} >= {} AND {column} < {} + 1", low.sql, high.sql);
        return Some(Range { sql, conditions });
    }
    shape::comparisons(condition).into_iter().find_map(|comparison| {
        let (part, column) = part(comparison.subject)?;
        let zoned = is_zoned(column, scopes)?;
        match part {
            Part::Date => date(column, zoned, &comparison.operator, comparison.constant),
            _ if comparison.operator != BinaryOperator::Eq => None,
            Part::Year => year(column, zoned, comparison.constant),
            Part::Truncated(unit, step) => truncated(column, zoned, unit, step, comparison.constant),
        }
    })
}

fn told(passed: bool, condition: &'static str, zoned: bool) -> Vec<&'static str> {
    [passed.then_some(condition), zoned.then_some(ZONE)].into_iter().flatten().collect()
}

fn is_zoned(column: &Expr, scopes: &Scopes<'_>) -> Option<bool> {
    match scopes.resolve(column)?.column.kind {
        ColumnType::Timestamp => Some(false),
        ColumnType::TimestampTz => Some(true),
        _ => None,
    }
}

/// Returns which part of which expression is compared.
fn part(expr: &Expr) -> Option<(Part, &Expr)> {
    match expr {
        Expr::Function(function) => {
            let arguments = shape::plain_arguments(function)?;
            match (shape::function_name(function)?.as_str(), arguments.as_slice()) {
                ("date", [column]) => Some((Part::Date, column)),
                ("date_trunc", [unit, column]) => {
                    let (unit, step) = step(shape::text(unit)?)?;
                    Some((Part::Truncated(unit, step), column))
                }
                ("date_part", [unit, column]) if shape::text(unit)?.eq_ignore_ascii_case("year") => {
                    Some((Part::Year, column))
                }
                _ => None,
            }
        }
        Expr::Extract { field: DateTimeField::Year, expr, .. } => Some((Part::Year, expr)),
        Expr::Cast {
            kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type: DataType::Date, ..
        } => Some((Part::Date, expr)),
        _ => None,
    }
}

fn step(unit: &str) -> Option<(&'static str, &'static str)> {
    [
        ("minute", "1 minute"),
        ("hour", "1 hour"),
        ("day", "1 day"),
        ("week", "7 days"),
        ("month", "1 month"),
        ("quarter", "3 months"),
        ("year", "1 year"),
    ]
    .into_iter()
    .find(|(known, _)| unit.eq_ignore_ascii_case(known))
}

/// A date that a column is compared with.
struct Day {
    sql: String,
    passed: bool,
}

impl Day {
    fn of(expr: &Expr) -> Option<Self> {
        let inner = match shape::bare(expr) {
            Expr::Cast { expr, data_type: DataType::Date, .. } => shape::bare(expr),
            Expr::TypedString(typed) if typed.data_type == DataType::Date && !typed.uses_odbc_syntax => {
                let day = typed.value.value.clone().into_string()?;
                return is_day(&day)
                    .then(|| Self { sql: format!("CAST({} AS DATE)", text::literal(&day)), passed: false });
            }
            other => other,
        };
        let passed = shape::is_parameter(inner);
        (passed || shape::text(inner).is_some_and(is_day))
            .then(|| Self { sql: format!("CAST({inner} AS DATE)"), passed })
    }
}

fn date(column: &Expr, zoned: bool, operator: &BinaryOperator, constant: &Expr) -> Option<Range> {
    let Day { sql: day, passed } = Day::of(constant)?;
    let sql = match operator {
        BinaryOperator::Eq => format!("{column} >= {day} AND {column} < {day} + 1"),
        BinaryOperator::Lt => format!("{column} < {day}"),
        BinaryOperator::LtEq => format!("{column} < {day} + 1"),
        BinaryOperator::Gt => format!("{column} >= {day} + 1"),
        BinaryOperator::GtEq => format!("{column} >= {day}"),
        _ => return None,
    };
    Some(Range { sql, conditions: told(passed, FINITE, zoned) })
}

fn year(column: &Expr, zoned: bool, constant: &Expr) -> Option<Range> {
    if shape::is_parameter(constant) {
        let first = |added: &str| format!("make_date(CAST({constant} AS INTEGER){added}, 1, 1)");
        let sql = format!("{column} >= {} AND {column} < {}", first(""), first(" + 1"));
        return Some(Range { sql, conditions: told(true, YEAR, zoned) });
    }
    let year = shape::integer(constant).filter(|year| (1..=9998).contains(year))?;
    let sql = format!(
        "{column} >= CAST('{year:04}-01-01' AS DATE) AND {column} < CAST('{:04}-01-01' AS DATE)",
        year + 1
    );
    Some(Range { sql, conditions: told(false, YEAR, zoned) })
}

fn truncated(column: &Expr, zoned: bool, unit: &str, step: &str, constant: &Expr) -> Option<Range> {
    let inner = match shape::bare(constant) {
        Expr::Cast { expr, data_type, .. } if is_of_column(data_type, zoned) => shape::bare(expr),
        Expr::TypedString(typed) if is_of_column(&typed.data_type, zoned) => {
            let time = typed.value.value.clone().into_string()?;
            &text::parse_expr(&text::literal(&time), Dialect::PostgreSql)?
        }
        other => other,
    };
    let passed = shape::is_parameter(inner);
    // A zone in the text would be dropped or applied, by its type.
    if !passed && !shape::text(inner).is_some_and(is_time) {
        return None;
    }
    let kind = if zoned { "TIMESTAMP WITH TIME ZONE" } else { "TIMESTAMP" };
    let time = format!("CAST({inner} AS {kind})");
    let sql = format!(
        "{column} >= {time} AND {column} < {time} + INTERVAL '{step}' AND date_trunc('{unit}', {time}) = {time}"
    );
    Some(Range { sql, conditions: told(passed, FINITE, zoned) })
}

/// Returns whether a time of a type is compared as the column's own type would be: a time
/// with a zone is not converted to one without.
const fn is_of_column(data_type: &DataType, zoned: bool) -> bool {
    match data_type {
        DataType::Date | DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            true
        }
        DataType::Timestamp(None, _) => zoned,
        _ => false,
    }
}

/// Returns whether a text is a day as ISO 8601 writes it, of a year with four digits.
fn is_day(text: &str) -> bool {
    let digits = |from: usize, to: usize| text.as_bytes()[from..to].iter().all(u8::is_ascii_digit);
    text.len() == 10
        && text.is_ascii()
        && text.as_bytes()[4] == b'-'
        && text.as_bytes()[7] == b'-'
        && digits(0, 4)
        && digits(5, 7)
        && digits(8, 10)
        && text[..4] < *"9999"
}

/// Returns whether a text is a day, or a day and a time without a zone.
fn is_time(text: &str) -> bool {
    text.is_ascii()
        && text.len() >= 10
        && is_day(&text[..10])
        && text[10..].chars().all(|letter| letter.is_ascii_digit() || matches!(letter, ' ' | 'T' | ':' | '.'))
}
