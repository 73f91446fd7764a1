//! `/proc/PID/stat` and `/proc/PID/statm`: one process.

use crate::{
    parse::scan::{fields, unsigned},
    reading::ProcessStatus,
};

/// What we read of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat<'a> {
    /// Its number.
    pub pid: u32,
    /// Its name, at most 15 bytes, any bytes at all.
    pub name: &'a [u8],
    /// What it is doing.
    pub status: ProcessStatus,
    /// Ticks in user mode (guests included) and in the kernel.
    pub ticks: u64,
    /// Threads.
    pub threads: u32,
    /// Ticks since boot at which it started.
    pub started: u64,
    /// Resident pages. Since Linux 6.2 this may be off by some pages per
    /// processor; `statm` is exact on newer kernels.
    pub resident_pages: u64,
}

/// Reads `/proc/PID/stat`. The name stands between the first `(` and the last
/// `)`: a name may hold blanks, parentheses and line ends itself.
pub fn parse_process_stat(data: &[u8]) -> Option<ProcessStat<'_>> {
    let open = data.iter().position(|byte| *byte == b'(')?;
    let close = data.iter().rposition(|byte| *byte == b')').filter(|close| *close > open)?;
    let pid = u32::try_from(unsigned(data[..open].trim_ascii())?).ok()?;
    // Numbered as in proc(5): the state is field 3.
    let mut fields = fields(&data[close + 1..]);
    let state = *fields.next()?.first()?;
    let user = unsigned(fields.nth(10)?)?;
    let system = unsigned(fields.next()?)?;
    let threads = unsigned(fields.nth(4)?)?;
    let started = unsigned(fields.nth(1)?)?;
    let resident_pages = unsigned(fields.nth(1)?).unwrap_or(0);
    Some(ProcessStat {
        pid,
        name: &data[open + 1..close],
        status: ProcessStatus::from_letter(state),
        ticks: user.saturating_add(system),
        threads: u32::try_from(threads).unwrap_or(u32::MAX),
        started,
        resident_pages,
    })
}

/// Reads `/proc/PID/statm`: virtual and resident pages.
pub fn parse_statm(data: &[u8]) -> Option<(u64, u64)> {
    let mut fields = fields(data);
    Some((unsigned(fields.next()?)?, unsigned(fields.next()?)?))
}

/// Returns the whole name of a process whose kernel name may be cut off: the
/// base name of its first argument, when that begins with the kernel's name.
pub fn full_name<'a>(name: &'a [u8], command_line: &'a [u8]) -> &'a [u8] {
    const CUT_AT: usize = 15;
    if name.len() < CUT_AT {
        return name;
    }
    let program = command_line.split(|byte| *byte == 0).next().unwrap_or_default();
    let base = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if base.starts_with(name) { base } else { name }
}

#[doc(hidden)]
pub fn fuzz_process(data: &[u8]) {
    if let Some(stat) = parse_process_stat(data) {
        assert!(full_name(stat.name, data).len() <= data.len());
    }
    let (name, rest) = data.split_at(data.len().min(15));
    assert!(full_name(name, rest).len() <= data.len());
    let _ = parse_statm(data);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "R 6484 6484 2760 0 -1 4194304 97 0 0 0 250 50 7 7 20 0 4 0 94988 3133440 414 \
        18446744073709551615 1 1 1 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";

    #[track_caller]
    fn check_name(name: &[u8]) {
        let mut line = b"6486 (".to_vec();
        line.extend_from_slice(name);
        line.extend_from_slice(b") ");
        line.extend_from_slice(TAIL.as_bytes());
        let stat = parse_process_stat(&line).expect("it is a stat line");
        assert_eq!(
            stat,
            ProcessStat {
                pid: 6486,
                name,
                status: ProcessStatus::Running,
                ticks: 300,
                threads: 4,
                started: 94_988,
                resident_pages: 414
            }
        );
    }

    #[test]
    fn any_bytes_are_a_name() {
        check_name(b"cat");
        check_name(b"a b) R 1 (c");
        check_name(b") S 1 1");
        check_name(b"");
        check_name(b"line\nend");
        check_name(b"\xff\xfe(((");
    }

    #[test]
    fn a_line_that_is_cut_off_is_nothing() {
        assert_eq!(parse_process_stat(b"6486 (cat) R 1 2"), None);
        assert_eq!(parse_process_stat(b"6486 )cat("), None);
        assert_eq!(parse_process_stat(b""), None);
    }

    #[test]
    fn a_name_that_was_cut_off_is_completed_from_the_command_line() {
        let check = |name: &[u8], line: &[u8], expected: &[u8]| assert_eq!(full_name(name, line), expected);
        check(b"very-long-progr", b"/usr/bin/very-long-program\0--flag\0", b"very-long-program");
        check(b"very-long-progr", b"python3\0x.py\0", b"very-long-progr");
        check(b"short", b"/usr/bin/shorter\0", b"short");
        check(b"very-long-progr", b"", b"very-long-progr");
    }

    #[test]
    fn pages_are_read() {
        assert_eq!(parse_statm(b"765 420 392 5 0 123 0\n"), Some((765, 420)));
        assert_eq!(parse_statm(b"765\n"), None);
    }
}
