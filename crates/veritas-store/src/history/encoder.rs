//! From points to frames: what one segment has said so far, and how to say the next point.

use std::{collections::HashMap, sync::Arc};

use veritas_model::Timestamp;

use super::{
    frame,
    point::{Series, Texts},
    value::Difference,
    varint,
};

/// The segment has no number for a series yet.
const UNNUMBERED: u32 = u32::MAX;

/// What a segment has said so far. A new segment has a new encoder, so that
/// each can be read on its own.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    numbers: Numbering,
    texts: Numbering,
    values: HashMap<Arc<str>, u32>,
    last_numbers: Vec<f64>,
    last_texts: Vec<Option<u32>>,
    last_at: Option<Timestamp>,
    /// The texts of the last point: mostly those of the next one too.
    last_row: Option<Texts>,
    dictionary: Vec<u8>,
}

/// The numbers that a segment gives to one kind of series, in the order in
/// which they get values.
#[derive(Debug, Default)]
struct Numbering {
    of_series: Vec<u32>,
    series: Vec<usize>,
}

impl Numbering {
    /// Gives a number to the series `index` unless it has one; returns whether it is new.
    fn number(&mut self, index: usize) -> bool {
        if self.of_series.len() <= index {
            self.of_series.resize(index + 1, UNNUMBERED);
        }
        let is_new = self.of_series[index] == UNNUMBERED;
        if is_new {
            self.of_series[index] = u32::try_from(self.series.len()).unwrap_or(UNNUMBERED);
            self.series.push(index);
        }
        is_new
    }
}

/// Entry of a dictionary frame: a series of numbers.
pub(super) const NUMBER_NAME: u8 = 0;
/// Entry of a dictionary frame: a series of texts.
pub(super) const TEXT_NAME: u8 = 1;
/// Entry of a dictionary frame: a text.
pub(super) const TEXT_VALUE: u8 = 2;

impl Encoder {
    /// Most texts in the dictionary of one segment.
    pub(super) const MOST_VALUES: usize = 4096;

    /// Returns whether the dictionary may be too full for another point: then
    /// a new segment is due.
    pub(super) fn is_full(&self) -> bool {
        self.values.len() + Series::MOST_TEXTS > Self::MOST_VALUES
    }

    /// Appends the frames of one point: a dictionary frame when there is
    /// something new in it, then the point.
    pub(super) fn put(
        &mut self,
        out: &mut Vec<u8>,
        at: Timestamp,
        row: &[f64],
        texts: &Texts,
        series: &Series,
    ) {
        self.put_dictionary(out, row, texts, series);
        let start = frame::begin(out);
        match self.last_at {
            None => {
                out.push(frame::KEY);
                varint::put_signed(out, at.nanos());
            }
            Some(before) => {
                out.push(frame::TICK);
                varint::put_signed(out, at.nanos().wrapping_sub(before.nanos()));
            }
        }
        self.last_at = Some(at);
        self.put_numbers(out, row);
        self.put_texts(out, texts);
        frame::end(out, start);
    }

    fn put_dictionary(&mut self, out: &mut Vec<u8>, row: &[f64], texts: &Texts, series: &Series) {
        self.dictionary.clear();
        for (index, _) in row.iter().enumerate().filter(|(_, number)| !number.is_nan()) {
            if self.numbers.number(index) {
                self.last_numbers.push(f64::NAN);
                put_entry(&mut self.dictionary, NUMBER_NAME, series.numbers.get(index));
            }
        }
        let known = self.last_row.as_ref().is_some_and(|last| Arc::ptr_eq(last, texts));
        for (index, text) in texts.iter().enumerate().filter(|_| !known) {
            let Some(text) = text else { continue };
            if self.texts.number(index) {
                self.last_texts.push(None);
                put_entry(&mut self.dictionary, TEXT_NAME, series.texts.get(index));
            }
            if !self.values.contains_key(text) {
                let number = u32::try_from(self.values.len()).unwrap_or(UNNUMBERED);
                self.values.insert(Arc::clone(text), number);
                put_entry(&mut self.dictionary, TEXT_VALUE, Some(text));
            }
        }
        if !self.dictionary.is_empty() {
            let start = frame::begin(out);
            out.push(frame::DICTIONARY);
            out.extend_from_slice(&self.dictionary);
            frame::end(out, start);
        }
    }

    /// The count of numbers that changed, then for each the distance to the
    /// changed one before and the way in one integer, and the difference.
    fn put_numbers(&mut self, out: &mut Vec<u8>, row: &[f64]) {
        let number_of = |index: usize| row.get(index).copied().unwrap_or(f64::NAN);
        let changed = |last: f64, index: usize| Difference::of(last, number_of(index));
        let pairs = || self.last_numbers.iter().zip(&self.numbers.series);
        let count = pairs().filter(|(last, index)| is_changed(**last, number_of(**index))).count();
        varint::put(out, count as u64);
        let mut next = 0;
        for (id, (last, index)) in pairs().enumerate() {
            if let Some(difference) = changed(*last, *index) {
                varint::put(out, ((id - next) as u64) << 2 | difference.way());
                difference.put(out);
                next = id + 1;
            }
        }
        for (last, index) in self.last_numbers.iter_mut().zip(&self.numbers.series) {
            *last = number_of(*index);
        }
    }

    fn put_texts(&mut self, out: &mut Vec<u8>, texts: &Texts) {
        if self.last_row.as_ref().is_some_and(|last| Arc::ptr_eq(last, texts)) {
            out.push(0);
            return;
        }
        let value_of = |index: usize| {
            let text = texts.get(index).and_then(Option::as_ref)?;
            self.values.get(text).copied()
        };
        let pairs = || self.last_texts.iter().zip(&self.texts.series);
        let count = pairs().filter(|(last, index)| **last != value_of(**index)).count();
        varint::put(out, count as u64);
        let mut next = 0;
        for (id, (last, index)) in pairs().enumerate() {
            let value = value_of(*index);
            if value != *last {
                varint::put(out, ((id - next) as u64) << 1 | u64::from(value.is_none()));
                if let Some(value) = value {
                    varint::put(out, u64::from(value));
                }
                next = id + 1;
            }
        }
        let values: Vec<_> = self.texts.series.iter().map(|index| value_of(*index)).collect();
        self.last_texts = values;
        self.last_row = Some(Arc::clone(texts));
    }
}

fn is_changed(last: f64, number: f64) -> bool {
    last.to_bits() != number.to_bits() && !(last.is_nan() && number.is_nan())
}

fn put_entry(out: &mut Vec<u8>, kind: u8, text: Option<&Arc<str>>) {
    let text = text.map_or("", |text| text);
    out.push(kind);
    varint::put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
