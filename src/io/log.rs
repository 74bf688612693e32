//! The log: to stderr, which is the journal under systemd.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `PETIOLE_LOG` takes a filter as `debug` or `petiole_bgp=trace`; the default is `info`.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_env("PETIOLE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal has its own clock.
    if std::env::var_os("JOURNAL_STREAM").is_some() { log.without_time().init() } else { log.init() }
}
