//! FRRouting: its bgpd, without zebra.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::Speaker;
use crate::{
    inside::command,
    scene::{ASN, FEED, HOLD_TIME, Peer},
};

/// FRR's own place for sockets and process ids; must belong to it.
const RUN: &str = "/run/frr";

/// FRRouting's bgpd alone.
///
/// Without zebra it knows no interfaces, so it must not ask whether peers are on one of them, and takes next hops as
/// they come. Its timers are as they are by default, among them the second that it collects changes for before it tells
/// them (`coalesce-time`): that is what users get.
#[derive(Debug)]
pub(super) struct Frr;

impl Speaker for Frr {
    fn name(&self) -> &'static str {
        "frr"
    }

    fn title(&self) -> &'static str {
        "FRR"
    }

    fn program(&self) -> Result<PathBuf, String> {
        // OpenBGPD's daemon has the same name, so the search path is no help.
        let known = ["/usr/lib/frr/bgpd", "/usr/libexec/frr/bgpd"].map(PathBuf::from);
        let found = known.into_iter().find(|program| program.is_file());
        found.ok_or_else(|| "no bgpd of FRR's; Debian's package is frr".into())
    }

    fn config(&self, peers: &[Peer]) -> String {
        let mut text = format!(
            "log stdout\nrouter bgp {ASN}\n bgp router-id {}\n no bgp ebgp-requires-policy\n",
            FEED.1
        );
        // Writing to a String cannot fail.
        for Peer { asn, address, .. } in peers {
            let _ = write!(
                text,
                " neighbor {address} remote-as {asn}
 neighbor {address} passive
 neighbor {address} disable-connected-check
 neighbor {address} timers {} {HOLD_TIME}
",
                HOLD_TIME / 3
            );
        }
        text.push_str(" address-family ipv4 unicast\n");
        for Peer { address, is_sink, .. } in peers {
            let direction = if *is_sink { "in" } else { "out" };
            let _ = writeln!(text, "  neighbor {address} route-map nothing {direction}");
        }
        text.push_str(" exit-address-family\nexit\nroute-map nothing deny 1\nexit\n");
        text
    }

    fn arguments(&self, config: &Path) -> Vec<OsString> {
        let config = config.as_os_str();
        let words = ["--no_zebra", "--log", "stdout", "--vty_port", "0", "-u", "frr", "-g", "frr", "-f"];
        words.iter().map(Into::into).chain([config.into()]).collect()
    }

    fn prepare(&self) -> Result<(), String> {
        command("install", &["-d", "-o", "frr", "-g", "frr", RUN])
    }
}
