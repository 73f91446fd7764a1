//! Statements written another way: rules over syntax trees.
