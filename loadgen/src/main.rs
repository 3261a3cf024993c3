mod account;
mod clock;
mod content;
mod digest;
mod meter;
mod pace;
mod tls;
fn main() {}
