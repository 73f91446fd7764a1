//! The contracts that are files: a change of one is a change that somebody sees.

use veritas_testkit::data_dir;

use crate::process::run;

fn stdout(arguments: &[&str]) -> String {
    let directory = data_dir();
    let output = run(directory.path(), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_printed_openapi_document_is_the_committed_one() {
    let committed = include_str!("../../../../docs/reference/openapi.json");
    assert_eq!(stdout(&["openapi"]).trim(), committed.trim());
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = stdout(&["--help"]);
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(help.starts_with("Finds what makes an application slow"), "{help}");
    for command in ["serve", "demo", "token create", "config show", "openapi", "doctor", "completions", "man"]
    {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = stdout(&words);
        assert!(help.contains("Example"), "{command}: {help}");
    }
}

#[test]
fn completions_and_manual_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&["completions", shell]).contains("serve"), "{shell}");
    }
    assert!(stdout(&["man"]).contains("veritas"));
}

#[test]
fn the_configuration_tells_where_values_come_from() {
    let shown = stdout(&["config", "show", "--origin", "--data-dir", "elsewhere"]);
    assert!(shown.lines().any(|line| line.starts_with("data_dir") && line.contains("--data-dir")), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("listen") && line.contains("default")), "{shown}");
}
