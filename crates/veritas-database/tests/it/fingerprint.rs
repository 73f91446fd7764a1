//! Fingerprints: which statements are one, which are two, and that no literal survives.

use proptest::prelude::*;
use veritas_database::fingerprint::{CUT_MARK, INPUT_LIMIT, OUTPUT_LIMIT, fingerprint, normalize};

#[track_caller]
fn check(sql: &str, expected: &str) {
    assert_eq!(normalize(sql), expected);
    assert_eq!(normalize(expected), expected, "normalizing again changes nothing");
}

#[test]
fn literals_of_every_spelling_are_taken_out() {
    check("SELECT 'a', 1, 1.5, .5, 1e10, 1.5E-3, 0x1F, 1_000", "select ?, ?, ?, ?, ?, ?, ?, ?");
    check("select 'it''s', E'it\\'s', x'ff', B'01', N'n', U&'d\\0061'", "select ?, ?, ?, ?, ?, ?");
    check("select $$a 'quoted' text$$, $fn$ $$ $fn$, 2", "select ?, ?, ?");
    check("select date '2020-01-01', interval '1 day'", "select date ?, interval ?");
    check("select _utf8'abc'", "select _utf8 ?");
    check("select 12abc from t", "select ? from t");
    check("insert into t values (null, true, 'x')", "insert into t values (?, ?, ?)");
}

#[test]
fn parameters_of_every_driver_are_one() {
    let expected = "select a from t where b = ?";
    for parameter in
        ["$1", "?", "?7", ":name", ":1", "@p", "%s", "%(name)s", "$name", "'x'", "-7", "+7", "- 7"]
    {
        check(&format!("SELECT a FROM t WHERE b = {parameter}"), expected);
    }
}

#[test]
fn comments_and_spacing_do_not_count() {
    check("select/* a /* nested */ 'x' */1--end\n;", "select ?");
    check("select a -- 'open\n from t", "select a from t");
    check(
        " \t\r\nselect\u{0}a\n,b from t where(a=1)and b>=2 ;; ",
        "select a, b from t where (a = ?) and b >= ?",
    );
    check("select count (*), a . b, f( 1 )", "select count(*), a.b, f(?)");
    check("select a::int, b :: text, c != 1, d == 2", "select a::int, b::text, c <> ?, d = ?");
    check("select /* never closed", "select");
}

#[test]
fn words_are_folded_and_quoted_identifiers_are_kept() {
    check(
        "SELECT \"Select\", `A``b`, \"a\"\"b\" FROM Users",
        "select \"Select\", `A``b`, \"a\"\"b\" from users",
    );
    check("select Größe from Tabelle", "select größe from tabelle");
    assert_ne!(fingerprint("select \"A\" from t"), fingerprint("select \"a\" from t"));
}

#[test]
fn lists_and_rows_are_written_once() {
    check("select 1 from t where a in (1, 2, 3)", "select ? from t where a in (?)");
    check(
        "select 1 from t where a IN($1,$2) and b not in ('x')",
        "select ? from t where a in (?) and b not in (?)",
    );
    check("select 1 from t where (a, b) in ((1, 2), (3, 4))", "select ? from t where (a, b) in ((?, ?))");
    check("select 1 from t where a in ($1::int, $2::int)", "select ? from t where a in (?::int)");
    check("select 1 from t where a = any(array[1, 2, 3])", "select ? from t where a = any(array[?])");
    check(
        "insert into t (a, b) values (1, 'x'), (2, 'y') on conflict do nothing",
        "insert into t(a, b) values (?, ?) on conflict do nothing",
    );
    check("insert into t values (1, now()), (2, now())", "insert into t values (?, now())");
    check("insert into t values (1, now()), (2, null)", "insert into t values (?, now()), (?, ?)");
    check(
        "insert into t (a) values (1) on duplicate key update a = values(a), b = values(b)",
        "insert into t(a) values (?) on duplicate key update a = values (a), b = values (b)",
    );
    check(
        "select 1 where a in (select b from c where d in (1, 2))",
        "select ? where a in (select b from c where d in (?))",
    );
    check("select coalesce(1, 2), f(1, 1)", "select coalesce(?, ?), f(?, ?)");
}

#[test]
fn a_sign_belongs_to_its_number_and_a_minus_does_not() {
    check("select a - 1, a -1, a-1, (-1), f(-1, +2)", "select a - ?, a - ?, a - ?, (?), f(?, ?)");
    check("select 1 limit -1", "select ? limit ?");
    check("select -a, 3 - -4", "select - a, ? - ?");
    check("where a between -1 and -5", "where a between ? and ?");
    check("where a between symmetric -1 and -5", "where a between symmetric ? and ?");
    // The server casts first, and shows the sign.
    check("select -1::int, - 1.5 ::text, -1 + 2", "select - ?::int, - ?::text, ? + ?");
    // A plus that adds nothing is one, whatever follows it.
    check("select +1, + $1, +a, b + +c, a + 1", "select ?, ?, a, b + c, a + ?");
}

#[test]
fn what_the_server_takes_for_a_literal_is_one() {
    check(
        "select EXTRACT(Year FROM a), extract( 'day'from b)",
        "select extract(? from a), extract(? from b)",
    );
    check("select extract(\"hour\" from a), extract(a, b)", "select extract(? from a), extract(a, b)");
    check("select extract(year from date '2020-01-01')", "select extract(? from date ?)");
    check("select a from t limit all offset 2", "select a from t limit ? offset ?");
    check(
        "select normalize(a, NFC), a is not nfkd normalized",
        "select normalize(a, ?), a is not ? normalized",
    );
    check("select 'a'\n  'b', 'c' -- and\n'd'", "select ?, ?");
    check(
        "select a from t where not true and b is not true",
        "select a from t where not ? and b is not true",
    );
    check("create table t(a int not null)", "create table t(a int not null)");
    check(
        "select a[1:2], a[b:3], a[b:c], a[:4], a[$1:$2]",
        "select a[? : ?], a[b : ?], a[b : c], a[: ?], a[? : ?]",
    );
    check("select a[:name]", "select a[?]");
}

#[test]
fn a_parameter_without_blanks_around_it_is_one() {
    check("select interval$1, date$2 from t", "select interval ?, date ? from t");
    check("select $1from t where a like$2and b in($3)", "select ? from t where a like ? and b in (?)");
    check("select N$1, n'x'", "select ?, ?");
    // A name of its own, as other servers allow.
    check("select v$session, a$1 from sys$t", "select v$session, a$1 from sys$t");
}

#[test]
fn operators_stay() {
    check(
        "select a->>'k', b->'x', c #>> '{a}', d @> '{}', e || 'x', f ~* 'y'",
        "select a ->> ?, b -> ?, c #>> ?, d @> ?, e || ?, f ~* ?",
    );
    check("select @@version, a := 1", "select @@ version, a := ?");
}

#[test]
fn generated_names_of_savepoints_are_one() {
    check("SAVEPOINT sa_savepoint_12", "savepoint ?");
    check("ROLLBACK TO SAVEPOINT sa_savepoint_12", "rollback to savepoint ?");
}

#[test]
fn a_backslash_is_read_the_way_that_leaves_the_quotes_balanced() {
    // Standard SQL: the backslash is a character.
    check("select 'C:\\' from t where a = 'b'", "select ? from t where a = ?");
    check("select 'C:\\\\' from t", "select ? from t");
    // MySQL: it escapes the quote.
    check("select 'it\\'s secret' from t where a = 'b'", "select ? from t where a = ?");
    // Both or neither: nothing after it is shown.
    check("select 'a\\' , 'secret\\' x'", &format!("select ?{CUT_MARK}"));
}

#[test]
fn a_double_quoted_string_after_a_comparison_is_a_literal() {
    check("select a from t where b = \"secret\" and c = 1", "select a from t where b = ? and c = ?");
    check("select a from t where b in (\"s1\", \"s2\")", "select a from t where b in (?)");
    check("insert into t (\"a\") values (\"s1\", \"s2\")", "insert into t(\"a\") values (?, ?)");
    check(
        "select 1 from a join b on \"a\".\"x\" = \"b\".\"x\"",
        "select ? from a join b on \"a\".\"x\" = \"b\".\"x\"",
    );
    check("select a from t where b = \"s\" .5", "select a from t where b = ? ?");
}

#[test]
fn what_is_not_closed_shows_nothing_more() {
    check("select a from t where b = 'secret", "select a from t where b = ?");
    check("select a from t where b = $x$secret", "select a from t where b = ?");
    check("select a, \"secret", &format!("select a, ?{CUT_MARK}"));
}

#[test]
fn a_long_statement_is_cut_and_still_the_same() {
    let columns = (0..10_000).map(|index| format!("column_{index}")).collect::<Vec<_>>().join(", ");
    let long = normalize(&format!("select {columns} from t"));
    assert!(long.len() <= OUTPUT_LIMIT && long.ends_with(CUT_MARK), "{}", long.len());
    assert_eq!(normalize(&long), long);

    let rows = |count: usize| format!("insert into t values {}", vec!["(1, 'secret')"; count].join(","));
    assert_eq!(normalize(&rows(100)), "insert into t values (?, ?)");
    let cut = normalize(&rows(INPUT_LIMIT / 4));
    assert_eq!(cut, format!("insert into t values (?, ?){CUT_MARK}"));
    assert_eq!(normalize(&rows(INPUT_LIMIT / 3)), cut);
}

#[test]
fn statements_that_are_one_have_one_fingerprint() {
    for (left, right) in [
        ("select * from t where id = 1", "SELECT *\nFROM t WHERE id=$1;"),
        ("select * from t where id in (1)", "select * from t where id in (?, ?, ?)"),
        ("insert into t values (1)", "insert into t values (1), (2)"),
        ("select 'a'", "select E'b\\n'"),
        ("select a from t limit 10 offset 20", "select a from t limit $1 offset $2"),
        ("update t set a = -1", "update t set a = 1"),
    ] {
        assert_eq!(fingerprint(left), fingerprint(right), "{left} | {right}");
    }
}

#[test]
fn statements_that_are_two_have_two_fingerprints() {
    for (left, right) in [
        ("select a from t", "select b from t"),
        ("select a from t", "select a from u"),
        ("select a from t where b = 1", "select a from t where b > 1"),
        ("select a from t where b is null", "select a from t where b is not null"),
        ("select a from t where b = 1", "select a from t where b = c"),
        ("select a from t order by b", "select a from t order by b desc"),
        ("select a - 1", "select a + 1"),
        ("insert into t values (1, 2)", "insert into t values (1, 2, 3)"),
        ("select a from t where b in (1)", "select a from t where b in (select 1)"),
        ("select a.b", "select a, b"),
    ] {
        assert_ne!(fingerprint(left), fingerprint(right), "{left} | {right}");
    }
}

/// A literal that holds the marker, in one of many spellings.
fn secret() -> impl Strategy<Value = String> {
    let body = "[ a-z,;()=-]{0,12}";
    prop_oneof![
        (body, body).prop_map(|(before, after)| format!("'{before}S3CRET{after}'")),
        (body, body).prop_map(|(before, after)| format!("'{before}''S3CRET{after}'")),
        (body, body).prop_map(|(before, after)| format!("E'{before}\\'S3CRET\\\\{after}'")),
        (body, body).prop_map(|(before, after)| format!("$q${before}'S3CRET{after}$q$")),
        Just("x'53C3E7'".to_owned()),
        Just("N'S3CRET'".to_owned()),
        body.prop_map(|inside| format!("/* S3CRET {} */ 1", inside.replace("*/", ""))),
        body.prop_map(|inside| format!("7 -- S3CRET {inside}\n")),
        "[0-9]{1,12}".prop_map(|digits| format!("991{digits}")),
        "[0-9]{1,6}".prop_map(|digits| format!("-991{digits}.25e-7")),
    ]
}

fn statement() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(secret(), 1..6),
        prop::sample::select(vec!["=", "<>", ">", "like", "+", "||"]),
        prop::sample::select(vec!["a", "t.b", "\"C\"", "lower(d)"]),
        0..6_u8,
    )
        .prop_map(|(secrets, operator, column, form)| {
            let list = secrets.join(", ");
            let first = &secrets[0];
            match form {
                0 => format!("SELECT * FROM t WHERE {column} {operator} {first} LIMIT 10"),
                1 => format!("select {column} from t where {column} in ({list}) order by 1"),
                2 => format!("INSERT INTO t (a) VALUES ({list}), ({list}) RETURNING id"),
                3 => format!("update t set a = {first}, b = coalesce({list}) where {column} {operator} {first}"),
                4 => format!("select f({list})::text, array[{list}] from (select {first}) x"),
                _ => format!("delete from t where not ({column} {operator} {first} or {column} between {first} and {first})"),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_literal_survives(sql in statement()) {
        let normalized = normalize(&sql);
        prop_assert!(!normalized.to_lowercase().contains("s3cret"), "{sql}\n{normalized}");
        prop_assert!(!normalized.contains("991"), "{sql}\n{normalized}");
        prop_assert!(!normalized.contains("53C3E7"), "{sql}\n{normalized}");
    }

    #[test]
    fn normalizing_again_changes_nothing(sql in statement()) {
        let normalized = normalize(&sql);
        prop_assert_eq!(normalize(&normalized), normalized);
    }

    #[test]
    fn any_text_is_normalized_within_the_limit(text in any::<String>()) {
        prop_assert!(normalize(&text).len() <= OUTPUT_LIMIT);
    }

    #[test]
    fn any_soup_of_sql_is_normalized_and_stays_normalized(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "select", "values", "extract", "from", "limit", "all", "not", "nfc", "interval", "n", "in", "array",
            "is", "null", "true", "savepoint", "a", "Ä", "\"q\"", "\"", "`", "'", "''",
            "\\", "(", ")", "[", "]", ",", ".", ";", ":", "::", "=", "<", ">", "-", "--", "+", "*", "/", "/*", "*/", "$",
            "$1", "$a$", "?", "?|", "@", "@p", "%", "%s", "#", "|", "&", "~", "!", "1", "1.5", "e", "x", "0x", "…", " ",
            "\n", "\u{0}", "🦀",
        ]), 0..40)
    ) {
        let sql = tokens.concat();
        let once = normalize(&sql);
        prop_assert!(once.len() <= OUTPUT_LIMIT);
        prop_assert_eq!(normalize(&once), once, "{:?}", sql);
    }
}
