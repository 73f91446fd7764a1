//! From readings and plans to findings and proposals.
