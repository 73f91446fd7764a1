//! Takes readings at an interval, and publishes them.
