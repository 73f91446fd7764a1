//! What goes wrong says so in one line with a hint, and with its exit code.

use std::{net::TcpListener, os::unix::ffi::OsStrExt};

use veritas_testkit::data_dir;

use crate::process::{Server, run, veritas};

#[track_caller]
fn check(directory: &std::path::Path, arguments: &[&str], code: i32, says: &[&str]) {
    let output = run(directory, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for words in says {
        assert!(stderr.contains(words), "{words:?} is missing in: {stderr}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn a_second_server_on_one_directory_stops_and_says_who_has_it() {
    let directory = data_dir();
    let _first = Server::start(directory.path(), &[]);
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    check(directory.path(), &arguments, 4, &["error: ", "in use by process ", "hint: "]);
}

#[test]
fn a_taken_port_is_told_before_anything_is_written() {
    let directory = data_dir();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(directory.path(), &["serve", "--listen", &address], 5, &[&address, "hint: ", "--listen"]);
    assert!(!directory.path().join("veritas-data").exists());
}

#[test]
fn a_wrong_configuration_names_key_place_and_remedy() {
    let directory = data_dir();
    let file = directory.path().join("veritas.toml");
    for (text, says) in [
        ("[sampling]\nintervall = \"1s\"\n", ["veritas.toml:2", "interval"]),
        ("[sampling]\ninterval = \"1h\"\n", ["veritas.toml:2", "60"]),
        ("listen = \n", ["veritas.toml:1", "hint: "]),
        (
            "[[alerts.rules]]\nname = \"High CPU\"\nseries = \"system.cpu.percent\"\nabove = 80\n",
            ["High CPU", "hint: "],
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        check(directory.path(), &["serve"], 3, &says);
    }
    check(directory.path(), &["serve", "--config", "absent.toml"], 3, &["absent.toml", "hint: "]);
}

#[test]
fn a_directory_of_another_release_is_left_alone() {
    let directory = data_dir();
    drop(Server::start(directory.path(), &[]));
    let format = directory.path().join("data/format");
    std::fs::write(&format, "veritas-data 99\n").unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    check(directory.path(), &arguments, 4, &["veritas-data 99", "hint: "]);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "veritas-data 99\n");
}

#[test]
fn a_ledger_that_is_no_database_is_told_and_left_alone() {
    let directory = data_dir();
    drop(Server::start(directory.path(), &[]));
    let ledger = directory.path().join("data/control.sqlite");
    for leftover in ["control.sqlite-wal", "control.sqlite-shm"] {
        std::fs::remove_file(directory.path().join("data").join(leftover)).ok();
    }
    std::fs::write(&ledger, vec![0x5a; 8_192]).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"];
    check(directory.path(), &arguments, 4, &["error: ", "hint: "]);
    assert_eq!(std::fs::read(&ledger).unwrap(), vec![0x5a; 8_192]);
}

#[test]
fn a_token_without_a_key_says_where_keys_come_from() {
    let directory = data_dir();
    let arguments = ["token", "create", "--subject", "me", "--data-dir", "nowhere"];
    check(directory.path(), &arguments, 4, &["error: ", "hint: ", "veritas serve"]);
    let arguments = ["token", "create", "--subject", "me", "--ttl", "never"];
    check(directory.path(), &arguments, 2, &["30m"]);
}

#[test]
fn a_subject_that_cannot_be_one_and_a_variable_that_is_no_text_are_told() {
    let directory = data_dir();
    let _server = Server::start(directory.path(), &[]);
    let arguments = ["token", "create", "--subject", "a\nb", "--data-dir", "data"];
    check(directory.path(), &arguments, 2, &["control characters"]);
    let arguments = ["token", "create", "--subject", "me", "--ttl", "91d"];
    check(directory.path(), &arguments, 2, &["90 days"]);
    let value = std::ffi::OsStr::from_bytes(b"127.0.0.1:\xff");
    let output = veritas(directory.path()).args(["config", "show"]).env("VERITAS_LISTEN", value).output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("VERITAS_LISTEN") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn a_reader_that_stops_reading_and_a_full_disk_are_no_panics() {
    let directory = data_dir();
    let _server = Server::start(directory.path(), &[]);
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["doctor", "--data-dir", "data"],
        &["doctor", "--json", "--data-dir", "data"],
        &["token", "create", "--subject", "me", "--data-dir", "data"],
        &["openapi"],
        &["man"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = veritas(directory.path()).args(arguments).stdout(writer).output().unwrap();
        let stderr = String::from_utf8_lossy(&closed.stderr);
        assert_eq!(closed.status.code(), Some(0), "{arguments:?}: {stderr}");
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let full = veritas(directory.path()).args(arguments).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: failed to write to stdout"), "{arguments:?}: {stderr}");
    }
}
