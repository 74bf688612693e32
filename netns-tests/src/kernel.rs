//! What the kernel of a place knows, asked with iproute2.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde_json::Value;

use crate::{LabError, Place, Process};

/// One route of a kernel table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// Where to.
    pub prefix: IpNet,
    /// Who put it there: `kernel`, `bgp`, `ospf`, `static`, a number.
    pub protocol: String,
    /// The lower is taken.
    pub metric: u32,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// Identifier of the nexthop object that it refers to.
    pub nexthop: Option<u32>,
    /// Where through, in the kernel's order; empty for blackholes.
    pub via: Vec<Via>,
}

/// One next hop of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Via {
    /// The neighbour; none: on the link.
    pub gateway: Option<IpAddr>,
    /// The interface.
    pub interface: Option<String>,
}

/// A log of what changes in a kernel table, line by line as `ip -o monitor` prints it.
#[derive(Debug)]
pub struct Monitor(pub Process);

impl KernelRoute {
    /// The gateways of its next hops, ascending.
    pub fn gateways(&self) -> Vec<IpAddr> {
        let mut gateways: Vec<_> = self.via.iter().filter_map(|v| v.gateway).collect();
        gateways.sort_unstable();
        gateways
    }
}

/// Queries that every place answers.
pub trait Kernel: Place {
    /// The routes of a family in the main table, without the kernel's local and multicast ones.
    fn routes(&self, ipv6: bool) -> Result<Vec<KernelRoute>, LabError> {
        let line = if ipv6 { "ip -6 -j route show table main" } else { "ip -j route show table main" };
        let answer = self.json(line)?;
        let mut routes: Vec<_> = array(&answer).iter().filter_map(|route| parse(route, ipv6)).collect();
        self.resolve(&mut routes)?;
        Ok(routes)
    }

    /// The routes to exactly this prefix, best metric first.
    fn routes_to(&self, prefix: IpNet) -> Result<Vec<KernelRoute>, LabError> {
        let family = if prefix.addr().is_ipv6() { "-6 " } else { "" };
        let answer = self.json(&format!("ip {family}-j route show table main exact {prefix}"))?;
        let ipv6 = prefix.addr().is_ipv6();
        let mut routes: Vec<_> = array(&answer).iter().filter_map(|r| parse(r, ipv6)).collect();
        self.resolve(&mut routes)?;
        routes.sort_by_key(|route| route.metric);
        Ok(routes)
    }

    /// The route to exactly this prefix, or an error that says that there is none.
    fn route_to(&self, prefix: IpNet) -> Result<KernelRoute, LabError> {
        self.routes_to(prefix)?.into_iter().next().ok_or_else(|| {
            LabError::Missing(format!("{} has no route to {prefix} in its kernel table", self.label()))
        })
    }

    /// Fills in the next hops of routes that only name a nexthop object: with `net.ipv4.nexthop_compat_mode=0` the kernel
    /// does not repeat them in each route.
    #[doc(hidden)]
    fn resolve(&self, routes: &mut [KernelRoute]) -> Result<(), LabError> {
        let unresolved = |route: &&mut KernelRoute| route.nexthop.is_some() && route.via.is_empty();
        if !routes.iter_mut().any(|route| unresolved(&route)) {
            return Ok(());
        }
        let objects = self.json("ip -j nexthop show")?;
        for route in routes.iter_mut().filter(unresolved) {
            route.via = members(&objects, route.nexthop);
        }
        Ok(())
    }

    /// Starts a log of changes. `objects` as for `ip monitor`: `route`, `nexthop`, `link`, `neigh` …
    fn monitor(&self, objects: &str) -> Result<Monitor, LabError> {
        // The subscription stands when the program has its sockets: it says nothing, but a change that it did see does.
        let process = self.spawn(&format!("ip -o monitor {objects} address"))?;
        let beacon = "192.0.2.254";
        crate::wait_until("ip monitor", Duration::from_secs(5), || {
            self.run(&format!("ip address add {beacon}/32 dev lo"))?;
            self.run(&format!("ip address delete {beacon}/32 dev lo"))?;
            let seen = process.lines().iter().any(|line| line.text.contains(beacon));
            if seen { Ok(()) } else { Err(LabError::Missing("it has not seen the beacon".to_owned())) }
        })?;
        Ok(Monitor(process))
    }
}

impl<P: Place> Kernel for P {}

fn parse(route: &Value, ipv6: bool) -> Option<KernelRoute> {
    let prefix = match route["dst"].as_str()? {
        "default" if ipv6 => "::/0".parse().ok()?,
        "default" => "0.0.0.0/0".parse().ok()?,
        text if text.contains('/') => text.parse().ok()?,
        text => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let hops = match route["nexthops"].as_array() {
        Some(hops) => hops.iter().filter_map(via).collect(),
        None => Vec::from_iter(via(route)),
    };
    Some(KernelRoute {
        prefix,
        protocol: route["protocol"].as_str().unwrap_or("boot").to_owned(),
        metric: route["metric"].as_u64().and_then(|m| u32::try_from(m).ok()).unwrap_or(0),
        source: route["prefsrc"].as_str().and_then(|s| s.parse().ok()),
        nexthop: route["nhid"].as_u64().and_then(|n| u32::try_from(n).ok()),
        via: hops,
    })
}

/// The next hops of a nexthop object, or of the objects of a group.
fn members(objects: &Value, id: Option<u32>) -> Vec<Via> {
    let find = |id: &Value| array(objects).iter().find(|object| object["id"] == *id);
    let Some(object) = find(&id.into()) else { return Vec::new() };
    match object["group"].as_array() {
        Some(group) => group.iter().filter_map(|member| via(find(&member["id"])?)).collect(),
        None => Vec::from_iter(via(object)),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// `None` if there is neither a gateway nor an interface.
fn via(hop: &Value) -> Option<Via> {
    // An IPv4 route through an IPv6 neighbour has `via` with a family instead of `gateway`.
    let gateway = hop["gateway"].as_str().or_else(|| hop["via"]["host"].as_str());
    let via = Via {
        gateway: gateway.and_then(|g| g.parse().ok()),
        interface: hop["dev"].as_str().map(str::to_owned),
    };
    (via.gateway.is_some() || via.interface.is_some()).then_some(via)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_multipath_route_by_nexthop_object_is_read_whole() {
        let route = json!({"dst": "203.0.113.0/24", "nhid": 7, "protocol": "bgp", "metric": 20, "prefsrc": "10.0.0.1",
            "nexthops": [{"gateway": "192.0.2.2", "dev": "eth2"}, {"gateway": "192.0.2.1", "dev": "eth1"}]});
        let route = parse(&route, false).unwrap();
        assert_eq!(route.gateways(), ["192.0.2.1", "192.0.2.2"].map(|a| a.parse::<IpAddr>().unwrap()));
        assert_eq!((route.nexthop, route.metric, route.protocol.as_str()), (Some(7), 20, "bgp"));
    }

    #[test]
    fn a_route_that_only_names_a_group_goes_where_its_members_do() {
        let objects = json!([{"id": 1, "gateway": "192.0.2.1", "dev": "eth1"}, {"id": 2, "gateway": "192.0.2.2", "dev": "eth2"},
            {"id": 7, "group": [{"id": 2}, {"id": 1}]}, {"id": 8, "blackhole": true}]);
        let route = parse(&json!({"dst": "203.0.113.0/24", "nhid": 7}), false).unwrap();
        assert!(route.via.is_empty());
        let interfaces =
            |id| members(&objects, Some(id)).into_iter().filter_map(|v| v.interface).collect::<Vec<_>>();
        assert_eq!(interfaces(7), ["eth2", "eth1"]);
        assert_eq!(interfaces(1), ["eth1"]);
        assert!(interfaces(8).is_empty() && interfaces(9).is_empty());
    }

    #[test]
    fn host_routes_and_default_routes_are_prefixes_too() {
        let prefix = |dst: &str, ipv6| parse(&json!({"dst": dst}), ipv6).unwrap().prefix.to_string();
        assert_eq!(prefix("192.168.1.1", false), "192.168.1.1/32");
        assert_eq!(prefix("2001:db8::1", true), "2001:db8::1/128");
        assert_eq!((prefix("default", false), prefix("default", true)), ("0.0.0.0/0".into(), "::/0".into()));
    }
}
