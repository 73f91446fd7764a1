//! One comparison, in the form in which both statements can be compared.

use veritas_statistics::Rng;

use crate::{
    Dialect, Form, Rewrite,
    fuzz::{Content, Database, Row, Value, mapped, parameters::Kind, pool::Pool},
    text::with_number,
};

/// Most pages of one walk.
const MOST_PAGES: u64 = 64;

pub(super) enum Outcome {
    Same { rows: u64, comparisons: u64, not_empty: u64 },
    Refused,
    Different { parameters: Vec<Value>, expected: Vec<Row>, found: Option<Vec<Row>>, failure: Option<String> },
}

/// Adds up what comparisons found.
#[derive(Default)]
struct Sum {
    rows: u64,
    comparisons: u64,
    not_empty: u64,
}

impl Sum {
    fn add(&mut self, rows: &[Row]) {
        self.rows += rows.len() as u64;
        self.comparisons += 1;
        self.not_empty += u64::from(!rows.is_empty());
    }

    const fn same(&self) -> Outcome {
        Outcome::Same { rows: self.rows, comparisons: self.comparisons, not_empty: self.not_empty }
    }
}

#[expect(clippy::too_many_arguments, reason = "one call, from one place")]
pub(super) fn once<D: Database>(
    sql: &str,
    rewrite: &Rewrite,
    parameters: &[Value],
    kinds: &[Option<Kind>],
    dialect: Dialect,
    content: &Content,
    pool: &Pool,
    database: &mut D,
    rng: &mut Rng,
) -> Outcome {
    match &rewrite.form {
        Form::SameRows { ordered } => {
            let all = |row: Row| row;
            whole(sql, rewrite, parameters, *ordered, all, database)
        }
        Form::Columns { kept, ordered } => {
            let some = |row: Row| kept.iter().filter_map(|place| row.get(*place).cloned()).collect();
            whole(sql, rewrite, parameters, *ordered, some, database)
        }
        Form::Pages { .. } => pages(sql, rewrite, parameters, dialect, database),
        Form::Batch { parameter, key, appended, ordered } => {
            let Some(Some(kind)) = kinds.get(parameter - 1) else { return Outcome::Refused };
            let mut keys: Vec<Value> = (0..5).map(|_| kind.random(content, pool, rng)).collect();
            keys.sort();
            keys.dedup();
            let batch = Batch { parameter: *parameter, key: *key, appended: *appended, ordered: *ordered };
            batches(sql, rewrite, parameters, &keys, &batch, database)
        }
    }
}

fn different(parameters: &[Value], expected: Vec<Row>, found: Result<Vec<Row>, String>) -> Outcome {
    let (found, failure) = match found {
        Ok(rows) => (Some(rows), None),
        Err(failure) => (None, Some(failure)),
    };
    Outcome::Different { parameters: parameters.to_vec(), expected, found, failure }
}

fn in_order(mut rows: Vec<Row>, ordered: bool) -> Vec<Row> {
    if !ordered {
        rows.sort();
    }
    rows
}

fn whole<D: Database>(
    sql: &str,
    rewrite: &Rewrite,
    parameters: &[Value],
    ordered: bool,
    project: impl Fn(Row) -> Row,
    database: &mut D,
) -> Outcome {
    let Ok(expected) = database.run(sql, parameters) else { return Outcome::Refused };
    let mut sum = Sum::default();
    sum.add(&expected);
    let expected = in_order(expected.into_iter().map(project).collect(), ordered);
    let Some(mapped) = mapped(&rewrite.parameters, parameters, &[], None) else {
        return different(parameters, expected, Err("a parameter has no source".to_owned()));
    };
    match database.run(&rewrite.sql, &mapped) {
        Ok(found) => {
            let found = in_order(found, ordered);
            if found == expected { sum.same() } else { different(parameters, expected, Ok(found)) }
        }
        Err(error) => different(parameters, expected, Err(error.to_string())),
    }
}

/// The texts of a walk over pages.
struct Walk {
    /// The statement of the first page.
    first: String,
    /// That of every other page.
    next: String,
    /// Rows of a page.
    size: u64,
}

/// Pages of random tables: numbers that are written out are made as small as the tables.
/// The rule does not look at them.
const SIZE: u64 = 3;

/// Walks from page to page by the last key, and asks the old statement for each page.
fn pages<D: Database>(
    sql: &str,
    rewrite: &Rewrite,
    parameters: &[Value],
    dialect: Dialect,
    database: &mut D,
) -> Outcome {
    let Form::Pages { first, first_parameters, offset, offset_literal, limit, limit_literal } = &rewrite.form
    else {
        return Outcome::Refused;
    };
    let mut parameters = parameters.to_vec();
    let mut old = sql.to_owned();
    let mut walk = Walk { first: first.clone(), next: rewrite.sql.clone(), size: SIZE };
    match (limit, limit_literal) {
        (Some(number), _) => {
            // Pages of no rows lead nowhere.
            if let Some(Value::Integer(size)) = parameters.get_mut(number - 1) {
                *size = (*size).max(1);
                walk.size = u64::try_from(*size).unwrap_or(SIZE);
            }
        }
        (None, Some(literal)) => {
            for text in [&mut old, &mut walk.first, &mut walk.next] {
                let words = ["LIMIT", "FIRST", "NEXT"];
                let Some(smaller) = with_number(text, &words, *literal, SIZE, dialect) else {
                    return Outcome::Refused;
                };
                *text = smaller;
            }
        }
        (None, None) => return Outcome::Refused,
    }
    let mut sum = Sum::default();
    let mut last: Option<Row> = None;
    for page in 0..MOST_PAGES {
        let skipped = page * walk.size;
        let of_page = match (offset, offset_literal) {
            (Some(number), _) => {
                if let Some(place) = parameters.get_mut(number - 1) {
                    *place = Value::Integer(i64::try_from(skipped).unwrap_or(i64::MAX));
                }
                Some(old.clone())
            }
            (None, Some(literal)) => with_number(&old, &["OFFSET"], *literal, skipped, dialect),
            (None, None) => None,
        };
        let Some(Ok(expected)) = of_page.map(|sql| database.run(&sql, &parameters)) else {
            return Outcome::Refused;
        };
        sum.add(&expected);
        let mapped = match &last {
            None => mapped(first_parameters, &parameters, &[], None),
            Some(row) => mapped(&rewrite.parameters, &parameters, &[], Some(row)),
        };
        let text = if last.is_none() { &walk.first } else { &walk.next };
        let found = match mapped {
            Some(mapped) => database.run(text, &mapped).map_err(|error| error.to_string()),
            None => Err("a parameter has no source".to_owned()),
        };
        if found.as_ref() != Ok(&expected) {
            return different(&parameters, expected, found);
        }
        match expected.last() {
            Some(row) => last = Some(row.clone()),
            None => break,
        }
    }
    sum.same()
}

struct Batch {
    parameter: usize,
    key: usize,
    appended: bool,
    ordered: bool,
}

/// Asks the old statement for each key, and the new one for all.
fn batches<D: Database>(
    sql: &str,
    rewrite: &Rewrite,
    parameters: &[Value],
    keys: &[Value],
    batch: &Batch,
    database: &mut D,
) -> Outcome {
    let mut sum = Sum::default();
    let mut single = Vec::new();
    let mut of_call = parameters.to_vec();
    for key in keys {
        if let Some(place) = of_call.get_mut(batch.parameter - 1) {
            *place = key.clone();
        }
        let Ok(rows) = database.run(sql, &of_call) else { return Outcome::Refused };
        sum.add(&rows);
        single.push(in_order(rows, batch.ordered));
    }
    let found = match mapped(&rewrite.parameters, parameters, keys, None) {
        Some(mapped) => database.run(&rewrite.sql, &mapped).map_err(|error| error.to_string()),
        None => Err("a parameter has no source".to_owned()),
    };
    let found = match found {
        Ok(found) => found,
        Err(failure) => return different(parameters, Vec::new(), Err(failure)),
    };
    let mut seen = 0;
    for (key, expected) in keys.iter().zip(single) {
        let written = key.to_string();
        let of_key: Vec<Row> = found
            .iter()
            .filter(|row| {
                *key != Value::Null && row.get(batch.key).is_some_and(|value| value.to_string() == written)
            })
            .map(|row| {
                let mut row = row.clone();
                if batch.appended {
                    row.pop();
                }
                row
            })
            .collect();
        seen += of_key.len();
        let of_key = in_order(of_key, batch.ordered);
        if expected != of_key {
            return different(parameters, expected, Ok(of_key));
        }
    }
    if seen != found.len() {
        return different(parameters, Vec::new(), Ok(found));
    }
    sum.same()
}
