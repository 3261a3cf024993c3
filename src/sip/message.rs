//! A message as a view over its own bytes.

/// A whole, well-formed message.
#[derive(Debug)]
pub struct Message<'a>(&'a [u8]);

/// What was no message.
#[derive(Debug)]
pub struct Malformed<'a>(&'a [u8]);
