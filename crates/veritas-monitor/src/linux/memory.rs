//! Memory: the host's, and what a cgroup limit leaves of it.

use veritas_model::Bytes;

use crate::{
    linux::{
        cgroup::{LimitedMemory, Limits},
        source::{Buffer, Source},
        unreadable,
    },
    parse::{
        meminfo::{Meminfo, parse_meminfo},
        percent_of,
    },
    reading::MemoryReading,
    sampler::SamplerError,
};

/// `/proc/meminfo`.
#[derive(Debug)]
pub(crate) struct Memory {
    source: Source,
}

impl Memory {
    pub(crate) fn open() -> Result<Self, SamplerError> {
        let path = "/proc/meminfo";
        Ok(Self { source: Source::whole(path).map_err(|error| unreadable(path, error))? })
    }

    pub(crate) fn read(&self, buffer: &mut Buffer, limits: &mut Limits) -> Option<MemoryReading> {
        let host = parse_meminfo(buffer.read(&self.source).ok()?)?;
        let limited = limits.memory_use(buffer, host.total);
        Some(judge(&host, limited))
    }
}

/// Puts the host's memory and the limit together.
fn judge(host: &Meminfo, limited: Option<LimitedMemory>) -> MemoryReading {
    let (total, available) = match limited {
        Some(limited) => (limited.limit, limited.limit.saturating_sub(limited.unreclaimable)),
        None => (host.total, host.available),
    };
    let used = total.saturating_sub(available);
    let percent = |used, total| percent_of(used, total).unwrap_or(0.0);
    MemoryReading {
        total: Bytes::new(total),
        available: Bytes::new(available),
        used: Bytes::new(used),
        percent: percent(used, total),
        swap_percent: Some(host.swap_percent()),
        limit: limited.map(|limited| Bytes::new(limited.limit)),
        working_set: limited.map(|limited| Bytes::new(limited.working_set)),
        host_total: Bytes::new(host.total),
        host_available: Bytes::new(host.available),
        host_percent: percent(host.total.saturating_sub(host.available), host.total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Meminfo = Meminfo { total: 64 << 30, available: 48 << 30, swap_total: 0, swap_free: 0 };

    #[test]
    fn without_a_limit_the_host_is_what_we_may_use() {
        let memory = judge(&HOST, None);
        assert_eq!((memory.total.get(), memory.used.get(), memory.percent), (64 << 30, 16 << 30, 25.0));
        assert_eq!(memory.limit, None);
    }

    #[test]
    fn a_container_is_judged_by_its_limit_and_not_by_the_host() {
        let limited = LimitedMemory { limit: 2 << 30, unreclaimable: 1 << 30, working_set: 3 << 29 };
        let memory = judge(&HOST, Some(limited));
        assert_eq!((memory.total.get(), memory.available.get(), memory.percent), (2 << 30, 1 << 30, 50.0));
        assert_eq!(memory.host_percent, 25.0);
        assert_eq!(memory.working_set, Some(Bytes::new(3 << 29)));
    }

    #[test]
    fn use_beyond_the_limit_is_all_of_it() {
        let limited = LimitedMemory { limit: 1 << 30, unreclaimable: 2 << 30, working_set: 2 << 30 };
        assert_eq!(judge(&HOST, Some(limited)).percent, 100.0);
    }
}
