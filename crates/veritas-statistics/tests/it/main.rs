//! What the statistics promise, checked against sorted data and seeded simulations.

#[cfg(test)]
mod calibration;
#[cfg(test)]
mod histogram;
