//! The host itself: its router id, its uplinks, the prefixes that it announces whether or not a container runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use petiole_bgp::speaker::Origination;
use petiole_fib::model::{IfName, Key, LinkState, Ns};

use super::{Core, endpoints::container_origination, objects};

impl Core {
    /// As configured, else the lowest IPv4 address of an uplink, else the lowest of any link but `lo`, else one made
    /// from the host's name: the protocol only asks for a number that is the host's own (RFC 6286).
    pub(super) fn choose_router_id(&self) -> Ipv4Addr {
        let lowest = |wanted: &dyn Fn(&IfName) -> bool| {
            let links = self.own_addresses.iter().filter(|(link, _)| wanted(link));
            let v4 = links.flat_map(|(_, addresses)| addresses).filter_map(|a| match a.addr() {
                IpAddr::V4(a) => Some(a),
                IpAddr::V6(_) => None,
            });
            v4.min()
        };
        let uplink = |l: &IfName| self.config.uplinks.iter().any(|u| u.interface.as_str() == l.as_str());
        self.config
            .host
            .router_id
            .or_else(|| lowest(&uplink))
            .or_else(|| lowest(&|l| l.as_str() != "lo"))
            .unwrap_or_else(|| {
                let bytes = self.host_name.bytes();
                Ipv4Addr::from(
                    bytes.fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193)) | 1,
                )
            })
    }

    /// Brings the announcements of the host's own prefixes in line with the config.
    pub(super) fn announce_host(&mut self, before: &BTreeMap<IpNet, (Key, bool)>) {
        self.announced = objects::announced(&self.config)
            .map(|(prefix, key)| {
                let done = before.get(&prefix).is_some_and(|(_, done)| *done);
                (prefix, (key, done))
            })
            .collect();
        for (prefix, (_, done)) in before {
            if *done && !self.announced.contains_key(prefix) {
                self.speaker.withdraw(*prefix);
            }
        }
        self.check_announced();
    }

    /// Announces what the kernel has, withdraws what it has no more.
    pub(super) fn check_announced(&mut self) {
        for (prefix, (key, done)) in &mut self.announced {
            let settled = self.fib.settled(key);
            if settled != *done {
                *done = settled;
                if settled {
                    self.speaker.originate(*prefix, &self.origination);
                } else {
                    self.speaker.withdraw(*prefix);
                }
            }
        }
    }

    /// What this host announces has other attributes now.
    pub(super) fn announce_again(&mut self) {
        let host = self.announced.iter().filter(|(_, (_, done))| *done).map(|(prefix, _)| *prefix);
        let prefixes: Vec<IpNet> = host.collect();
        for prefix in prefixes {
            self.speaker.originate(prefix, &self.origination);
        }
        self.announce_containers_again();
    }

    /// What the containers' routes carry may have changed. Those that carry the same are not sent again.
    pub(super) fn announce_containers_again(&mut self) {
        let attached = self.endpoints.all.values().filter(|e| self.is_advertised(e));
        let routes: Vec<(IpNet, Origination)> = attached
            .filter_map(|e| {
                Some((e.attachment()?, container_origination(&self.config, &self.origination, &e.spec)))
            })
            .flat_map(|(a, origination)| a.wiring.prefixes().map(move |p| (p, origination.clone())))
            .collect();
        for (prefix, origination) in routes {
            self.speaker.originate(prefix, &origination);
        }
    }

    /// Whether the uplinks that are there have the addresses that the config gives them.
    pub(super) fn uplinks_addressed(&self) -> bool {
        let there =
            |u: &&petiole_config::model::Uplink| self.links.contains_key(&objects::if_name(&u.interface));
        self.config.uplinks.iter().filter(there).all(|uplink| {
            let link = objects::if_name(&uplink.interface);
            uplink.addresses.iter().all(|a| self.fib.settled(&Key::Address(Ns::HOST, link.clone(), *a)))
        })
    }

    pub(super) fn link_changed(&mut self, link: &LinkState) {
        let name = link.name.clone();
        let before = self.links.insert(name.clone(), link.clone());
        if !self.is_raised(&name) && !self.is_underlay(&name) {
            return;
        }
        if before.as_ref().is_some_and(|b| b.carrier != link.carrier) {
            tracing::info!(uplink = %name, carrier = link.carrier, "uplink changed");
        }
        // An uplink that is ours to bring up is brought up once, when it appears. One that somebody takes down later
        // stays down: that is how an operator takes it out of service.
        if before.as_ref().is_none_or(|b| b.index != link.index) && !link.up && self.is_raised(&name) {
            let object = objects::uplink_up(&name);
            self.raised.insert(object.key());
            self.fib.want(object);
        }
        if before.is_none_or(|b| b.mtu != link.mtu) {
            self.update_mtu();
        }
    }

    /// An uplink that has been brought up is its operator's from then on.
    pub(super) fn settle_uplinks(&mut self) {
        let settled: Vec<Key> = self.raised.iter().filter(|k| self.fib.settled(k)).cloned().collect();
        for key in settled {
            self.raised.remove(&key);
            self.fib.unwant(&key);
        }
    }
}
