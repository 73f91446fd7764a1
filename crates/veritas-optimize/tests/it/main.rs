//! The whole loop on a simulated target: under faults, and under loads that try to
//! deceive the verification.

#[cfg(test)]
mod caches;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod verdicts;
