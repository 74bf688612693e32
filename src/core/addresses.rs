//! Which endpoint has which address. Pure: pools come from the config, what is in use from the kernel and from
//! what was given out before.
//!
//! Must not know namespaces, links or BGP.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use petiole_config::model::{Address, Network, ScopedName, Subnet};

/// The addresses of one endpoint: at least one of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AssignError {
    #[error("auto allocation failed - address exhaustion in pool of network {0}")]
    Exhausted(ScopedName),
    #[error("{address} is in use by endpoint {by}")]
    InUse { address: String, by: ScopedName },
}

/// The addresses given out in all networks. Subnets of networks do not overlap, so one table holds them all.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    v4: HashMap<Ipv4Addr, ScopedName>,
    v6: HashMap<Ipv6Addr, ScopedName>,
}

impl Addresses {
    /// Gives `endpoint` its addresses: the fixed ones of `wish`, else those of `last` (what it had before a
    /// restart) while the pool still has them, else the lowest free ones. Nothing is taken on an error.
    ///
    /// Beside IPv4 the IPv6 address has the same host number, so that people recognise the container.
    pub(crate) fn assign(
        &mut self,
        endpoint: &ScopedName,
        network: &Network,
        wish: Assigned,
        last: Assigned,
    ) -> Result<Assigned, AssignError> {
        let exhausted = || AssignError::Exhausted(network.id.clone());
        let mut got = Assigned::default();
        if let Some(subnet) = &network.v4 {
            let address = match wish.v4 {
                Some(fixed) => free(&self.v4, endpoint, fixed)?,
                None => choose(&self.v4, endpoint, subnet, [last.v4, None]).ok_or_else(exhausted)?,
            };
            got.v4 = Some(address);
        }
        if let Some(subnet) = &network.v6 {
            let address = if let Some(fixed) = wish.v6 {
                free(&self.v6, endpoint, fixed)?
            } else {
                let twin = network.v4.as_ref().zip(got.v4).and_then(|(v4, address)| {
                    let host = address.to_bits() - v4.net.network().to_bits();
                    Some(Ipv6Addr::from_bits(subnet.net.network().to_bits().checked_add(host.into())?))
                });
                choose(&self.v6, endpoint, subnet, [last.v6, twin]).ok_or_else(exhausted)?
            };
            got.v6 = Some(address);
        }
        self.v4.extend(got.v4.map(|a| (a, endpoint.clone())));
        self.v6.extend(got.v6.map(|a| (a, endpoint.clone())));
        Ok(got)
    }

    /// The endpoint that has the address.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<&ScopedName> {
        match address {
            IpAddr::V4(a) => self.v4.get(&a),
            IpAddr::V6(a) => self.v6.get(&a),
        }
    }

    /// How many of a network's addresses are given out.
    pub(crate) fn used(&self, network: &Network) -> usize {
        let v4 = network.v4.as_ref().map_or(0, |s| self.v4.keys().filter(|a| s.may_assign(**a)).count());
        let v6 = network.v6.as_ref().map_or(0, |s| self.v6.keys().filter(|a| s.may_assign(**a)).count());
        v4.max(v6)
    }

    /// Takes `endpoint`'s addresses back, but for those that it `keep`s.
    pub(crate) fn release(&mut self, endpoint: &ScopedName, assigned: Assigned, keep: Assigned) {
        if let Some(a) = assigned.v4.filter(|a| Some(*a) != keep.v4 && self.v4.get(a) == Some(endpoint)) {
            self.v4.remove(&a);
        }
        if let Some(a) = assigned.v6.filter(|a| Some(*a) != keep.v6 && self.v6.get(a) == Some(endpoint)) {
            self.v6.remove(&a);
        }
    }
}

fn free<A: Address>(
    used: &HashMap<A, ScopedName>,
    endpoint: &ScopedName,
    address: A,
) -> Result<A, AssignError> {
    match used.get(&address) {
        Some(by) if by != endpoint => {
            Err(AssignError::InUse { address: address.to_string(), by: by.clone() })
        }
        _ => Ok(address),
    }
}

fn choose<A: Address>(
    used: &HashMap<A, ScopedName>,
    endpoint: &ScopedName,
    subnet: &Subnet<A>,
    preferred: [Option<A>; 2],
) -> Option<A> {
    let usable = |a: A| subnet.may_assign(a) && free(used, endpoint, a).is_ok();
    preferred.into_iter().flatten().find(|a| usable(*a)).or_else(|| {
        subnet.pool.iter().find_map(|range| (0..).map_while(|n| range.nth(n)).find(|a| usable(*a)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::config;

    const NETWORK: &str = r#"
        [[network]]
        name = "n"
        encap = "routed"
        subnet = "192.168.1.0/24"
        gateway = "192.168.1.1"
        subnet6 = "2001:db8:1::/64"
        pool = ["192.168.1.1-192.168.1.3", "192.168.1.9"]
    "#;

    fn name(n: &str) -> ScopedName {
        n.parse().unwrap()
    }

    fn host(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 1, n)
    }

    /// Fixed, remembered, or neither.
    fn fixed(n: u8) -> Assigned {
        Assigned { v4: Some(host(n)), v6: None }
    }

    #[test]
    fn the_lowest_free_address_is_given_out_until_the_pool_is_exhausted_and_then_nothing_is_taken() {
        let config = config(NETWORK);
        let network = config.network(&name("n")).unwrap();
        let mut addresses = Addresses::default();
        let mut assign =
            |n: &str| addresses.assign(&name(n), network, Assigned::default(), Assigned::default());
        // .1 is the gateway's.
        assert_eq!(assign("a").unwrap().v4, Some(host(2)));
        assert_eq!(assign("b").unwrap().v4, Some(host(3)));
        assert_eq!(assign("c").unwrap().v4, Some(host(9)));
        assert_eq!(assign("d"), Err(AssignError::Exhausted(name("n"))));
        assert_eq!(addresses.used(network), 3);
        let c = Assigned { v4: Some(host(9)), v6: Some("2001:db8:1::9".parse().unwrap()) };
        addresses.release(&name("c"), c, Assigned::default());
        assert_eq!(addresses.used(network), 2);
    }

    #[test]
    fn ipv6_has_the_same_host_number_beside_ipv4() {
        let config = config(NETWORK);
        let network = config.network(&name("n")).unwrap();
        let got = Addresses::default().assign(&name("a"), network, fixed(9), Assigned::default()).unwrap();
        assert_eq!(got.v6, Some("2001:db8:1::9".parse().unwrap()));
    }

    #[test]
    fn an_address_is_kept_over_a_restart_unless_somebody_has_it() {
        let config = config(NETWORK);
        let network = config.network(&name("n")).unwrap();
        let mut addresses = Addresses::default();
        let got = addresses.assign(&name("a"), network, Assigned::default(), fixed(9)).unwrap();
        assert_eq!(got.v4, Some(host(9)));
        let got = addresses.assign(&name("b"), network, Assigned::default(), fixed(9)).unwrap();
        assert_eq!(got.v4, Some(host(2)));
        let refused = addresses.assign(&name("c"), network, fixed(9), Assigned::default());
        assert_eq!(refused, Err(AssignError::InUse { address: "192.168.1.9".into(), by: name("a") }));
    }

    #[test]
    fn only_its_owner_releases_an_address() {
        let config = config(NETWORK);
        let network = config.network(&name("n")).unwrap();
        let mut addresses = Addresses::default();
        let got = addresses.assign(&name("a"), network, fixed(2), Assigned::default()).unwrap();
        addresses.release(&name("b"), got, Assigned::default());
        assert_eq!(addresses.owner(got.v4.unwrap().into()), Some(&name("a")));
        addresses.release(&name("a"), got, fixed(2));
        assert_eq!(addresses.owner(got.v4.unwrap().into()), Some(&name("a")), "kept");
        assert_eq!(addresses.owner(got.v6.unwrap().into()), None);
    }
}
