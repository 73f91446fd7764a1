//! What the words of a statement may mean: functions, operators, types and tables.
//!
//! A name stands for whatever it may mean, so nothing is missed by not knowing the grammar:
//! a word before a bracket may be a function, one behind a dot may be a function of the
//! row (`t.f` calls `f(t)`), any chain of words may be a table, any word a type.

use super::{Refusal, words::Word};

/// A name, with the schema where one was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

/// Whatever the words of one statement may mean, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What may be functions.
    pub(super) calls: Vec<Name>,
    /// What may be functions of a row, written like its columns.
    pub(super) attributes: Vec<String>,
    /// What may be operators.
    pub(super) operators: Vec<String>,
    /// What may be tables or types.
    pub(super) names: Vec<Name>,
    /// Whether something in it yields another value each time.
    pub(super) changes: bool,
    /// Whether a parameter decides how much a function computes.
    pub(super) parameter_sizes: bool,
}

/// Operators behind words, and those that joins and lists imply.
const IMPLIED: [&str; 12] = ["~~", "~~*", "!~~", "!~~*", "~", "!~", "=", "<>", "<", "<=", ">", ">="];

/// What tells the time, or draws numbers.
const CHANGING: [&str; 20] = [
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "localtime",
    "localtimestamp",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "random",
    "random_normal",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "tablesample",
    "gen_random_bytes",
];

/// Larger numbers are not let through where they decide how much is computed.
const LARGEST: f64 = 10_000.0;

/// Functions of which an argument (counted from 0) decides how much they compute.
const SIZED: [(&str, usize); 5] =
    [("repeat", 1), ("lpad", 1), ("rpad", 1), ("factorial", 0), ("numeric_fac", 0)];

/// Collects what the words may mean.
pub(super) fn of(words: &[Word]) -> Result<Meaning, Refusal> {
    let mut meaning = Meaning { operators: IMPLIED.map(str::to_owned).to_vec(), ..Meaning::default() };
    let mut at = 0;
    while at < words.len() {
        if let Word::Operator(operator) = &words[at] {
            meaning.operators.push(if operator == "!=" { "<>".to_owned() } else { operator.clone() });
        }
        if words[at].name().is_none() {
            at += 1;
            continue;
        }
        let after_dot = at > 0 && words[at - 1].is_mark(".");
        let mut chain = vec![words[at].name().unwrap_or_default()];
        let mut end = at + 1;
        while let (Some(dot), Some(name)) = (words.get(end), words.get(end + 1).and_then(Word::name)) {
            if !dot.is_mark(".") {
                break;
            }
            chain.push(name);
            end += 2;
        }
        let called = words.get(end).is_some_and(|word| word.is_mark("("));
        if called && words[at].is("operator") && chain.len() == 1 {
            operator_of_schema(words.get(end + 1))?;
        }
        if called && chain.last() == Some(&"treat") {
            return Err(Refusal::Spelling("TREAT"));
        }
        if called {
            sizes(&mut meaning, chain.last().copied().unwrap_or_default(), &words[end..])?;
            meaning.calls.push(named(&chain));
        }
        meaning.changes |= chain.iter().any(|name| CHANGING.contains(name));
        let attributes = usize::from(!after_dot);
        meaning.attributes.extend(chain.iter().skip(attributes).map(|name| (*name).to_owned()));
        // `schema.table.column`: each way of cutting it.
        for length in 1..=chain.len() {
            meaning.names.push(named(&chain[..length]));
        }
        at = end;
    }
    for list in [&mut meaning.attributes, &mut meaning.operators] {
        list.sort();
        list.dedup();
    }
    for list in [&mut meaning.calls, &mut meaning.names] {
        list.sort();
        list.dedup();
    }
    Ok(meaning)
}

fn named(chain: &[&str]) -> Name {
    let (name, before) = chain.split_last().map_or(("", &[][..]), |(name, before)| (*name, before));
    Name { schema: before.last().map(|schema| (*schema).to_owned()), name: name.to_owned() }
}

/// `OPERATOR(schema.+)` is let through for the server's own schema only.
fn operator_of_schema(inner: Option<&Word>) -> Result<(), Refusal> {
    match inner {
        Some(Word::Operator(_)) => Ok(()),
        Some(word) if word.name() == Some("pg_catalog") => Ok(()),
        _ => Err(Refusal::Spelling("OPERATOR with a schema")),
    }
}

/// Looks at arguments that decide how much is computed: constants are computed while
/// planning, and one call may take a gigabyte.
fn sizes(meaning: &mut Meaning, function: &str, bracket: &[Word]) -> Result<(), Refusal> {
    let refusal = || Refusal::Size { function: function.to_owned() };
    if let Some((_, position)) = SIZED.iter().find(|(name, _)| *name == function) {
        let arguments = arguments(bracket);
        let Some(argument) = arguments.get(*position) else { return Ok(()) };
        match argument {
            [Word::Number(number)] if number.parse::<f64>().is_ok_and(|size| size <= LARGEST) => {}
            [Word::Parameter(_)] => meaning.parameter_sizes = true,
            _ => return Err(refusal()),
        }
    }
    if function == "array_fill" {
        return Err(refusal());
    }
    if function == "format" {
        match arguments(bracket).first() {
            Some([Word::Text(pattern)]) => {
                let wide = pattern.as_bytes().windows(5).any(|five| five.iter().all(u8::is_ascii_digit));
                if wide || pattern.contains('*') {
                    return Err(refusal());
                }
            }
            Some([Word::Parameter(_)]) => meaning.parameter_sizes = true,
            _ => return Err(refusal()),
        }
    }
    Ok(())
}

/// The arguments of a call whose opening bracket is the first word.
fn arguments(bracket: &[Word]) -> Vec<&[Word]> {
    let mut arguments = Vec::new();
    let (mut depth, mut start) = (0_usize, 1);
    for (at, word) in bracket.iter().enumerate() {
        match word {
            Word::Mark("(" | "[") => depth += 1,
            Word::Mark(")" | "]") if depth == 1 => {
                arguments.push(&bracket[start..at]);
                break;
            }
            Word::Mark(")" | "]") => depth -= 1,
            Word::Mark(",") if depth == 1 => {
                arguments.push(&bracket[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::words::cut;

    fn meaning(sql: &str) -> Meaning {
        of(&cut(sql).unwrap()).unwrap()
    }

    #[test]
    fn a_name_stands_for_whatever_it_may_mean() {
        let meaning = meaning("select t.f, s.g(1), (r).h from s.t where a @> b");
        assert!(meaning.attributes.contains(&"f".to_owned()) && meaning.attributes.contains(&"h".to_owned()));
        assert_eq!(meaning.calls, [Name { schema: Some("s".to_owned()), name: "g".to_owned() }]);
        assert!(meaning.operators.contains(&"@>".to_owned()));
        assert!(meaning.names.contains(&Name { schema: Some("s".to_owned()), name: "t".to_owned() }));
    }

    #[track_caller]
    fn check_size(call: &str, allowed: bool) {
        assert_eq!(of(&cut(&format!("select {call}")).unwrap()).is_ok(), allowed, "{call}");
    }

    #[test]
    fn what_decides_how_much_is_computed_is_a_small_number_in_the_text() {
        check_size("lpad(a, 10, '0')", true);
        check_size("repeat('x', 100)", true);
        check_size("repeat('x', $1)", true);
        check_size("repeat('x', 1000000000)", false);
        check_size("repeat('x', n)", false);
        check_size("lpad('x', 10 ^ 9)", false);
        check_size("format('%s', a)", true);
        check_size("format('%1000000000s', a)", false);
        check_size("array_fill(1, array[100000000])", false);
    }
}
