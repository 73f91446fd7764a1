//! Traces of requests from files: CSV, and the binary format `oracleGeneral` of libCacheSim.
//!
//! Read as a stream: memory is bounded by the longest line or one buffer.

mod csv;
mod oracle_general;

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

pub use csv::CsvTrace;
pub use oracle_general::OracleGeneralTrace;

/// What a request of a trace does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Looks the key up, and loads it when it is not there.
    Get,
    /// Writes it.
    Set,
    /// Removes it.
    Delete,
}

/// One line or record of a trace.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceRequest {
    /// When, in the trace's own time.
    pub at: Duration,
    /// A hash of the key, fit for sampling.
    pub key: u64,
    /// What the value weighs; 1 where the trace does not say.
    pub size: u32,
    /// What is done.
    pub operation: Operation,
    /// How long what is stored lives, where the trace says.
    pub time_to_live: Option<Duration>,
}

/// Which format a trace is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of `time,key[,size[,op[,ttl]]]`.
    Csv,
    /// Records of 24 bytes.
    OracleGeneral,
}

impl Format {
    /// Returns the format that a file's name tells: `.csv` and `.txt` are CSV, `.bin`
    /// and `.oracleGeneral` (also with `.bin` behind) are records.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "csv" | "txt" => Some(Self::Csv),
            "bin" | "oraclegeneral" => Some(Self::OracleGeneral),
            _ => None,
        }
    }
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The file could not be opened.
    #[error("failed to open trace {path:?}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file's name does not tell the format.
    #[error("the name of trace {path:?} does not tell its format: name it .csv or .oracleGeneral")]
    UnknownFormat {
        /// Which.
        path: PathBuf,
    },
    /// It is compressed.
    #[error("trace is compressed (zstd or gzip): decompress it first")]
    Compressed,
    /// Reading failed on the way.
    #[error("failed to read the trace at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("line {line} of the trace (byte {offset}): {problem}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A record is not what it should be.
    #[error("record {record} of the trace (byte {offset}): {problem}")]
    Record {
        /// Which record, from 1.
        record: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
}

/// A trace that is being read; ends after its first error.
pub struct Trace {
    requests: Box<dyn TraceReader + Send>,
    length: Option<u64>,
    failed: bool,
}

/// A reader of one format.
trait TraceReader {
    fn next(&mut self) -> Option<Result<TraceRequest, TraceError>>;
    /// How many bytes were read.
    fn offset(&self) -> u64;
}

impl Trace {
    /// Returns how many bytes were read so far.
    pub fn offset(&self) -> u64 {
        self.requests.offset()
    }

    /// Returns how many bytes there are, where that is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Iterator for Trace {
    type Item = Result<TraceRequest, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.requests.next();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace")
            .field("offset", &self.offset())
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Opens a trace, whose format its name tells.
///
/// # Errors
///
/// `Open` and `UnknownFormat`; `Compressed` for files of zstd or gzip.
pub fn open(path: &Path) -> Result<Trace, TraceError> {
    let format = Format::of(path).ok_or_else(|| TraceError::UnknownFormat { path: path.to_owned() })?;
    open_as(path, format)
}

/// Opens a trace of a known format.
///
/// # Errors
///
/// `Open`, `Compressed` and `Read`.
pub fn open_as(path: &Path, format: Format) -> Result<Trace, TraceError> {
    let failed = |source| TraceError::Open { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().ok().map(|metadata| metadata.len());
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start).map_err(|source| TraceError::Read { offset: 0, source })?;
    if start == [0x28, 0xb5, 0x2f, 0xfd] || start.starts_with(&[0x1f, 0x8b]) {
        return Err(TraceError::Compressed);
    }
    let trace = read(io::Cursor::new(start).chain(file), format);
    Ok(Trace { length, ..trace })
}

/// Reads a trace from anything.
pub fn read(source: impl Read + Send + 'static, format: Format) -> Trace {
    let source = BufReader::with_capacity(64 * 1024, source);
    let requests: Box<dyn TraceReader + Send> = match format {
        Format::Csv => Box::new(CsvTrace::new(source)),
        Format::OracleGeneral => Box::new(OracleGeneralTrace::new(source)),
    };
    Trace { requests, length: None, failed: false }
}
