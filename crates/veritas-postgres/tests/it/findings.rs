//! What plans and readings show: planted defects are found, decoys are not.

mod plans;
mod readings;
