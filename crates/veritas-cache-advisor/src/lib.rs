//! Advice on caches: curves from sampled accesses, simulations, findings, proposals, and their actuator.
