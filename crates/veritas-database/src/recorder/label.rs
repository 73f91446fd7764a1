//! Labels: names that the application gives to its queries.
//!
//! A label is a scope: the statements inside count under its name, and the
//! label itself counts only when no statement was seen inside (no hook is
//! connected, or the driver runs its statements on a thread of its own).

use std::{
    borrow::Cow,
    panic::Location,
    pin::{Pin, pin},
    sync::Arc,
};

use veritas_model::{Fingerprint, Monotonic};

use super::{CallSite, Execution, Recorder};
use crate::{
    StatementKind,
    context::{self, LabelFrame},
    fingerprint::{NormalizedStatement, hash_key},
};

impl Recorder {
    /// Runs `work` under a label. A panic inside counts as a failed call, if the
    /// label counts itself.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use veritas_database::{Recorder, RecorderOptions};
    /// # let recorder = Recorder::new(RecorderOptions::default(), Arc::new(veritas_model::SystemClock::new()));
    /// let name = recorder.query("user_name", || {
    ///     recorder.statement("SELECT name FROM users WHERE id = 7").finish(1, None);
    ///     "Ada"
    /// });
    /// assert_eq!(name, "Ada");
    /// assert_eq!(recorder.snapshot().calls_by_name(), [("user_name".to_owned(), 1)]);
    /// ```
    #[track_caller]
    pub fn query<R>(&self, name: impl Into<Cow<'static, str>>, work: impl FnOnce() -> R) -> R {
        let mut span = LabelSpan::new(self, name.into(), Location::caller());
        let entered = span.enter();
        let result = work();
        drop(entered);
        span.finish(true);
        result
    }

    /// Like [`Self::query`], for work that can fail: an error counts as a failed
    /// call, if the label counts itself.
    ///
    /// # Errors
    ///
    /// Whatever `work` returns.
    #[track_caller]
    pub fn try_query<R, E>(
        &self,
        name: impl Into<Cow<'static, str>>,
        work: impl FnOnce() -> Result<R, E>,
    ) -> Result<R, E> {
        let mut span = LabelSpan::new(self, name.into(), Location::caller());
        let entered = span.enter();
        let result = work();
        drop(entered);
        span.finish(result.is_ok());
        result
    }

    /// Runs a future under a label, on whatever threads poll it. Dropped before
    /// its end it counts as a failed call, if the label counts itself.
    #[track_caller]
    pub fn query_async<'a, F: Future + 'a>(
        &'a self,
        name: impl Into<Cow<'static, str>>,
        work: F,
    ) -> impl Future<Output = F::Output> {
        let mut span = LabelSpan::new(self, name.into(), Location::caller());
        async move {
            let mut work = pin!(work);
            let result = std::future::poll_fn(|cx| poll_inside(&mut span, work.as_mut(), cx)).await;
            span.finish(true);
            result
        }
    }

    /// Like [`Self::query_async`], for work that can fail.
    ///
    /// # Errors
    ///
    /// Whatever `work` returns.
    #[track_caller]
    pub fn try_query_async<'a, R, E, F: Future<Output = Result<R, E>> + 'a>(
        &'a self,
        name: impl Into<Cow<'static, str>>,
        work: F,
    ) -> impl Future<Output = Result<R, E>> {
        let mut span = LabelSpan::new(self, name.into(), Location::caller());
        async move {
            let mut work = pin!(work);
            let result = std::future::poll_fn(|cx| poll_inside(&mut span, work.as_mut(), cx)).await;
            span.finish(result.is_ok());
            result
        }
    }

    fn record_label(&self, span: &LabelSpan<'_>, frame: &LabelFrame) {
        let statement = Arc::new(NormalizedStatement {
            text: "".into(),
            fingerprint: Fingerprint::of_normalized(&frame.name),
            kind: StatementKind::Other,
            has_parameters: false,
        });
        let execution = Execution {
            error: !span.is_finished,
            caller: Some(span.caller),
            ..Execution::new("", self.clock().monotonic().since(span.started))
        };
        self.record_at(
            &execution,
            &statement,
            (0, None),
            Some((&frame.name, hash_key(frame.name.as_bytes()))),
            None,
        );
    }
}

fn poll_inside<F: Future>(
    span: &mut LabelSpan<'_>,
    work: Pin<&mut F>,
    cx: &mut std::task::Context<'_>,
) -> std::task::Poll<F::Output> {
    let _entered = span.enter();
    work.poll(cx)
}

/// A label from its start to its end.
struct LabelSpan<'a> {
    recorder: &'a Recorder,
    frame: Option<LabelFrame>,
    caller: CallSite<'static>,
    started: Monotonic,
    is_finished: bool,
}

impl<'a> LabelSpan<'a> {
    fn new(recorder: &'a Recorder, name: Cow<'static, str>, caller: &'static Location<'static>) -> Self {
        Self {
            recorder,
            frame: Some(LabelFrame::new(name, caller.into())),
            caller: caller.into(),
            started: recorder.clock().monotonic(),
            is_finished: false,
        }
    }

    /// Ends the label.
    fn finish(mut self, succeeded: bool) {
        self.is_finished = succeeded;
    }

    /// Puts the label into the thread until the result is dropped.
    fn enter(&mut self) -> Option<EnteredLabel<'_>> {
        let frame = self.frame.take()?;
        Some(EnteredLabel { identity: context::push_label(frame), slot: &mut self.frame })
    }
}

impl Drop for LabelSpan<'_> {
    fn drop(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        if frame.statements == 0 {
            self.recorder.record_label(self, &frame);
        }
        context::add_statements(frame.statements.max(1));
    }
}

struct EnteredLabel<'a> {
    identity: u64,
    slot: &'a mut Option<LabelFrame>,
}

impl Drop for EnteredLabel<'_> {
    fn drop(&mut self) {
        *self.slot = context::take_label(self.identity);
    }
}
