//! Values that are likely to tell two statements apart: small ones that meet each other,
//! extreme ones, and the literals of the statement with their neighbours.

use sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, Tokenizer},
};
use veritas_statistics::Rng;

use crate::{
    Dialect,
    fuzz::{Value, content::pick},
    schema::ColumnType,
};

const MICROSECONDS_OF_DAY: i64 = 86_400_000_000;

/// The literals of a statement.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    integers: Vec<i64>,
    texts: Vec<String>,
    /// Days since 1970-01-01.
    days: Vec<i64>,
    dialect: Option<Dialect>,
}

impl Pool {
    pub(super) fn of(sql: &str, dialect: Dialect) -> Self {
        let mut pool = Self { dialect: Some(dialect), ..Self::default() };
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
        for token in tokens {
            match token {
                Token::Number(digits, _) => pool.add_number(&digits),
                Token::SingleQuotedString(text) => {
                    pool.add_number(&text);
                    if let Some(day) = text.get(..10).and_then(day_of) {
                        pool.days.push(day);
                    }
                    pool.texts.push(text);
                }
                _ => {}
            }
        }
        if pool.days.is_empty() {
            // Around the turns of a year, of a quarter and of a leap day.
            pool.days.extend([19_722, 19_723, 19_782, 19_814]);
        }
        // Years that are asked for by their number.
        for year in pool.integers.clone() {
            if (1900..2200).contains(&year) {
                pool.days.push(days_from_civil(year, 1, 1));
            }
        }
        pool
    }

    fn add_number(&mut self, digits: &str) {
        let whole = digits.split('.').next().unwrap_or_default();
        if let Ok(number) = whole.parse::<i64>() {
            self.integers.push(number);
        }
    }

    /// Returns a random value of a type. Keys need many different ones.
    pub(super) fn value(&self, kind: &ColumnType, is_key: bool, rng: &mut Rng) -> Value {
        match kind {
            ColumnType::SmallInt => self.integer(i64::from(i16::MIN), i64::from(i16::MAX), is_key, rng),
            ColumnType::Integer => self.integer(i64::from(i32::MIN), i64::from(i32::MAX), is_key, rng),
            ColumnType::BigInt => self.integer(i64::MIN, i64::MAX, is_key, rng),
            ColumnType::Numeric | ColumnType::Real | ColumnType::Double => {
                let Value::Integer(whole) = self.integer(-9_999, 9_999, is_key, rng) else {
                    return Value::Null;
                };
                Value::Text(format!("{whole}{}", pick(&["", ".5", ".25"], rng)))
            }
            ColumnType::Boolean => Value::Boolean(rng.below(2) == 0),
            ColumnType::Text | ColumnType::Other(_) => self.text(is_key, rng),
            ColumnType::Date => Value::Text(self.day(true, rng)),
            ColumnType::Timestamp | ColumnType::TimestampTz => Value::Text(self.time(true, rng)),
            ColumnType::Uuid => self.uuid(is_key, rng),
            ColumnType::Jsonb => Value::Text(self.json(2, rng)),
        }
    }

    fn integer(&self, least: i64, most: i64, is_key: bool, rng: &mut Rng) -> Value {
        // An extreme value makes many old statements fail: seldom.
        let number = match rng.below(60) {
            0 => *pick(&[least, most, least + 1, most - 1], rng),
            1..=25 if !self.integers.is_empty() => {
                let literal = *pick(&self.integers, rng);
                let other = *pick(&self.integers, rng);
                *pick(
                    &[
                        literal,
                        literal.saturating_sub(1),
                        literal.saturating_add(1),
                        literal.saturating_sub(other),
                        literal.saturating_add(other),
                        other.checked_div(literal).unwrap_or(0),
                    ],
                    rng,
                )
            }
            _ if is_key => i64::try_from(rng.below(12)).unwrap_or_default(),
            _ => i64::try_from(rng.below(6)).unwrap_or_default() - 1,
        };
        Value::Integer(number.clamp(least, most))
    }

    fn text(&self, is_key: bool, rng: &mut Rng) -> Value {
        const PLAIN: [&str; 12] = ["", "a", "b", "A", "ab", "abc", "abd", " a", "a%", "z_", "é", "a\\b"];
        let text = match rng.below(10) {
            0..=5 if !self.texts.is_empty() => {
                let literal = pick(&self.texts, rng);
                match rng.below(7) {
                    0 => format!("{literal}x"),
                    1 => literal.to_uppercase(),
                    2 => {
                        let mut shorter = literal.clone();
                        shorter.pop();
                        shorter
                    }
                    3 => literal.replace(['%', '_'], "x"),
                    _ => literal.clone(),
                }
            }
            _ => (*pick(&PLAIN, rng)).to_owned(),
        };
        Value::Text(if is_key && rng.below(2) == 0 { format!("{text}{}", rng.below(9)) } else { text })
    }

    fn uuid(&self, is_key: bool, rng: &mut Rng) -> Value {
        let literals: Vec<&String> = self.texts.iter().filter(|text| text.len() == 36).collect();
        if !literals.is_empty() && rng.below(3) == 0 {
            return Value::Text((*pick(&literals, rng)).clone());
        }
        Value::Text(format!("00000000-0000-4000-8000-{:012x}", rng.below(if is_key { 12 } else { 3 })))
    }

    /// Returns a day near one that the statement names, or near the turn of its month or year.
    fn day_number(&self, rng: &mut Rng) -> i64 {
        let (year, month, day) = civil_from_days(*pick(&self.days, rng));
        let near = match rng.below(5) {
            0 => days_from_civil(year, month, 1),
            1 => days_from_civil(year + month / 12, month % 12 + 1, 1),
            2 => days_from_civil(year + i64::try_from(rng.below(2)).unwrap_or(0), 1, 1),
            3 => days_from_civil(year, month, day) + 7,
            _ => days_from_civil(year, month, day),
        };
        near + i64::try_from(rng.below(3)).unwrap_or(0) - 1
    }

    /// `anything`: infinite ones, too, where the engine has them.
    pub(super) fn day(&self, anything: bool, rng: &mut Rng) -> String {
        if anything && self.dialect == Some(Dialect::PostgreSql) && rng.below(40) == 0 {
            return (*pick(&["infinity", "-infinity"], rng)).to_owned();
        }
        written(self.day_number(rng))
    }

    pub(super) fn time(&self, anything: bool, rng: &mut Rng) -> String {
        if anything && self.dialect == Some(Dialect::PostgreSql) && rng.below(40) == 0 {
            return (*pick(&["infinity", "-infinity"], rng)).to_owned();
        }
        let within = *pick(&[0, 0, 1, MICROSECONDS_OF_DAY - 1, MICROSECONDS_OF_DAY / 2, 3_600_000_000], rng);
        let (seconds, fraction) = (within / 1_000_000, within % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{} {hours:02}:{minutes:02}:{seconds:02}.{fraction:06}", written(self.day_number(rng)))
    }

    /// Returns the first day of a month.
    pub(super) fn first_of_month(&self, rng: &mut Rng) -> String {
        let (year, month, _) = civil_from_days(self.day_number(rng));
        written(days_from_civil(year, month, 1))
    }

    pub(super) fn year(&self, rng: &mut Rng) -> i64 {
        civil_from_days(self.day_number(rng)).0
    }

    /// Returns a word that no other JSON value prints as.
    pub(super) fn word(&self, rng: &mut Rng) -> String {
        let words: Vec<&String> = self
            .texts
            .iter()
            .filter(|text| text.starts_with(|first: char| first.is_ascii_alphabetic()) && *text != "true")
            .collect();
        if words.is_empty() || rng.below(3) == 0 {
            (*pick(&["open", "a", "b"], rng)).to_owned()
        } else {
            (*pick(&words, rng)).clone()
        }
    }

    /// Returns a JSON document: often an object with the keys and texts that the statement names.
    fn json(&self, depth: u32, rng: &mut Rng) -> String {
        let string = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        match rng.below(10) {
            0 => (*pick(&["null", "true", "5", "[]", "{}"], rng)).to_owned(),
            1 => string(&self.word(rng)),
            2 => format!("[{}]", string(&self.word(rng))),
            _ if depth == 0 => string(&self.word(rng)),
            _ => {
                let mut keys: Vec<String> = (0..=rng.below(2)).map(|_| self.word(rng)).collect();
                keys.sort();
                keys.dedup();
                let members: Vec<String> = keys
                    .iter()
                    .map(|key| {
                        let is_text = rng.below(2) == 0;
                        let value = if is_text { string(&self.word(rng)) } else { self.json(depth - 1, rng) };
                        format!("{}: {value}", string(key))
                    })
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }
}

fn written(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

fn day_of(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    ((1..=9998).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day))
        .then(|| days_from_civil(year, month, day))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar (Hinnant, "chrono-compatible
/// low-level date algorithms", 2013).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (year, month, day, number) in
            [(1970, 1, 1, 0), (2000, 2, 29, 11_016), (2024, 3, 1, 19_783), (1969, 12, 31, -1)]
        {
            assert_eq!(days_from_civil(year, month, day), number);
            assert_eq!(civil_from_days(number), (year, month, day));
        }
    }
}
