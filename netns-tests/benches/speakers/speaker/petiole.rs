//! petiole, as its users have it: a binary and a configuration file.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::Speaker;
use crate::{
    inside::WORK,
    scene::{ASN, DRAIN, FEED, HOLD_TIME, Peer},
};

/// The binary to measure, if it is not the one that `cargo build --release` makes.
const BINARY: &str = "PETIOLE_BIN";

/// petiole. Learned routes stay out of the kernel; transit is what a host is not by default, so a policy says it.
#[derive(Debug)]
pub(super) struct Petiole;

impl Speaker for Petiole {
    fn name(&self) -> &'static str {
        "petiole"
    }

    fn title(&self) -> &'static str {
        "petiole"
    }

    fn program(&self) -> Result<PathBuf, String> {
        if let Some(program) = env::var_os(BINARY) {
            let program = PathBuf::from(program);
            return program.canonicalize().map_err(|e| format!("{BINARY}={}: {e}", program.display()));
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = env::var_os("CARGO_TARGET_DIR").map_or(workspace.join("target"), PathBuf::from);
        let program = target.join("release/petiole");
        program.canonicalize().map_err(|_| {
            format!(
                "no {}; `cargo build --release -p petiole` makes it, {BINARY} names another",
                program.display()
            )
        })
    }

    fn config(&self, peers: &[Peer]) -> String {
        let mut text = format!(
            "[host]
name = \"speaker\"
asn = {ASN}
router-id = \"{}\"

[api]
socket = \"{WORK}/petiole.sock\"

[[uplink]]
interface = \"{}\"

[[uplink]]
interface = \"{}\"

[[route-policy]]
name = \"transit\"
rules = [{{ source = \"learned\", action = \"accept\" }}]
",
            FEED.1, FEED.0, DRAIN.0
        );
        for Peer { name, asn, address, speaker, is_sink } in peers {
            let (import, export) = if *is_sink { ("none", "transit") } else { ("all", "local") };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "
[[neighbor]]
name = \"{name}\"
address = \"{address}\"
local-address = \"{speaker}\"
asn = {asn}
import = \"{import}\"
export = \"{export}\"
passive = true
install = false
hold-time = {HOLD_TIME}
"
            );
        }
        text
    }

    fn arguments(&self, config: &Path) -> Vec<OsString> {
        vec!["run".into(), "--config".into(), config.into()]
    }
}
