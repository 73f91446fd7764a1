//! The rules, one file each. The comment at the top of each file is its contract: what
//! must hold, and why both texts then return the same.

use sqlparser::ast::{Query, Select};

use crate::{
    Dialect, Form, ParameterSource, Rewrite, Rule, Usage,
    scope::Scopes,
    text,
    walk::{Place, Walk, walk},
};

mod arithmetic;
mod batch;
mod cast;
mod coalesce;
mod correlated;
mod count;
mod distinct;
mod distinct_exists;
mod having;
mod in_list;
mod join;
mod json;
mod keyset;
mod left_join;
mod not_in;
mod or_union;
mod order_by;
mod prefix;
mod range;
mod union_all;
mod wildcard;

/// What a rule is told.
pub(crate) struct Context<'s> {
    pub(crate) dialect: Dialect,
    pub(crate) usage: &'s Usage,
    /// How many parameters the statement has.
    pub(crate) parameters: usize,
    /// Whether the statement asks for an order without ties.
    pub(crate) ordered: bool,
    /// The scopes around the statement: no names yet.
    pub(crate) scopes: Scopes<'s>,
}

/// What a rule makes of a statement.
pub(crate) struct Draft {
    pub(crate) query: Query,
    pub(crate) condition: Option<String>,
    /// What the parameters after the statement's own mean.
    pub(crate) sources: Vec<ParameterSource>,
    /// `None`: the same rows.
    pub(crate) form: Option<Form>,
    pub(crate) index: Option<String>,
    pub(crate) note: &'static str,
}

impl Draft {
    fn same_rows(query: Query, note: &'static str) -> Self {
        Self { query, condition: None, sources: Vec::new(), form: None, index: None, note }
    }
}

type Apply = fn(&Context<'_>, &Query) -> Option<Draft>;

/// Every rule with what applies it.
const RULES: [(Rule, Apply); 21] = [
    (Rule::OffsetToKeyset, keyset::apply),
    (Rule::OrToUnionAll, or_union::apply),
    (Rule::NotInToNotExists, not_in::apply),
    (Rule::CorrelatedToJoin, correlated::apply),
    (Rule::DistinctToExists, distinct_exists::apply),
    (Rule::FunctionToRange, range::apply),
    (Rule::CoalesceToColumn, coalesce::apply),
    (Rule::PrefixToLike, prefix::apply),
    (Rule::ArithmeticToValue, arithmetic::apply),
    (Rule::CastToValue, cast::apply),
    (Rule::InListToAny, in_list::apply),
    (Rule::CountToExists, count::apply),
    (Rule::UnneededOrderBy, order_by::apply),
    (Rule::UnneededDistinct, distinct::apply),
    (Rule::UnionToUnionAll, union_all::apply),
    (Rule::HavingToWhere, having::apply),
    (Rule::JsonToContainment, json::apply),
    (Rule::LeftJoinToInner, left_join::apply),
    (Rule::UnneededJoin, join::apply),
    (Rule::WildcardToColumns, wildcard::apply),
    (Rule::SingleToBatch, batch::apply),
];

/// Applies every rule by itself.
pub(crate) fn apply_all(context: &Context<'_>, query: &Query) -> Vec<Rewrite> {
    let offered = RULES.iter().filter_map(|(rule, apply)| {
        let draft = apply(context, query)?;
        let (sql, parameters) =
            text::print(draft.query, context.parameters, &draft.sources, context.dialect)?;
        Some(Rewrite {
            rule: *rule,
            sql,
            condition: draft.condition,
            parameters,
            form: draft.form.unwrap_or(Form::SameRows { ordered: context.ordered }),
            index: draft.index,
            note: draft.note,
        })
    });
    offered.collect()
}

/// Changes each `SELECT` of a copy of `query`; `None` when `change` changed none.
/// `change` gets the scopes within the select.
fn each_select<'s>(
    context: &Context<'s>,
    query: &Query,
    change: impl FnMut(&mut Select, &Scopes<'s>) -> bool,
) -> Option<Query> {
    struct Selects<F>(F, bool);
    impl<'s, F: FnMut(&mut Select, &Scopes<'s>) -> bool> Walk<'s> for Selects<F> {
        fn select(&mut self, select: &mut Select, scopes: &Scopes<'s>) {
            self.1 |= (self.0)(select, scopes);
        }
    }
    let (mut copy, mut selects) = (query.clone(), Selects(change, false));
    walk(&mut copy, Place::Top, &context.scopes, &mut selects);
    selects.1.then_some(copy)
}

/// Changes each query of a copy of `query`, itself included; `None` when `change` changed
/// none. `change` gets the scopes around the query.
fn each_query<'s>(
    context: &Context<'s>,
    query: &Query,
    change: impl FnMut(&mut Query, Place, &Scopes<'s>) -> bool,
) -> Option<Query> {
    struct Queries<F>(F, bool);
    impl<'s, F: FnMut(&mut Query, Place, &Scopes<'s>) -> bool> Walk<'s> for Queries<F> {
        fn query(&mut self, query: &mut Query, place: Place, scopes: &Scopes<'s>) {
            self.1 |= (self.0)(query, place, scopes);
        }
    }
    let (mut copy, mut queries) = (query.clone(), Queries(change, false));
    walk(&mut copy, Place::Top, &context.scopes, &mut queries);
    queries.1.then_some(copy)
}

/// Words that are no names without quotes: those that the engines we know reserve.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "binary",
    "both",
    "by",
    "case",
    "cast",
    "change",
    "check",
    "collate",
    "collation",
    "column",
    "condition",
    "constraint",
    "create",
    "cross",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "database",
    "default",
    "deferrable",
    "delete",
    "desc",
    "describe",
    "distinct",
    "div",
    "do",
    "drop",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "groups",
    "having",
    "if",
    "ilike",
    "in",
    "index",
    "initially",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "key",
    "keys",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "lock",
    "match",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "partition",
    "placing",
    "primary",
    "range",
    "rank",
    "read",
    "references",
    "regexp",
    "release",
    "rename",
    "replace",
    "returning",
    "right",
    "row",
    "rows",
    "schema",
    "select",
    "session_user",
    "set",
    "show",
    "similar",
    "some",
    "symmetric",
    "system",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "trigger",
    "true",
    "union",
    "unique",
    "update",
    "usage",
    "user",
    "using",
    "values",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "write",
];

/// Writes a name so that it means what the catalogue has.
pub(crate) fn ident(name: &str, dialect: Dialect) -> String {
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !RESERVED.contains(&name);
    match dialect {
        _ if plain => name.to_owned(),
        Dialect::MySql => format!("`{}`", name.replace('`', "``")),
        Dialect::PostgreSql | Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
