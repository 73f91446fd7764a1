//! A change of indexes, written for the tools that people migrate with.

use std::{fs, process::Command};

use veritas_model::{Plan, Timestamp};
use veritas_postgres::migration::{Form, MigrationError, MigrationFile, write};

const CREATE: &str = "CREATE INDEX CONCURRENTLY \"veritas_orders_1\" ON \"public\".\"shop_orders\" \
                      (\"customer_id\", \"createdAt\" DESC) INCLUDE (\"total\")";
const DROP: &str = "DROP INDEX CONCURRENTLY \"public\".\"veritas_orders_1\"";

fn change(forward: &str, inverse: &str) -> Plan {
    Plan {
        target: "main".to_owned(),
        forward: forward.to_owned(),
        inverse: inverse.to_owned(),
        object: "veritas_orders_1".to_owned(),
        scope: vec!["public.shop_orders".to_owned()],
    }
}

fn files(forward: &str, inverse: &str, form: Form) -> Vec<MigrationFile> {
    let at = Timestamp::from_seconds(1_795_474_721.0);
    write(&change(forward, inverse), form, at).expect("it is a change of an index")
}

/// Compiles Python, as the tool that reads it would.
#[track_caller]
fn check_python(file: &MigrationFile, holds: &[&str]) {
    for part in holds {
        assert!(file.text.contains(part), "{part:?} is missing:\n{}", file.text);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(&file.name);
    fs::write(&path, &file.text).expect("the folder takes files");
    let output = Command::new("python3").args(["-m", "py_compile"]).arg(&path).output();
    let output = output.expect("python3 is missing; run `cargo xtask setup`");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), file.text);
}

#[test]
fn sqlx_gets_two_files_that_run_outside_of_a_transaction() {
    let files = files(CREATE, DROP, Form::Sqlx);
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(
        names,
        ["20261123225841_add_veritas_orders_1.up.sql", "20261123225841_add_veritas_orders_1.down.sql"]
    );
    assert!(files.iter().all(|file| file.text.starts_with("-- no-transaction\n")));
    assert!(files[0].text.ends_with(&format!("{CREATE};\n")));
    assert!(files[1].text.ends_with(&format!("{DROP};\n")));
}

#[test]
fn plain_sql_is_the_change_and_its_inverse() {
    let files = files(CREATE, DROP, Form::Sql);
    assert_eq!(files[0].name, "add_veritas_orders_1.up.sql");
    assert!(files[0].text.ends_with(&format!("{CREATE};\n")));
    assert!(files[1].text.ends_with(&format!("{DROP};\n")));
}

#[test]
fn alembic_creates_and_drops_in_an_autocommit_block() {
    let create = [
        "with op.get_context().autocommit_block():",
        "[\"customer_id\", sa.text(\"\\\"createdAt\\\" DESC\")]",
        "schema=\"public\"",
        "postgresql_include=[\"total\"]",
        "postgresql_concurrently=True",
        "table_name=\"shop_orders\"",
        "import sqlalchemy as sa",
    ];
    check_python(&files(CREATE, DROP, Form::Alembic)[0], &create);
    let dropping = &files(DROP, CREATE, Form::Alembic)[0];
    check_python(dropping, &create);
    let (upgrade, downgrade) = dropping.text.split_once("def downgrade").expect("both ways are there");
    assert!(upgrade.contains("op.drop_index(") && downgrade.contains("op.create_index("));
}

#[test]
fn django_adds_and_removes_outside_of_a_transaction() {
    let create = [
        "atomic = False",
        "AddIndexConcurrently(",
        "model_name=\"orders\"",
        "fields=[\"customer_id\", \"-createdAt\"]",
        "include=[\"total\"]",
        "name=\"veritas_orders_1\"",
    ];
    check_python(&files(CREATE, DROP, Form::Django)[0], &create);
    check_python(&files(DROP, CREATE, Form::Django)[0], &["RemoveIndexConcurrently(", "atomic = False"]);
}

#[test]
fn a_name_that_django_refuses_is_shortened() {
    let long = CREATE.replace("veritas_orders_1", "veritas_orders_customer_id_created_at_0a1b2c3d");
    let file = &files(&long, DROP, Form::Django)[0];
    let name = file.text.split("name=\"").nth(2).and_then(|rest| rest.split('"').next()).expect("a name");
    assert!(name.starts_with("veritas_") && name.len() <= 30, "{name}");
}

#[test]
fn what_a_tool_cannot_say_is_written_as_sql() {
    let create = "CREATE INDEX CONCURRENTLY \"i\" ON \"t\" USING gin (\"tags\" jsonb_path_ops)";
    check_python(&files(create, DROP, Form::Alembic)[0], &["op.execute(", "jsonb_path_ops"]);
    check_python(&files(create, DROP, Form::Django)[0], &["migrations.RunSQL(", "jsonb_path_ops"]);
}

#[test]
fn names_that_would_break_out_of_their_literal_do_not() {
    let create = "CREATE INDEX CONCURRENTLY \"a\"\"\\\n\"\"\"\"\" ON \"t\nx\" (\"c'\\\"\"\", \"é\" DESC)";
    for form in [Form::Alembic, Form::Django] {
        check_python(&files(create, DROP, form)[0], &[]);
    }
    for file in files(create, DROP, Form::Sql) {
        let comment = file.text.lines().next().expect("a first line");
        assert!(comment.starts_with("-- ") && !file.text.lines().nth(1).expect("a second").starts_with('x'));
    }
}

#[test]
fn a_change_of_something_else_is_refused() {
    let at = Timestamp::default();
    assert_eq!(write(&change("ALTER TABLE t", "x"), Form::Sql, at), Err(MigrationError::NoIndex));
    assert_eq!(write(&change("CREATE INDEX ON", "x"), Form::Sql, at), Err(MigrationError::Unparsed));
}
