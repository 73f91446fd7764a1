//! Settings: the options of a namespace that are in force, ready to be read at every access.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use veritas_model::Bytes;

use crate::{
    Knob, KnobName, NamespaceOptions, Tuning,
    tuning::{MAX_EARLY_REFRESH, MAX_JITTER},
};

/// No time was tuned.
const UNTUNED: u64 = u64::MAX;

/// The options of a namespace that are in force.
#[derive(Debug)]
pub(crate) struct Settings {
    configured: NamespaceOptions,
    default_ttl: Duration,
    default_capacity: Bytes,
    tuned: Mutex<Vec<Knob>>,
    /// What was tuned or configured, in nanoseconds; or [`UNTUNED`].
    ttl: AtomicU64,
    stale_ms: AtomicU64,
    jitter: AtomicU64,
    early_refresh: AtomicU64,
    bypass: AtomicBool,
}

impl Settings {
    pub(crate) fn new(
        mut options: NamespaceOptions,
        default_ttl: Duration,
        default_capacity: Bytes,
        tuned: &[Knob],
    ) -> Self {
        options.jitter = within(options.jitter, MAX_JITTER);
        options.early_refresh = within(options.early_refresh, MAX_EARLY_REFRESH);
        let settings = Self {
            ttl: AtomicU64::new(UNTUNED),
            stale_ms: AtomicU64::new(millis(options.stale)),
            jitter: AtomicU64::new(options.jitter.to_bits()),
            early_refresh: AtomicU64::new(options.early_refresh.to_bits()),
            bypass: AtomicBool::new(options.start_bypassed),
            configured: options,
            default_ttl,
            default_capacity,
            tuned: Mutex::default(),
        };
        for knob in tuned {
            settings.turn(knob);
        }
        settings
    }

    /// Sets what `knob` says, and returns the knob that takes it back.
    pub(crate) fn turn(&self, knob: &Knob) -> Knob {
        let mut tuned = self.locked();
        let before = tuned.iter().position(|other| other.name() == knob.name());
        let inverse = before.map_or(Knob::AsConfigured(knob.name()), |index| tuned.swap_remove(index));
        let effective = if let Knob::AsConfigured(name) = knob {
            self.configured_knob(*name)
        } else {
            tuned.push(*knob);
            Some(*knob)
        };
        drop(tuned);
        match effective {
            None => self.ttl.store(UNTUNED, Ordering::Relaxed),
            Some(Knob::Ttl(ttl)) => self.ttl.store(nanos(ttl).min(UNTUNED - 1), Ordering::Relaxed),
            Some(Knob::Stale(stale)) => self.stale_ms.store(millis(stale), Ordering::Relaxed),
            Some(Knob::Jitter(share)) => self.jitter.store(share.to_bits(), Ordering::Relaxed),
            Some(Knob::EarlyRefresh(beta)) => self.early_refresh.store(beta.to_bits(), Ordering::Relaxed),
            Some(Knob::Bypass(on)) => self.bypass.store(on, Ordering::Relaxed),
            // The caller sets the limit.
            Some(Knob::Capacity(_) | Knob::AsConfigured(_)) => {}
        }
        inverse
    }

    /// Returns what the application's options say; `None` for a time to live, of
    /// which handles may have their own.
    fn configured_knob(&self, name: KnobName) -> Option<Knob> {
        Some(match name {
            KnobName::Ttl => return None,
            KnobName::Capacity => Knob::Capacity(self.configured.capacity.unwrap_or(self.default_capacity)),
            KnobName::Bypass => Knob::Bypass(self.configured.start_bypassed),
            KnobName::EarlyRefresh => Knob::EarlyRefresh(self.configured.early_refresh),
            KnobName::Stale => Knob::Stale(self.configured.stale),
            KnobName::Jitter => Knob::Jitter(self.configured.jitter),
        })
    }

    /// Returns how long an entry lives: as tuned, else as the handle says, else as
    /// configured; and whether it may be shortened by jitter.
    pub(crate) fn ttl(&self, of_the_handle: Option<Duration>) -> (Duration, bool) {
        match (self.ttl.load(Ordering::Relaxed), of_the_handle) {
            (UNTUNED, Some(ttl)) => (ttl, false),
            (UNTUNED, None) => (self.configured.ttl.unwrap_or(self.default_ttl), true),
            (tuned, _) => (Duration::from_nanos(tuned), true),
        }
    }

    /// Returns the time to live of a key: as [`Self::ttl`] says, shortened by the share
    /// that belongs to `sampling_hash`.
    pub(crate) fn jittered_ttl(&self, of_the_handle: Option<Duration>, sampling_hash: u64) -> Duration {
        let (ttl, may_be_shortened) = self.ttl(of_the_handle);
        let jitter = self.jitter();
        if !may_be_shortened || jitter == 0.0 || ttl == Duration::MAX {
            return ttl;
        }
        // The low bits, since sampling looks at the high ones.
        let share = jitter * f64::from((sampling_hash & 0xffff) as u16) / 65_535.0;
        ttl.saturating_sub(ttl.mul_f64(share))
    }

    pub(crate) fn stale(&self) -> Duration {
        Duration::from_millis(self.stale_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn negative_ttl(&self) -> Option<Duration> {
        self.configured.negative_ttl
    }

    pub(crate) fn early_refresh(&self) -> f64 {
        f64::from_bits(self.early_refresh.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn is_bypassed(&self) -> bool {
        self.bypass.load(Ordering::Relaxed)
    }

    /// Returns the heaviest value that is stored, in bytes with its key.
    pub(crate) fn heaviest(&self) -> u64 {
        self.configured.max_value.map_or(u64::MAX, Bytes::get)
    }

    /// Returns how many bytes it may hold, as tuned or configured.
    pub(crate) fn capacity(&self) -> Option<Bytes> {
        let tuned = self.locked();
        let capacity = tuned.iter().find_map(|knob| match knob {
            Knob::Capacity(bytes) => Some(*bytes),
            _ => None,
        });
        capacity.or(self.configured.capacity)
    }

    /// Returns what is in force.
    pub(crate) fn tuning(&self) -> Tuning {
        let mut tuned: Vec<KnobName> = self.locked().iter().map(Knob::name).collect();
        tuned.sort_unstable();
        Tuning {
            capacity: self.capacity().unwrap_or(self.default_capacity).min(self.default_capacity),
            ttl: self.ttl(None).0,
            jitter: self.jitter(),
            negative_ttl: self.negative_ttl(),
            stale: self.stale(),
            early_refresh: self.early_refresh(),
            max_value: self.configured.max_value,
            schema: self.configured.schema,
            bypass: self.is_bypassed(),
            tuned,
        }
    }

    fn jitter(&self) -> f64 {
        f64::from_bits(self.jitter.load(Ordering::Relaxed))
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Knob>> {
        self.tuned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the nearest value between 0 and `most`; of a NaN, 0.
fn within(value: f64, most: f64) -> f64 {
    value.max(0.0).min(most)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: NamespaceOptions) -> Settings {
        Settings::new(options, Duration::from_mins(5), Bytes::new(1_000), &[])
    }

    #[test]
    fn the_inverse_of_a_knob_takes_it_back() {
        let options = NamespaceOptions { stale: Duration::from_secs(3), ..NamespaceOptions::default() };
        let settings = settings(options);
        let before = settings.tuning();
        for knob in ["ttl=7s", "stale=1500ms", "jitter=0.5", "early_refresh=2", "bypass=true", "capacity=7"] {
            let knob: Knob = knob.parse().unwrap();
            let inverse = settings.turn(&knob);
            assert_eq!(inverse, Knob::AsConfigured(knob.name()));
            assert_eq!(settings.tuning().knob(knob.name()), knob);
            assert_eq!(settings.tuning().tuned, [knob.name()]);
            assert_eq!(settings.turn(&inverse), knob);
            assert_eq!(settings.tuning(), before);
        }
        settings.turn(&Knob::Ttl(Duration::from_secs(1)));
        let second = Knob::Ttl(Duration::from_secs(2));
        assert_eq!(settings.turn(&second), Knob::Ttl(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_tuned_goes_before_the_handle_and_that_before_the_options() {
        let settings = settings(NamespaceOptions::default());
        let second = Duration::from_secs(1);
        assert_eq!(settings.ttl(None), (Duration::from_mins(5), true));
        assert_eq!(settings.ttl(Some(second)), (second, false));
        settings.turn(&Knob::Ttl(2 * second));
        assert_eq!(settings.ttl(Some(second)), (2 * second, true));
    }

    #[test]
    fn jitter_only_ever_shortens_and_by_its_share_at_most() {
        let settings = settings(NamespaceOptions { jitter: 0.2, ..NamespaceOptions::default() });
        assert_eq!(settings.jittered_ttl(None, 0), Duration::from_mins(5));
        assert_eq!(settings.jittered_ttl(None, u64::MAX), Duration::from_mins(4));
        assert_eq!(settings.jittered_ttl(Some(Duration::from_secs(9)), u64::MAX), Duration::from_secs(9));
    }

    #[test]
    fn options_out_of_range_are_the_nearest_in_range() {
        for (jitter, expected) in [(f64::NAN, 0.0), (-1.0, 0.0), (7.0, 0.5), (f64::INFINITY, 0.5)] {
            let options = NamespaceOptions { jitter, early_refresh: jitter, ..NamespaceOptions::default() };
            assert_eq!(settings(options).tuning().jitter, expected);
        }
    }
}
