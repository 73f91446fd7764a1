//! Statements of made-up applications: templates from a grammar, and each template
//! written in many ways, as one application would send it again and again.
//!
//! What varies between two statements of a template: the values, the case of words, spaces,
//! line breaks, comments, how a literal is spelled, and the lengths of lists. What they say
//! does not vary, nor do the types of their values.

use std::{collections::HashSet, fmt::Write as _};

use veritas_statistics::Rng;

/// The tables that the statements are about.
pub(crate) const SCHEMA: &str = "
CREATE TABLE users (id int, name text, email text, age int, score numeric(12, 2), active boolean,
                    created_at timestamptz, tags text[], profile jsonb);
CREATE TABLE orders (id int, user_id int, total numeric(12, 2), state text, active boolean, created_at timestamptz);
CREATE TABLE posts (id int, user_id int, name text, body text, age int, active boolean, profile jsonb);
INSERT INTO users SELECT n, 'n' || n, n || '@x', n % 90, n, n % 2 = 0, now(), ARRAY['a'], '{\"a\": 1}'
    FROM generate_series(1, 5) n;
INSERT INTO orders SELECT n, n, n, 'open', true, now() FROM generate_series(1, 5) n;
INSERT INTO posts SELECT n, n, 'p' || n, 'text', n, true, '{}' FROM generate_series(1, 5) n;
";

/// A statement, and which of its template's lists have which lengths.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) sql: String,
    /// Which template it is from.
    pub(crate) template: usize,
    /// Elements of its lists and rows of its `VALUES`, in order.
    pub(crate) lengths: Vec<u64>,
}

/// The types of values.
const INT: &str = "{int}";
const TEXT: &str = "{text}";
const NUMERIC: &str = "{numeric}";
const BOOLEAN: &str = "{boolean}";
const TIME: &str = "{time}";
const COUNT: &str = "{count}";

/// A table: its name, its alias, and its columns of each type.
struct Table {
    name: &'static str,
    alias: &'static str,
    ints: &'static [&'static str],
    texts: &'static [&'static str],
    numeric: Option<&'static str>,
    time: Option<&'static str>,
    json: bool,
}

const TABLES: [Table; 3] = [
    Table {
        name: "users",
        alias: "u",
        ints: &["id", "age"],
        texts: &["name", "email"],
        numeric: Some("score"),
        time: Some("created_at"),
        json: true,
    },
    Table {
        name: "orders",
        alias: "o",
        ints: &["id", "user_id"],
        texts: &["state"],
        numeric: Some("total"),
        time: Some("created_at"),
        json: false,
    },
    Table {
        name: "posts",
        alias: "p",
        ints: &["id", "user_id", "age"],
        texts: &["name", "body"],
        numeric: None,
        time: None,
        json: true,
    },
];

/// Makes templates and writes them.
pub(crate) struct Author {
    rng: Rng,
    templates: Vec<String>,
    meanings: HashSet<String>,
}

impl Author {
    /// Begins with a seed; the same seed writes the same statements.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), templates: Vec::new(), meanings: HashSet::new() }
    }

    /// Makes `templates` different templates and writes each of them `times` times.
    pub(crate) fn statements(&mut self, templates: usize, times: usize) -> Vec<Written> {
        while self.templates.len() < templates {
            let template = self.template();
            if self.meanings.insert(meaning(&template)) {
                self.templates.push(template);
            }
        }
        let mut written = Vec::with_capacity(templates * times);
        for template in 0..templates {
            for _ in 0..times {
                written.push(self.write(template));
            }
        }
        written
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.rng.below(of.len() as u64)).unwrap_or(0)]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.rng.below(100) < percent
    }

    fn template(&mut self) -> String {
        match self.rng.below(10) {
            0 => self.insert(),
            1 => self.update(),
            2 => self.delete(),
            _ => self.select(),
        }
    }

    fn table(&mut self) -> &'static Table {
        &TABLES[usize::try_from(self.rng.below(3)).unwrap_or(0)]
    }

    /// A column of a type, written with its table's alias.
    fn column(&mut self, table: &Table, columns: &[&str]) -> String {
        let column = self.one(columns);
        format!("{}.{column}", table.alias)
    }

    fn expression(&mut self, table: &Table) -> String {
        let (int, text) = (self.column(table, table.ints), self.column(table, table.texts));
        match self.rng.below(28) {
            0..=2 => int,
            3..=5 => text,
            6 => format!("{int} + {INT}"),
            7 => format!("{int} - {INT}"),
            8 => format!("coalesce( {text} , {TEXT} )"),
            9 => format!("{text} || {TEXT}"),
            10 => format!("case when {int} > {INT} then {TEXT} else {text} end"),
            11 => format!("lower( {text} )"),
            12 => format!("cast( {int} as text )"),
            13..=15 => match table.time {
                Some(time) => format!("extract( {{field}} from {}.{time} )", table.alias),
                None => "extract( {field} from now( ) )".to_owned(),
            },
            16 => format!("position( {TEXT} in {text} )"),
            17 => format!("substring( {text} from {COUNT} for {COUNT} )"),
            18 => format!("substring( {text} from {COUNT} )"),
            19 => format!("trim( both {TEXT} from {text} )"),
            20 => format!("trim( leading from {text} )"),
            21 => format!("overlay( {text} placing {TEXT} from {COUNT} for {COUNT} )"),
            22 => "date {date} + interval {interval}".to_owned(),
            23 => format!("{TEXT} ::char"),
            24 => "array[ {list:int} ]".to_owned(),
            25 => format!("( array[ {INT} , {INT} ] )[ {COUNT} ]"),
            26 => format!("- {int} * {INT}"),
            _ => format!("substr( {text} , {COUNT} , {COUNT} )"),
        }
    }

    fn predicate(&mut self, table: &Table, depth: u32) -> String {
        let (int, text) = (self.column(table, table.ints), self.column(table, table.texts));
        let alias = table.alias;
        match self.rng.below(29) {
            0..=3 => format!("{int} = {INT}"),
            4 | 5 => format!("{text} = {TEXT}"),
            6 => format!("{int} {} {INT}", self.one(&["<", ">", "<=", ">=", "<>"])),
            7 | 8 => format!("{int} in ( {{list:int}} )"),
            9 => format!("{text} not in ( {{list:text}} )"),
            10 => format!("{int} between {INT} and {INT}"),
            11 => format!("{text} {} {TEXT}", self.one(&["like", "ilike", "not like"])),
            12 if depth > 0 => format!("{text} {} {{pattern}}", self.one(&["~", "!~*"])),
            12 => format!("{int} is {} null", self.one(&["", "not"])),
            13 => format!("{alias}.active = {BOOLEAN}"),
            14 => format!("{int} = any ( array[ {{list:int}} ] )"),
            15 => match table.numeric {
                Some(numeric) => format!("{alias}.{numeric} >= {NUMERIC}"),
                None => format!("length( {text} ) > {INT}"),
            },
            16 => match table.time {
                Some(time) => format!("{alias}.{time} > timestamptz {TIME}"),
                None => format!("not {alias}.active"),
            },
            17 => match table.time {
                Some(time) => format!("{alias}.{time} < now( ) - interval {{interval}}"),
                None => format!("{alias}.active is {} true", self.one(&["", "not"])),
            },
            18 if table.json => format!("{alias}.profile ->> {TEXT} = {TEXT}"),
            19 if table.json => format!("{alias}.profile @> {{json}} ::jsonb"),
            20 if depth > 0 => {
                let (left, right) = (self.predicate(table, depth - 1), self.predicate(table, depth - 1));
                format!("( {left} or {right} )")
            }
            21 if depth > 0 => {
                let inner = self.table();
                let condition = self.predicate(inner, depth - 1);
                let key = self.one(inner.ints);
                format!(
                    "{int} in ( select {}.{key} from {} {} where {condition} )",
                    inner.alias, inner.name, inner.alias
                )
            }
            22 if depth > 0 => {
                let condition = self.predicate(table, depth - 1);
                format!("not ( {condition} )")
            }
            23 => match table.time {
                Some(time) => format!("extract( {{field}} from {alias}.{time} ) = {INT}"),
                None => format!("extract( {{field}} from timestamptz {TIME} ) > {INT}"),
            },
            24 => match table.time {
                Some(time) => format!("{alias}.{time} >= date {{date}}"),
                None => format!("{int} = - {INT} ::int"),
            },
            25 => format!("{int} between symmetric {INT} and {INT}"),
            26 => format!("not {BOOLEAN}"),
            27 => format!("{int} is not distinct from {}", self.column(table, table.ints)),
            _ => format!("{text} is distinct from {TEXT}"),
        }
    }

    fn condition(&mut self, table: &Table) -> String {
        let mut condition = self.predicate(table, 2);
        for _ in 0..self.rng.below(3) {
            let next = self.predicate(table, 1);
            let _ = write!(condition, " and {next}");
        }
        condition
    }

    fn select(&mut self) -> String {
        let table = self.table();
        let mut text = String::new();
        let is_with = self.chance(8);
        if is_with {
            let inner = self.table();
            let condition = self.predicate(inner, 1);
            let _ = write!(
                text,
                "with recent as ( select {}.id from {} {} where {condition} ) ",
                inner.alias, inner.name, inner.alias
            );
        }
        let expressions: Vec<String> = (0..=self.rng.below(4)).map(|_| self.expression(table)).collect();
        let is_grouped = self.chance(15);
        let key = self.column(table, table.texts);
        if is_grouped {
            let aggregate = self.one(&["count( * )", "max( {key}.id )", "sum( {key}.id )"]);
            let _ = write!(text, "select {key} , {} ", aggregate.replace("{key}", table.alias));
        } else {
            let distinct = if self.chance(8) { "distinct " } else { "" };
            let _ = write!(text, "select {distinct}{} ", expressions.join(" , "));
        }
        let _ = write!(text, "from {} {} ", table.name, table.alias);
        if self.chance(30) {
            let other = self.table();
            let (kind, own) = (self.one(&["join", "left join"]), self.one(table.ints));
            let (key, condition) = (self.one(other.ints), self.predicate(other, 0).replace("{alias}", "x"));
            let condition = condition.replace(&format!("{}.", other.alias), "x.");
            let _ =
                write!(text, "{kind} {} x on x.{key} = {}.{own} and {condition} ", other.name, table.alias);
        }
        if is_with {
            let _ = write!(text, "join recent r on r.id = {}.id ", table.alias);
        }
        if self.chance(90) {
            let condition = self.condition(table);
            let _ = write!(text, "where {condition} ");
        }
        if is_grouped {
            let _ = write!(text, "group by {key} ");
            if self.chance(40) {
                let _ = write!(text, "having count( * ) > {INT} ");
            }
        } else if self.chance(35) && !text.contains("distinct ") {
            let order = self.column(table, table.ints);
            let _ = write!(text, "order by {order} {} ", self.one(&["", "desc", "desc nulls last"]));
        }
        match self.rng.below(20) {
            0..=4 => text.push_str("limit {count} "),
            5 | 6 => text.push_str("limit {count} offset {count} "),
            7 => text.push_str("fetch first {count} rows only "),
            8 => text.push_str("offset {count} rows fetch next {count} rows only "),
            _ => {}
        }
        text
    }

    fn insert(&mut self) -> String {
        let (columns, types) = match self.rng.below(5) {
            0 => ("users ( id , name , score )", "int,text,numeric"),
            1 => ("orders ( user_id , state , active , created_at )", "int,text,boolean,now"),
            2 => ("posts ( id , user_id , name , body )", "int,int,text,nullable"),
            3 => ("users ( email , age )", "text,int"),
            _ => ("orders ( id , total )", "int,numeric"),
        };
        let mut text = format!("insert into {columns} values {{rows:{types}}} ");
        if self.chance(30) {
            text.push_str("on conflict do nothing ");
        }
        let returning = self.one(&["", "", "id", "*", "id + {int} as next_id"]);
        if !returning.is_empty() {
            let _ = write!(text, "returning {returning} ");
        }
        if self.chance(25) {
            let table = self.table();
            let condition = self.condition(table);
            text = format!(
                "insert into posts ( id , name ) select {}.id , {TEXT} from {} {} where {condition} ",
                table.alias, table.name, table.alias
            );
        }
        text
    }

    fn update(&mut self) -> String {
        let table = self.table();
        let mut sets = vec![format!("{} = {TEXT}", self.one(table.texts))];
        if self.chance(50) {
            sets.push(format!("active = {BOOLEAN}"));
        }
        if self.chance(30) {
            sets.push(
                format!("user_id = {}.id + {INT}", table.alias)
                    .replace("user_id", if table.name == "users" { "age" } else { "user_id" }),
            );
        }
        let condition = self.condition(table);
        format!("update {} {} set {} where {condition} ", table.name, table.alias, sets.join(" , "))
    }

    fn delete(&mut self) -> String {
        let table = self.table();
        let condition = self.condition(table);
        let returning = if self.chance(20) { "returning *" } else { "" };
        format!("delete from {} {} where {condition} {returning}", table.name, table.alias)
    }

    /// Writes a template with values, in the spelling of the day.
    fn write(&mut self, template: usize) -> Written {
        let text = self.templates[template].clone();
        let spelling = Spelling::of(&mut self.rng);
        let mut written = Written { sql: String::new(), template, lengths: Vec::new() };
        if self.chance(8) {
            written.sql.push_str("/* page 7, it's cached */ ");
        }
        for token in text.split_whitespace() {
            self.separate(&mut written.sql, &spelling, token);
            match token.strip_prefix("{list:").or_else(|| token.strip_prefix("{rows:")) {
                Some(types) => {
                    let types = types.trim_end_matches('}');
                    let is_rows = token.starts_with("{rows:");
                    let length = 1 + if is_rows { self.rng.below(4) } else { self.rng.below(9) };
                    written.lengths.push(length);
                    let comma = self.one(&[",", ", ", " , "]);
                    let items: Vec<String> = (0..length)
                        .map(|_| {
                            let row: Vec<String> = types.split(',').map(|kind| self.value(kind)).collect();
                            let row = row.join(comma);
                            if is_rows { format!("({row})") } else { row }
                        })
                        .collect();
                    written.sql.push_str(&items.join(comma));
                }
                None if token.starts_with('{') => {
                    let value = self.value(token.trim_matches(['{', '}']));
                    written.sql.push_str(&value);
                }
                None => match spelling.case {
                    Case::Lower => written.sql.push_str(token),
                    Case::Upper => written.sql.push_str(&token.to_uppercase()),
                    Case::Capital => {
                        let (first, rest) = token.split_at(1);
                        written.sql.push_str(&first.to_uppercase());
                        written.sql.push_str(rest);
                    }
                },
            }
        }
        let end = self.one(&["", "", "", ";", " ; ", " -- done", "\n"]);
        written.sql.push_str(end);
        written
    }

    fn separate(&mut self, sql: &mut String, spelling: &Spelling, token: &str) {
        let is_glued =
            sql.ends_with(['(', '[']) || matches!(token, ")" | "]" | ",") || token.starts_with("::");
        // A string needs no blank before it.
        let is_glued = is_glued || matches!(token, "{interval}" | "{date}") && self.chance(10);
        if sql.is_empty() || is_glued && !spelling.airy {
            return;
        }
        if self.chance(spelling.comments) {
            let comment = self.one(&[" /* 'x' */ ", " -- it's a note\n", "/* a /* nested */ one */"]);
            sql.push_str(comment);
            return;
        }
        sql.push_str(spelling.blank);
    }

    fn value(&mut self, kind: &str) -> String {
        match kind {
            // Small enough for what is made of them, whatever their sign.
            "int" => match self.rng.below(12) {
                0 => "0".to_owned(),
                1 => format!("-{}", self.rng.below(1_000)),
                2 => format!("- {}", self.rng.below(1_000)),
                _ => self.rng.below(1_000_000).to_string(),
            },
            "count" => (1 + self.rng.below(100)).to_string(),
            "numeric" => match self.rng.below(4) {
                0 => format!("-{}.5", self.rng.below(1_000)),
                1 => format!(".{}", self.rng.below(100)),
                2 => format!("{}e2", self.rng.below(100)),
                _ => format!("{}.{:02}", self.rng.below(10_000), self.rng.below(100)),
            },
            "boolean" => self.one(&["true", "false", "TRUE", "False"]).to_owned(),
            "nullable" => self.one(&["null", "NULL", "'a body'", "''"]).to_owned(),
            "now" => "now()".to_owned(),
            "field" => self.one(&["year", "MONTH", "Epoch", "'day'", "\"hour\"", "second"]).to_owned(),
            "date" => self.one(&["'2024-01-31'", "'1999-12-31'", "'2000-02-29'"]).to_owned(),
            "time" => self.one(&["'2024-01-31'", "'2026-11-23 10:00:00+00'"]).to_owned(),
            "interval" => self.one(&["'7 days'", "'1 hour'", "'90 seconds'"]).to_owned(),
            "pattern" => self.one(&["'^a.*'", "'[0-9]+'", "E'\\\\d'"]).to_owned(),
            "json" => self.one(&["'{}'", "'{\"a\": 1}'", "$${\"b\": [1, \"it's\"]}$$"]).to_owned(),
            _ => match self.rng.below(13) {
                0 => "''".to_owned(),
                1 => "'it''s'".to_owned(),
                2 => "E'a\\'b\\n'".to_owned(),
                3 => "$$it's \"quoted\"$$".to_owned(),
                4 => "$q$ -- no comment $q$".to_owned(),
                5 => "'a ) , ( b /* no comment'".to_owned(),
                6 => "U&'d\\0061t'".to_owned(),
                7 => "'Größe 🦀'".to_owned(),
                8 => "'C:\\dir'".to_owned(),
                9 => "'one'\n  'and the same'".to_owned(),
                _ => format!("'value {}'", self.rng.below(1_000_000)),
            },
        }
    }
}

/// Returns a template in the one of its spellings that stands for all: a list of one is an
/// equality to the server, an array is a list, and `FETCH` is a `LIMIT`. (What we do with spellings is measured apart.)
fn meaning(template: &str) -> String {
    let mut meaning = template.split_whitespace().collect::<Vec<_>>().join(" ");
    for kind in ["int", "text"] {
        for (spelling, same) in [
            (format!("= any ( array[ {{list:{kind}}} ] )"), format!("= {{{kind}}}")),
            (format!("not in ( {{list:{kind}}} )"), format!("<> {{{kind}}}")),
            (format!("in ( {{list:{kind}}} )"), format!("= {{{kind}}}")),
        ] {
            meaning = meaning.replace(&spelling, &same);
        }
    }
    for (spelling, same) in [
        ("fetch first {count} rows only", "limit {count}"),
        ("offset {count} rows fetch next {count} rows only", "limit {count} offset {count}"),
    ] {
        meaning = meaning.replace(spelling, same);
    }
    meaning
}

enum Case {
    Lower,
    Upper,
    Capital,
}

/// How a statement is spaced and capitalized.
struct Spelling {
    case: Case,
    blank: &'static str,
    airy: bool,
    /// Percent of the gaps that hold a comment.
    comments: u64,
}

impl Spelling {
    fn of(rng: &mut Rng) -> Self {
        Self {
            case: match rng.below(4) {
                0 => Case::Upper,
                1 => Case::Capital,
                _ => Case::Lower,
            },
            blank: [" ", " ", "\n    ", "\t", "  ", "\r\n"][usize::try_from(rng.below(6)).unwrap_or(0)],
            airy: rng.below(3) == 0,
            comments: if rng.below(5) == 0 { 10 } else { 0 },
        }
    }
}
