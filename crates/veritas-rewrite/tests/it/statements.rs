//! Random statements over the cases' schema: what the rules were not written for.

use veritas_statistics::Rng;

/// Columns that are whole numbers, by table.
const NUMBERS: [(&str, &[&str]); 4] = [
    ("customers", &["id", "age"]),
    ("orders", &["id", "customer_id", "quantity"]),
    ("items", &["order_id", "line", "price"]),
    ("blocked", &["customer_id"]),
];

/// Columns that are texts, by table.
const TEXTS: [(&str, &[&str]); 3] =
    [("customers", &["name", "country"]), ("orders", &["status", "note"]), ("items", &["product"])];

/// What a `FROM` brings: table and alias.
type Source = (usize, String);

/// Writes a random query.
pub(crate) fn statement(rng: &mut Rng) -> String {
    let mut writer = Writer { rng, aliases: 0 };
    if writer.one_in(8) {
        let (first, second) = (writer.side("a"), writer.side("b"));
        return format!("{first} UNION {second}");
    }
    writer.query()
}

struct Writer<'r> {
    rng: &'r mut Rng,
    aliases: usize,
}

impl Writer<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn pick<'v>(&mut self, values: &[&'v str]) -> &'v str {
        values[self.below(values.len())]
    }

    fn source(&mut self) -> Source {
        self.aliases += 1;
        (self.below(NUMBERS.len()), format!("t{}", self.aliases))
    }

    fn number(&mut self, sources: &[Source]) -> String {
        let (table, alias) = sources[self.below(sources.len())].clone();
        format!("{alias}.{}", self.pick(NUMBERS[table].1))
    }

    fn text(&mut self, sources: &[Source]) -> Option<String> {
        let (table, alias) = sources[self.below(sources.len())].clone();
        let columns = TEXTS.iter().find(|(name, _)| *name == NUMBERS[table].0)?.1;
        Some(format!("{alias}.{}", self.pick(columns)))
    }

    /// One side of a union.
    fn side(&mut self, tag: &str) -> String {
        let source = self.source();
        let condition = self.condition(std::slice::from_ref(&source), 1);
        let number = self.number(std::slice::from_ref(&source));
        let key = NUMBERS[source.0].1[0];
        let first = if self.one_in(2) { format!("{}.{key}", source.1) } else { number };
        let second = if self.one_in(2) { format!("'{tag}'") } else { "'c'".to_owned() };
        format!(
            "SELECT {first} AS x, {second} AS tag FROM {} {} WHERE {condition}",
            NUMBERS[source.0].0, source.1
        )
    }

    fn from(&mut self) -> (String, Vec<Source>) {
        let first = self.source();
        let mut text = format!("{} {}", NUMBERS[first.0].0, first.1);
        let mut sources = vec![first];
        for _ in 0..self.below(3) {
            let next = self.source();
            let join = self.pick(&["JOIN", "LEFT JOIN", "LEFT JOIN", "JOIN", "CROSS JOIN"]);
            text = format!("{text} {join} {} {}", NUMBERS[next.0].0, next.1);
            let (name, alias) = (NUMBERS[next.0].0, next.1.clone());
            if join != "CROSS JOIN" {
                // Often along a foreign key, or something like it.
                let key = if name == "items" { "order_id" } else { NUMBERS[next.0].1[0] };
                let other = self.number(&sources);
                text = format!("{text} ON {alias}.{key} = {other}");
                if self.one_in(4) {
                    let more = self.simple(std::slice::from_ref(&next));
                    text = format!("{text} AND {more}");
                }
            }
            sources.push(next);
        }
        (text, sources)
    }

    fn constant(&mut self) -> String {
        (self.below(6)).to_string()
    }

    /// A condition of one comparison.
    fn simple(&mut self, sources: &[Source]) -> String {
        let operator = self.pick(&["=", "=", "<", ">=", "<>", "<=", ">"]);
        let number = self.number(sources);
        let constant = self.constant();
        match self.below(14) {
            0 => format!("{number} + {} {operator} {constant}", self.constant()),
            1 => format!("{} - {number} {operator} {constant}", self.constant()),
            2 => format!("{number} * {} {operator} {constant}", self.constant()),
            3 => format!("coalesce({number}, {}) {operator} {constant}", self.constant()),
            4 => format!("{number}::text = '{constant}'"),
            5 => format!("{number} {operator} {constant}.5"),
            6 => format!("{number} IS NULL"),
            7 => format!("{number} IS NOT NULL"),
            8 => {
                let not = self.pick(&["", "NOT "]);
                format!("{number} {not}IN ({constant}, {})", self.constant())
            }
            9 => {
                let other = self.number(sources);
                format!("{number} {operator} {other}")
            }
            10 => match self.text(sources) {
                Some(text) => format!("{text} = 'a'"),
                None => format!("{number} = 1"),
            },
            11 => match self.text(sources) {
                Some(text) => format!("coalesce({text}, 'a') {} 'a'", self.pick(&["=", "<>"])),
                None => format!("{number} = 2"),
            },
            12 => match self.text(sources) {
                Some(text) => format!("left({text}, {}) = 'ab'", 1 + self.below(4)),
                None => format!("{number} = 3"),
            },
            _ => format!("{number} {operator} {constant}"),
        }
    }

    fn condition(&mut self, sources: &[Source], depth: usize) -> String {
        match self.below(10) {
            0 | 1 if depth > 0 => {
                let (one, other) = (self.condition(sources, depth - 1), self.condition(sources, depth - 1));
                format!("({one} OR {other})")
            }
            2 | 3 if depth > 0 => {
                let (one, other) = (self.condition(sources, depth - 1), self.condition(sources, depth - 1));
                format!("{one} AND {other}")
            }
            4 if depth > 0 => format!("NOT ({})", self.condition(sources, depth - 1)),
            5 | 6 if depth > 0 => {
                let number = self.number(sources);
                let not = self.pick(&["NOT ", "NOT ", ""]);
                let set = self.subquery(sources, depth - 1, None);
                format!("{number} {not}IN ({set})")
            }
            7 if depth > 0 => {
                let not = self.pick(&["NOT ", ""]);
                format!("{not}EXISTS ({})", self.subquery(sources, depth - 1, Some("1")))
            }
            8 if depth > 0 => {
                let counted = self.pick(&["count(*)", "count(*)", "count(DISTINCT 1)"]);
                let compared = self.pick(&["> 0", "= 0", "< 1", ">= 1", "<> 0", "> 1"]);
                format!("({}) {compared}", self.subquery(sources, depth - 1, Some(counted)))
            }
            _ => self.simple(sources),
        }
    }

    /// A subquery, often tied to the row around it.
    fn subquery(&mut self, around: &[Source], depth: usize, projected: Option<&str>) -> String {
        let (from, sources) = self.from();
        let number = self.number(&sources);
        let what = projected.map_or(number, str::to_owned);
        let mut conditions = vec![self.condition(&sources, depth)];
        if self.one_in(2) {
            let (inner, outer) = (self.number(&sources), self.number(around));
            conditions.push(format!("{inner} = {outer}"));
        }
        let order = if projected.is_none() && self.one_in(4) { " ORDER BY 1" } else { "" };
        let distinct = if projected.is_none() && self.one_in(4) { "DISTINCT " } else { "" };
        format!("SELECT {distinct}{what} FROM {from} WHERE {}{order}", conditions.join(" AND "))
    }

    fn query(&mut self) -> String {
        let (from, sources) = self.from();
        let condition = self.condition(&sources, 2);
        if self.one_in(5) {
            let group = self.number(&sources);
            let having = self.pick(&["count(*) > 1", "max(1) = 1"]);
            let constant = self.constant();
            return format!(
                "SELECT {group}, count(*) FROM {from} WHERE {condition} GROUP BY {group} HAVING {having} AND {group} < {constant}"
            );
        }
        let mut projected: Vec<String> = (0..=self.below(3)).map(|_| self.number(&sources)).collect();
        if self.one_in(3) {
            // The key of each table, where it has one.
            for (table, alias) in &sources {
                projected.push(format!("{alias}.{}", NUMBERS[*table].1[0]));
                if NUMBERS[*table].0 == "items" {
                    projected.push(format!("{alias}.line"));
                }
            }
        }
        if self.one_in(4) {
            let aggregate = self.pick(&["count(*)", "max(q.quantity)", "coalesce(sum(q.quantity), 0)"]);
            let outer = self.number(&sources);
            let key = self.pick(&["id", "customer_id", "quantity"]);
            projected.push(format!(
                "(SELECT {aggregate} FROM orders q WHERE q.{key} = {outer} AND q.quantity > 0)"
            ));
        }
        let named: Vec<String> =
            projected.iter().enumerate().map(|(index, column)| format!("{column} AS c{index}")).collect();
        let distinct = if self.one_in(3) { "DISTINCT " } else { "" };
        let order = if self.one_in(2) {
            let columns: Vec<String> =
                (0..projected.len()).map(|index| format!("c{index}{}", self.pick(&["", " DESC"]))).collect();
            let limit = if self.one_in(2) { " LIMIT 3 OFFSET 2" } else { "" };
            format!(" ORDER BY {}{limit}", columns.join(", "))
        } else {
            String::new()
        };
        format!("SELECT {distinct}{} FROM {from} WHERE {condition}{order}", named.join(", "))
    }
}
