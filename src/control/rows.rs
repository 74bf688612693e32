//! The rows of `show`: plain data, the same for tables and for `--json`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::explain::Explanation;

/// Rows of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rows {
    /// `show neighbors`
    Neighbors(Vec<Neighbor>),
    /// `show routes`
    Routes(Vec<Route>),
    /// `show received`
    Received(Vec<Path>),
    /// `show advertised`
    Advertised(Vec<Path>),
    /// `show fib`
    Fib(Vec<FibObject>),
    /// `show endpoints`
    Endpoints(Vec<Endpoint>),
    /// `show networks`
    Networks(Vec<Network>),
    /// `show groups`
    Groups(Vec<Group>),
    /// `show policies`
    Policies(Vec<PolicyRule>),
    /// `show profiles`
    Profiles(Vec<Profile>),
    /// `show vteps`
    Vteps(Vec<Vtep>),
    /// `explain`
    Explained(Box<Explanation>),
    /// `show config`
    Config(serde_json::Value),
}

/// A BGP session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Neighbor {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) address: IpAddr,
    /// The peer's AS number: as configured, or as it said in its OPEN.
    pub(crate) asn: Option<u32>,
    /// `Idle`, `Connect`, `Active`, `OpenSent`, `OpenConfirm`, `Established` (RFC 4271 section 8.2.2).
    pub(crate) state: String,
    /// Seconds since the session was established.
    pub(crate) uptime: Option<u64>,
    /// The peer's BGP identifier.
    pub(crate) router_id: Option<std::net::Ipv4Addr>,
    /// The peer's host name, when it sent one.
    pub(crate) host_name: Option<String>,
    /// Negotiated hold time in seconds.
    pub(crate) hold_time: Option<u16>,
    /// Negotiated keepalive interval in seconds.
    pub(crate) keepalive: Option<u16>,
    /// Negotiated capabilities, by name.
    pub(crate) capabilities: Vec<String>,
    /// Counts per family that the session carries.
    pub(crate) families: Vec<NeighborFamily>,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    /// How often an established session was lost.
    pub(crate) flaps: u64,
    /// Why the last session or attempt ended.
    pub(crate) last_error: Option<String>,
    /// Seconds until the next attempt to connect.
    pub(crate) next_attempt: Option<u64>,
}

/// One family of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NeighborFamily {
    /// `ipv4` or `ipv6`.
    pub(crate) family: String,
    /// Routes that the peer announces to us.
    pub(crate) received: u64,
    /// Of these, accepted by the import policy.
    pub(crate) accepted: u64,
    /// Of these, rejected by the import policy (and not stored).
    pub(crate) rejected: u64,
    /// Routes that we announce to the peer.
    pub(crate) advertised: u64,
}

/// A destination of the Loc-RIB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) prefix: IpNet,
    /// All paths, the best one first.
    pub(crate) paths: Vec<Path>,
}

/// One path.
#[expect(clippy::struct_field_names, reason = "`as_path` is the name of the attribute")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Path {
    pub(crate) prefix: IpNet,
    /// The neighbour's name, or `local`.
    pub(crate) neighbor: String,
    pub(crate) next_hop: Option<IpAddr>,
    /// AS numbers as text, AS_SETs in braces.
    pub(crate) as_path: String,
    /// `IGP`, `EGP` or `incomplete`.
    pub(crate) origin: String,
    pub(crate) med: Option<u32>,
    pub(crate) local_pref: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) communities: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) large_communities: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) extended_communities: Vec<String>,
    /// The best path of its destination.
    pub(crate) best: bool,
    /// Shares the traffic with the best path (ECMP).
    pub(crate) multipath: bool,
    /// Why it is, or is not, the best: the step of the decision process that told it from the next one.
    pub(crate) reason: Option<String>,
}

/// A kernel object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FibObject {
    /// `link`, `address`, `neighbour`, `nexthop`, `route`, `sysctl`.
    pub(crate) kind: String,
    /// Container whose namespace it is in; absent: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
    /// What the kernel finds it by.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
    /// `installed`, `pending`, `failed`, `stale`.
    pub(crate) state: String,
    /// The kernel's words, when it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// `NAME`, or `TENANT/NAME` outside the tenant `default`.
    pub(crate) name: String,
    pub(crate) network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// `file`, or `request`: added at run time.
    #[serde(default)]
    pub(crate) origin: String,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) mac: String,
    pub(crate) netns: String,
    /// The interface inside the container.
    pub(crate) interface: String,
    /// The interface on the host.
    pub(crate) host_interface: String,
    pub(crate) mtu: Option<u32>,
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) publish: Vec<String>,
    /// `waiting` (no namespace), `attaching`, `attached`, `failed`, `detaching`.
    pub(crate) state: String,
    /// Whether its addresses are announced.
    pub(crate) advertised: bool,
    /// What holds it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    /// `NAME`, or `TENANT/NAME` outside the tenant `default`.
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tenant: String,
    /// `routed`, `vlan`, `vxlan`.
    pub(crate) encap: String,
    /// VLAN tag, or VNI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<u32>,
    /// The bridge of a bridged network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bridge: Option<String>,
    /// The VLAN or VXLAN device that is the bridge's port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    pub(crate) subnets: Vec<IpNet>,
    pub(crate) gateways: Vec<IpAddr>,
    pub(crate) advertise: String,
    #[serde(default)]
    pub(crate) masquerade: bool,
    /// This host's share, in addresses.
    pub(crate) pool_size: u64,
    /// Of these, in use.
    pub(crate) pool_used: u64,
    /// Of the others, given back too short a time ago to be used again.
    #[serde(default)]
    pub(crate) pool_quarantined: u64,
    pub(crate) endpoints: u64,
    /// The largest packet of its containers.
    pub(crate) mtu: Option<u32>,
    /// `up`, `pending` (its links are being made), `failed`.
    #[serde(default)]
    pub(crate) state: String,
    /// What holds it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Another host of a VXLAN network: where frames for everybody, and for nobody known, are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vtep {
    pub(crate) network: String,
    pub(crate) vni: u32,
    /// The VXLAN device.
    pub(crate) device: String,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    /// UDP port.
    pub(crate) port: u16,
    /// `installed` or `pending`.
    pub(crate) state: String,
}

/// A group of containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// `NAME`, or `TENANT/NAME` outside the tenant `default`.
    pub(crate) name: String,
    /// What other hosts know it by.
    pub(crate) number: u32,
    pub(crate) network: String,
    /// `allow` or `deny`: what becomes of traffic that no rule is about.
    pub(crate) default: String,
    pub(crate) policies: Vec<String>,
    pub(crate) profile: Option<String>,
    /// How other hosts learn who is a member: `routes` (a community on host routes), `packets` (in each packet of a
    /// VXLAN network), `pools` (the group's own addresses, by the file), `unknown` (not at all).
    pub(crate) identity: String,
    /// Addresses of members on this host.
    pub(crate) local: u64,
    /// Addresses of members that the fabric's routes tell of.
    pub(crate) remote: u64,
    /// Every member that is known. Empty where only the counts were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<Member>,
    /// What is wrong with knowing the members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// An address; of a pool, `FIRST-LAST`.
    pub(crate) address: String,
    /// `endpoint` (of this host), `route` (its community says so), `earlier-run` (a route that an earlier run has seen
    /// and that has not come again yet), `pool` (whoever has an address of it).
    pub(crate) from: String,
    /// The endpoint of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<String>,
}

/// A rule of a policy, or what a group denies by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PolicyRule {
    /// Absent: a group's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<String>,
    /// The rule's id, or `default`.
    pub(crate) rule: String,
    /// `in`, `out`, or `both`.
    pub(crate) direction: String,
    /// The other side.
    pub(crate) peer: String,
    pub(crate) service: String,
    /// `allow` or `deny`.
    pub(crate) action: String,
    /// Absent: less than that of any rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<u8>,
    pub(crate) log: bool,
    /// The groups that it holds for.
    pub(crate) groups: Vec<String>,
    /// Packets that it has decided about, the first ones of their connections. Absent: no group has the policy, or the
    /// kernel has not said.
    pub(crate) packets: Option<u64>,
    /// Their octets.
    pub(crate) octets: Option<u64>,
}

/// Limits and marks of a group's members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// `NAME`, or `TENANT/NAME` outside the tenant `default`.
    pub(crate) name: String,
    /// Of what leaves a container: bits per second.
    pub(crate) bandwidth: Option<u64>,
    /// Octets at once after a pause.
    pub(crate) burst: Option<u32>,
    /// The same of what comes to a container.
    pub(crate) bandwidth_in: Option<u64>,
    pub(crate) burst_in: Option<u32>,
    /// Code point of what leaves a container.
    pub(crate) dscp: Option<u8>,
    pub(crate) groups: Vec<String>,
    /// Endpoints of this host in these groups.
    pub(crate) endpoints: u64,
}
