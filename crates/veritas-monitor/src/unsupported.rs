//! Systems other than Linux: nothing is sampled, and every attempt says so.

use veritas_model::Clock;

use crate::{
    process::ProcessError,
    reading::{ProcessReading, Reading},
    sampler::{SamplerError, SamplerOptions},
    table::ProcessUse,
};

/// There is none.
#[derive(Debug)]
pub(crate) enum Machine {}

impl Machine {
    pub(crate) fn open(_options: SamplerOptions) -> Result<Self, SamplerError> {
        Err(SamplerError::Unsupported)
    }

    pub(crate) fn tick(&mut self, _clock: &dyn Clock) -> Reading {
        match *self {}
    }
}

pub(crate) fn read_process(_pid: u32, _clock: &dyn Clock) -> Result<ProcessReading, ProcessError> {
    Err(ProcessError::Unsupported)
}

/// A scan that stays empty.
#[derive(Debug)]
pub(crate) struct Scan {
    processes: Vec<ProcessUse>,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self { processes: Vec::new() }
    }

    pub(crate) fn scan(&mut self, _clock: &dyn Clock) -> Result<(), ProcessError> {
        self.processes.clear();
        Err(ProcessError::Unsupported)
    }

    pub(crate) fn processes(&self) -> impl Iterator<Item = &ProcessUse> {
        self.processes.iter()
    }
}
