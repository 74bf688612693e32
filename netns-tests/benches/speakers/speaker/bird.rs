//! BIRD 2.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Speaker, packaged};
use crate::{
    inside::WORK,
    scene::{ASN, FEED, HOLD_TIME, Peer},
};

/// BIRD 2: no kernel protocol, one table.
#[derive(Debug)]
pub(super) struct Bird;

impl Speaker for Bird {
    fn name(&self) -> &'static str {
        "bird"
    }

    fn title(&self) -> &'static str {
        "BIRD"
    }

    fn program(&self) -> Result<PathBuf, String> {
        packaged("bird", "bird2")
    }

    fn config(&self, peers: &[Peer]) -> String {
        let mut text = format!("log stderr all;\nrouter id {};\nprotocol device {{}}\n", FEED.1);
        for Peer { name, asn, address, speaker, is_sink } in peers {
            let (import, export) = if *is_sink { ("none", "all") } else { ("all", "none") };
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "protocol bgp {name} {{
  local {speaker} as {ASN};
  neighbor {address} as {asn};
  passive yes;
  hold time {HOLD_TIME};
  ipv4 {{ import {import}; export {export}; }};
}}
"
            );
        }
        text
    }

    fn arguments(&self, config: &Path) -> Vec<OsString> {
        let control = Path::new(WORK).join("bird.ctl");
        vec!["-f".into(), "-c".into(), config.into(), "-s".into(), control.into()]
    }
}
