//! The recorder: enters and leaves calls on the calling thread.

use std::{
    cell::{Cell, RefCell},
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
    thread::panicking,
};

use crate::{
    Site, site,
    slot::{Call, Ending, Slot},
    ticks,
};

/// Whether recording is on (the lowest bit), and the epoch (the others): what
/// the hot path asks is one relaxed load.
static STATE: AtomicU64 = AtomicU64::new(1 | 1 << 1);

/// When the epoch began, in ticks; 0 before the first record.
static SINCE: AtomicU64 = AtomicU64::new(0);

/// Switches recording on or off, at once and for all threads. Calls under way
/// are recorded as they were entered. It is on at start.
pub fn set_enabled(enabled: bool) {
    if enabled {
        STATE.fetch_or(1, Ordering::Relaxed);
    } else {
        STATE.fetch_and(!1, Ordering::Relaxed);
    }
}

/// Returns whether recording is on.
#[inline]
pub fn is_enabled() -> bool {
    STATE.load(Ordering::Relaxed) & 1 == 1
}

/// Forgets everything recorded so far. Calls under way count when they end.
pub fn reset() {
    SINCE.store(ticks::now(), Ordering::Relaxed);
    STATE.fetch_add(1 << 1, Ordering::Relaxed);
}

#[inline]
pub(crate) fn epoch() -> u64 {
    STATE.load(Ordering::Relaxed) >> 1
}

/// Returns when the epoch began, or `None` before the first record.
pub(crate) fn since() -> Option<u64> {
    let since = SINCE.load(Ordering::Relaxed);
    (since != 0).then_some(since)
}

/// The slots of one thread, by index of their site.
struct ThreadSlots(RefCell<Vec<Option<&'static Slot>>>);

impl Drop for ThreadSlots {
    fn drop(&mut self) {
        let sites = site::all();
        for (site, slot) in sites.iter().zip(self.0.take()) {
            if let Some(slot) = slot {
                site.release_slot(slot);
            }
        }
    }
}

thread_local! {
    static SLOTS: ThreadSlots = const { ThreadSlots(RefCell::new(Vec::new())) };

    /// Ticks that the callees of the current call have taken so far. A call saves
    /// its caller's sum on entering, so recursion of any depth needs no stack of ours.
    static CALLEES: Cell<u64> = const { Cell::new(0) };
}

/// A slot that a call records into.
#[derive(Debug, Clone, Copy)]
struct Lent {
    slot: &'static Slot,
    /// Set when the thread is being torn down and keeps no slots any more.
    back_to: Option<&'static Site>,
}

/// Finds the thread's slot of a site. `None`: there are too many sites.
#[inline]
fn slot(site: &'static Site) -> Option<Lent> {
    let index = site.index()?;
    let known = SLOTS.try_with(|slots| slots.0.borrow().get(index).copied().flatten());
    match known {
        Ok(Some(slot)) => Some(Lent { slot, back_to: None }),
        Ok(None) => Some(new_slot(site, index)),
        Err(_) => Some(Lent { slot: site.adopt_slot(), back_to: Some(site) }),
    }
}

#[cold]
fn new_slot(site: &'static Site, index: usize) -> Lent {
    if SINCE.load(Ordering::Relaxed) == 0 {
        // The first of several threads sets it; a tick of 0 is the clock's own origin.
        let first = ticks::now().max(1);
        let _: Result<u64, u64> = SINCE.compare_exchange(0, first, Ordering::Relaxed, Ordering::Relaxed);
    }
    let slot = site.adopt_slot();
    let kept = SLOTS.try_with(|slots| {
        let mut slots = slots.0.borrow_mut();
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        slots[index] = Some(slot);
    });
    Lent { slot, back_to: if kept.is_ok() { None } else { Some(site) } }
}

/// A stretch of time on this thread's stack: a call, or one poll of a future.
#[derive(Debug)]
struct Frame {
    lent: Lent,
    started_at: u64,
    callees_of_caller: u64,
    was_panicking: bool,
}

/// What a frame measured.
struct Measured {
    ended_at: u64,
    elapsed: u64,
    self_ticks: u64,
    outermost: bool,
    panicked: bool,
}

impl Frame {
    #[inline]
    fn enter(site: &'static Site) -> Option<Self> {
        if !is_enabled() {
            return None;
        }
        Self::enter_always(site)
    }

    #[inline]
    fn enter_always(site: &'static Site) -> Option<Self> {
        let lent = slot(site)?;
        lent.slot.deepen();
        let callees_of_caller = CALLEES.replace(0);
        let was_panicking = panicking();
        Some(Self { lent, started_at: ticks::now(), callees_of_caller, was_panicking })
    }

    #[inline]
    fn leave(&self) -> Measured {
        let ended_at = ticks::now();
        let elapsed = ended_at.saturating_sub(self.started_at);
        let self_ticks = elapsed.saturating_sub(CALLEES.get());
        CALLEES.set(self.callees_of_caller.saturating_add(elapsed));
        let outermost = self.lent.slot.rise();
        Measured { ended_at, elapsed, self_ticks, outermost, panicked: panicking() && !self.was_panicking }
    }

    #[inline]
    fn record(&self, call: &Call) {
        self.lent.slot.record(epoch(), call);
        if let Some(site) = self.lent.back_to {
            site.release_slot(self.lent.slot);
        }
    }
}

/// Times a call from [`enter`] until it is dropped, on the thread that entered.
#[derive(Debug)]
#[must_use = "the call is timed until the guard is dropped"]
pub struct Guard {
    frame: Option<Frame>,
    failed: bool,
    // What a frame saves belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl Guard {
    /// Counts the call as one that failed.
    pub fn fail(&mut self) {
        self.failed = true;
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if let Some(frame) = &self.frame {
            let measured = frame.leave();
            let failed = self.failed || measured.panicked;
            frame.record(&Call {
                elapsed: measured.elapsed,
                self_ticks: measured.self_ticks,
                ended_at: measured.ended_at,
                ending: if failed { Ending::Failed } else { Ending::Returned },
                outermost: measured.outermost,
                polling: None,
            });
        }
    }
}

/// Enters a call of `site`; it ends when the guard is dropped.
///
/// Cost: two reads of the clock and some ten nanoseconds; one relaxed load when
/// recording is off. The first call of a thread at a site allocates some 2 KiB,
/// and 512 bytes more for each new octave of durations; no other call allocates
/// or locks. Drop guards in the reverse order of entering: in another order
/// totals stay right and self times do not.
///
/// ```
/// use veritas_profile::{Site, enter, profile};
///
/// fn verify(content: &str) -> bool {
///     static SITE: Site = Site::new("verify", module_path!(), file!(), line!());
///     let _guard = enter(&SITE);
///     content.contains("signature")
/// }
///
/// verify("with a signature");
/// assert_eq!(profile("verify").map(|profile| profile.calls), Some(1));
/// ```
#[inline]
pub fn enter(site: &'static Site) -> Guard {
    Guard { frame: Frame::enter(site), failed: false, not_send: PhantomData }
}

/// Times one call of `body`, and counts it as failed when `failed` says so of
/// what it returned. Panics count as failures as well.
#[inline]
pub fn run<T>(site: &'static Site, body: impl FnOnce() -> T, failed: impl FnOnce(&T) -> bool) -> T {
    let mut guard = enter(site);
    let value = body();
    // Asked for nothing when nothing is recorded.
    if guard.frame.is_some() && failed(&value) {
        guard.fail();
    }
    value
}

/// One call of an asynchronous function: times its polls wherever they happen.
#[derive(Debug)]
pub(crate) struct AsyncCall {
    site: &'static Site,
    progress: Progress,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    NotPolled,
    /// Recording was off at the first poll, or the call has ended.
    Unobserved,
    Polled {
        started_at: u64,
        polls: u64,
        busy: u64,
        longest: u64,
        self_ticks: u64,
    },
}

/// What a poll brought.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PollEnd {
    Pending,
    Ready { failed: bool },
}

impl AsyncCall {
    pub(crate) const fn new(site: &'static Site) -> Self {
        Self { site, progress: Progress::NotPolled }
    }

    /// Runs one poll; `end` says what it brought.
    #[inline]
    pub(crate) fn poll<T>(&mut self, poll: impl FnOnce() -> T, end: impl FnOnce(&T) -> PollEnd) -> T {
        let frame = match self.progress {
            Progress::Unobserved => None,
            Progress::NotPolled => Frame::enter(self.site),
            Progress::Polled { .. } => Frame::enter_always(self.site),
        };
        let Some(frame) = frame else {
            self.progress = Progress::Unobserved;
            return poll();
        };
        // Dropped by a panic as well, which then is what ended the call.
        let mut polling = Polling { call: self, frame, end: None };
        let answer = poll();
        polling.end = Some(end(&answer));
        answer
    }

    fn finish_poll(&mut self, frame: &Frame, end: Option<PollEnd>) {
        let measured = frame.leave();
        let (started_at, polls, busy, longest, self_ticks) = match self.progress {
            Progress::Polled { started_at, polls, busy, longest, self_ticks } => {
                (started_at, polls, busy, longest, self_ticks)
            }
            _ => (frame.started_at, 0, 0, 0, 0),
        };
        let (polls, busy) = (polls + 1, busy + measured.elapsed);
        let longest = longest.max(measured.elapsed);
        let self_ticks = self_ticks + measured.self_ticks;
        let ending = match end {
            Some(PollEnd::Pending) => {
                self.progress = Progress::Polled { started_at, polls, busy, longest, self_ticks };
                if let Some(site) = frame.lent.back_to {
                    site.release_slot(frame.lent.slot);
                }
                return;
            }
            Some(PollEnd::Ready { failed: false }) => Ending::Returned,
            Some(PollEnd::Ready { failed: true }) | None => Ending::Failed,
        };
        self.progress = Progress::Unobserved;
        frame.record(&Call {
            elapsed: measured.ended_at.saturating_sub(started_at),
            self_ticks,
            ended_at: measured.ended_at,
            ending,
            outermost: measured.outermost,
            polling: Some((polls, busy, longest)),
        });
    }
}

struct Polling<'a> {
    call: &'a mut AsyncCall,
    frame: Frame,
    end: Option<PollEnd>,
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.call.finish_poll(&self.frame, self.end);
    }
}

impl Drop for AsyncCall {
    fn drop(&mut self) {
        let Progress::Polled { started_at, polls, busy, longest, self_ticks } = self.progress else {
            return;
        };
        let Some(lent) = slot(self.site) else { return };
        let ended_at = ticks::now();
        lent.slot.record(
            epoch(),
            &Call {
                elapsed: ended_at.saturating_sub(started_at),
                self_ticks,
                ended_at,
                ending: Ending::Cancelled,
                outermost: false,
                polling: Some((polls, busy, longest)),
            },
        );
        if let Some(site) = lent.back_to {
            site.release_slot(lent.slot);
        }
    }
}
