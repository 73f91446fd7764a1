//! The `tracing` layer: records the statements that sqlx logs, without a line
//! changed in the application's queries.
//!
//! sqlx (0.8 and 0.9 alike) emits one event per statement, target
//! `sqlx::query`, at DEBUG (WARN when slower than its own threshold, 1 s),
//! with the text, the rows and the time. What the events do not tell: whether
//! the statement failed (its time still counts), and the bound values. The
//! time runs until the rows are read to the end, the reader's own time included.
//!
//! Spans tell the rest: the nearest one is the caller, its file and line; a
//! field `veritas.query` names the statement; the outermost is the request, by
//! its field `veritas.request`, `http.route` or `otel.name`, else by its name.

mod fields;
mod visibility;

use std::{borrow::Cow, cell::RefCell, sync::Arc};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use crate::{CallSite, Execution, Recorder, context::RequestFrame};
use fields::{SpanNames, StatementFields};
pub(crate) use visibility::Sight;
pub use visibility::{StatementVisibility, Visibility};

/// The target of sqlx's events.
const TARGET: &str = "sqlx::query";

/// Records the statements that sqlx logs; made by [`Recorder::tracing_layer`].
///
/// Add it with [`SqlxLayer::filtered`], beside a `fmt` layer that has a filter
/// of its own. Under a filter for the whole subscriber (`EnvFilter` as a layer)
/// it sees what that filter lets through, which at `info` is only the slow
/// statements; [`Recorder::sqlx_visibility`] tells.
#[derive(Debug, Clone)]
pub struct SqlxLayer {
    recorder: Arc<Recorder>,
}

impl Recorder {
    /// Returns a layer that records what sqlx logs.
    pub fn tracing_layer(self: &Arc<Self>) -> SqlxLayer {
        self.register_source();
        SqlxLayer { recorder: Arc::clone(self) }
    }
}

impl SqlxLayer {
    /// Returns the layer with the filter that it needs and no more: sqlx's
    /// events, spans from INFO up, and those of `tower_http` and `axum`.
    pub fn filtered<S>(self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync + 'static,
    {
        self.with_filter(filter_fn(is_wanted).with_max_level_hint(LevelFilter::DEBUG))
    }
}

/// What the layer needs to see. `sqlx` asks before it logs whether anyone
/// listens: that question is neither a span nor an event.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() { is_of_the_application(metadata) } else { metadata.target() == TARGET }
}

/// Whether a span stands for something that the application does: spans of the
/// transport (one per connection) must not become requests.
fn is_of_the_application(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO
        || metadata.target().starts_with("tower_http")
        || metadata.target().starts_with("axum")
        || SpanNames::are_in(metadata)
}

/// What is remembered of a span.
#[derive(Debug, Default)]
struct Noted {
    names: SpanNames,
    request: Option<RequestFrame>,
}

thread_local! {
    static FIELDS: RefCell<StatementFields> = RefCell::default();
}

impl<S> Layer<S> for SqlxLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_register_dispatch(&self, _: &Dispatch) {
        self.recorder.sight().attach();
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !SpanNames::are_in(attributes.metadata()) {
            return;
        }
        if let Some(span) = context.span(id) {
            let mut noted = Noted::default();
            attributes.record(&mut noted.names);
            span.extensions_mut().insert(noted);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(noted) = span.extensions_mut().get_mut::<Noted>() {
            values.record(&mut noted.names);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        if Sight::is_probe(event.metadata()) {
            self.recorder.sight().see_probe();
            return;
        }
        // The buffers are reused; a subscriber that logs through sqlx from
        // within this layer does not exist, but would be ignored.
        let _ = FIELDS.try_with(|fields| {
            let Ok(mut fields) = fields.try_borrow_mut() else { return };
            fields.clear();
            event.record(&mut *fields);
            if *event.metadata().level() > Level::WARN {
                self.recorder.sight().see_statement();
            }
            self.record(&fields, event, &context);
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let noted = span.extensions_mut().remove::<Noted>();
        if let Some(Noted { names, request: Some(mut frame) }) = noted {
            if let Some(name) = names.request {
                frame.name = Cow::Owned(name);
            }
            frame.fold();
        }
    }
}

impl SqlxLayer {
    fn record<S>(&self, fields: &StatementFields, event: &Event<'_>, context: &Context<'_, S>)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let Some((sql, elapsed)) = fields.statement() else { return };
        let mut execution = Execution {
            rows_returned: fields.rows_returned,
            rows_affected: fields.rows_affected,
            ..Execution::new(sql, elapsed)
        };
        let mut label = None;
        let mut outermost: Option<SpanRef<'_, S>> = None;
        for span in context.event_scope(event).into_iter().flatten() {
            if !is_of_the_application(span.metadata()) {
                continue;
            }
            if execution.caller.is_none()
                && let (Some(file), Some(line)) = (span.metadata().file(), span.metadata().line())
            {
                execution.caller = Some(CallSite { file, line });
            }
            if label.is_none() {
                label = span.extensions().get::<Noted>().and_then(|noted| noted.names.query.clone());
            }
            outermost = Some(span);
        }
        execution.label = label.as_deref();
        let Some(request) = outermost else {
            self.recorder.record(&execution);
            return;
        };
        let name = request.metadata().name();
        let mut extensions = request.extensions_mut();
        if extensions.get_mut::<Noted>().is_none() {
            extensions.insert(Noted::default());
        }
        let frame = extensions
            .get_mut::<Noted>()
            .map(|noted| noted.request.get_or_insert_with(|| RequestFrame::new(Cow::Borrowed(name))));
        self.recorder.record_within(&execution, frame);
    }
}
