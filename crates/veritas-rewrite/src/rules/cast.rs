//! `c::text = '7'` → `c = 7`; `c < 7.5` → `c <= 7`.
//!
//! Holds on `PostgreSQL` where a condition keeps rows:
//!
//! - A whole number as text is its plain decimal form and nothing else: it equals a literal
//!   that is such a form exactly when the numbers are equal, and no other literal at all.
//!   So with the lower-case form of a `uuid`.
//! - A whole number is below 7.5 when it is at most 7: a fraction is rounded to the side on
//!   which the same whole numbers satisfy the comparison, and equals none of them.
//! - A whole number converted to a wider type keeps its value, and `PostgreSQL` compares
//!   whole numbers of different widths without conversion.
//!
//! Of a parameter nothing is known: it is converted instead of the column, on the condition
//! that is told. `NULL` makes every form not true.

use sqlparser::ast::{BinaryOperator, CastKind, DataType, Expr, Query, UnaryOperator, Value};

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
    let mut told: Option<&'static str> = None;
    let query = each_select(context, query, |select, scopes| {
        shape::replace_conditions(select, &mut |condition| {
            let sql = match condition {
                Expr::InList { expr, list, negated: false } => in_list(expr, list, scopes)?,
                _ => shape::comparisons(condition).into_iter().find_map(|comparison| {
                    let (sql, condition) =
                        compare(comparison.subject, &comparison.operator, comparison.constant, scopes)?;
                    told = told.or(condition);
                    Some(sql)
                })?,
            };
            text::parse_expr(&sql, Dialect::PostgreSql)
        })
    })?;
    Some(Draft {
        condition: told.map(str::to_owned),
        ..Draft::same_rows(query, "an index on the column serves values of its own type, not of another")
    })
}

type Compared = (String, Option<&'static str>);

const DECIMAL: &str = "the text passed is a whole number in plain decimal digits, within 64 bits";
const UUID: &str = "the text passed is a UUID in its lower-case form";
const WHOLE: &str = "the number passed is whole, and within 64 bits";

fn compare(
    subject: &Expr,
    operator: &BinaryOperator,
    constant: &Expr,
    scopes: &Scopes<'_>,
) -> Option<Compared> {
    if let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } = subject {
        let column = shape::bare(expr);
        let kind = &scopes.resolve(column)?.column.kind;
        return match width_or_text(data_type)? {
            Target::Text => as_text(column, kind, operator, constant),
            Target::Width(width) if kind.is_integer() && width >= width_of(kind) => {
                let value = if shape::is_parameter(constant) {
                    format!("CAST({constant} AS {data_type})")
                } else {
                    // Within 64 bits a literal is compared as a whole number.
                    i64::try_from(shape::integer(constant)?).ok()?.to_string()
                };
                Some((format!("{column} {operator} {value}"), None))
            }
            Target::Numeric if kind.is_integer() => {
                Some((rounded(column, operator, &fraction(constant)?)?, None))
            }
            Target::Width(_) | Target::Numeric => None,
        };
    }
    let kind = &scopes.resolve(subject)?.column.kind;
    if !kind.is_integer() {
        return None;
    }
    match shape::bare(constant) {
        Expr::Cast { expr, data_type, .. } if matches!(width_or_text(data_type)?, Target::Numeric) => {
            if shape::is_parameter(expr) && *operator == BinaryOperator::Eq {
                let sql = format!("{subject} = CAST(CAST({expr} AS NUMERIC) AS BIGINT)");
                return Some((sql, Some(WHOLE)));
            }
            Some((rounded(subject, operator, &fraction(expr)?)?, None))
        }
        // A literal without a point is a whole number already.
        constant if shape::integer(constant).is_none() => {
            Some((rounded(subject, operator, &fraction(constant)?)?, None))
        }
        _ => None,
    }
}

enum Target {
    Text,
    /// A whole number of so many bytes.
    Width(u8),
    Numeric,
}

fn width_or_text(data_type: &DataType) -> Option<Target> {
    Some(match data_type {
        DataType::Text | DataType::Varchar(None) | DataType::CharacterVarying(None) => Target::Text,
        DataType::SmallInt(None) | DataType::Int2(None) => Target::Width(2),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => Target::Width(4),
        DataType::BigInt(None) | DataType::Int8(None) => Target::Width(8),
        DataType::Numeric(sqlparser::ast::ExactNumberInfo::None)
        | DataType::Decimal(sqlparser::ast::ExactNumberInfo::None) => Target::Numeric,
        _ => return None,
    })
}

const fn width_of(kind: &ColumnType) -> u8 {
    match kind {
        ColumnType::SmallInt => 2,
        ColumnType::Integer => 4,
        _ => 8,
    }
}

fn as_text(column: &Expr, kind: &ColumnType, operator: &BinaryOperator, constant: &Expr) -> Option<Compared> {
    if *operator != BinaryOperator::Eq {
        return None;
    }
    if shape::is_parameter(constant) {
        return match kind {
            kind if kind.is_integer() => {
                Some((format!("{column} = CAST(CAST({constant} AS TEXT) AS BIGINT)"), Some(DECIMAL)))
            }
            ColumnType::Uuid => {
                Some((format!("{column} = CAST(CAST({constant} AS TEXT) AS UUID)"), Some(UUID)))
            }
            _ => None,
        };
    }
    let written = shape::text(constant)?;
    let sql = match converted(kind, written)? {
        Converted::Value(value) => format!("{column} = {value}"),
        Converted::Nothing => "FALSE".to_owned(),
    };
    Some((sql, None))
}

/// What a text means among the values of a type.
enum Converted {
    /// This value, as SQL, has this text.
    Value(String),
    /// No value has it.
    Nothing,
}

/// Returns the value of which `written` is the text; `None` for a type that is not known.
fn converted(kind: &ColumnType, written: &str) -> Option<Converted> {
    match kind {
        kind if kind.is_integer() => {
            let value = written.parse::<i64>().ok().filter(|value| value.to_string() == written);
            Some(value.map_or(Converted::Nothing, |value| Converted::Value(value.to_string())))
        }
        ColumnType::Uuid => {
            let groups: Vec<usize> = written.split('-').map(str::len).collect();
            let is_uuid = groups == [8, 4, 4, 4, 12]
                && written.chars().all(|letter| matches!(letter, '0'..='9' | 'a'..='f' | '-'));
            Some(if is_uuid {
                Converted::Value(format!("CAST('{written}' AS UUID)"))
            } else {
                Converted::Nothing
            })
        }
        _ => None,
    }
}

fn in_list(expr: &Expr, list: &[Expr], scopes: &Scopes<'_>) -> Option<String> {
    let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } = shape::bare(expr)
    else {
        return None;
    };
    let column = shape::bare(expr);
    let kind = &scopes.resolve(column)?.column.kind;
    if !matches!(width_or_text(data_type)?, Target::Text) {
        return None;
    }
    let mut values = Vec::new();
    for item in list {
        // A text that no value has is left out.
        if let Converted::Value(value) = converted(kind, shape::text(item)?)? {
            values.push(value);
        }
    }
    Some(if values.is_empty() { "FALSE".to_owned() } else { format!("{column} IN ({})", values.join(", ")) })
}

/// A number as its floor, and whether it is whole.
struct Fraction {
    floor: i64,
    whole: bool,
}

fn fraction(expr: &Expr) -> Option<Fraction> {
    let (digits, negative) = match shape::bare(expr) {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (shape::value(expr)?, true),
        expr => (shape::value(expr)?, false),
    };
    let Value::Number(digits, false) = digits else { return None };
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    if !after.chars().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let magnitude: i64 = if before.is_empty() { 0 } else { before.parse().ok()? };
    let whole = after.chars().all(|digit| digit == '0');
    let floor = match (negative, whole) {
        (false, _) => magnitude,
        (true, true) => -magnitude,
        (true, false) => (-magnitude).checked_sub(1)?,
    };
    Some(Fraction { floor, whole })
}

fn rounded(column: &Expr, operator: &BinaryOperator, value: &Fraction) -> Option<String> {
    let Fraction { floor, whole } = value;
    Some(match operator {
        BinaryOperator::Eq if !whole => "FALSE".to_owned(),
        BinaryOperator::NotEq if !whole => format!("{column} IS NOT NULL"),
        BinaryOperator::Lt if !whole => format!("{column} <= {floor}"),
        BinaryOperator::GtEq if !whole => format!("{column} > {floor}"),
        BinaryOperator::Eq
        | BinaryOperator::NotEq
        | BinaryOperator::Lt
        | BinaryOperator::LtEq
        | BinaryOperator::Gt
        | BinaryOperator::GtEq => format!("{column} {operator} {floor}"),
        _ => return None,
    })
}
