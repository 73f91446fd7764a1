//! Sites: the places in the code whose calls are timed, and the list of all of them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crate::{arguments::Sketch, slot::Slot};

/// How many sites one process may have. More are not recorded and counted in
/// [`unrecorded_sites`]; a site costs some 200 bytes, and 8 bytes a thread.
pub const MAX_SITES: u32 = 131_072;

/// A place in the code whose calls are timed: a function, mostly.
///
/// Make it a `static`; `#[profile]` does. It registers itself at its first call.
/// Sites of one name are one profile.
pub struct Site {
    name: &'static str,
    module: &'static str,
    file: &'static str,
    line: u32,
    /// 0 until it is registered, then 1 and up; `REFUSED` when the list was full.
    id: AtomicU32,
    slots: Mutex<Slots>,
    sketch: Mutex<Option<Sketch>>,
}

struct Slots {
    all: Vec<&'static Slot>,
    idle: Vec<&'static Slot>,
}

const UNREGISTERED: u32 = 0;
const REFUSED: u32 = u32::MAX;

static SITES: Mutex<Vec<&'static Site>> = Mutex::new(Vec::new());
static NAMED: Mutex<BTreeMap<&'static str, &'static Site>> = Mutex::new(BTreeMap::new());
static UNRECORDED: AtomicU64 = AtomicU64::new(0);

impl Site {
    /// Describes a place: its name, `module_path!()`, `file!()`, `line!()`.
    pub const fn new(name: &'static str, module: &'static str, file: &'static str, line: u32) -> Self {
        Self {
            name,
            module,
            file,
            line,
            id: AtomicU32::new(UNREGISTERED),
            slots: Mutex::new(Slots { all: Vec::new(), idle: Vec::new() }),
            sketch: Mutex::new(None),
        }
    }

    /// Returns the site of a name that is known only at run time; the same one for
    /// the same name. It lives as long as the process, so names must come from a
    /// bounded set (job kinds, not user ids). `None` when [`MAX_SITES`] names exist.
    #[track_caller]
    pub fn named(name: &str) -> Option<&'static Self> {
        let mut named = locked(&NAMED);
        if let Some(site) = named.get(name) {
            return Some(site);
        }
        if named.len() >= MAX_SITES as usize {
            UNRECORDED.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let caller = std::panic::Location::caller();
        let name: &'static str = Box::leak(name.into());
        let site: &'static Self = Box::leak(Box::new(Self::new(name, "", caller.file(), caller.line())));
        named.insert(name, site);
        Some(site)
    }

    /// Returns the name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn module(&self) -> &'static str {
        self.module
    }

    pub(crate) const fn file(&self) -> &'static str {
        self.file
    }

    pub(crate) const fn line(&self) -> u32 {
        self.line
    }

    /// Returns the site's place in the list, or `None` when the list is full.
    #[inline]
    pub(crate) fn index(&'static self) -> Option<usize> {
        match self.id.load(Ordering::Relaxed) {
            UNREGISTERED => self.register(),
            REFUSED => None,
            id => Some(id as usize - 1),
        }
    }

    #[cold]
    fn register(&'static self) -> Option<usize> {
        let mut sites = locked(&SITES);
        match self.id.load(Ordering::Relaxed) {
            UNREGISTERED => {}
            REFUSED => return None,
            id => return Some(id as usize - 1),
        }
        let index = u32::try_from(sites.len()).unwrap_or(MAX_SITES);
        if index >= MAX_SITES {
            self.id.store(REFUSED, Ordering::Relaxed);
            UNRECORDED.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        sites.push(self);
        self.id.store(index + 1, Ordering::Relaxed);
        Some(index as usize)
    }

    /// Gives a slot to a thread: one that is idle, or a new one.
    pub(crate) fn adopt_slot(&self) -> &'static Slot {
        let mut slots = locked(&self.slots);
        slots.idle.pop().unwrap_or_else(|| {
            let slot: &'static Slot = Box::leak(Box::new(Slot::new()));
            slots.all.push(slot);
            slot
        })
    }

    /// Takes the slot of a thread back, with its counts.
    pub(crate) fn release_slot(&self, slot: &'static Slot) {
        slot.surface();
        locked(&self.slots).idle.push(slot);
    }

    /// Returns all slots, of the living and of the dead.
    pub(crate) fn slots(&self) -> Vec<&'static Slot> {
        locked(&self.slots).all.clone()
    }

    pub(crate) fn sketch(&self) -> &Mutex<Option<Sketch>> {
        &self.sketch
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("name", &self.name)
            .field("file", &self.file)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// Returns every registered site, in the order of their first calls.
pub(crate) fn all() -> Vec<&'static Site> {
    locked(&SITES).clone()
}

/// Returns how many sites were refused because the list was full.
pub fn unrecorded_sites() -> u64 {
    UNRECORDED.load(Ordering::Relaxed)
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
