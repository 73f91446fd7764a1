//! One connection: blocking calls, each under a deadline.
