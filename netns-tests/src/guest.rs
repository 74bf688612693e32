//! A test under another kernel: the same test program, in a guest with a stock Debian kernel.
//!
//! Knows the script `netns-tests/guest` and how a test program runs one of its tests. Must not know what a test does.

use std::{
    env,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Set to `1` in the guest's environment.
const INSIDE: &str = "LAB_GUEST";

/// The guest's processors are emulated.
const SLOWNESS: u32 = 6;

/// How long one test may take in there; a hanging guest is ended, and the test has failed.
const PATIENCE: Duration = Duration::from_mins(15);

/// What a test needs of its environment there, besides what the file system has.
const PASSED_ON: &[&str] =
    &["PETIOLE_BIN", "LAB_BIN", "LAB_REQUIRE_ALL", "RUST_BACKTRACE", "CARGO_MANIFEST_DIR"];

/// The script's exit code when there is no guest to be had.
const NO_GUEST: i32 = 125;

/// Whether this process is in the guest already.
pub(crate) fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the test called `test` of this program in the guest, to its end, and says so on standard error. The error says
/// why there is no guest.
///
/// # Panics
/// When the test fails there, as it would have here.
pub(crate) fn run(test: &str, because: &str) -> Result<(), String> {
    let start = Instant::now();
    let output = start_guest(test).map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(NO_GUEST) {
        return Err(complained.trim_end().lines().last().unwrap_or("the guest says nothing").to_owned());
    }
    // A name that the program does not know is no failure to it: it runs nothing, successfully.
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "{test} failed in a guest ({}):\n{said}\n{complained}",
        output.status
    );
    let mut line = String::new();
    for skipped in complained.lines().filter(|line| line.contains(": skipped: ")) {
        line.push_str(skipped);
        line.push_str(" (in a guest)\n");
    }
    if line.is_empty() {
        let kernel = complained.lines().rev().find_map(|line| line.strip_prefix("guest: ")).unwrap_or("?");
        line = format!("{test}: in a guest: {kernel}, {:.1?}: {because}\n", start.elapsed());
    }
    // Past the harness, which hides the output of tests that pass.
    let _ = std::io::stderr().write_all(line.as_bytes());
    Ok(())
}

fn start_guest(test: &str) -> std::io::Result<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let factor = env::var("LAB_TIMEOUT_FACTOR").ok().and_then(|f| f.parse().ok()).unwrap_or(1);
    let mut command = Command::new(script);
    command.arg("run").args(["-t", &PATIENCE.as_secs().to_string()]);
    command.args(["-e", &format!("{INSIDE}=1")]);
    command.args(["-e", &format!("LAB_TIMEOUT_FACTOR={}", SLOWNESS.saturating_mul(factor))]);
    for name in PASSED_ON {
        if let Ok(value) = env::var(name) {
            command.args(["-e", &format!("{name}={value}")]);
        }
    }
    command.arg("--").arg(env::current_exe()?).args([test, "--exact", "--nocapture"]);
    command.stdin(Stdio::null()).output()
}
