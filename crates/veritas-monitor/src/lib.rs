//! System and process monitoring: readings, their series, and the monitor that
//! holds the last one.

pub mod monitor;
pub mod reading;

pub use monitor::Monitor;
pub use reading::{
    CpuReading, DiskReading, MemoryReading, NetworkReading, PressureReading, ProcessReading, ProcessStatus,
    Reading, SystemReading,
    series::{SERIES, Series},
};
