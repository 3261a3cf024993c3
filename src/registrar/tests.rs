//! Bindings, by what a client sends and what it is told.
