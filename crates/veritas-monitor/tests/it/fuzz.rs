//! Parsers on bytes that no kernel prints.

use proptest::prelude::*;
use veritas_monitor::parse::{fuzz_parsers, stat::CpuTimes};

const FIXTURES: [&[u8]; 8] = [
    b"cpu  1604 0 1692 185969 259 0 21 27 0 0\ncpu0 629 0 738 93354 26 0 6 11 0 0\nintr 1 2\n",
    b"MemTotal: 16384 kB\nMemAvailable: 8192 kB\nSwapTotal: 4096 kB\nSwapFree: 3072 kB\n",
    b"Inter-| Receive\n face |bytes\n lo: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\neth0: 5 6 0 0 0 0 0 0 7 8 0 0 0 0 0 0\n",
    b"6486 (a) (b) R 1 2 3 0 -1 4 97 0 0 0 250 50 7 7 20 0 4 0 94988 3133440 414 0\n",
    b"some avg10=1.85 avg60=1.32 avg300=0.41 total=4725143\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=0\n",
    b"4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/x\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    b"usage_usec 1500000\nnr_periods 10\nnr_throttled 4\ninactive_file 30\nactive_file 15\n",
    b"150000 100000\n0-3,8\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_bytes_make_a_parser_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_parsers(&data);
    }

    #[test]
    fn no_damaged_file_makes_a_parser_panic(
        fixture in 0..FIXTURES.len(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut data = FIXTURES[fixture].to_vec();
        for (index, byte) in edits {
            let index = index.index(data.len());
            data[index] = byte;
        }
        fuzz_parsers(&data);
        data.truncate(cut.index(data.len()));
        fuzz_parsers(&data);
    }

    #[test]
    fn shares_of_time_are_shares_whatever_the_counters_do(
        before in proptest::array::uniform8(any::<u64>()),
        now in proptest::array::uniform8(any::<u64>()),
    ) {
        let times = |[user, nice, system, idle, iowait, irq, softirq, steal]: [u64; 8]| CpuTimes {
            user, nice, system, idle, iowait, irq, softirq, steal,
        };
        if let Some(cpu_use) = times(now).since(&times(before)) {
            for share in [cpu_use.busy, cpu_use.iowait, cpu_use.steal] {
                prop_assert!((0.0..=100.0).contains(&share), "{share}");
            }
        }
    }
}
