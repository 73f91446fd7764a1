//! Prints the reference page of the configuration; `cargo xtask docs` writes it to its place.

#[expect(clippy::print_stdout, reason = "the page is the output")]
fn main() {
    print!("{}", veritas_config::reference());
}
