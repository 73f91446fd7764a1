//! The envelope of a segment's bytes: its header, and frames with a checksum.
//!
//! `docs/reference/history-format.md` describes every byte.

use veritas_model::Timestamp;

use super::varint::Cursor;

/// The format that this release writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;
/// The first bytes of every segment, in every format.
const MAGIC: [u8; 8] = *b"VERITASH";
/// Bytes of a segment's header.
pub(super) const HEADER_LENGTH: usize = 24;
/// Bytes of a frame beside its payload.
pub(super) const ENVELOPE_LENGTH: usize = 8;
/// Most bytes of a payload; a longer one is not a frame.
pub(super) const LONGEST_PAYLOAD: usize = 4 << 20;
/// Bytes of a seal frame, envelope included.
pub(super) const SEAL_LENGTH: usize = ENVELOPE_LENGTH + 21;

/// First byte of a payload: names and texts get their numbers.
pub(super) const DICTIONARY: u8 = 1;
/// First byte of a payload: a point, as what differs from the one before.
pub(super) const TICK: u8 = 2;
/// First byte of a payload: a point on its own.
pub(super) const KEY: u8 = 3;
/// First byte of a payload: the segment is complete.
pub(super) const SEAL: u8 = 4;

/// Why a header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// It is cut short, not ours, or its checksum is wrong.
    Damaged,
    /// It is sound, and of a format that this release does not know.
    UnknownFormat(u32),
}

/// How many points a segment holds, and between which times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) ticks: u32,
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

impl Span {
    /// The span of no points: it meets no other.
    pub(super) const EMPTY: Self =
        Self { ticks: 0, earliest: Timestamp::from_nanos(i64::MAX), latest: Timestamp::from_nanos(i64::MIN) };

    /// Adds a point.
    pub(super) fn add(&mut self, at: Timestamp) {
        self.ticks = self.ticks.saturating_add(1);
        self.earliest = self.earliest.min(at);
        self.latest = self.latest.max(at);
    }
}

/// Appends the header of segment `sequence`.
pub(super) fn put_header(out: &mut Vec<u8>, sequence: u64) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Checks a header and returns the segment's sequence number.
pub(super) fn read_header(bytes: &[u8]) -> Result<u64, HeaderError> {
    let fields = |bytes| {
        let mut cursor = Cursor::new(bytes);
        let magic = cursor.array::<8>()?;
        let format = u32::from_le_bytes(cursor.array()?);
        let sequence = u64::from_le_bytes(cursor.array()?);
        let checksum = u32::from_le_bytes(cursor.array()?);
        Some((magic, format, sequence, checksum))
    };
    let (magic, format, sequence, checksum) = fields(bytes).ok_or(HeaderError::Damaged)?;
    if magic != MAGIC || checksum != crc32fast::hash(&bytes[..HEADER_LENGTH - 4]) {
        return Err(HeaderError::Damaged);
    }
    if format == FORMAT { Ok(sequence) } else { Err(HeaderError::UnknownFormat(format)) }
}

/// Leaves room for an envelope and returns where it is.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; ENVELOPE_LENGTH]);
    start
}

/// Fills the envelope at `start` for the payload that follows it.
pub(super) fn end(out: &mut [u8], start: usize) {
    let payload = out.len() - start - ENVELOPE_LENGTH;
    let length = u32::try_from(payload).unwrap_or(u32::MAX).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    let checksum = checksum(length, &out[start + ENVELOPE_LENGTH..]);
    out[start + 4..start + ENVELOPE_LENGTH].copy_from_slice(&checksum.to_le_bytes());
}

/// Takes the next frame and returns its payload; `None` where it is cut short or damaged.
pub(super) fn take<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = cursor.array::<4>()?;
    let expected = u32::from_le_bytes(cursor.array()?);
    let count = usize::try_from(u32::from_le_bytes(length)).ok()?;
    if count > LONGEST_PAYLOAD {
        return None;
    }
    let payload = cursor.bytes(count)?;
    (checksum(length, payload) == expected).then_some(payload)
}

/// The length is under the checksum too: a flipped length must not find a
/// frame that happens to be sound.
fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// Appends a seal frame.
pub(super) fn put_seal(out: &mut Vec<u8>, span: Span) {
    let start = begin(out);
    out.push(SEAL);
    out.extend_from_slice(&span.ticks.to_le_bytes());
    out.extend_from_slice(&span.earliest.nanos().to_le_bytes());
    out.extend_from_slice(&span.latest.nanos().to_le_bytes());
    end(out, start);
}

/// Reads the payload of a seal frame.
pub(super) fn read_seal(payload: &[u8]) -> Option<Span> {
    let mut cursor = Cursor::new(payload);
    let kind = cursor.byte()?;
    let ticks = u32::from_le_bytes(cursor.array()?);
    let earliest = Timestamp::from_nanos(i64::from_le_bytes(cursor.array()?));
    let latest = Timestamp::from_nanos(i64::from_le_bytes(cursor.array()?));
    (kind == SEAL && cursor.is_at_end()).then_some(Span { ticks, earliest, latest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_another_format_is_told_from_a_damaged_one() {
        let mut header = Vec::new();
        put_header(&mut header, 7);
        assert_eq!(header.len(), HEADER_LENGTH);
        assert_eq!(read_header(&header), Ok(7));
        let mut damaged = header.clone();
        damaged[9] ^= 1;
        assert_eq!(read_header(&damaged), Err(HeaderError::Damaged));
        let mut newer = header[..HEADER_LENGTH - 4].to_vec();
        newer[8] = 2;
        let checksum = crc32fast::hash(&newer);
        newer.extend_from_slice(&checksum.to_le_bytes());
        assert_eq!(read_header(&newer), Err(HeaderError::UnknownFormat(2)));
    }

    #[test]
    fn a_seal_has_the_length_that_it_is_looked_for_with() {
        let mut out = Vec::new();
        let span = Span { ticks: 3, earliest: Timestamp::from_nanos(-5), latest: Timestamp::from_nanos(9) };
        put_seal(&mut out, span);
        assert_eq!(out.len(), SEAL_LENGTH);
        assert_eq!(take(&mut Cursor::new(&out)).and_then(read_seal), Some(span));
    }
}
