//! What must not compile, and what is said about it.

#[test]
fn a_refusal_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
