//! Purity: whether a statement only reads tables, so that asking it again in the same state
//! of the database brings the same rows.
//!
//! Decided by what is known to be harmless, not by what is known to be harmful: a function
//! that is not listed may draw a number, take a lock or write.

/// Functions whose result depends on nothing but their arguments, and aggregates.
const PURE: [&str; 62] = [
    "abs",
    "array_agg",
    "array_length",
    "avg",
    "bool_and",
    "bool_or",
    "btrim",
    "cast",
    "ceil",
    "char_length",
    "coalesce",
    "concat",
    "concat_ws",
    "convert",
    "count",
    "date",
    "date_part",
    "date_trunc",
    "dense_rank",
    "every",
    "extract",
    "first_value",
    "floor",
    "format",
    "greatest",
    "group_concat",
    "ifnull",
    "instr",
    "json_agg",
    "json_build_object",
    "json_extract",
    "json_object",
    "jsonb_agg",
    "jsonb_build_object",
    "lag",
    "last_value",
    "lead",
    "least",
    "left",
    "length",
    "lower",
    "ltrim",
    "max",
    "min",
    "mod",
    "nullif",
    "position",
    "rank",
    "replace",
    "right",
    "round",
    "row_number",
    "rtrim",
    "split_part",
    "string_agg",
    "strftime",
    "substr",
    "substring",
    "sum",
    "to_char",
    "trim",
    "upper",
];

/// Words before a bracket that are no functions.
const WORDS: [&str; 36] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "by",
    "case",
    "distinct",
    "else",
    "except",
    "exists",
    "filter",
    "from",
    "having",
    "in",
    "intersect",
    "is",
    "join",
    "lateral",
    "like",
    "not",
    "on",
    "or",
    "over",
    "row",
    "select",
    "some",
    "then",
    "union",
    "using",
    "values",
    "when",
    "where",
    "with",
    "within",
];

/// Returns whether the statement reads a table, locks nothing, and calls no function that is
/// not known to be harmless. Names in front of brackets that are columns or aliases
/// (`with a (b) as`) count as functions, which errs on the side of `false`.
pub(super) fn is_pure(tokens: &[&str]) -> bool {
    let reads_a_table = super::from_clauses(tokens).next().is_some() || tokens.contains(&"table");
    let is_locking = tokens.windows(2).any(|two| {
        two[0] == "for" && matches!(two[1], "update" | "share" | "no" | "key")
            || two[0] == "lock" && two[1] == "in"
    });
    let is_writing = tokens.iter().any(|token| {
        matches!(
            *token,
            "insert" | "update" | "delete" | "into" | "merge" | "tablesample" | "current_timestamp"
        )
    });
    let is_known = tokens.windows(2).all(|two| {
        let is_name =
            two[0].starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"' | '`'));
        let name = two[0].strip_prefix("pg_catalog.").unwrap_or(two[0]);
        two[1] != "(" || !is_name || WORDS.contains(&name) || PURE.contains(&name)
    });
    reads_a_table && !is_locking && !is_writing && is_known
}

#[cfg(test)]
mod tests {
    use crate::{fingerprint::normalize, shape::Shape};

    #[track_caller]
    fn check(sql: &str, expected: bool) {
        assert_eq!(Shape::of_normalized(&normalize(sql)).is_pure, expected);
    }

    #[test]
    fn what_only_reads_tables_is_pure() {
        check("select * from users where id = 7", true);
        check("select count(*), lower(name) from users where id in (1, 2) and (a = 1 or b = 2)", true);
        check("select * from a join b using (id) where exists (select 1 from c where c.id = a.id)", true);
        check("select row_number() over (partition by a order by b) from t", true);
        check("with x as (select id from users) select id from x", true);
        check("select max(a) filter (where b > 1) from t", true);
        check("select extract(year from a), trim(both 'x' from b) from t", true);
    }

    #[test]
    fn what_may_answer_otherwise_or_do_something_is_not() {
        check("select 1", false);
        check("select now()", false);
        check("select extract(year from max(1)), 1 is distinct from 2", false);
        check("select nextval('orders_id_seq')", false);
        check("select nextval('orders_id_seq') from generate_series(1, 3)", false);
        check("select * from jobs where state = 'new' limit 1 for update skip locked", false);
        check("select * from jobs for no key update", false);
        check("select * from jobs lock in share mode", false);
        check("select pg_advisory_lock(7) from t", false);
        check("select random(), id from t", false);
        check("select my_function(id) from t", false);
        check("with x as (delete from a returning id) select id from x", false);
        check("select * into b from a", false);
    }
}
