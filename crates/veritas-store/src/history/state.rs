//! What a history holds behind its lock.

use std::sync::Arc;

use veritas_model::{Bytes, Timestamp};

pub(super) use super::point::Series;
use super::{
    HistoryError, HistoryStatistics,
    head::Head,
    log::Log,
    point::{Names, Point, Texts},
    query::{Answer, Learned, Older},
    replay::Repairs,
};

/// The table of series, the head, the log, and the memory that appending reuses.
#[derive(Debug)]
pub(super) struct State {
    series: Arc<Series>,
    head: Head,
    log: Option<Log>,
    repairs: Repairs,
    /// Whether the last point was recorded.
    recording: bool,
    points_not_recorded: u64,
    values_dropped: u64,
    /// The point being added, by the table of series.
    row: Vec<f64>,
    text_row: Vec<Option<Arc<str>>>,
    /// The texts of the last point.
    texts: Texts,
    /// By the place in the caller's list: the series that was there last time.
    number_guesses: Vec<usize>,
    text_guesses: Vec<usize>,
}

impl State {
    pub(super) fn new(series: Arc<Series>, head: Head, log: Option<Log>, repairs: Repairs) -> Self {
        Self {
            series,
            head,
            log,
            repairs,
            recording: true,
            points_not_recorded: 0,
            values_dropped: 0,
            row: Vec::new(),
            text_row: Vec::new(),
            texts: Arc::from([]),
            number_guesses: Vec::new(),
            text_guesses: Vec::new(),
        }
    }

    pub(super) const fn is_recording(&self) -> bool {
        self.recording
    }

    pub(super) fn points(&self) -> usize {
        self.head.len()
    }

    pub(super) const fn points_not_recorded(&self) -> u64 {
        self.points_not_recorded
    }

    pub(super) fn stop_recording(&mut self) {
        self.recording = false;
    }

    pub(super) const fn log_mut(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    pub(super) fn statistics(&self) -> HistoryStatistics {
        let log = self.log.as_ref();
        HistoryStatistics {
            points_in_memory: self.head.len(),
            segments: log.map_or(0, Log::count),
            bytes: Bytes::new(log.map_or(0, Log::bytes)),
            points_not_recorded: self.points_not_recorded,
            values_dropped: self.values_dropped,
            segments_deleted: log.map_or(0, Log::deleted_segments),
            truncated_bytes: Bytes::new(self.repairs.truncated_bytes),
            segments_damaged: self.repairs.damaged_segments,
            skipped_bytes: Bytes::new(self.repairs.skipped_bytes),
        }
    }

    pub(super) fn append(
        &mut self,
        at: Timestamp,
        numbers: &[(&str, f64)],
        texts: &[(&str, &str)],
    ) -> Result<(), HistoryError> {
        self.fill_numbers(numbers);
        self.fill_texts(texts);
        let recorded = match &mut self.log {
            Some(log) => log.record(at, &self.row, &self.texts, &self.series).map(Some),
            None => Ok(None),
        };
        self.recording = recorded.is_ok();
        self.points_not_recorded += u64::from(recorded.is_err());
        let position = recorded.as_ref().ok().copied().flatten();
        self.head.push(at, &self.row, &self.texts, position);
        recorded.map(drop)
    }

    /// Keeps what reading a segment has shown.
    pub(super) fn learn(&mut self, learned: &Learned) {
        let is_new = self.log.as_mut().is_some_and(|log| log.learn(learned));
        if is_new && learned.broken_bytes > 0 {
            self.repairs.damaged_segments += 1;
            self.repairs.skipped_bytes += learned.broken_bytes;
        }
    }

    fn fill_numbers(&mut self, numbers: &[(&str, f64)]) {
        self.row.fill(f64::NAN);
        self.number_guesses.resize(numbers.len(), usize::MAX);
        for ((name, number), guess) in numbers.iter().zip(&mut self.number_guesses) {
            if number.is_nan() {
                continue;
            }
            let index = find(&self.series.numbers, name, *guess).or_else(|| {
                let fits =
                    name.len() <= Series::LONGEST_NAME && self.series.numbers.len() < Series::MOST_NUMBERS;
                // The table is copied only while an answer holds the old one.
                fits.then(|| Arc::make_mut(&mut self.series).numbers.intern(name, Series::MOST_NUMBERS))?
            });
            match index {
                Some(index) => {
                    if self.row.len() <= index {
                        self.row.resize(index + 1, f64::NAN);
                    }
                    self.row[index] = *number;
                    *guess = index;
                }
                None => self.values_dropped += 1,
            }
        }
    }

    fn fill_texts(&mut self, texts: &[(&str, &str)]) {
        self.text_row.fill(None);
        self.text_guesses.resize(texts.len(), usize::MAX);
        for ((name, text), guess) in texts.iter().zip(&mut self.text_guesses) {
            let index = find(&self.series.texts, name, *guess).or_else(|| {
                let fits = name.len() <= Series::LONGEST_NAME && self.series.texts.len() < Series::MOST_TEXTS;
                fits.then(|| Arc::make_mut(&mut self.series).texts.intern(name, Series::MOST_TEXTS))?
            });
            let Some(index) = index else {
                self.values_dropped += 1;
                continue;
            };
            if self.text_row.len() <= index {
                self.text_row.resize(index + 1, None);
            }
            let text = &text[..text.floor_char_boundary(Series::LONGEST_TEXT)];
            let last = self.texts.get(index).and_then(Option::as_ref);
            let text = last.filter(|last| &***last == text).map_or_else(|| text.into(), Arc::clone);
            self.text_row[index] = Some(text);
            *guess = index;
        }
        if self.text_row[..] != self.texts[..] {
            self.texts = self.text_row.as_slice().into();
        }
    }

    /// Answers from the head, and returns what is needed to go on from the
    /// disk when that was not enough.
    pub(super) fn answer(&self, answer: &mut Answer<'_>) -> Option<Older> {
        for point in self.head.iter().rev() {
            if answer.is_complete() {
                return None;
            }
            answer.offer(point.at, || Point {
                at: point.at,
                series: Arc::clone(&self.series),
                numbers: point.numbers.as_slice().into(),
                texts: point.texts.clone(),
            });
        }
        let log = self.log.as_ref().filter(|_| !answer.is_complete())?;
        Some(Older {
            directory: log.directory().to_owned(),
            segments: log.segments(),
            head_begins: self.head.oldest_position(),
            series: Series::clone(&self.series),
        })
    }
}

/// Finds a series, first where it was the last time.
fn find(names: &Names, name: &str, guess: usize) -> Option<usize> {
    if names.get(guess).is_some_and(|guessed| &**guessed == name) { Some(guess) } else { names.index(name) }
}
