//! What is refused, and in which words.

use veritas_config::{LoadError, Loader};

#[track_caller]
fn check_file(text: &str, expected: &str) {
    let error = Loader::new().file("veritas.toml", text).load().expect_err("it is wrong");
    assert_eq!(error.to_string(), expected);
}

#[track_caller]
fn check_variable(name: &str, value: &str, expected: &str) {
    let error =
        Loader::new().environment([(name.to_owned(), value.to_owned())]).load().expect_err("it is wrong");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_unknown_key_is_answered_with_the_known_one() {
    check_file("listne = ''", "veritas.toml:1: unknown key \"listne\"\nhint: did you mean \"listen\"?");
    check_file(
        "\ninterval = 1",
        "veritas.toml:2: unknown key \"interval\"\nhint: did you mean \"sampling.interval\"?",
    );
    check_file(
        "[samplin]\nx = 1",
        "veritas.toml:1: unknown key \"samplin\"\nhint: did you mean \"sampling\"?",
    );
    check_file(
        "[colour]",
        "veritas.toml:1: unknown key \"colour\"\nhint: `veritas config show` lists every key",
    );
}

#[test]
fn a_wrong_type_names_key_value_and_line() {
    check_file(
        "[history]\nmax_mib = \"many\"",
        "veritas.toml:2: history.max_mib = \"many\" is a string\nhint: it takes a whole number from 8 to 1048576",
    );
    check_file(
        "sampling = 3",
        "veritas.toml:1: \"sampling\" is an integer, and must be a table\nhint: write [sampling] and its keys below it",
    );
}

#[test]
fn a_value_out_of_range_names_the_range() {
    check_file(
        "[sampling]\ninterval = 0.05",
        "veritas.toml:2: sampling.interval = 0.05 is out of range\nhint: it takes seconds from 0.1 to 60, or a text such as \"500ms\", \"10s\", \"5m\", \"1h\"",
    );
    check_file(
        "[limits]\nburst = -1",
        "veritas.toml:2: limits.burst = -1 is out of range\nhint: it takes a whole number from 1 to 1000000",
    );
    check_variable(
        "VERITAS_JWT_LEEWAY_SECONDS",
        "2m",
        "VERITAS_JWT_LEEWAY_SECONDS: jwt.leeway_seconds = \"2m\" is out of range\nhint: it takes seconds from 0 to 60, or a text such as \"500ms\", \"10s\", \"5m\", \"1h\"",
    );
}

#[test]
fn a_wrong_variable_is_named() {
    check_variable(
        "VERITAS_LISTEN",
        "localhost",
        "VERITAS_LISTEN: listen = \"localhost\" is not an address\nhint: it takes an IP address and a port, such as \"127.0.0.1:9900\"",
    );
    check_variable(
        "VERITAS_LISTNE",
        "x",
        "VERITAS_LISTNE: unknown environment variable\nhint: did you mean VERITAS_LISTEN?",
    );
    check_variable(
        "VERITAS_OPTIMIZE_INDEX_CREATE",
        "auto",
        "VERITAS_OPTIMIZE_INDEX_CREATE: optimize.index_create = \"auto\" is not a known word\nhint: it takes one of \"report_only\", \"approve\", \"automatic\"",
    );
}

#[test]
fn a_secret_is_never_repeated() {
    for text in ["[jwt]\nsecret = 'hunter2'", "jwt.secret = 'hunter2", "[jwt]\nsecert_file = 'hunter2'"] {
        let error = Loader::new().file("veritas.toml", text).load().expect_err("it is wrong");
        assert!(
            !error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
    }
    check_variable(
        "VERITAS_JWT_SECRET",
        "hunter2",
        "VERITAS_JWT_SECRET: unknown environment variable\nhint: secrets are read from files: set VERITAS_JWT_SECRET_FILE, VERITAS_TARGETS_REDIS_PASSWORD_FILE, VERITAS_TARGETS_POSTGRES_PASSWORD_FILE or VERITAS_TARGETS_MYSQL_PASSWORD_FILE",
    );
    check_variable(
        "VERITAS_TARGETS_REDIS",
        "redis://app:hunter2@cache:6379",
        "VERITAS_TARGETS_REDIS: targets.redis = …@cache:6379\" holds a password\nhint: write it to a file that only this user can read, and name that in targets.redis_password_file",
    );
    check_variable(
        "VERITAS_TARGETS_POSTGRES",
        "postgresql://app:hunter2@db/app",
        "VERITAS_TARGETS_POSTGRES: targets.postgres = …@db/app\" holds a password\nhint: write it to a file that only this user can read, and name that in targets.postgres_password_file",
    );
    check_variable(
        "VERITAS_TARGETS_MYSQL",
        "mariadb://app:hunter2@db/app",
        "VERITAS_TARGETS_MYSQL: targets.mysql = …@db/app\" holds a password\nhint: write it to a file that only this user can read, and name that in targets.mysql_password_file",
    );
    check_variable(
        "VERITAS_POSTGRES_SCRATCH",
        "postgresql://app:hunter2@db/app",
        "VERITAS_POSTGRES_SCRATCH: postgres.scratch = …@db/app\" holds a password\nhint: write it to a file that only this user can read, and name that in targets.postgres_password_file",
    );
    check_variable(
        "VERITAS_POSTGRES_SCRATCH",
        "same",
        "VERITAS_POSTGRES_SCRATCH: postgres.scratch = \"same\" is not a known word or an address with a scheme\nhint: it takes one of \"off\", \"same_server\", or an address with a scheme, without a password",
    );
    check_variable(
        "VERITAS_TARGETS_REDIS",
        "localhost:6379",
        "VERITAS_TARGETS_REDIS: targets.redis = \"localhost:6379\" is not an address with a scheme\nhint: it takes an address such as \"redis://user@127.0.0.1:6379\", without a password",
    );
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_lines() {
    let error = Loader::new()
        .file("veritas.toml", "listen = 1\ncolour = 2\n[jwt]\nmode = 'none'\n")
        .environment([("VERITAS_LOG_LEVEL".to_owned(), "loud".to_owned())])
        .load()
        .expect_err("it is wrong");
    let LoadError::Invalid(problems) = &error else { panic!("{error}") };
    let origins: Vec<String> = problems.iter().map(|problem| problem.origin.to_string()).collect();
    assert_eq!(origins, ["veritas.toml:1", "veritas.toml:2", "veritas.toml:4", "VERITAS_LOG_LEVEL"]);
}

#[test]
fn what_is_not_toml_names_line_and_column() {
    let error = Loader::new()
        .file("veritas.toml", "listen = '127.0.0.1:1'\nlog = [")
        .load()
        .expect_err("it is wrong");
    assert!(matches!(error, LoadError::Syntax { line: 2, .. }), "{error:?}");
    let error = Loader::new().file("veritas.toml", "a = 1\na = 2").load().expect_err("it is wrong");
    assert!(error.to_string().starts_with("veritas.toml:2:1: duplicate key"), "{error}");
}

#[test]
fn a_shared_secret_is_asked_for_where_it_is_needed() {
    check_file(
        "[jwt]\nmode = 'hs256'",
        "veritas.toml:2: jwt.mode = \"hs256\" needs a shared secret\nhint: set jwt.secret_file to the file that holds it",
    );
}

#[test]
fn a_rule_that_makes_no_sense_is_refused() {
    let rule = |keys: &str| format!("[[alerts.rules]]\nname = 'r'\nseries = 's'\n{keys}");
    for (keys, said) in [
        ("", "has the rule \"r\" without one threshold"),
        ("above = 1\nbelow = 2", "has the rule \"r\" without one threshold"),
        ("above = 80\nclear = 90", "has the rule \"r\" that would clear while it fires"),
        ("above = '80'", "has the rule \"r\" whose above is not a number"),
        ("above = nan", "has the rule \"r\" whose above is not a number"),
        ("above = 1\nhold = -1", "has the rule \"r\" whose hold is not a duration in range"),
        ("above = 1\nseverity = 'bad'", "has the rule \"r\" with the severity \"bad\""),
        (
            "above = 1\nholds = 1",
            "has the rule \"r\" with an unknown key \"holds\"\nhint: did you mean \"hold\"?",
        ),
        ("above = 1\n[[alerts.rules]]\nname = 'r'\nseries = 's'\nabove = 1", "has two rules named \"r\""),
    ] {
        let error = Loader::new().file("veritas.toml", rule(keys)).load().expect_err(keys).to_string();
        assert!(error.contains(said), "{keys}: {error}");
    }
}
