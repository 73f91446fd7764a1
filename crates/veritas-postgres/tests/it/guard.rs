//! The guard against a real server: nothing escapes, and what is harmless is explained.

use crate::proof::{HIDDEN_PATH, World};

#[test]
fn nothing_escapes_from_explain_and_what_is_harmless_is_explained() {
    let mut world = World::new();
    let catalogues = world.catalogues();
    let harmless = world.explain_harmless();
    assert!(harmless.wrongly_refused.is_empty(), "{:#?}", harmless.wrongly_refused);
    let escapes = world.escapes();
    let tally = world.attack(&escapes, "");
    assert!(tally.escaped.is_empty(), "{:#?}", tally.escaped);
    assert!(tally.statements >= 200 && tally.explained <= 5, "{tally:?}");
    let hidden = world.attack(&World::hidden(), HIDDEN_PATH);
    assert!(hidden.escaped.is_empty() && hidden.explained == 0, "{hidden:?}");
    assert_eq!(world.catalogues(), catalogues);
}
