//! Prints the test vectors of cache keys, as `docs/reference/cache-keys.json` has them.
#![expect(clippy::print_stdout, reason = "this is what it is for")]

#[path = "../tests/it/keys/value.rs"]
mod value;
#[path = "../tests/it/keys/vectors.rs"]
mod vectors;

fn main() {
    print!("{}", vectors::document());
}
