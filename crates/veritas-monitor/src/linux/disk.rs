//! The file system, asked by a helper thread: one that hangs (a dead NFS
//! server) must not hang the sampler.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::fs::StatVfs;
use veritas_model::Bytes;

use crate::{parse::percent_of, reading::DiskReading, sampler::SamplerError};

/// How long a tick waits for the answer. It comes within a tenth of a
/// millisecond, unless the machine is so busy that the helper must wait for its turn.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long opening waits for the first answer before it goes on without: long enough
/// for a helper that waits for its turn, so that only a file system that hangs hides its error.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);

/// Asks for the use of one file system. The helper thread ends with the probe,
/// or as soon as the file system answers.
#[derive(Debug)]
pub(crate) struct DiskProbe {
    desk: Arc<Desk>,
    is_waiting: bool,
}

type Answer = io::Result<Option<DiskReading>>;

/// Where questions and answers are handed over. Unlike a channel, it allocates nothing
/// when someone has to wait.
#[derive(Debug)]
struct Desk {
    paper: Mutex<Paper>,
    changed: Condvar,
}

#[derive(Debug)]
enum Paper {
    Nothing,
    Asked,
    Answered(Answer),
    /// Nobody will ask any more.
    Closed,
}

impl Desk {
    fn paper(&self) -> MutexGuard<'_, Paper> {
        self.paper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lay(&self, paper: Paper) {
        *self.paper() = paper;
        self.changed.notify_all();
    }

    /// Waits for a question; `false` when there will be none.
    fn is_asked(&self) -> bool {
        let is_idle = |paper: &mut Paper| !matches!(paper, Paper::Asked | Paper::Closed);
        let waited = self.changed.wait_while(self.paper(), is_idle);
        matches!(*waited.unwrap_or_else(PoisonError::into_inner), Paper::Asked)
    }

    /// Answers, unless there is nobody any more.
    fn answer(&self, answer: Answer) {
        let mut paper = self.paper();
        if !matches!(*paper, Paper::Closed) {
            *paper = Paper::Answered(answer);
        }
        drop(paper);
        self.changed.notify_all();
    }

    /// Takes the answer if it is there, or is within `patience`.
    fn take_answer(&self, patience: Duration) -> Option<Answer> {
        let is_pending = |paper: &mut Paper| matches!(paper, Paper::Asked);
        let waited = self.changed.wait_timeout_while(self.paper(), patience, is_pending);
        let (mut paper, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if matches!(*paper, Paper::Asked) {
            return None;
        }
        match std::mem::replace(&mut *paper, Paper::Nothing) {
            Paper::Answered(answer) => Some(answer),
            _ => None,
        }
    }
}

impl DiskProbe {
    /// Starts the helper and asks once, so that a path that is not there is an
    /// error now and not an unknown later.
    pub(crate) fn open(path: PathBuf) -> Result<Self, SamplerError> {
        let owned = path.clone();
        let ask = move || Ok(rustix::fs::statvfs(&owned).map(|statvfs| count(&statvfs))?);
        let mut probe = Self::start(ask).map_err(|source| SamplerError::Helper { source })?;
        match probe.ask(FIRST_PATIENCE) {
            Some(Err(source)) => Err(SamplerError::Disk { path, source }),
            Some(Ok(_)) | None => Ok(probe),
        }
    }

    fn start(mut ask: impl FnMut() -> Answer + Send + 'static) -> io::Result<Self> {
        let desk = Arc::new(Desk { paper: Mutex::new(Paper::Nothing), changed: Condvar::new() });
        let helpers = Arc::clone(&desk);
        std::thread::Builder::new().name("veritas-statvfs".into()).spawn(move || {
            while helpers.is_asked() {
                helpers.answer(ask());
            }
        })?;
        Ok(Self { desk, is_waiting: false })
    }

    /// Returns the use now, or `None` when it is not known: the file system did
    /// not answer in time, still owes an earlier answer, or refused.
    pub(crate) fn read(&mut self) -> Option<DiskReading> {
        self.ask(PATIENCE).and_then(Result::ok).flatten()
    }

    fn ask(&mut self, patience: Duration) -> Option<Answer> {
        if self.is_waiting {
            // What comes late is of the past; it only says that we may ask again.
            drop(self.desk.take_answer(Duration::ZERO)?);
        }
        self.desk.lay(Paper::Asked);
        let answer = self.desk.take_answer(patience);
        self.is_waiting = answer.is_none();
        answer
    }
}

impl Drop for DiskProbe {
    fn drop(&mut self) {
        self.desk.lay(Paper::Closed);
    }
}

/// Counts as `df` counts. `None` for a file system without blocks.
fn count(statvfs: &StatVfs) -> Option<DiskReading> {
    let bytes = |blocks: u64| blocks.saturating_mul(statvfs.f_frsize);
    let used = bytes(statvfs.f_blocks.saturating_sub(statvfs.f_bfree));
    let free = bytes(statvfs.f_bavail);
    Some(DiskReading {
        total: Bytes::new(bytes(statvfs.f_blocks)),
        used: Bytes::new(used),
        free: Bytes::new(free),
        percent: percent_of(used, used.saturating_add(free))?,
        inodes_percent: percent_of(statvfs.f_files.saturating_sub(statvfs.f_ffree), statvfs.f_files),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn disk(blocks: u64, free: u64, available: u64) -> StatVfs {
        StatVfs {
            f_bsize: GIB,
            f_frsize: GIB,
            f_blocks: blocks,
            f_bfree: free,
            f_bavail: available,
            f_files: 0,
            f_ffree: 0,
            f_favail: 0,
            f_fsid: 0,
            f_flag: rustix::fs::StatVfsMountFlags::empty(),
            f_namemax: 255,
        }
    }

    #[test]
    fn reserved_blocks_are_not_free() {
        // Size 252, used 24, free to us 68: df says 26 %, the naive 9.5 %.
        let reading = count(&disk(252, 228, 68)).expect("it has blocks");
        assert_eq!(reading.used, Bytes::new(24 * GIB));
        assert_eq!(reading.free, Bytes::new(68 * GIB));
        assert!((reading.percent - 26.086).abs() < 0.001, "{}", reading.percent);
        assert_eq!(reading.inodes_percent, None);
    }

    #[test]
    fn a_file_system_without_blocks_is_not_known() {
        assert_eq!(count(&disk(0, 0, 0)), None);
    }

    #[test]
    fn a_hung_file_system_is_unknown_until_it_answers() {
        let (permit, gate) = sync_channel::<()>(2);
        let mut probe = DiskProbe::start(move || {
            gate.recv().map_err(io::Error::other)?;
            Ok(count(&disk(100, 50, 50)))
        })
        .expect("a thread");
        assert_eq!(probe.read(), None); // waits for its 100 ms
        assert_eq!(probe.read(), None); // does not ask, and does not wait
        assert!(probe.is_waiting);
        // One for the answer that comes too late and is thrown away, one for the next.
        permit.send(()).expect("the helper is there");
        permit.send(()).expect("the helper is there");
        let reading = veritas_testkit::wait_for(Duration::from_mins(1), || probe.read());
        assert_eq!(reading.percent, 50.0);
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let error = DiskProbe::open("/not/there".into()).expect_err("it is not there");
        assert!(matches!(error, SamplerError::Disk { .. }), "{error}");
    }
}
