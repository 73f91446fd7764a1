//! Points, and the table of the series that they have values for.

use std::{collections::HashMap, fmt, sync::Arc};

use veritas_model::Timestamp;

/// The text values of one point, by text series; shared by points in a row
/// that have the same ones.
pub(super) type Texts = Arc<[Option<Arc<str>>]>;

/// The names of one kind of series; a series keeps its index while the history is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    names: Vec<Arc<str>>,
    indexes: HashMap<Arc<str>, usize>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Arc<str>> {
        self.names.get(index)
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.indexes.get(name).copied()
    }

    /// Returns the index of `name`, giving it one if there are fewer than `limit`.
    pub(super) fn intern(&mut self, name: &str, limit: usize) -> Option<usize> {
        if let Some(index) = self.index(name) {
            return Some(index);
        }
        let index = self.names.len();
        (index < limit).then(|| {
            let name: Arc<str> = name.into();
            self.names.push(Arc::clone(&name));
            self.indexes.insert(name, index);
            index
        })
    }
}

/// All series of a history: those of numbers and those of texts.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    pub(super) numbers: Names,
    pub(super) texts: Names,
}

impl Series {
    /// Most series of numbers; values of further ones are dropped and counted.
    pub(super) const MOST_NUMBERS: usize = 4096;
    /// Most series of texts; values of further ones are dropped and counted.
    pub(super) const MOST_TEXTS: usize = 256;
    /// Longest name of a series, in bytes; values of longer ones are dropped and counted.
    pub(super) const LONGEST_NAME: usize = 256;
    /// Longest text, in bytes; longer ones are cut.
    pub(super) const LONGEST_TEXT: usize = 1024;
}

/// What was recorded at one tick.
#[derive(Clone)]
pub struct Point {
    /// When, by the wall clock.
    pub at: Timestamp,
    pub(super) series: Arc<Series>,
    /// By number series; NaN and beyond the end: absent.
    pub(super) numbers: Box<[f64]>,
    pub(super) texts: Texts,
}

impl Point {
    /// Returns the value of a series of numbers, `None` when it had none at this tick.
    pub fn number(&self, name: &str) -> Option<f64> {
        let value = *self.numbers.get(self.series.numbers.index(name)?)?;
        (!value.is_nan()).then_some(value)
    }

    /// Returns the value of a series of texts, `None` when it had none at this tick.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(self.series.texts.index(name)?)?.as_deref()
    }

    /// Returns the names of the series that have a value, numbers first, each
    /// kind in the order in which the history met them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let numbers = self.numbers().map(|(name, _)| name);
        numbers.chain(self.texts().map(|(name, _)| name))
    }

    /// Returns the series of numbers that have a value.
    pub fn numbers(&self) -> impl Iterator<Item = (&str, f64)> {
        let named = self.numbers.iter().enumerate().filter(|(_, value)| !value.is_nan());
        named.filter_map(|(index, value)| Some((&**self.series.numbers.get(index)?, *value)))
    }

    /// Returns the series of texts that have a value.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.texts.iter().enumerate();
        named.filter_map(|(index, text)| Some((&**self.series.texts.get(index)?, text.as_deref()?)))
    }
}

impl fmt::Debug for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        map.entry(&"at", &self.at.nanos());
        map.entries(self.numbers()).entries(self.texts()).finish()
    }
}

impl PartialEq for Point {
    /// Compares the time and the values by name.
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
            && self.numbers().count() == other.numbers().count()
            && self.numbers().all(|(name, value)| other.number(name) == Some(value))
            && self.texts().count() == other.texts().count()
            && self.texts().all(|(name, text)| other.text(name) == Some(text))
    }
}
