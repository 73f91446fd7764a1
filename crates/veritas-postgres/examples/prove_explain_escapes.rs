//! Tries to escape from `EXPLAIN` in some 400 ways, and shows that none does, that the same
//! statements sent without the guard do leave traces, and that what is harmless is explained.
//!
//! `cargo xtask prove explain_escapes`

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a proof prints, and fails loudly")]

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/escapes/proof.rs"]
mod proof;

use proof::{HIDDEN_PATH, World};

/// Fewer would not be what was promised.
const LEAST_ESCAPES: usize = 200;
const LEAST_HARMLESS: usize = 60;

fn main() {
    let mut world = World::new();
    let catalogues = world.catalogues();

    let harmless = world.explain_harmless();
    println!("harmless statements explained: {} of {}", harmless.explained, harmless.statements);
    for refused in &harmless.wrongly_refused {
        println!("  wrongly refused: {refused}");
    }

    let escapes = world.escapes();
    let tally = world.attack(&escapes, "");
    println!("escapes tried: {}", tally.statements);
    for (kind, count) in &tally.refused {
        println!("  refused, {kind}: {count}");
    }
    println!("  explained, without effect: {}", tally.explained);
    let hidden = world.attack(&World::hidden(), HIDDEN_PATH);
    println!("tried with somebody's schema before the server's own: {}", hidden.statements);
    println!("  refused: {}", hidden.statements - hidden.explained);
    let traces_left: Vec<&String> = tally.escaped.iter().chain(&hidden.escaped).collect();
    println!("escaped: {}", traces_left.len());
    for trace in &traces_left {
        println!("  {trace}");
    }
    let unchanged = world.catalogues() == catalogues;
    println!("catalogues and tables unchanged: {unchanged}");

    let (sent, traces) = world.control();
    println!("sent without the guard: {sent}, of which leave a trace: {traces}");

    assert!(traces_left.is_empty() && unchanged, "something escaped");
    assert!(tally.statements >= LEAST_ESCAPES, "too few escapes");
    assert!(harmless.wrongly_refused.is_empty() && harmless.explained >= LEAST_HARMLESS, "too strict");
    assert!(traces >= LEAST_ESCAPES / 2, "the traces would not be seen");
}
