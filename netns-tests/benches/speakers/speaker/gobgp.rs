//! GoBGP, for orientation.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Speaker, packaged};
use crate::{
    load::Load,
    scene::{ASN, FEED, HOLD_TIME, Peer},
};

/// GoBGP. Under the small load only: the others would take it minutes.
#[derive(Debug)]
pub(super) struct GoBgp;

impl Speaker for GoBgp {
    fn name(&self) -> &'static str {
        "gobgp"
    }

    fn title(&self) -> &'static str {
        "GoBGP"
    }

    fn program(&self) -> Result<PathBuf, String> {
        packaged("gobgpd", "gobgpd")
    }

    fn config(&self, peers: &[Peer]) -> String {
        let mut text = format!("[global.config]\nas = {ASN}\nrouter-id = \"{}\"\n", FEED.1);
        for Peer { asn, address, speaker, .. } in peers {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "[[neighbors]]
[neighbors.config]
neighbor-address = \"{address}\"
peer-as = {asn}
[neighbors.transport.config]
passive-mode = true
local-address = \"{speaker}\"
[neighbors.timers.config]
hold-time = {HOLD_TIME}
keepalive-interval = {}
",
                HOLD_TIME / 3
            );
        }
        // An export policy is the whole daemon's; the set of neighbors says whom it is about.
        let feeders: Vec<_> =
            peers.iter().filter(|p| !p.is_sink).map(|p| format!("\"{}\"", p.address)).collect();
        if !feeders.is_empty() {
            let _ = write!(
                text,
                "[global.apply-policy.config]
export-policy-list = [\"sink-only\"]
default-export-policy = \"accept-route\"
[[policy-definitions]]
name = \"sink-only\"
[[policy-definitions.statements]]
[policy-definitions.statements.conditions.match-neighbor-set]
neighbor-set = \"feeders\"
[policy-definitions.statements.actions]
route-disposition = \"reject-route\"
[[defined-sets.neighbor-sets]]
neighbor-set-name = \"feeders\"
neighbor-info-list = [{}]
",
                feeders.join(", ")
            );
        }
        text
    }

    fn arguments(&self, config: &Path) -> Vec<OsString> {
        let words = ["--log-plain", "--pprof-disable", "--api-hosts", "127.0.0.1:50051", "-f"];
        words.iter().map(Into::into).chain([config.into()]).collect()
    }

    fn bears(&self, load: &Load) -> bool {
        load.small
    }
}
