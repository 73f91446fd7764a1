//! Names: many, doubled, and in any script.

use veritas_profile::{Site, enter, profiles};

use crate::{clock, profile};

#[test]
fn sites_of_one_name_are_one_profile() {
    static ONE: Site = Site::new("doubled", module_path!(), file!(), line!());
    static TWO: Site = Site::new("doubled", module_path!(), file!(), line!());
    let (_alone, _clock) = clock();
    drop((enter(&ONE), enter(&TWO), enter(&TWO)));
    assert_eq!(profile("doubled").calls, 3);
    assert_eq!(profiles().iter().filter(|profile| profile.name == "doubled").count(), 1);
}

#[test]
fn a_name_may_be_anything() {
    let (_alone, _clock) = clock();
    for name in ["", " ", "größe", "検証", "🦀\n\"quoted\"", "a\0b", &"long".repeat(10_000)] {
        drop(enter(Site::named(name).unwrap()));
        assert_eq!(profile(name).calls, 1, "{name:?}");
    }
}

#[test]
fn a_name_known_at_run_time_is_one_site() {
    let (_alone, _clock) = clock();
    for _ in 0..3 {
        drop(enter(Site::named("job kind").unwrap()));
    }
    assert_eq!(profile("job kind").calls, 3);
    assert!(profile("job kind").file.ends_with("names.rs"));
}

#[test]
fn twenty_thousand_sites_are_all_counted() {
    let (_alone, _clock) = clock();
    for index in 0..20_000 {
        drop(enter(Site::named(&format!("site {index}")).unwrap()));
    }
    let counted = profiles().iter().filter(|profile| profile.name.starts_with("site ")).count();
    assert_eq!(counted, 20_000);
    veritas_profile::reset();
}
