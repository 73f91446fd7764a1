//! Configurations as users write them, right and wrong.

mod accepted;
mod random;
mod refused;
