//! The narrator: live progress on a terminal, plain lines elsewhere, all on stderr.

use std::{io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use veritas::model::{
    Change, ChangeKind, Clock, Finding, KindGroup, LiveGain, MeasuredGain, Monotonic, Observation,
    ProposalRecord, ProposalState, Provenance, Unit,
};

/// Tells people what happens while it happens.
#[derive(Debug)]
pub(super) struct Narrator {
    clock: Arc<dyn Clock>,
    started: Monotonic,
    line: ProgressBar,
    is_terminal: bool,
}

impl Narrator {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let line = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            line.set_style(style);
        }
        line.enable_steady_tick(Duration::from_millis(120));
        let started = clock.monotonic();
        Self { clock, started, line, is_terminal }
    }

    /// Says one thing, with the time since the start.
    pub(super) fn say(&self, text: &str) {
        let seconds = self.seconds();
        self.print(&format!("[{seconds:5.1} s] {text}"));
    }

    /// Shows what goes on right now, on a terminal.
    pub(super) fn show(&self, text: String) {
        self.line.set_message(text);
    }

    /// Returns the seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.clock.monotonic().since(self.started).as_secs_f64()
    }

    /// Shows the findings as a table, each with its evidence.
    pub(super) fn findings(&self, findings: &[Finding]) {
        self.say(&format!("{} findings:", findings.len()));
        for finding in findings {
            self.print(&format!(
                "    {}  {:<20} {}",
                self.emphasized(&format!("{:<6}", finding.impact.as_str())),
                finding.kind.as_str(),
                finding.subject.name()
            ));
            let evidence: Vec<_> = finding.evidence.iter().map(observed).collect();
            let evidence = evidence.join(", ");
            self.print(&format!("            evidence  {evidence}"));
            if let Some(caller) = finding.callers.first() {
                self.print(&format!("            from      {}:{}", caller.file, caller.line));
            }
            self.print(&format!("            advice    {}", finding.recommendation));
        }
    }

    /// Shows a proof: before, after, and how sure it is.
    pub(super) fn proof(&self, record: &ProposalRecord) {
        let ProposalState::Proven(gain) = &record.state else { return };
        self.say(&format!("{}: {}", self.emphasized("proven"), record.proposal.summary));
        self.print(&format!("            does      {}", record.proposal.plan.forward));
        self.print(&format!("            undo      {}", record.proposal.plan.inverse));
        self.print(&format!("            {}", measured(record.proposal.kind, gain)));
        self.print(&format!("            how       {}", gain.method));
    }

    /// Shows what became of a change.
    pub(super) fn settled(&self, change: &Change) {
        self.say(&format!("{}: {}", self.emphasized(change.state.as_str()), change.summary));
        if let Some(live) = &change.live {
            self.print(&format!("            live      {}", watched(live)));
        }
        self.print(&format!("            because   {}", change.reason));
    }

    /// Ends the live line.
    pub(super) fn end(&self) {
        self.line.finish_and_clear();
    }

    fn print(&self, text: &str) {
        if self.is_terminal {
            self.line.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Bold on a terminal that shows it.
    fn emphasized(&self, text: &str) -> String {
        if self.is_terminal { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Writes a proof's figures in one line.
pub(super) fn measured(kind: ChangeKind, gain: &MeasuredGain) -> String {
    let interval = gain.gain_interval;
    // Changes to caches are proven by replays of what was looked up.
    let how = if kind.group() == KindGroup::Caching { "simulated" } else { "measured " };
    format!(
        "{how} {} -> {} {} a call, {:.2} % less ({:.0} % interval {:.2} to {:.2} %), {} pairs, p = {:.1e}; {:.2} -> {:.2} ms",
        figure(gain.before),
        figure(gain.after),
        gain.metric.as_str().replace('_', " "),
        gain.gain * 100.0,
        interval.confidence * 100.0,
        interval.low * 100.0,
        interval.high * 100.0,
        gain.pairs,
        gain.p_value,
        gain.seconds_before * 1e3,
        gain.seconds_after * 1e3,
    )
}

/// Writes a live gain's figures in one line.
pub(super) fn watched(live: &LiveGain) -> String {
    // The interval is told in the direction of the figure, smaller end first.
    let (word, sign) = if live.gain < 0.0 { ("more", -1.0) } else { ("less", 1.0) };
    let ends = [live.gain_interval.low * sign, live.gain_interval.high * sign];
    format!(
        "{:.1} % {word} {} in scope ({:.0} % interval {:.1} to {:.1} %), {} calls before, {} after, watched {:.0} s",
        live.gain * sign * 100.0,
        live.metric.as_str().replace('_', " "),
        live.gain_interval.confidence * 100.0,
        ends[0].min(ends[1]) * 100.0,
        ends[0].max(ends[1]) * 100.0,
        live.calls_before,
        live.calls_after,
        live.watched_seconds,
    )
}

/// Writes one figure of the evidence; where it is not measured, says so.
fn observed(observation: &Observation) -> String {
    let name = observation.name.replace('_', " ");
    let (name, value) = match observation.unit {
        Unit::Seconds => (name.replace("seconds", "time"), milliseconds(observation.value)),
        Unit::Ratio => (name, format!("{:.0} %", observation.value * 100.0)),
        _ => (name, figure(observation.value)),
    };
    match observation.provenance {
        Provenance::Measured => format!("{name} {value}"),
        other => format!("{name} {value} ({})", other.as_str()),
    }
}

fn milliseconds(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{seconds:.1} s") } else { format!("{:.2} ms", seconds * 1e3) }
}

/// Writes a figure with as many digits as people read.
fn figure(value: f64) -> String {
    if value == 0.0 || value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_that_people_read() {
        assert_eq!([0.0, 200_012.4, 15.04, 0.012_34].map(figure), ["0", "200012", "15.0", "0.0123"]);
    }
}
