//! Real PostgreSQL and Redis, a virtual clock, seeded workloads: for tests only.

fn main() {}
