//! What is accepted, and what comes out.

use std::{path::Path, time::Duration};

use veritas_config::{JwtMode, Loader, LogLevel, Origin, ScratchPlace};
use veritas_model::{ChangeKind, Comparison, Mode, Severity};

fn variable(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn every_default_is_valid_and_safe() {
    let configuration = Loader::new().load().expect("the defaults load");
    let config = &configuration.config;
    assert!(config.listen.ip().is_loopback());
    assert_eq!(config.data_dir, Path::new("veritas-data"));
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.sampling.interval, Duration::from_secs(1));
    assert_eq!(config.history.max_size.mebibytes(), 512.0);
    assert_eq!(config.jwt.mode, JwtMode::Own);
    assert!(config.jwt.leeway <= Duration::from_mins(1));
    assert_eq!((config.limits.requests_per_second.get(), config.limits.burst.get()), (50, 200));
    assert!(
        config.limits.trusted_proxies.is_empty() && config.sqlite.is_empty() && config.alert_rules.is_empty()
    );
    for kind in ChangeKind::ALL {
        assert_eq!(config.optimize.mode(kind), Mode::ReportOnly);
    }
    assert!(configuration.entries().iter().all(|entry| entry.origin == Origin::Default));
}

#[test]
fn each_layer_wins_over_the_one_before() {
    let file = "listen = '127.0.0.1:1'\n[sampling]\ninterval = 2\n[history]\nmax_mib = 64\n";
    let loader = || {
        Loader::new().flag("listen", "--listen", "127.0.0.1:3").file("/etc/veritas.toml", file).environment([
            variable("VERITAS_LISTEN", "127.0.0.1:2"),
            variable("VERITAS_SAMPLING_INTERVAL", "250ms"),
        ])
    };
    let configuration = loader().load().expect("it is valid");
    assert_eq!(configuration.config.listen.port(), 3);
    assert_eq!(configuration.config.sampling.interval, Duration::from_millis(250));
    assert_eq!(configuration.config.history.max_size.mebibytes(), 64.0);
    assert_eq!(configuration.origin("listen"), Some(&Origin::Flag("--listen".to_owned())));
    assert_eq!(
        configuration.origin("sampling.interval"),
        Some(&Origin::Environment("VERITAS_SAMPLING_INTERVAL".to_owned()))
    );
    assert_eq!(
        configuration.origin("history.max_mib"),
        Some(&Origin::File { name: "/etc/veritas.toml".to_owned(), line: 5 })
    );
    assert_eq!(configuration.origin("log.level"), Some(&Origin::Default));
    assert_eq!(configuration.origin("colour"), None);
}

#[test]
fn relative_paths_of_a_file_start_from_its_folder() {
    let file = "data_dir = 'data'\n[jwt]\nmode = 'hs256'\nsecret_file = '/run/secret'\n[targets]\nsqlite = [{ name = 'a', path = 'a.db' }]\n";
    let config = Loader::new().file("/etc/veritas/veritas.toml", file).load().expect("it is valid").config;
    assert_eq!(config.data_dir, Path::new("/etc/veritas/data"));
    assert_eq!(config.jwt.secret_file.as_deref(), Some(Path::new("/run/secret")));
    assert_eq!(config.sqlite[0].path, Path::new("/etc/veritas/a.db"));
    let config =
        Loader::new().environment([variable("VERITAS_DATA_DIR", "data")]).load().expect("it is valid").config;
    assert_eq!(config.data_dir, Path::new("data"));
}

#[test]
fn a_postgresql_target_says_where_its_proofs_are_made_and_what_indexes_may_take() {
    let of = |file: &str| {
        Loader::new().file("/etc/veritas.toml", file).load().expect("it is valid").config.postgres
    };
    assert_eq!(of("[postgres]\nscratch = 'same_server'\n"), None);
    let target = of("[targets]\npostgres = 'postgresql://app@db/app'\n").expect("it is set");
    assert_eq!((target.scratch, target.index_budget, target.password_file), (ScratchPlace::Off, None, None));
    let file = "[targets]\npostgres = 'postgresql://app@db/app'\npostgres_password_file = 'password'\n[postgres]\nscratch = 'postgresql://app@spare/postgres'\nindex_budget_mib = 250\n";
    let target = of(file).expect("it is set");
    assert_eq!(target.password_file.as_deref(), Some(Path::new("/etc/password")));
    assert_eq!(target.scratch.as_str(), "postgresql://app@spare/postgres");
    assert_eq!(target.index_budget.map(veritas_model::Bytes::mebibytes), Some(250.0));
}

#[test]
fn a_mysql_target_says_whether_its_tables_may_be_copied() {
    let of =
        |file: &str| Loader::new().file("/etc/veritas.toml", file).load().expect("it is valid").config.mysql;
    assert_eq!(of("[mysql]\nscratch = 'same_server'\n"), None);
    let target = of("[targets]\nmysql = 'mysql://app@db/app'\n").expect("it is set");
    assert_eq!((target.copies, target.password_file), (false, None));
    let file = "[targets]\nmysql = 'mariadb://app@db/app'\nmysql_password_file = 'password'\n[mysql]\nscratch = 'same_server'\n";
    let target = of(file).expect("it is set");
    assert_eq!((target.url.as_str(), target.copies), ("mariadb://app@db/app", true));
    assert_eq!(target.password_file.as_deref(), Some(Path::new("/etc/password")));
}

#[test]
fn rules_are_read_whole() {
    let file = "[[alerts.rules]]\nname = 'low_disk'\nseries = 'system.disk.free_bytes'\nbelow = 1e9\nclear = 2_000_000_000\nhold = '5m'\nkeep_firing_for = 30\nseverity = 'critical'\ntitle = 'Low disk'\n";
    let rules = Loader::new().file("v.toml", file).load().expect("it is valid").config.alert_rules;
    let rule = &rules[0];
    assert_eq!((rule.name.as_str(), rule.title.as_str()), ("low_disk", "Low disk"));
    assert_eq!((rule.comparison, rule.threshold, rule.clear), (Comparison::Below, 1e9, Some(2e9)));
    assert_eq!((rule.hold, rule.keep_firing_for), (Duration::from_mins(5), Duration::from_secs(30)));
    assert_eq!(rule.severity, Severity::Critical);
}

#[test]
fn other_variables_are_none_of_our_business() {
    let variables = [
        variable("PATH", "/bin"),
        variable("VERITAS_TOKEN", "ey"),
        variable("VERITAS_LISTEN", ""),
        variable("VERITAS_PORT", "tcp://10.0.0.1:9900"),
        variable("VERITAS_PORT_9900_TCP_ADDR", "10.0.0.1"),
        variable("VERITAS_SERVICE_HOST", "10.0.0.1"),
        variable("VERITAS_SERVICE_PORT_HTTP", "9900"),
    ];
    let configuration = Loader::new().environment(variables).load().expect("none of them is a setting");
    assert_eq!(configuration.origin("listen"), Some(&Origin::Default));
}

#[test]
fn the_listing_names_every_setting_and_its_origin() {
    let configuration = Loader::new()
        .file("veritas.toml", "[jwt]\nmode = 'hs256'\nsecret_file = 'key'\n")
        .load()
        .expect("it is valid");
    let shown = configuration.show(true);
    assert_eq!(shown.lines().count(), veritas_config::SETTINGS.len());
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("jwt.secret_file = \"key\" ") && line.ends_with("# veritas.toml:3"))
    );
    assert!(
        shown.lines().any(|line| line.starts_with("# jwt.issuer is not set") && line.ends_with("# default"))
    );
    assert!(!configuration.show(false).contains("# default"));
}

#[test]
fn what_is_shown_loads_again_as_the_same() {
    let file = "[limits]\ntrusted_proxies = ['10.0.0.0/8', '::1']\n[database]\nkeep_parameters = false\nslow_query_seconds = '250ms'\n";
    let first = Loader::new().file("veritas.toml", file).load().expect("it is valid");
    let second = Loader::new().file("veritas.toml", first.show(false)).load().expect("the listing is a file");
    assert_eq!(second.config, first.config);
}
