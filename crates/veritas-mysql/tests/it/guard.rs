//! What the guard lets through is explained, and the rest never reaches the server.

use mysql::Value;
use veritas_mysql::{
    explain::explain,
    guard::{Refusal, check},
    session::Session,
};
use veritas_testkit::MariaDb;

use crate::{SHOP, options};

#[test]
fn plans_name_tables_indexes_and_whole_reads() {
    let database = MariaDb::start().database();
    database.sql(SHOP);
    let mut session = Session::connect(&options(&database)).unwrap();
    let query =
        check(&mut session, "SELECT * FROM orders o WHERE total + 0 = ? ORDER BY user_id + 1").unwrap();
    assert_eq!(query.tables(), ["orders"]);
    let plan = explain(&mut session, &query, vec![Value::Int(7)]).unwrap();
    assert!(plan.sorts && plan.accesses.len() == 1, "{plan:?}");
    assert!(plan.accesses[0].whole && plan.accesses[0].rows > Some(4_000.0), "{plan:?}");
    let joined = "SELECT u.email FROM orders o JOIN users u ON u.id = o.user_id WHERE o.id = ?";
    let query = check(&mut session, joined).unwrap();
    let plan = explain(&mut session, &query, vec![Value::Int(7)]).unwrap();
    assert!(plan.accesses.len() == 2 && plan.accesses.iter().all(|access| !access.whole), "{plan:?}");
    assert_eq!(plan.accesses[0].index.as_deref(), Some("PRIMARY"));
}

#[test]
fn views_other_schemas_and_stored_functions_are_refused() {
    let database = MariaDb::start().database();
    database.sql(SHOP);
    database.sql("CREATE TABLE log(a INT); CREATE FUNCTION sneaky() RETURNS INT DETERMINISTIC MODIFIES SQL DATA RETURN 1");
    let mut session = Session::connect_writing(&options(&database)).unwrap();
    let refused = |sql: &str, session: &mut Session| check(session, sql).unwrap_err();
    assert_eq!(refused("SELECT * FROM open_orders", &mut session), Refusal::Relation("open_orders".into()));
    assert_eq!(refused("SELECT * FROM mysql.user", &mut session), Refusal::Relation("mysql.user".into()));
    assert_eq!(refused("SELECT * FROM not_there", &mut session), Refusal::Relation("not_there".into()));
    assert_eq!(refused("SELECT sneaky() FROM orders", &mut session), Refusal::Function("sneaky".into()));
    assert_eq!(refused("SELECT 1; DROP TABLE orders", &mut session), Refusal::NotOneQuery);
    assert_eq!(database.sql("SELECT COUNT(*) FROM orders"), "5000\n");
}
