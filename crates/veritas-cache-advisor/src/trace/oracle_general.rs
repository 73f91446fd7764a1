//! Traces in the binary format `oracleGeneral` of libCacheSim.

use std::{
    io::{ErrorKind, Read},
    time::Duration,
};

use super::{Operation, TraceError, TraceReader, TraceRequest};
use crate::sample::sampling_hash;

/// The size of a record.
const RECORD: usize = 24;

/// Reads records of 24 bytes, little-endian, packed: `u32` time in seconds, `u64`
/// key, `u32` size in bytes, `i64` number of the next request for the key, −1 for
/// none (some writers: the largest number). The last is read and not used.
///
/// Layout as in libCacheSim's `oracleGeneralBin.h`.
#[derive(Debug)]
pub struct OracleGeneralTrace<R> {
    source: R,
    records: u64,
    last: u32,
}

impl<R: Read> OracleGeneralTrace<R> {
    /// Creates a reader that has read nothing.
    pub fn new(source: R) -> Self {
        Self { source, records: 0, last: 0 }
    }

    fn next_record(&mut self) -> Result<Option<TraceRequest>, TraceError> {
        let offset = TraceReader::offset(self);
        let mut record = [0; RECORD];
        let mut filled = 0;
        while filled < RECORD {
            match self.source.read(&mut record[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(TraceError::Read { offset: offset + filled as u64, source }),
            }
        }
        let wrong = |problem| TraceError::Record { record: self.records + 1, offset, problem };
        match filled {
            0 => return Ok(None),
            RECORD => {}
            short => return Err(wrong(format!("cut short: {short} of {RECORD} bytes"))),
        }
        let (time, rest) = record.split_at(4);
        let (key, rest) = rest.split_at(8);
        let (size, next) = rest.split_at(4);
        let small = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let large = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let time = small(time);
        if time < self.last {
            return Err(wrong(format!(
                "time goes back from {} to {time}: is this oracleGeneral?",
                self.last
            )));
        }
        let next = large(next).cast_signed();
        if next < -1 {
            return Err(wrong(format!("next access {next} is below -1: is this oracleGeneral?")));
        }
        self.last = time;
        self.records += 1;
        Ok(Some(TraceRequest {
            at: Duration::from_secs(u64::from(time)),
            key: sampling_hash(large(key)),
            size: small(size).max(1),
            operation: Operation::Get,
            time_to_live: None,
        }))
    }
}

impl<R: Read> TraceReader for OracleGeneralTrace<R> {
    fn next(&mut self) -> Option<Result<TraceRequest, TraceError>> {
        self.next_record().transpose()
    }

    fn offset(&self) -> u64 {
        self.records * RECORD as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, read};
    use super::*;

    fn record(time: u32, key: u64, size: u32, next: i64) -> Vec<u8> {
        let mut bytes = time.to_le_bytes().to_vec();
        bytes.extend(key.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        bytes
    }

    #[track_caller]
    fn check_error(bytes: Vec<u8>, expected: &str) {
        let error = read(std::io::Cursor::new(bytes), Format::OracleGeneral).find_map(Result::err).unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn records_are_read_field_by_field() {
        let bytes = [record(5, 1 << 40, 4_096, 2), record(6, 7, 0, -1), record(6, 7, 1, i64::MAX)].concat();
        let mut trace = read(std::io::Cursor::new(bytes), Format::OracleGeneral);
        let first = trace.next().unwrap().unwrap();
        assert_eq!((first.at, first.key), (Duration::from_secs(5), sampling_hash(1 << 40)));
        assert_eq!((first.size, first.operation), (4_096, Operation::Get));
        assert_eq!(trace.next().unwrap().unwrap().size, 1, "nothing weighs nothing");
        assert!(trace.next().unwrap().is_ok() && trace.next().is_none());
        assert_eq!(trace.offset(), 72);
    }

    #[test]
    fn a_trace_that_is_cut_short_or_is_none_is_an_error_with_its_place() {
        let mut cut = [record(5, 1, 1, -1), record(6, 2, 1, -1)].concat();
        cut.truncate(40);
        check_error(cut, "record 2 of the trace (byte 24): cut short: 16 of 24 bytes");
        check_error([record(5, 1, 1, -1), record(4, 2, 1, -1)].concat(), "time goes back from 5 to 4");
        check_error(record(5, 1, 1, -9), "(byte 0): next access -9");
    }
}
