//! The statements that retire an index work, step by step and back.

use veritas_mysql::{explain::explain, guard::check, hide::retirement, session::Session};
use veritas_testkit::MariaDb;

use crate::{SHOP, look, options};

#[test]
fn an_index_is_hidden_shown_dropped_and_made_again() {
    let database = MariaDb::start().database();
    database.sql(SHOP);
    let reading = look(&options(&database)).reading;
    let indexes = reading.indexes.unwrap();
    let of = |name: &str| indexes.iter().find(|index| index.name == name).unwrap();
    let by_total = of("by_total");
    let steps = retirement(reading.engine, by_total).unwrap();
    let reads = || {
        let mut session = Session::connect(&options(&database)).unwrap();
        let query = check(&mut session, "SELECT id FROM orders WHERE total = 7").unwrap();
        let plan = explain(&mut session, &query, Vec::new()).unwrap();
        plan.accesses[0].index.clone()
    };
    let definition = || {
        look(&options(&database)).reading.indexes.unwrap().into_iter().find(|index| index.name == "by_total")
    };
    assert_eq!(reads().as_deref(), Some("by_total"));
    database.sql(&steps.hide);
    assert_ne!(reads().as_deref(), Some("by_total"));
    assert!(!definition().unwrap().valid);
    database.sql(&steps.show);
    assert_eq!(reads().as_deref(), Some("by_total"));
    database.sql(&steps.drop);
    assert_eq!(definition(), None);
    database.sql(&steps.make_again);
    assert_eq!(
        definition().map(|index| (index.keys, index.valid)),
        Some((vec!["total DESC".to_owned()], true))
    );

    for must_stay in ["PRIMARY", "email", "by_user"] {
        assert!(retirement(reading.engine, of(must_stay)).is_err(), "{must_stay}");
    }
}
