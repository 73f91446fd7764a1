//! Pairs of statements that mean the same to the server's parser and are spelled otherwise,
//! and pairs that it keeps apart: where we agree with it, and where we differ by design.

/// What we do with a pair, beside what the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ours {
    /// The same as the server.
    Agrees,
    /// Two statements for us, one for the server: it knows the schema, we read the text.
    Splits,
    /// One statement for us, two for the server: it looks at the types of literals.
    Joins,
}

/// Each pair, and what we do with it.
pub(crate) const SPELLINGS: [(&str, &str, Ours); 51] = [
    // One and the same for both.
    ("select id from users where id <> 1", "SELECT id FROM users WHERE id != 2", Ours::Agrees),
    ("select id from users where age = 1", "select id from users where age=-1", Ours::Agrees),
    ("select name from users where name = 'a'", "select name from users where name = E'b\\n'", Ours::Agrees),
    ("select 1 from users where active = true", "select 2 from users where active = FALSE", Ours::Agrees),
    ("insert into users (age) values (null)", "insert into users (age) values (7)", Ours::Agrees),
    ("select id as key from users", "select id AS key from users -- again", Ours::Agrees),
    ("select id from users limit 10", "select id from users limit 20", Ours::Agrees),
    (
        "select extract(year from created_at) from users",
        "select extract('month' from created_at) from users",
        Ours::Agrees,
    ),
    ("select interval '1 day'", "select interval'2 hours'", Ours::Agrees),
    ("select date '2020-01-01' from users", "select date E'2021-01-01' from users", Ours::Agrees),
    ("select name from users where name = 'a'", "select name from users where name = 'a'\n'b'", Ours::Agrees),
    ("select id from users where not true", "select id from users where not false", Ours::Agrees),
    ("select id from users limit all", "select id from users limit null", Ours::Agrees),
    // Two for both.
    (
        "select extract(year from created_at) from users",
        "select extract(year from now()) from users",
        Ours::Agrees,
    ),
    ("select id from users where active is true", "select id from users where active is false", Ours::Agrees),
    ("select 1 from users where id = - 1::int", "select 1 from users where id = 1::int", Ours::Agrees),
    ("select id from users", "select age from users", Ours::Agrees),
    ("select id from users where id > 1", "select id from users where id >= 1", Ours::Agrees),
    ("select id from users order by id", "select id from users order by id desc", Ours::Agrees),
    ("select count(id) from users", "select count(distinct id) from users", Ours::Agrees),
    ("select id from users where name like 'a'", "select id from users where name ilike 'a'", Ours::Agrees),
    ("select id from users for update", "select id from users for share", Ours::Agrees),
    ("insert into users (id) values (1)", "insert into users (id) values (default)", Ours::Agrees),
    (
        "select id from users u where age is null",
        "select id from users u where age is not null",
        Ours::Agrees,
    ),
    ("select 1 - age from users", "select 1 + age from users", Ours::Agrees),
    (
        "insert into posts (id, user_id) values (1, 2)",
        "insert into posts (user_id, id) values (2, 1)",
        Ours::Agrees,
    ),
    ("select id from users where active", "select id from users where not active", Ours::Agrees),
    // One for the server, which resolves names and rewrites the tree; two texts for us.
    ("select id from users", "select id from public.users", Ours::Splits),
    ("select id from users", "select u.id from users u", Ours::Splits),
    ("select id from users", "select \"id\" from \"users\"", Ours::Splits),
    ("select id from users", "select id as other from users", Ours::Splits),
    ("select id key from users", "select id as key from users", Ours::Splits),
    ("select age::text from users", "select cast(age as text) from users", Ours::Splits),
    ("select id from users where (id = 1)", "select id from users where id = 1", Ours::Splits),
    (
        "select u.id from users u join posts p on p.id = u.id",
        "select u.id from users u inner join posts p on p.id = u.id",
        Ours::Splits,
    ),
    ("select id from users order by id", "select id from users order by id asc", Ours::Splits),
    ("select id from users where id in (1)", "select id from users where id = 1", Ours::Splits),
    (
        "select substring(name from 1 for 2) from users",
        "select substring(name, 1, 2) from users",
        Ours::Splits,
    ),
    ("select trim(name) from users", "select trim(both from name) from users", Ours::Splits),
    ("select date '2020-01-01'", "select '2020-01-01'::date", Ours::Splits),
    ("select interval '1' day", "select interval '1 day'", Ours::Splits),
    ("select id from users limit 5", "select id from users fetch first 5 rows only", Ours::Splits),
    // One for the server, which hashes no absent clause.
    ("select id from users limit 1", "select id from users offset 1", Ours::Splits),
    // Two for the server, by the types of literals and by the lengths of lists; one for us.
    ("select id from users where score > 10", "select id from users where score > 10.5", Ours::Joins),
    ("select id from users where id > 10", "select id from users where id > 3000000000", Ours::Joins),
    ("select 1", "select 'a'", Ours::Joins),
    // It shows `limit all` as `limit $1`.
    ("select id from users limit all", "select id from users limit 5", Ours::Joins),
    // A plus is a call of a function to the server, which returns what it is given.
    ("select id from users where id = +1", "select id from users where id = 1", Ours::Joins),
    ("select +id from users", "select id from users", Ours::Joins),
    ("select id from users where id in (1, 2)", "select id from users where id in (1, 2, 3)", Ours::Joins),
    ("insert into users (id) values (1), (2)", "insert into users (id) values (1)", Ours::Joins),
];
