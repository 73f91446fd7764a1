//! `/proc/meminfo`: the host's memory and swap.

use crate::parse::scan::{fields, lines, unsigned};

/// The host's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meminfo {
    /// `MemTotal`.
    pub total: u64,
    /// `MemAvailable`; before Linux 3.14 the estimate that it replaced: free
    /// memory, buffers and page cache.
    pub available: u64,
    /// `SwapTotal`.
    pub swap_total: u64,
    /// `SwapFree`.
    pub swap_free: u64,
}

impl Meminfo {
    /// Returns the share of swap in use, 0 to 100; 0 without swap.
    pub fn swap_percent(&self) -> f64 {
        super::percent_of(self.swap_total.saturating_sub(self.swap_free), self.swap_total).unwrap_or(0.0)
    }
}

/// Reads `/proc/meminfo`. `None` without a total.
pub fn parse_meminfo(data: &[u8]) -> Option<Meminfo> {
    let mut meminfo = Meminfo::default();
    let mut available = None;
    let mut reclaimable = 0_u64;
    for line in lines(data) {
        let mut fields = fields(line);
        let (Some(key), Some(value)) = (fields.next(), fields.next().and_then(unsigned)) else { continue };
        let bytes = value.saturating_mul(1024);
        match key {
            b"MemTotal:" => meminfo.total = bytes,
            b"MemAvailable:" => available = Some(bytes),
            b"MemFree:" | b"Buffers:" | b"Cached:" => reclaimable = reclaimable.saturating_add(bytes),
            b"SwapTotal:" => meminfo.swap_total = bytes,
            b"SwapFree:" => {
                meminfo.swap_free = bytes;
                // Nothing after it is for us, and the file has thirty more lines.
                break;
            }
            _ => {}
        }
    }
    meminfo.available = available.unwrap_or(reclaimable).min(meminfo.total);
    (meminfo.total > 0).then_some(meminfo)
}

#[doc(hidden)]
pub fn fuzz_meminfo(data: &[u8]) {
    if let Some(meminfo) = parse_meminfo(data) {
        assert!(meminfo.available <= meminfo.total);
        assert!((0.0..=100.0).contains(&meminfo.swap_percent()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_is_not_used_memory() {
        let meminfo = parse_meminfo(
            b"MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n\
              Buffers:          512 kB\nCached:          9000 kB\nSwapCached:        0 kB\n\
              SwapTotal:       4096 kB\nSwapFree:        3072 kB\nDirty: 1 kB\n",
        );
        let meminfo = meminfo.expect("it has a total");
        assert_eq!(meminfo.total, 16_384 * 1024);
        assert_eq!(meminfo.available, 8192 * 1024);
        assert_eq!(meminfo.swap_percent(), 25.0);
    }

    #[test]
    fn an_old_kernel_gets_the_old_estimate() {
        let meminfo = parse_meminfo(b"MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n");
        assert_eq!(meminfo.map(|meminfo| meminfo.available), Some(35 * 1024));
    }

    #[test]
    fn no_swap_is_no_swap_in_use() {
        let meminfo = parse_meminfo(b"MemTotal: 100 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
        assert_eq!(meminfo.map(|meminfo| meminfo.swap_percent()), Some(0.0));
    }

    #[test]
    fn without_a_total_nothing_is_known() {
        assert_eq!(parse_meminfo(b""), None);
        assert_eq!(parse_meminfo(b"MemFree: 10 kB\n"), None);
    }
}
