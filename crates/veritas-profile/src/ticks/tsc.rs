//! The time stamp counter of x86-64, the one place here that needs `unsafe`.
#![expect(
    unsafe_code,
    reason = "reading the counter is an unsafe intrinsic, and half the price of asking the kernel's page"
)]

use std::{arch::x86_64::_rdtsc, fs};

/// Reads the counter. It is not ordered with the instructions around it: that
/// shifts a reading by some ten cycles and costs half of an ordered one.
#[inline]
pub(super) fn read() -> u64 {
    // SAFETY: every x86-64 processor has the instruction. Where a process is
    // forbidden it (PR_SET_TSC, which the child of a strict sandbox may inherit),
    // it faults, it does not corrupt; `is_trustworthy` has then faulted at start,
    // in the kernel's vDSO too, which uses the same instruction.
    unsafe { _rdtsc() }
}

/// Returns whether the counter ticks evenly on all cores: the processor says that
/// it is invariant (AMD64 Architecture Programmer's Manual vol. 3, `CPUID`
/// leaf 0x80000007, EDX bit 8; Intel SDM vol. 3B, 18.17.1), and the kernel, which
/// watches it, keeps time by it. Reads one small file of the kernel.
pub(super) fn is_trustworthy() -> bool {
    is_invariant()
        && fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .is_ok_and(|source| source.trim() == "tsc")
}

fn is_invariant() -> bool {
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    let highest = std::arch::x86_64::__cpuid(0x8000_0000).eax;
    highest >= POWER_MANAGEMENT && std::arch::x86_64::__cpuid(POWER_MANAGEMENT).edx & INVARIANT != 0
}
