//! No input makes the loader panic.

use proptest::prelude::*;
use veritas_config::{Loader, SETTINGS, Setting};

/// TOML values of every type, sane and not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|integer| integer.to_string()),
        any::<f64>().prop_map(|float| format!("{float:?}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "[ -~]{0,12}".prop_map(|text| format!("{text:?}")),
        "[0-9]{1,6}(ms|s|m|h|d)".prop_map(|text| format!("{text:?}")),
        Just("[]".to_owned()),
        Just("{ name = 'a', path = 'b' }".to_owned()),
        Just("[{ name = 'a', path = 'b' }]".to_owned()),
        Just("[{ name = 'a', series = 's', above = 1 }]".to_owned()),
        Just("['10.0.0.0/8', '::1']".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
    ]
}

proptest! {
    #[test]
    fn random_text_is_refused_or_loaded(text in any::<String>()) {
        Loader::new().file("veritas.toml", text).load().ok();
    }

    #[test]
    fn random_values_of_known_keys_are_refused_or_loaded(
        lines in prop::collection::vec((0..SETTINGS.len(), value()), 0..6),
    ) {
        let lines: Vec<String> =
            lines.iter().map(|(index, value)| format!("{} = {value}", SETTINGS[*index].key)).collect();
        let text = lines.join("\n");
        if let Ok(configuration) = Loader::new().file("veritas.toml", text).load() {
            let again = Loader::new().file("veritas.toml", configuration.show(false)).load();
            // Rules are listed by name only; everything else loads again.
            if configuration.config.alert_rules.is_empty() {
                prop_assert_eq!(again.map(|again| again.config), Ok(configuration.config));
            }
        }
    }

    #[test]
    fn random_variables_are_refused_or_loaded(index in 0..SETTINGS.len(), value in any::<String>()) {
        if let Some(name) = Setting::variable(&SETTINGS[index]) {
            Loader::new().environment([(name, value)]).load().ok();
        }
    }
}
