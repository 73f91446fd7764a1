//! `veritas doctor mysql://…` and `serve --mysql` on a real `MariaDB`.

use serde_json::Value;
use veritas_testkit::{MariaDatabase, MariaDb, data_dir, wait_for};

use crate::process::{PATIENCE, Server, run};

const API: &str = "/api/v1/performance";

/// Orders with no index on what they are looked up by, and one index too many.
const SHOP: &str = "
    CREATE TABLE orders(id INT PRIMARY KEY AUTO_INCREMENT, user_id INT NOT NULL, state VARCHAR(9) NOT NULL);
    INSERT INTO orders(user_id, state) SELECT seq % 500, 'paid' FROM seq_1_to_5000;
    CREATE INDEX one ON orders(state); CREATE INDEX two ON orders(state);
    SELECT state FROM orders WHERE user_id = 4711;";

fn shop(server: &MariaDb) -> MariaDatabase {
    let database = server.database();
    database.sql(SHOP);
    database
}

#[test]
fn the_doctor_names_faults_of_a_mariadb_and_their_fixes() {
    let database = shop(&MariaDb::start_alone(&[]));
    let directory = data_dir();
    let url = database.url().replacen("mysql://", "mariadb://", 1);
    let output = run(directory.path(), &["doctor", &url, "--json"]);
    let diagnosis: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let fault = |code: &str| {
        let faults = diagnosis["faults"].as_array().unwrap();
        faults
            .iter()
            .find(|fault| fault["code"] == code)
            .unwrap_or_else(|| panic!("no {code}: {diagnosis:#}"))
    };
    assert!(fault("duplicate_index")["fix"].as_str().unwrap().contains("IGNORED"));
    assert!(fault("full_scans")["evidence"][0].as_str().unwrap().contains("user_id = ?"));
    // The server of the tests flushes nothing: that is critical.
    assert_eq!((&fault("torn_pages")["severity"], output.status.code()), (&"critical".into(), Some(1)));
    assert!(!diagnosis.to_string().contains("4711"), "a literal is shown");
    let table = String::from_utf8(run(directory.path(), &["doctor", &database.url()]).stdout).unwrap();
    assert!(table.starts_with("MariaDB ") && table.contains("fix: "), "{table}");
    let nobody = run(directory.path(), &["doctor", "mysql://me@127.0.0.1:1/shop", "--json"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn a_statement_of_a_mariadb_is_explained_and_not_run() {
    let database = shop(&MariaDb::start());
    let directory = data_dir();
    let url = database.url();
    let explain = |statement: &str, more: &[&str]| {
        let mut arguments = vec!["explain", statement, "--mysql", &url];
        arguments.extend(more);
        run(directory.path(), &arguments)
    };
    let sql = "SELECT id FROM orders WHERE user_id = ? ORDER BY state";
    let plan: Value = serde_json::from_slice(&explain(sql, &["--value", "77", "--json"]).stdout).unwrap();
    assert_eq!(
        (&plan["accesses"][0]["table"], &plan["accesses"][0]["whole"]),
        (&"orders".into(), &true.into())
    );
    assert_eq!(plan["sorts"], true, "{plan:#}");
    let text = String::from_utf8(explain("SELECT state FROM orders WHERE id = 5", &[]).stdout).unwrap();
    assert!(text.contains("orders: const by index PRIMARY") && text.contains("Nothing was run"), "{text}");
    for (statement, hint) in [(sql, "--value"), ("DELETE FROM orders", "only one SELECT")] {
        let refused = explain(statement, &[]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && said.contains(hint), "{said}");
    }
    assert_eq!(database.sql("SELECT COUNT(*) FROM orders"), "5000\n");
}

#[test]
fn a_served_mariadb_is_seen_and_its_loss_is_said() {
    let server = MariaDb::start_alone(&[]);
    let database = shop(&server);
    let directory = data_dir();
    std::fs::write(directory.path().join("veritas.toml"), "[mysql]\nscratch = 'same_server'\n").unwrap();
    let veritas = Server::start(directory.path(), &["--mysql", &database.url()]);
    let token = Server::token(directory.path(), "viewer");
    let get = |path: &str| -> Value {
        let (_, body) = veritas.get(&format!("{API}{path}"), Some(&token));
        serde_json::from_str(&body).unwrap()
    };
    let servers =
        wait_for(PATIENCE, || Some(get("/db/servers")).filter(|told| told["servers"][0].is_object()));
    assert_eq!(servers["servers"][0]["engine"], "mariadb", "{servers:#}");
    let queries = get("/db/queries?limit=1000");
    let all = queries["queries"].as_array().unwrap();
    let mine = all.iter().find(|query| query["normalized"] == "select state from orders where user_id = ?");
    assert!(mine.is_some(), "{queries:#}");
    let indexes = get("/db/indexes");
    assert!(indexes.to_string().contains("\"two\""), "{indexes:#}");
    assert!(get("/db/locks")["generated_at"].is_number());
    let advised = wait_for(PATIENCE, || {
        let told = get("/db/optimization");
        told.to_string().contains("missing_index").then_some(told)
    });
    assert!(advised.to_string().contains("measured on a copy"), "{advised:#}");
    assert!(!advised.to_string().contains("4711"), "a literal is served");

    drop((database, server));
    let lost = wait_for(PATIENCE, || {
        let (_, body) = veritas.get("/readyz", None);
        Some(body).filter(|body| body.contains("target:mysql") && body.contains("degraded"))
    });
    assert!(!lost.is_empty());
}
