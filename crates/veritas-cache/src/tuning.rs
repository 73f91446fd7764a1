//! Tuning: what of a namespace can be changed while it runs, as values with a text and an inverse.

use std::{fmt, str::FromStr, time::Duration};

use veritas_model::Bytes;

/// The largest share by which jitter may shorten a time to live.
pub(crate) const MAX_JITTER: f64 = 0.5;

/// The largest eagerness of early refreshes (`XFetch`'s beta).
pub(crate) const MAX_EARLY_REFRESH: f64 = 100.0;

/// One thing about a namespace that can be changed while it runs, and its new value.
///
/// Its text is one word, `name=value`, and reads back as the same knob:
///
/// ```
/// use std::time::Duration;
/// use veritas_cache::{Knob, KnobName};
/// use veritas_model::Bytes;
///
/// assert_eq!(Knob::Capacity(Bytes::new(33_554_432)).to_string(), "capacity=33554432");
/// assert_eq!(Knob::Ttl(Duration::from_millis(1_500)).to_string(), "ttl=1500ms");
/// assert_eq!("ttl=60s".parse(), Ok(Knob::Ttl(Duration::from_secs(60))));
/// assert_eq!("bypass=true".parse(), Ok(Knob::Bypass(true)));
/// assert_eq!("jitter=configured".parse(), Ok(Knob::AsConfigured(KnobName::Jitter)));
/// assert!("ttl=soon".parse::<Knob>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Knob {
    /// How many bytes it may hold; `capacity=33554432`.
    Capacity(Bytes),
    /// How long its entries live when nobody says otherwise, in whole milliseconds; `ttl=60s`, `ttl=1500ms`.
    Ttl(Duration),
    /// Whether nothing is stored in it or served from it; `bypass=true`.
    Bypass(bool),
    /// How eagerly entries are refreshed before their time, `XFetch`'s beta, 0 to 100; 0 is off; `early_refresh=1`.
    EarlyRefresh(f64),
    /// How long entries are served past their time while one refreshes them, in whole
    /// milliseconds; `stale=30s`.
    Stale(Duration),
    /// By what share at most a time to live is shortened, 0 to 0.5; `jitter=0.05`.
    Jitter(f64),
    /// Back to what the application's options say; `ttl=configured`.
    AsConfigured(KnobName),
}

/// Which thing about a namespace a [`Knob`] changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KnobName {
    /// [`Knob::Capacity`].
    Capacity,
    /// [`Knob::Ttl`].
    Ttl,
    /// [`Knob::Bypass`].
    Bypass,
    /// [`Knob::EarlyRefresh`].
    EarlyRefresh,
    /// [`Knob::Stale`].
    Stale,
    /// [`Knob::Jitter`].
    Jitter,
}

impl KnobName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Capacity, Self::Ttl, Self::Bypass, Self::EarlyRefresh, Self::Stale, Self::Jitter];

    /// Returns the word in front of the `=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Ttl => "ttl",
            Self::Bypass => "bypass",
            Self::EarlyRefresh => "early_refresh",
            Self::Stale => "stale",
            Self::Jitter => "jitter",
        }
    }

    /// Reads the word that [`Self::as_str`] writes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == word)
    }
}

/// The value that says "what the application's options say".
const CONFIGURED: &str = "configured";

impl Knob {
    /// Returns what it changes.
    pub const fn name(&self) -> KnobName {
        match *self {
            Self::Capacity(_) => KnobName::Capacity,
            Self::Ttl(_) => KnobName::Ttl,
            Self::Bypass(_) => KnobName::Bypass,
            Self::EarlyRefresh(_) => KnobName::EarlyRefresh,
            Self::Stale(_) => KnobName::Stale,
            Self::Jitter(_) => KnobName::Jitter,
            Self::AsConfigured(name) => name,
        }
    }

    /// Checks that the value is one that can be set.
    ///
    /// # Errors
    ///
    /// [`TuneError::OutOfRange`] for a share or an eagerness outside of its range.
    pub fn check(&self) -> Result<(), TuneError> {
        let (value, most) = match *self {
            Self::EarlyRefresh(value) => (value, MAX_EARLY_REFRESH),
            Self::Jitter(value) => (value, MAX_JITTER),
            _ => return Ok(()),
        };
        // A NaN is in no range.
        if (0.0..=most).contains(&value) {
            Ok(())
        } else {
            Err(TuneError::OutOfRange { knob: self.name(), most })
        }
    }
}

impl fmt::Display for Knob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name().as_str())?;
        match *self {
            Self::Capacity(bytes) => write!(f, "{}", bytes.get()),
            Self::Ttl(time) | Self::Stale(time) => write_time(f, time),
            Self::Bypass(on) => write!(f, "{on}"),
            Self::EarlyRefresh(value) | Self::Jitter(value) => write!(f, "{value}"),
            Self::AsConfigured(_) => f.write_str(CONFIGURED),
        }
    }
}

/// Writes whole milliseconds, as seconds where they are whole too.
fn write_time(f: &mut fmt::Formatter<'_>, time: Duration) -> fmt::Result {
    // Milliseconds beyond 64 bits would not be read back.
    if time.subsec_nanos() == 0 || u64::try_from(time.as_millis()).is_err() {
        write!(f, "{}s", time.as_secs())
    } else {
        write!(f, "{}ms", time.as_millis())
    }
}

fn read_time(text: &str) -> Option<Duration> {
    let digits = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    match text.strip_suffix("ms") {
        Some(millis) => digits(millis).map(Duration::from_millis),
        None => digits(text.strip_suffix('s')?).map(Duration::from_secs),
    }
}

impl FromStr for Knob {
    type Err = TuneError;

    fn from_str(text: &str) -> Result<Self, TuneError> {
        let unreadable = || TuneError::Unreadable(text.chars().take(80).collect());
        let (name, value) = text.split_once('=').ok_or_else(unreadable)?;
        let name = KnobName::parse(name).ok_or_else(unreadable)?;
        if value == CONFIGURED {
            return Ok(Self::AsConfigured(name));
        }
        let knob = match name {
            KnobName::Capacity => value.parse().ok().map(|bytes| Self::Capacity(Bytes::new(bytes))),
            KnobName::Ttl => read_time(value).map(Self::Ttl),
            KnobName::Bypass => value.parse().ok().map(Self::Bypass),
            KnobName::EarlyRefresh => value.parse().ok().map(Self::EarlyRefresh),
            KnobName::Stale => read_time(value).map(Self::Stale),
            KnobName::Jitter => value.parse().ok().map(Self::Jitter),
        };
        let knob = knob.ok_or_else(unreadable)?;
        knob.check()?;
        Ok(knob)
    }
}

/// Why a knob was not turned.
#[derive(Debug, Clone, PartialEq)]
pub enum TuneError {
    /// The text is no knob; its first 80 characters.
    Unreadable(String),
    /// The value is outside of 0 to `most`.
    OutOfRange {
        /// What was to be changed.
        knob: KnobName,
        /// The largest value that can be set.
        most: f64,
    },
    /// The namespace is not open, and as many changes wait for namespaces to be
    /// opened as are kept: this many.
    TooMany(usize),
}

impl fmt::Display for TuneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(text) => write!(f, "{text:?} is no knob of a cache"),
            Self::OutOfRange { knob, most } => write!(f, "{} is not between 0 and {most}", knob.as_str()),
            Self::TooMany(most) => {
                write!(f, "changes of {most} namespaces that are not open are kept already")
            }
        }
    }
}

impl std::error::Error for TuneError {}

/// The options of a namespace that are in force: the application's, with what was tuned since.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// How many bytes it may hold.
    pub capacity: Bytes,
    /// How long its entries live when nobody says otherwise.
    pub ttl: Duration,
    /// By what share at most a time to live is shortened.
    pub jitter: f64,
    /// How long "nothing there" is remembered; `None` is not at all.
    pub negative_ttl: Option<Duration>,
    /// How long entries are served past their time while one refreshes them.
    pub stale: Duration,
    /// How eagerly entries are refreshed before their time; 0 is off.
    pub early_refresh: f64,
    /// The largest value that is stored, in bytes with its key.
    pub max_value: Option<Bytes>,
    /// The version of its values' form.
    pub schema: u32,
    /// Whether nothing is stored in it or served from it.
    pub bypass: bool,
    /// What was tuned, and is not as the application's options say.
    pub tuned: Vec<KnobName>,
}

impl Tuning {
    /// Returns the knob that would set what is in force now.
    pub const fn knob(&self, name: KnobName) -> Knob {
        match name {
            KnobName::Capacity => Knob::Capacity(self.capacity),
            KnobName::Ttl => Knob::Ttl(self.ttl),
            KnobName::Bypass => Knob::Bypass(self.bypass),
            KnobName::EarlyRefresh => Knob::EarlyRefresh(self.early_refresh),
            KnobName::Stale => Knob::Stale(self.stale),
            KnobName::Jitter => Knob::Jitter(self.jitter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, knob: Knob) {
        assert_eq!(knob.to_string(), text);
        assert_eq!(text.parse(), Ok(knob));
    }

    #[test]
    fn a_knob_reads_back_as_it_is_written() {
        check("capacity=0", Knob::Capacity(Bytes::new(0)));
        check("capacity=18446744073709551615", Knob::Capacity(Bytes::new(u64::MAX)));
        check("ttl=0s", Knob::Ttl(Duration::ZERO));
        check("ttl=1ms", Knob::Ttl(Duration::from_millis(1)));
        check("ttl=90s", Knob::Ttl(Duration::from_secs(90)));
        check("stale=1500ms", Knob::Stale(Duration::from_millis(1_500)));
        check("bypass=false", Knob::Bypass(false));
        check("early_refresh=1", Knob::EarlyRefresh(1.0));
        check("early_refresh=0.25", Knob::EarlyRefresh(0.25));
        check("jitter=0.05", Knob::Jitter(0.05));
        for name in KnobName::ALL {
            check(&format!("{}=configured", name.as_str()), Knob::AsConfigured(name));
        }
    }

    #[test]
    fn a_time_for_ever_reads_back_as_one() {
        let text = Knob::Ttl(Duration::MAX).to_string();
        assert_eq!(text.parse(), Ok(Knob::Ttl(Duration::from_secs(u64::MAX))), "{text}");
    }

    #[test]
    fn what_is_no_knob_is_refused() {
        for text in [
            "",
            "=",
            "ttl",
            "ttl=",
            "ttl=s",
            "ttl=ms",
            "ttl=-1s",
            "ttl=+1s",
            "ttl=1m",
            "ttl=1.5s",
            "ttl=99999999999999999999s",
            "capacity=-1",
            "capacity=1MiB",
            "bypass=yes",
            "jitter=a",
            "size=1",
            "Ttl=1s",
            " ttl=1s",
        ] {
            assert!(matches!(text.parse::<Knob>(), Err(TuneError::Unreadable(_))), "{text:?}");
        }
        for text in ["jitter=0.6", "jitter=-0.1", "jitter=NaN", "early_refresh=inf", "early_refresh=101"] {
            assert!(matches!(text.parse::<Knob>(), Err(TuneError::OutOfRange { .. })), "{text:?}");
        }
    }
}
