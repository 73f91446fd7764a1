//! Functions that share a name, and what one of them knows that another may not return.

use std::time::Duration;

use veritas_cache::function::{Fallible, Function, Optional, Plain, call, call_refreshing};

use crate::{MIB, caches};

/// Functions of one name that look for the same; a search takes longer than its outcome lasts.
const fn searching(line: u32) -> Function {
    Function::new(Some("search"), file!(), line).negative_ttl(Duration::from_secs(10))
}

#[test]
fn who_must_return_something_is_not_told_that_there_is_nothing() {
    static OPTIONAL: Function = searching(1);
    static FALLIBLE: Function = searching(2);
    static PLAIN: Function = searching(3);
    let key = OPTIONAL.key(&|| (), 0);
    assert_eq!(key.as_bytes(), FALLIBLE.key(&|| (), 0).as_bytes());
    assert_eq!(key.as_bytes(), PLAIN.key(&|| (), 0).as_bytes());
    let (caches, clock) = caches(MIB);
    let search = || {
        clock.advance(Duration::from_secs(100_000));
        None::<u64>
    };
    let nothing = call(&caches, &OPTIONAL, &key, Optional, || (Vec::new(), search));
    assert_eq!(nothing, None);
    // By now it is due to be refreshed.
    clock.advance(Duration::from_secs(9));
    let fail = || Err::<u64, _>("the source is down".to_owned());
    let failed = call(&caches, &FALLIBLE, &key, Fallible, || (Vec::new(), fail));
    assert_eq!(failed, Err("the source is down".to_owned()));
    for _ in 0..3 {
        assert_eq!(call_refreshing(&caches, &PLAIN, &key, Plain, || (Vec::new(), || 7_u64)), 7);
    }
    let statistics = caches.statistics();
    assert_eq!((statistics.loads, statistics.load_errors, statistics.hits), (3, 1, 2));
}
