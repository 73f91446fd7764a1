//! Traces as lines of `time,key[,size[,op[,ttl]]]`.

use std::{io::BufRead, time::Duration};

use veritas_model::stable_hash;

use super::{Operation, TraceError, TraceReader, TraceRequest};
use crate::sample::sampling_hash;

/// The longest line that is read: memory is bounded by it.
const LONGEST_LINE: usize = 64 * 1024;

/// Which column holds what.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Columns {
    time: usize,
    key: usize,
    size: Option<usize>,
    operation: Option<usize>,
    time_to_live: Option<usize>,
}

/// Reads lines of `time,key[,size[,op[,ttl]]]`: seconds (with a fraction if
/// wanted), any text without a comma, bytes, an operation, seconds.
///
/// A first line whose time is not a number is a header: its names tell the order
/// of the columns (`time`, `key`, `size`, `op`, `ttl` and usual synonyms). Empty
/// lines and those that begin with `#` are left out. Operations: `get` and `read`;
/// `set`, `put`, `add`, `replace`, `write`, `cas`, `incr` and `decr`; `delete` and
/// `remove`. A ttl of 0 means endless.
#[derive(Debug)]
pub struct CsvTrace<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
    offset: u64,
    columns: Option<Columns>,
}

impl<R: BufRead> CsvTrace<R> {
    /// Creates a reader that has read nothing.
    pub fn new(source: R) -> Self {
        Self { source, line: Vec::new(), number: 0, offset: 0, columns: None }
    }

    /// Reads the next line, without its end. Returns where it began, `None` at the end.
    fn next_line(&mut self) -> Result<Option<u64>, TraceError> {
        let start = self.offset;
        self.line.clear();
        let mut limited = std::io::Read::take(&mut self.source, LONGEST_LINE as u64 + 1);
        let read = limited
            .read_until(b'\n', &mut self.line)
            .map_err(|source| TraceError::Read { offset: start, source })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.offset += read as u64;
        if read > LONGEST_LINE {
            let problem = format!("longer than {LONGEST_LINE} bytes");
            return Err(TraceError::Line { line: self.number, offset: start, problem });
        }
        while matches!(self.line.last(), Some(b'\n' | b'\r')) {
            self.line.pop();
        }
        Ok(Some(start))
    }

    fn next_request(&mut self) -> Result<Option<TraceRequest>, TraceError> {
        while let Some(offset) = self.next_line()? {
            let number = self.number;
            let wrong = |problem: String| TraceError::Line { line: number, offset, problem };
            let line = std::str::from_utf8(&self.line).map_err(|_| wrong("not UTF-8".to_owned()))?;
            let line = line.strip_prefix('\u{feff}').unwrap_or(line).trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let columns = if let Some(columns) = self.columns {
                columns
            } else {
                let (columns, is_header) = columns_of(line).map_err(wrong)?;
                self.columns = Some(columns);
                if is_header {
                    continue;
                }
                columns
            };
            return parse(line, columns).map(Some).map_err(wrong);
        }
        Ok(None)
    }
}

impl<R: BufRead> TraceReader for CsvTrace<R> {
    fn next(&mut self) -> Option<Result<TraceRequest, TraceError>> {
        self.next_request().transpose()
    }

    fn offset(&self) -> u64 {
        self.offset
    }
}

/// Returns the columns that the first line tells, and whether it is a header.
fn columns_of(line: &str) -> Result<(Columns, bool), String> {
    let names: Vec<String> = line.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    if names[0].parse::<f64>().is_ok() {
        let optional = |index: usize| (names.len() > index).then_some(index);
        let columns =
            Columns { time: 0, key: 1, size: optional(2), operation: optional(3), time_to_live: optional(4) };
        return Ok((columns, false));
    }
    let find = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    let need = |known: &[&str]| {
        find(known).ok_or_else(|| format!("a header without a column {:?}: {line:?}", known[0]))
    };
    let columns = Columns {
        time: need(&["time", "timestamp", "ts", "at", "clock_time", "real_time"])?,
        key: need(&["key", "id", "obj_id", "object", "object_id", "obj"])?,
        size: find(&["size", "bytes", "weight", "obj_size", "object_size", "value_size"]),
        operation: find(&["op", "operation", "cmd", "command", "method"]),
        time_to_live: find(&["ttl", "time_to_live", "expires", "expiry"]),
    };
    Ok((columns, true))
}

fn parse(line: &str, columns: Columns) -> Result<TraceRequest, String> {
    let field = |index: usize| line.split(',').nth(index).map(str::trim).filter(|field| !field.is_empty());
    let time = field(columns.time).ok_or("no time")?;
    let key = field(columns.key).ok_or("no key")?;
    let optional = |column: Option<usize>| column.and_then(field);
    let size = match optional(columns.size) {
        None => 1,
        Some(text) => text
            .parse::<u64>()
            .map(|size| u32::try_from(size).unwrap_or(u32::MAX).max(1))
            .map_err(|_| format!("size {text:?} is not a whole number of bytes"))?,
    };
    let operation = match optional(columns.operation).map(str::to_ascii_lowercase).as_deref() {
        None | Some("get" | "gets" | "read" | "r") => Operation::Get,
        Some(
            "set" | "put" | "add" | "replace" | "write" | "w" | "cas" | "incr" | "decr" | "append"
            | "prepend",
        ) => Operation::Set,
        Some("delete" | "del" | "remove" | "invalidate") => Operation::Delete,
        Some(other) => return Err(format!("operation {other:?} is not known")),
    };
    let time_to_live = match optional(columns.time_to_live) {
        None => None,
        Some(text) => Some(seconds(text).ok_or_else(|| format!("ttl {text:?} is not a number of seconds"))?),
    };
    Ok(TraceRequest {
        at: seconds(time).ok_or_else(|| format!("time {time:?} is not a number of seconds"))?,
        key: hash_of(key),
        size,
        operation,
        time_to_live: time_to_live.filter(|time| !time.is_zero()),
    })
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// The hash of a key as text; a number has that of the same number in a binary trace.
fn hash_of(key: &str) -> u64 {
    key.parse().map_or_else(|_| sampling_hash(stable_hash(key.as_bytes())), sampling_hash)
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Trace, read};
    use super::*;

    fn trace(text: &'static str) -> Trace {
        read(text.as_bytes(), Format::Csv)
    }

    #[track_caller]
    fn check_error(text: &'static str, expected: &str) {
        let error = trace(text).find_map(Result::err).unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn columns_are_in_their_usual_order_without_a_header() {
        let requests: Vec<_> = trace("0,a\n1.5,b,,\n").map(Result::unwrap).collect();
        assert_eq!((requests[0].size, requests[0].operation), (1, Operation::Get));
        let full = trace("7.25,a,120,SET,60\r\n").next().unwrap().unwrap();
        assert_eq!((full.at, full.size), (Duration::from_millis(7_250), 120));
        assert_eq!((full.operation, full.time_to_live), (Operation::Set, Some(Duration::from_mins(1))));
        assert_eq!(full.key, requests[0].key);
    }

    #[test]
    fn a_header_tells_the_order() {
        let text = "\u{feff}ttl, op ,obj_id,timestamp,size\n\n# a remark\n0,delete,9,3,100\n";
        let requests: Vec<_> = trace(text).map(Result::unwrap).collect();
        assert_eq!(requests.len(), 1);
        assert_eq!((requests[0].key, requests[0].size), (sampling_hash(9), 100));
        assert_eq!((requests[0].operation, requests[0].time_to_live), (Operation::Delete, None));
    }

    #[test]
    fn a_wrong_line_is_named() {
        check_error("0,a\n1,b\nx,c\n", "line 3 of the trace (byte 8): time \"x\"");
        check_error("0,a,1\n1,b,-5\n", "size \"-5\"");
        check_error("0,a\n1\n", "line 2 of the trace (byte 4): no key");
        check_error("0,a,1,frob\n", "operation \"frob\"");
        check_error("0,a,1,get,soon\n", "ttl \"soon\"");
        check_error("-1,a\n", "time \"-1\"");
        check_error("nan,a\n", "time \"nan\"");
        check_error("when,what\n", "without a column \"time\"");
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        let mut trace = trace("0,a\nx,b\n2,c\n");
        assert!(trace.next().unwrap().is_ok() && trace.next().unwrap().is_err() && trace.next().is_none());
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let endless = std::io::Read::take(std::io::repeat(b'a'), 1 << 40);
        let error = read(endless, Format::Csv).next().unwrap().unwrap_err().to_string();
        assert!(error.contains("longer than 65536 bytes"), "{error}");
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let error = read(&b"0,\xff\xfe\n"[..], Format::Csv).next().unwrap().unwrap_err();
        assert!(error.to_string().contains("not UTF-8"));
    }
}
