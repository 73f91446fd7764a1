//! What plans and readings show to be slow, and why.
