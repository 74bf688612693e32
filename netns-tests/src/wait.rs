//! Waiting for a condition, never for a time.

use std::{
    env,
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use crate::LabError;

/// The first pause between two looks; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(2);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_millis(100);

/// Looks again and again until `condition` gives a value, and returns that. The error of a look says why not yet; when
/// `timeout` passes, the last one is part of this function's error.
///
/// The timeout is multiplied by `LAB_TIMEOUT_FACTOR` (for emulated machines, where everything takes its time).
pub fn wait_until<T, E: Display>(
    what: &str,
    timeout: Duration,
    mut condition: impl FnMut() -> Result<T, E>,
) -> Result<T, LabError> {
    let start = Instant::now();
    let timeout = scaled(timeout);
    let mut pause = SHORTEST;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(why) if start.elapsed() >= timeout => {
                return Err(LabError::Timeout {
                    what: what.to_owned(),
                    waited: start.elapsed(),
                    last: why.to_string(),
                });
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// A condition for [`wait_until`] out of a boolean; `why` describes what is seen instead.
pub fn holds(condition: bool, why: impl Display) -> Result<(), String> {
    if condition { Ok(()) } else { Err(why.to_string()) }
}

/// `timeout` on this machine.
pub(crate) fn scaled(timeout: Duration) -> Duration {
    let factor = env::var("LAB_TIMEOUT_FACTOR").ok().and_then(|f| f.parse::<u32>().ok()).unwrap_or(1);
    timeout * factor.max(1)
}
