//! From the bytes of a segment to points. Never panics, whatever the bytes
//! are, and stops at the first frame that is not sound.

use std::{ops::ControlFlow, sync::Arc};

use veritas_model::Timestamp;

use super::{
    encoder::{Encoder, NUMBER_NAME, TEXT_NAME, TEXT_VALUE},
    frame::{self, HEADER_LENGTH, Span},
    point::{Series, Texts},
    value,
    varint::Cursor,
};

/// What is known of a segment after reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    /// The points that were visited.
    pub(super) span: Span,
    /// Bytes from the start of the segment to the end of its last sound frame.
    pub(super) sound_bytes: usize,
    /// Whether the visitor wanted no more.
    pub(super) stopped: bool,
}

/// A point as the decoder shows it; the row is by the caller's table of series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick<'a> {
    /// Its place among the points of the segment.
    pub(super) number: u32,
    pub(super) at: Timestamp,
    pub(super) row: &'a [f64],
    pub(super) texts: &'a Texts,
}

/// Reads the frames of a segment whose header is sound, and shows every point
/// to `visit`, oldest first. New series are added to `series`.
pub(super) fn decode(
    segment: &[u8],
    series: &mut Series,
    mut visit: impl FnMut(&Series, Tick<'_>) -> ControlFlow<()>,
) -> Decoded {
    let mut decoder = Decoder::default();
    let mut span = Span::EMPTY;
    let mut sound_bytes = HEADER_LENGTH.min(segment.len());
    let mut cursor = Cursor::new(&segment[sound_bytes..]);
    while let Some(payload) = frame::take(&mut cursor) {
        match decoder.frame(payload, series) {
            Some(Said::Point(at)) => {
                let tick = Tick { number: span.ticks, at, row: &decoder.row, texts: &decoder.texts };
                if visit(series, tick).is_break() {
                    return Decoded { span, sound_bytes, stopped: true };
                }
                span.add(at);
            }
            Some(Said::Nothing) => {}
            None => break,
        }
        sound_bytes += frame::ENVELOPE_LENGTH + payload.len();
    }
    Decoded { span, sound_bytes, stopped: false }
}

/// What a frame said.
enum Said {
    Nothing,
    Point(Timestamp),
}

/// What a segment has said so far.
#[derive(Debug)]
struct Decoder {
    /// By the segment's number of a series: its index in the table (`None`
    /// when the table is full), and its last value.
    numbers: Vec<(Option<usize>, f64)>,
    text_series: Vec<(Option<usize>, Option<usize>)>,
    values: Vec<Arc<str>>,
    last_at: Option<Timestamp>,
    sealed: bool,
    /// The present point, by the table of series.
    row: Vec<f64>,
    texts: Texts,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            text_series: Vec::new(),
            values: Vec::new(),
            last_at: None,
            sealed: false,
            row: Vec::new(),
            texts: Arc::from([]),
        }
    }
}

impl Decoder {
    /// Reads one sound frame; `None` when it makes no sense.
    fn frame(&mut self, payload: &[u8], series: &mut Series) -> Option<Said> {
        if self.sealed {
            return None;
        }
        let mut cursor = Cursor::new(payload);
        match cursor.byte()? {
            frame::DICTIONARY => self.dictionary(cursor, series).map(|()| Said::Nothing),
            frame::KEY => {
                let at = Timestamp::from_nanos(cursor.signed()?);
                self.forget_values();
                self.point(cursor, at)
            }
            frame::TICK => {
                let before = self.last_at?.nanos();
                let at = Timestamp::from_nanos(before.wrapping_add(cursor.signed()?));
                self.point(cursor, at)
            }
            frame::SEAL => {
                frame::read_seal(payload)?;
                self.sealed = true;
                Some(Said::Nothing)
            }
            _ => None,
        }
    }

    fn dictionary(&mut self, mut cursor: Cursor<'_>, series: &mut Series) -> Option<()> {
        while !cursor.is_at_end() {
            let kind = cursor.byte()?;
            let length = cursor.length()?;
            let text = std::str::from_utf8(cursor.bytes(length)?).ok()?;
            match kind {
                NUMBER_NAME if self.numbers.len() < Series::MOST_NUMBERS => {
                    let index = series.numbers.intern(text, Series::MOST_NUMBERS);
                    self.numbers.push((index, f64::NAN));
                    self.row.resize(self.row.len().max(index.map_or(0, |index| index + 1)), f64::NAN);
                }
                TEXT_NAME if self.text_series.len() < Series::MOST_TEXTS => {
                    self.text_series.push((series.texts.intern(text, Series::MOST_TEXTS), None));
                }
                TEXT_VALUE if self.values.len() < Encoder::MOST_VALUES => self.values.push(text.into()),
                _ => return None,
            }
        }
        Some(())
    }

    fn forget_values(&mut self) {
        self.row.fill(f64::NAN);
        self.numbers.iter_mut().for_each(|(_, last)| *last = f64::NAN);
        self.text_series.iter_mut().for_each(|(_, last)| *last = None);
        self.texts = Arc::from([]);
    }

    fn point(&mut self, mut cursor: Cursor<'_>, at: Timestamp) -> Option<Said> {
        let mut next = 0_usize;
        for _ in 0..cursor.varint()? {
            let head = cursor.varint()?;
            let number = next.checked_add(usize::try_from(head >> 2).ok()?)?;
            let (index, last) = self.numbers.get_mut(number)?;
            *last = value::read(&mut cursor, head & 0b11, *last)?;
            if let Some(cell) = index.and_then(|index| self.row.get_mut(index)) {
                *cell = *last;
            }
            next = number + 1;
        }
        let changed_texts = cursor.varint()?;
        next = 0;
        for _ in 0..changed_texts {
            let head = cursor.varint()?;
            let number = next.checked_add(usize::try_from(head >> 1).ok()?)?;
            let value = if head & 1 == 1 { None } else { Some(cursor.length()?) };
            if value.is_some_and(|value| value >= self.values.len()) {
                return None;
            }
            self.text_series.get_mut(number)?.1 = value;
            next = number + 1;
        }
        if !cursor.is_at_end() {
            return None;
        }
        if changed_texts > 0 {
            self.texts = self.present_texts();
        }
        self.last_at = Some(at);
        Some(Said::Point(at))
    }

    /// Builds the row of texts by the table of series.
    fn present_texts(&self) -> Texts {
        let width =
            self.text_series.iter().filter_map(|(index, _)| *index).max().map_or(0, |index| index + 1);
        let mut texts = vec![None; width];
        for (index, value) in &self.text_series {
            let value = value.and_then(|value| self.values.get(value));
            if let (Some(index), Some(value)) = (index, value) {
                texts[*index] = Some(Arc::clone(value));
            }
        }
        texts.into()
    }
}
