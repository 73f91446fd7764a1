//! Real sources with something in each, on a virtual clock.

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::Router;
use veritas_alert::{Alerts, default_rules};
use veritas_api::{
    Limits, Sources,
    auth::{Authenticator, KeySet, Revocations, Role, TokenAuthenticator, TokenOptions},
};
use veritas_cache::{CacheOptions, Caches};
use veritas_cache_advisor::{AdvisorOptions, CacheAdvisor};
use veritas_database::{Execution, PoolReading, Recorder, RecorderOptions};
use veritas_model::{
    Alpha, Caller, Cause, Change, ChangeId, ChangeKind, ChangeState, Clock, Finding, FindingKind,
    Fingerprint, Health, Impact, Interval, MeasuredGain, Mode, Observation, Plan, Proposal, ProposalRecord,
    ProposalState, Subject, SystemClock, Unit, WorkMetric,
};
use veritas_monitor::{Monitor, Reading, Sampler, SamplerOptions};
use veritas_optimize::{Optimizer, OptimizerOptions};
use veritas_profile::Site;
use veritas_store::{ControlPlane, History, MemoryControlPlane};
use veritas_testkit::{VirtualClock, wait_for};

/// The profile that [`World::busy`] records.
pub(crate) const PROFILE: &str = "content_verification_profile";
static SITE: Site = Site::new(PROFILE, module_path!(), file!(), line!());

/// Profiles are the process's, and some tests clear them: those take this one after another.
pub(crate) static PROFILES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A reading of this machine with the use of its processors.
static REAL: LazyLock<Reading> = LazyLock::new(|| {
    let clock = SystemClock::new();
    let mut sampler = Sampler::open(SamplerOptions::default()).unwrap();
    let mut reading = sampler.tick(&clock);
    wait_for(Duration::from_mins(1), || {
        reading = sampler.tick(&clock);
        reading.system.cpu.percent.is_some()
    });
    reading
});

pub(crate) struct World {
    pub(crate) clock: VirtualClock,
    pub(crate) sources: Arc<Sources>,
    pub(crate) keys: KeySet,
    pub(crate) authenticator: Arc<TokenAuthenticator>,
    pub(crate) limits: Limits,
}

impl World {
    /// Sources in which nothing has happened yet.
    pub(crate) fn idle() -> Self {
        let clock = VirtualClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let control: Arc<dyn ControlPlane> = Arc::new(MemoryControlPlane::new(shared.clone()));
        let health = Arc::new(Health::default());
        let (keys, verifying) = twins();
        let revocations = Arc::new(Revocations::load(control.clone()).unwrap());
        let authenticator = Arc::new(TokenAuthenticator::own_keys(
            verifying,
            TokenOptions::default(),
            revocations,
            shared.clone(),
        ));
        let caches = Arc::new(Caches::new(CacheOptions::default(), shared.clone()));
        let advice = AdvisorOptions::default();
        let sources = Arc::new(Sources {
            cache_advisor: Arc::new(CacheAdvisor::new(caches.clone(), shared.clone(), advice)),
            cache_server: Arc::default(),
            database_servers: Arc::default(),
            caches,
            database: Arc::new(Recorder::new(RecorderOptions::default(), shared.clone())),
            monitor: Arc::new(Monitor::new()),
            history: Arc::new(History::in_memory(NonZeroUsize::new(20_000).unwrap())),
            alerts: Arc::new(Alerts::load(control.clone(), default_rules()).unwrap()),
            optimizer: Arc::new(Optimizer::new(control.clone(), shared.clone(), OptimizerOptions::default())),
            control,
            health,
            clock: shared,
            version: "0.0.0",
        });
        Self { clock, sources, keys, authenticator, limits: Limits::default() }
    }

    /// Sources in which something of everything has happened.
    pub(crate) fn busy() -> Self {
        let world = Self::idle();
        world.look_up();
        world.query();
        veritas_profile::run(&SITE, || std::hint::black_box(1 + 1), |_| false);
        world.sample();
        world.find_and_change();
        world
    }

    pub(crate) fn router(&self) -> Router {
        veritas_api::server(self.sources.clone(), self.authenticator(), self.limits.clone())
    }

    pub(crate) fn authenticator(&self) -> Arc<dyn Authenticator> {
        self.authenticator.clone()
    }

    pub(crate) fn token(&self, role: Role) -> String {
        self.token_of("123", role)
    }

    pub(crate) fn token_of(&self, subject: &str, role: Role) -> String {
        self.keys.issue(subject, role, Duration::from_hours(1), &self.clock).unwrap().token
    }

    /// 150 hits, 25 misses, 175 sets.
    fn look_up(&self) {
        let cache = self.sources.caches.namespace::<String>("content");
        for key in 0..25_u64 {
            assert!(cache.get(&key).is_none());
        }
        for round in 0..7_u64 {
            for key in 0..25_u64 {
                cache.set(&key, format!("value {round}"));
            }
        }
        for _ in 0..6 {
            for key in 0..25_u64 {
                assert!(cache.get(&key).is_some());
            }
        }
    }

    fn query(&self) {
        for (label, calls) in
            [("user_content_query", 50), ("verification_query", 75), ("analytics_query", 75)]
        {
            for call in 0..calls {
                self.sources.database.record(&Execution {
                    sql: "SELECT * FROM content WHERE user_id = 7",
                    label: Some(label),
                    elapsed: Duration::from_millis(1 + call),
                    rows_returned: 3,
                    rows_affected: 0,
                    vm_steps: Some(100),
                    error: false,
                    caller: None,
                    parameters: &[],
                });
            }
        }
        let pool = || PoolReading { active: 5, idle: 3, max: 20 };
        self.sources.database.register_pool("main", Arc::new(pool));
    }

    fn sample(&self) {
        for _ in 0..30 {
            let reading = Reading { at: self.clock.now(), ..REAL.clone() };
            let texts = reading.texts();
            let texts: Vec<_> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
            self.sources.history.append(reading.at, &reading.series(), &texts).unwrap();
            // 85 % for thirty seconds: high_cpu fires, the machine's own load does not matter.
            let value = |series: &str| (series == "system.cpu.percent").then_some(85.0);
            self.sources.alerts.evaluate(reading.at, &value, &|_| Some("process 42 stress".into()));
            self.sources.monitor.publish(reading);
            self.clock.advance(Duration::from_secs(1));
        }
    }

    fn find_and_change(&self) {
        let control = &self.sources.control;
        let finding = finding(self.clock.now());
        control.put_finding(&finding).unwrap();
        let kept = self.proven("kept");
        control.put_change(&Change { state: ChangeState::Kept, ..self.change_of(&kept) }).unwrap();
        let waiting = ProposalRecord {
            proposal: Proposal { finding: Some(finding.id), ..self.proven("waiting").proposal },
            ..self.proven("waiting")
        };
        control.put_proposal(&waiting).unwrap();
    }

    /// Stores a proven proposal to create the index `name`.
    pub(crate) fn proven(&self, name: &str) -> ProposalRecord {
        let plan = Plan {
            target: "main".into(),
            forward: format!("CREATE INDEX {name} ON content(user_id)"),
            inverse: format!("DROP INDEX {name}"),
            object: name.into(),
            scope: vec!["content".into()],
        };
        let kind = ChangeKind::IndexCreate;
        let proposal = Proposal {
            id: Proposal::identity(kind, &plan),
            finding: None,
            kind,
            summary: format!("create the index {name}"),
            plan,
            estimate: None,
            proposed_at: self.clock.now(),
        };
        assert!(proposal.clone().prove(gain(), Alpha::ONE_PERCENT).is_ok());
        let record =
            ProposalRecord { proposal, state: ProposalState::Proven(gain()), changed_at: self.clock.now() };
        self.sources.control.put_proposal(&record).unwrap();
        record
    }

    pub(crate) fn change_of(&self, record: &ProposalRecord) -> Change {
        Change {
            id: ChangeId::derive(&[record.proposal.id.as_str(), "then"]),
            proposal: record.proposal.id.clone(),
            kind: record.proposal.kind,
            summary: record.proposal.summary.clone(),
            plan: record.proposal.plan.clone(),
            state: ChangeState::Applying,
            approved_by: "ann".into(),
            approved_at: self.clock.now(),
            applied_at: Some(self.clock.now()),
            settled_at: Some(self.clock.now()),
            predicted: gain(),
            live: None,
            reason: "verified".into(),
        }
    }

    pub(crate) fn permit_changes(&self) {
        self.sources.optimizer.set_mode(ChangeKind::IndexCreate, Mode::Approve);
    }
}

/// One key set to sign with and the same one to verify with, through a directory.
fn twins() -> (KeySet, KeySet) {
    let directory = veritas_testkit::data_dir();
    let clock = VirtualClock::new();
    let signing = KeySet::load_or_create(directory.path(), &clock).unwrap();
    (signing, KeySet::load(directory.path()).unwrap())
}

pub(crate) fn gain() -> MeasuredGain {
    let interval = Interval { low: 0.35, high: 0.45, confidence: 0.95 };
    MeasuredGain {
        metric: WorkMetric::VmSteps,
        pairs: 40,
        before: 1000.0,
        after: 600.0,
        gain: 0.4,
        gain_interval: interval,
        p_value: 0.000_1,
        seconds_before: 0.1,
        seconds_after: 0.06,
        seconds_gain_interval: interval,
        bytes_read_before: None,
        bytes_read_after: None,
        write_slowdown: None,
        results_equal: true,
        method: "40 pairs on a copy".into(),
    }
}

fn finding(now: veritas_model::Timestamp) -> Finding {
    let normalized = "SELECT * FROM content";
    let subject = Subject::Statement {
        name: "content_without_pagination".into(),
        fingerprint: Fingerprint::of_normalized(normalized),
        normalized: normalized.into(),
    };
    Finding {
        id: Finding::identity(FindingKind::UnboundedResult, &subject),
        kind: FindingKind::UnboundedResult,
        subject,
        cause: Cause::UnboundedResult { rows_per_call: 5_000.0 },
        recommendation: "Add LIMIT clause and implement pagination".into(),
        impact: Impact::High,
        evidence: vec![Observation::measured("rows_per_call", 5_000.0, Unit::Rows, now)],
        callers: vec![Caller { file: "src/content.rs".into(), line: 12 }],
        found_at: now,
        seen_at: now,
    }
}
