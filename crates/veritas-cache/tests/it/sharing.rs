//! One capacity for many namespaces: never exceeded, and nobody is left without.

use proptest::prelude::*;
use veritas_cache::{Cache, Caches, Knob, KnobName, NamespaceOptions};
use veritas_model::Bytes;

use crate::{MIB, caches};

#[derive(Debug, Clone)]
enum Step {
    Set { namespace: usize, key: u16, bytes: usize },
    Delete { namespace: usize, key: u16 },
    Capacity { namespace: usize, bytes: u64 },
    AsConfigured { namespace: usize },
    Flush(usize),
    Clear(usize),
    Purge,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn step() -> impl Strategy<Value = Step> {
    let namespace = 0..NAMES.len();
    let bytes = prop_oneof![6 => 0..2_000_usize, 1 => 0..200_000_usize];
    prop_oneof![
        20 => (namespace.clone(), 0..2_000_u16, bytes)
            .prop_map(|(namespace, key, bytes)| Step::Set { namespace, key, bytes }),
        2 => (namespace.clone(), 0..2_000_u16).prop_map(|(namespace, key)| Step::Delete { namespace, key }),
        1 => (namespace.clone(), 0..400_000_u64)
            .prop_map(|(namespace, bytes)| Step::Capacity { namespace, bytes }),
        1 => namespace.clone().prop_map(|namespace| Step::AsConfigured { namespace }),
        1 => namespace.clone().prop_map(Step::Flush),
        1 => namespace.prop_map(Step::Clear),
        1 => Just(Step::Purge),
    ]
}

#[track_caller]
fn check(caches: &Caches, capacity: u64) {
    let readings = caches.namespaces();
    for reading in &readings {
        assert!(reading.weight <= reading.granted, "{reading:?}");
        assert!(reading.granted <= reading.tuning.capacity, "{reading:?}");
        assert_eq!(reading.weight == Bytes::new(0), reading.memory.entries == 0, "{reading:?}");
    }
    let granted: u64 = readings.iter().map(|reading| reading.granted.get()).sum();
    assert!(granted <= capacity, "{granted} of {capacity}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn weights_never_exceed_the_capacity_nor_a_namespace_its_own(
        capacity in prop_oneof![Just(0), 1..100_000_u64, 100_000..4_000_000_u64],
        promised in prop::option::of(0..500_000_u64),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let (caches, _clock) = caches(capacity);
        let options = NamespaceOptions { capacity: promised.map(Bytes::new), ..NamespaceOptions::default() };
        let spaces: Vec<Cache<Vec<u8>>> = NAMES
            .iter()
            .map(|name| caches.namespace_with(name, if *name == "c" { options.clone() } else { NamespaceOptions::default() }))
            .collect();
        for step in steps {
            match step {
                Step::Set { namespace, key, bytes } => {
                    let stored = spaces[namespace].set(&key, vec![1; bytes]);
                    prop_assert_eq!(spaces[namespace].get(&key).is_some(), stored);
                }
                Step::Delete { namespace, key } => _ = spaces[namespace].delete(&key),
                Step::Capacity { namespace, bytes } => {
                    caches.tune(NAMES[namespace], &Knob::Capacity(Bytes::new(bytes))).unwrap();
                }
                Step::AsConfigured { namespace } => {
                    caches.tune(NAMES[namespace], &Knob::AsConfigured(KnobName::Capacity)).unwrap();
                }
                Step::Flush(namespace) => caches.flush(NAMES[namespace]),
                Step::Clear(namespace) => _ = spaces[namespace].clear(),
                Step::Purge => _ = caches.purge_expired(),
            }
            check(&caches, capacity);
        }
    }
}

fn weight_of(caches: &Caches, name: &str) -> u64 {
    caches.namespaces().iter().find(|reading| reading.name == name).map_or(0, |reading| reading.weight.get())
}

#[test]
fn who_comes_late_gets_its_share_of_what_others_hold() {
    let (caches, _clock) = caches(8 * MIB);
    let early = caches.namespace::<Vec<u8>>("early");
    for id in 0..20_000_u32 {
        early.set(&id, vec![0; 1_000]);
    }
    assert!(weight_of(&caches, "early") > 7 * MIB);
    let late = caches.namespace::<Vec<u8>>("late");
    assert!(late.set(&0, vec![0; 1_000]), "the first value finds room already");
    for id in 0..20_000_u32 {
        assert!(late.set(&id, vec![0; 1_000]));
    }
    let (early_weight, late_weight) = (weight_of(&caches, "early"), weight_of(&caches, "late"));
    assert!(late_weight > 3 * MIB && early_weight > 3 * MIB, "{early_weight} {late_weight}");
    check(&caches, 8 * MIB);
}

#[test]
fn what_one_namespace_gives_up_another_may_have() {
    let (caches, _clock) = caches(4 * MIB);
    let (first, second) = (caches.namespace::<Vec<u8>>("first"), caches.namespace::<Vec<u8>>("second"));
    let fill = |cache: &Cache<Vec<u8>>| (0..10_000_u32).for_each(|id| _ = cache.set(&id, vec![0; 1_000]));
    fill(&first);
    first.clear();
    fill(&second);
    assert!(weight_of(&caches, "second") > 7 * MIB / 2, "{}", weight_of(&caches, "second"));
}

#[test]
fn a_promise_is_kept_against_who_came_first() {
    let (caches, _clock) = caches(8 * MIB);
    let (greedy, promised) = (caches.namespace::<Vec<u8>>("greedy"), {
        let options = NamespaceOptions { capacity: Some(Bytes::new(6 * MIB)), ..NamespaceOptions::default() };
        caches.namespace_with::<Vec<u8>>("promised", options)
    });
    for id in 0..20_000_u32 {
        greedy.set(&id, vec![0; 1_000]);
    }
    for id in 0..20_000_u32 {
        promised.set(&id, vec![0; 1_000]);
        greedy.set(&id, vec![0; 1_000]);
    }
    let held = weight_of(&caches, "promised");
    assert!((5 * MIB..=6 * MIB).contains(&held), "{held}");
}

#[test]
fn a_value_may_be_nearly_as_large_as_the_part_of_a_shard() {
    let (caches, _clock) = caches(64 * MIB);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    for id in 0..100_u32 {
        assert!(cache.set(&id, vec![0; 1 << 20]), "{id}");
    }
    assert!(!cache.set(&0, vec![0; 65 << 20]));
    check(&caches, 64 * MIB);
}

#[test]
fn many_namespaces_share_a_small_capacity() {
    let (caches, _clock) = caches(4 * MIB);
    let spaces: Vec<Cache<Vec<u8>>> =
        (0..200).map(|index| caches.namespace(&format!("namespace {index}"))).collect();
    let mut refused = 0;
    for id in 0..50_u32 {
        for cache in &spaces {
            refused += u32::from(!cache.set(&id, vec![0; 500]));
        }
    }
    check(&caches, 4 * MIB);
    assert_eq!(refused, 0);
    let poorest = caches.namespaces().iter().map(|reading| reading.memory.entries).min().unwrap();
    assert!(poorest >= 8, "{poorest}");
}

#[test]
fn types_under_one_name_share_what_the_name_has() {
    let (caches, _clock) = caches(4 * MIB);
    let (early, late) = (caches.namespace::<Vec<u8>>("mixed"), caches.namespace::<Box<[u8]>>("mixed"));
    for id in 0..10_000_u32 {
        early.set(&id, vec![0; 1_000]);
    }
    assert!(late.set(&0, vec![0; 1_000].into()), "the first value finds room already");
    for id in 0..10_000_u32 {
        assert!(late.set(&id, vec![0; 1_000].into()));
    }
    let held = |found: &dyn Fn(&u32) -> bool| (0..10_000).filter(|id| found(id)).count();
    let (early, late) = (held(&|id| early.get(id).is_some()), held(&|id| late.get(id).is_some()));
    assert!(early > 1_000 && late > 1_000, "{early} {late}");
    check(&caches, 4 * MIB);
}

#[test]
fn threads_that_set_tune_and_purge_at_once_exceed_nothing() {
    const CAPACITY: u64 = 6 * MIB;
    let (caches, _clock) = caches(CAPACITY);
    let spaces = NAMES.map(|name| (caches.namespace::<Vec<u8>>(name), caches.namespace::<Box<[u8]>>(name)));
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (caches, spaces) = (&caches, &spaces);
            scope.spawn(move || {
                for step in 0..3_000_usize {
                    let (one, other) = &spaces[(step / 500 + thread) % NAMES.len()];
                    let bytes = if step % 50 == 0 { 150_000 } else { step * 7 % 3_000 };
                    if (step + thread) % 2 == 0 {
                        one.set(&(step % 1_000), vec![0; bytes]);
                    } else {
                        other.set(&(step % 1_000), vec![0; bytes].into());
                    }
                    let name = NAMES[step % NAMES.len()];
                    match (step + thread * 97) % 400 {
                        0 => _ = caches.purge_expired(),
                        100 => {
                            caches.tune(name, &Knob::Capacity(Bytes::new(step as u64 * 500))).unwrap();
                        }
                        200 => {
                            caches.tune(name, &Knob::AsConfigured(KnobName::Capacity)).unwrap();
                        }
                        300 => caches.flush(name),
                        _ => {}
                    }
                }
            });
        }
    });
    for name in NAMES {
        caches.tune(name, &Knob::AsConfigured(KnobName::Capacity)).unwrap();
    }
    check(&caches, CAPACITY);
    // Nothing of the capacity was lost on the way.
    for (one, other) in &spaces {
        one.clear();
        other.clear();
    }
    let (last, _) = &spaces[0];
    (0..20_000_u32).for_each(|id| _ = last.set(&id, vec![0; 1_000]));
    let held = weight_of(&caches, NAMES[0]);
    assert!(held > CAPACITY * 9 / 10, "{held}");
}

#[test]
fn a_value_that_does_not_outlive_its_own_storing_was_not_stored() {
    let (caches, _clock) = caches(20_000);
    let cache = caches.namespace::<Vec<u8>>("blobs");
    cache.set(&1, vec![0; 6_000]);
    cache.set(&2, vec![0; 6_000]);
    for _ in 0..4 {
        assert!(cache.get(&2).is_some());
    }
    // There is no room for both, and the other one is asked for.
    let stored = cache.set(&1, vec![0; 14_000]);
    assert_eq!(stored, cache.get(&1).is_some());
    let statistics = caches.statistics();
    let there = caches.memory().entries;
    assert_eq!(statistics.sets, 2 + u64::from(stored));
    assert_eq!((there, statistics.evictions), (1, 1), "one of them had to go");
}

#[test]
fn threads_that_feed_at_once_are_refused_next_to_nothing() {
    let (caches, _clock) = caches(16 * MIB);
    let early = caches.namespace::<Vec<u8>>("early");
    (0..40_000_u32).for_each(|id| _ = early.set(&id, vec![0; 500]));
    let refused = std::sync::atomic::AtomicU32::new(0);
    let together = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (caches, refused, together) = (&caches, &refused, &together);
            scope.spawn(move || {
                let spaces: Vec<Cache<Vec<u8>>> =
                    (0..25).map(|index| caches.namespace(&format!("late {thread} {index}"))).collect();
                together.wait();
                for id in 0..20_u32 {
                    for cache in &spaces {
                        let stored = cache.set(&id, vec![0; 500]);
                        refused.fetch_add(u32::from(!stored), std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // Of 4,000; what is freed for one may be taken by another before it is its own.
    let refused = refused.into_inner();
    assert!(refused < 40, "{refused}");
}

#[test]
fn a_value_that_can_never_fit_costs_nobody_its_room() {
    let (caches, _clock) = caches(8 * MIB);
    let (early, late) = (caches.namespace::<Vec<u8>>("early"), caches.namespace::<Vec<u8>>("late"));
    (0..10_000_u32).for_each(|id| _ = early.set(&id, vec![0; 1_000]));
    let before = caches.statistics().evictions;
    for bytes in [9 << 20, 3 << 20] {
        assert!(!early.set(&"heavy", vec![0; bytes]), "{bytes}");
        assert!(!late.set(&"heavy", vec![0; bytes]), "{bytes}");
    }
    assert_eq!(caches.statistics().evictions, before);
}

#[test]
fn a_value_heavier_than_its_share_costs_its_namespace_nothing() {
    let (caches, _clock) = caches(8 * MIB);
    let spaces: Vec<Cache<Vec<u8>>> =
        (0..100).map(|index| caches.namespace(&format!("namespace {index}"))).collect();
    for id in 0..500_u32 {
        for cache in &spaces {
            cache.set(&id, vec![0; 500]);
        }
    }
    let before = caches.statistics().evictions;
    assert!(!spaces[7].set(&"heavy", vec![0; 500_000]));
    assert_eq!(caches.statistics().evictions, before);
}
