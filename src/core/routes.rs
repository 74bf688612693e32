//! Learned routes on their way from the RIB to the kernel, and what becomes of their next hops.

use std::{net::IpAddr, time::Instant};

use ipnet::IpNet;
use petiole_bgp::rib::{FibChange, FibNextHop, NextHops};
use petiole_fib::{
    model::Resolution,
    nexthops::{Hop, NextHops as KernelHops},
};

use super::{Core, ROUTES_WAITING};

impl Core {
    /// Takes route changes from the RIB as long as the kernel keeps up; what is not taken coalesces there.
    pub(super) fn install_routes(&mut self, now: Instant) {
        let mut room = ROUTES_WAITING.saturating_sub(self.fib.routes_waiting());
        while room > 0 {
            let Some(FibChange { prefix, next_hops, label }) = self.speaker.next_route_change() else {
                break;
            };
            room -= 1;
            self.remote_member(prefix, label, next_hops.is_some(), now);
            match next_hops.map(|n| self.kernel_hops(&n)).filter(|n| !n.is_empty()) {
                Some(hops) => {
                    let source = self.preferred_source(&prefix);
                    self.fib.want_route(prefix, &hops, source);
                }
                None => self.fib.unwant_route(prefix),
            }
        }
    }

    /// BGP next hops as gateways over links. One that cannot be resolved just now is left out.
    pub(super) fn kernel_hops(&self, next_hops: &NextHops) -> KernelHops {
        next_hops.iter().filter_map(|hop| self.kernel_hop(hop)).collect()
    }

    pub(super) fn kernel_hop(&self, hop: &FibNextHop) -> Option<Hop> {
        if let Some(scope) = hop.scope {
            let link = self.links.values().find(|l| l.index == scope)?;
            return Some(Hop { via: hop.address, link: link.name.clone(), onlink: false });
        }
        let resolution = self.resolved.get(&hop.address)?;
        let via = resolution.via.unwrap_or(hop.address);
        Some(Hop { via, link: resolution.link.clone(), onlink: false })
    }

    /// A loopback, when given, is the source of what the host itself sends (rule 18).
    pub(super) fn preferred_source(&self, prefix: &IpNet) -> Option<IpAddr> {
        let v4 = matches!(prefix, IpNet::V4(_));
        self.config.host.loopback.iter().copied().find(|a| a.is_ipv4() == v4)
    }

    pub(super) fn resolve(&mut self, address: IpAddr, resolution: Option<Resolution>) {
        let before = self.resolved.get(&address).cloned();
        if before == resolution {
            return;
        }
        let gateway = |r: &Resolution| r.via.unwrap_or(address);
        if let Some(r) = &resolution {
            tracing::debug!(%address, link = %r.link, "next hop resolved");
            self.resolved.insert(address, r.clone());
            self.fib.hop_up(gateway(r), &r.link);
            if before.is_some_and(|b| (&b.link, b.via) != (&r.link, r.via)) {
                // Another way to the same next hop: the routes have to be written again.
                self.speaker.reinstall_routes();
            }
        } else {
            tracing::debug!(%address, "next hop unreachable");
            // One operation takes the traffic off it, however many routes there are; the RIB's own, slower rewriting
            // of each route follows.
            if let Some(r) = &before {
                self.fib.hop_down(gateway(r), &r.link);
            }
            self.resolved.remove(&address);
        }
        self.speaker.next_hop(address, resolution.map(|r| r.metric));
    }

    /// A peer's session went or came. With one operation the kernel's sets of next hops lose or regain it, however
    /// many routes use them; the RIB's rewriting of each route follows.
    pub(super) fn peer_forwards(&mut self, name: &str, forwards: bool) {
        let peer = self.sessions.peers.iter().find(|p| p.name == name);
        let Some(address) = peer.map(|p| p.address.ip()) else { return };
        let Some(resolution) = self.resolved.get(&address) else { return };
        let via = resolution.via.unwrap_or(address);
        if forwards {
            self.fib.hop_up(via, &resolution.link);
        } else {
            self.fib.hop_down(via, &resolution.link);
        }
    }
}
