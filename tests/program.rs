//! The built binary as operators, scripts and peers meet it: commands, config, files, signals, exit status, bad input.

/// Commands that need no server, and what each says when it is used wrongly.
mod commands;
/// A SIP client over plain TCP, just enough to be somebody.
mod phone;
/// A folder with a config, commands run in it, and the server that serves it.
mod place;
/// Call detail records through a server's life and sudden death.
mod records;
/// A server that runs: ready, watched, told things by signals, stopped; users that come and go.
mod serving;
/// What is kept of a user, and the commands that change it.
mod standing;
/// Peers that speak badly, slowly, or too much.
mod strangers;
