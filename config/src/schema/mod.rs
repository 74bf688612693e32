//! The file as it is written: sections, their keys, the values that each takes.
//!
//! Each key stands once, in the list of its section below; the reader, the reference in `docs/config.md` and the
//! JSON Schema for editors all come from these lists. What keys mean together is not known here.

pub(crate) mod json;
mod policy;
pub(crate) mod read;
pub(crate) mod reference;
pub(crate) mod section;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

use crate::model::{
    AddrRange, Advertise, AsPathMask, Community, DefaultAction, IfName, LargeCommunity, Name, PrefixRange,
    Publish, Source,
};
pub(crate) use policy::{AclRule, Policy, Profile};
use read::List;
use section::section;
use value::{
    AbsolutePath, Asn, Description, HostAddress, Int, InterfaceAddress, Reason, RemoteAsn, Seconds, Verdict,
    word::{Afi, EncapWord},
};

section! {
    /// The whole file.
    File "" {
        /// This host.
        host: Host = "host", Required, "";
        /// Interfaces towards the fabric.
        uplinks: List<Uplink> = "uplink", Otherwise("none"), "";
        /// BGP sessions.
        neighbors: List<Neighbor> = "neighbor", Otherwise("none"), "";
        /// Filters for what sessions import and export.
        route_policies: List<RoutePolicy> = "route-policy", Otherwise("none"), "";
        /// Whose networks these are.
        tenants: List<Tenant> = "tenant", Otherwise("`default` alone"), "";
        /// Where containers get their addresses from.
        networks: List<Network> = "network", Otherwise("none"), "";
        /// Containers of one network that have something in common.
        groups: List<Group> = "group", Otherwise("none"), "";
        /// Who may talk to whom.
        policies: List<Policy> = "policy", Otherwise("none"), "";
        /// How fast containers may be.
        profiles: List<Profile> = "profile", Otherwise("none"), "";
        /// Containers that this file owns.
        endpoints: List<Endpoint> = "endpoint", Otherwise("none"), "";
        /// How programs talk to the daemon.
        api: Api = "api", Otherwise("as if it were empty"), "";
        /// What outlives the daemon.
        state: State = "state", Otherwise("as if it were empty"), "";
    }
}

section! {
    /// This host as a BGP speaker. Stands once.
    Host "[host]" {
        /// What the host is called, in logs and towards neighbors.
        name: Name = "name", Otherwise("the kernel's host name"), "\"host1\"";
        /// The AS of this host. Not 0 (RFC 7607), 23456 (RFC 6793), 65535 or 4294967295 (RFC 7300).
        asn: Asn = "asn", Required, "65002";
        /// BGP identifier (RFC 6286): unique among the speakers of an AS, not 0.0.0.0.
        router_id: Ipv4Addr = "router-id",
            Otherwise("the first IPv4 loopback, else the lowest IPv4 address of an uplink"), "\"50.1.1.1\"";
        /// Addresses of the host itself. They are advertised as /32 and /128; the first of each family is the preferred
        /// source of installed routes.
        loopback: List<HostAddress> = "loopback", Default("[]"), "[\"10.0.0.1/32\", \"2001:db8::1\"]";
    }
}

section! {
    /// An interface towards the fabric. It need not exist yet: petiole waits for it.
    Uplink "[[uplink]]" {
        /// Its name in the host's network namespace. Unique among uplinks.
        interface: IfName = "interface", Required, "\"eth1\"";
        /// Its addresses, with the length of the subnet. Without them, addresses are somebody else's business.
        address: List<InterfaceAddress> = "address", Default("[]"), "[\"50.1.1.1/24\", \"2001:db8:50::1/64\"]";
    }
}

section! {
    /// A BGP session.
    Neighbor "[[neighbor]]" {
        /// Its name in commands and logs. Unique among neighbors.
        name: Name = "name", Required, "\"leaf1\"";
        /// The peer's address. Unique among neighbors, and none of this host's own.
        address: IpAddr = "address", Required, "\"50.1.1.2\"";
        /// The interface that the peer is on; needed with a link-local IPv6 address (`fe80::…`), and only there.
        interface: IfName = "interface", Otherwise("none"), "\"eth1\"";
        /// The peer's AS; `"external"` takes any but ours.
        asn: RemoteAsn = "asn", Required, "500";
        /// What is taken from the peer: the name of a `[[route-policy]]`, or `"all"`, `"default-route"` (0.0.0.0/0 and
        /// ::/0), `"none"`. There is no default: without an import policy nothing may be imported (RFC 8212), and that
        /// had better be said.
        import: Name = "import", Required, "\"default-route\"";
        /// What is told to the peer: `"local"`, which is what this host originates, or the name of a
        /// `[[route-policy]]`. In a policy a rule applies to local routes only, unless it says `source = "learned"` or
        /// `"any"`: a host is no transit by mistake.
        export: Name = "export", Default("\"local\""), "\"local\"";
        /// Proposed hold time: after so long without a message the session is over. 0 is never; 1 and 2 are not allowed
        /// (RFC 4271 section 4.2). The lower of both sides' holds. The default is that of FRR's datacenter profile.
        hold_time: Seconds<0, 65535> = "hold-time", Default("9"), "\"30s\"";
        /// Seconds between keepalives. Less than the hold time; at most a third of it makes sense. If the peer asks for a
        /// shorter hold time, a third of that is used when it is less.
        keepalive: Seconds<1, 65535> = "keepalive", Otherwise("a third of `hold-time`"), "2";
        /// Seconds before a failed connection is tried again.
        connect_retry: Seconds<1, 65535> = "connect-retry", Default("5"), "10";
        /// Wait for the peer to connect, never dial.
        passive: bool = "passive", Default("false"), "true";
        /// How many hops away the peer may be. Without it, the peer is on a link of this host (TTL 1).
        multihop: Int<2, 255> = "multihop", Otherwise("on a link of this host"), "2";
        /// Send TTL 255, and drop what arrives with less: nobody further away than one hop can send to the session
        /// (RFC 5082). The peer must do the same. Excludes `multihop`.
        ttl_security: bool = "ttl-security", Default("false"), "true";
        /// A file with the TCP-MD5 key of the session (RFC 2385): one line, 1 to 80 bytes; the end of the line does not
        /// count. Read when the configuration is loaded.
        password_file: AbsolutePath = "password-file", Otherwise("no password"), "\"/etc/petiole/leaf1.key\"";
        /// TCP port that is dialled.
        port: Int<1, 65535> = "port", Default("179"), "1179";
        /// Our end of the session: dialled from, and where the peer's connection is expected. Same family as `address`.
        local_address: IpAddr = "local-address", Otherwise("the kernel chooses"), "\"50.1.1.1\"";
        /// The AS that we are for this peer.
        local_asn: Asn = "local-asn", Otherwise("`asn` of `[host]`"), "65003";
        /// How often our own AS may stand in a received path. Hosts that share an AS behind one fabric need 1 to see each
        /// other.
        allow_own_as: Int<0, 10> = "allow-own-as", Default("0"), "1";
        /// Address families that are offered. What the peer does not offer too is not exchanged.
        families: List<Afi> = "families", Default("[\"ipv4\", \"ipv6\"]"), "[\"ipv4\"]";
        /// More prefixes than this from the peer, in one family, end the session.
        max_prefixes: Int<1, { u32::MAX }> = "max-prefixes", Otherwise("no limit"), "100000";
        /// At most this many prefixes are told to the peer, in one family.
        max_prefixes_out: Int<1, { u32::MAX }> = "max-prefixes-out", Otherwise("no limit"), "10000";
        /// Whether what is learned goes into the kernel's table.
        install: bool = "install", Default("true"), "false";
        /// For people. At most 255 characters.
        description: Description = "description", Otherwise("none"), "\"rack 12, port 3\"";
        /// Keeps the session down, and tells the peer why (RFC 9003). At most 255 bytes; `""` gives no reason.
        shutdown: Reason = "shutdown", Otherwise("the session runs"), "\"maintenance until 18:00\"";
    }
    later {
        "bfd" harmless "false";
        "graceful-restart" harmless "false";
    }
}

section! {
    /// A filter that neighbors name in `import` or `export`. Its rules are tried in order, and the first that matches
    /// decides.
    RoutePolicy "[[route-policy]]" {
        /// Unique among route policies; not `all`, `default-route`, `none` or `local`, which are built in.
        name: Name = "name", Required, "\"fabric\"";
        /// What happens to a route that no rule matches. On export this is about routes that this host originates: what it
        /// learned needs a rule with `source = "learned"` or `"any"`.
        default: Verdict = "default", Default("\"reject\""), "\"accept\"";
        /// The rules.
        rules: List<Rule> = "rules", Default("[]"), "[{ prefix = [\"0.0.0.0/0\"], action = \"accept\" }]";
    }
}

section! {
    /// A rule matches when each of its conditions holds; a condition with several values holds when one of them does. A
    /// rule without conditions matches every route.
    Rule "a rule of a route policy" {
        /// Prefixes, with the lengths that are meant inside them: `"192.168.0.0/16"` is this prefix alone, `ge 24` goes
        /// from /24 to the longest, `le 24` from /16 to /24, both together from the one to the other.
        prefix: List<PrefixRange> = "prefix", Otherwise("any prefix"), "[\"0.0.0.0/0\", \"192.168.0.0/16 ge 24 le 32\"]";
        /// Communities: two numbers, or `graceful-shutdown`, `accept-own`, `llgr-stale`, `no-llgr`, `blackhole`,
        /// `no-export`, `no-advertise`, `no-export-subconfed`, `no-peer`.
        community: List<Community> = "community", Otherwise("any"), "[\"65000:100\", \"no-export\"]";
        /// Large communities (RFC 8092).
        large_community: List<LargeCommunity> = "large-community", Otherwise("any"), "[\"65002:1:2\"]";
        /// Masks that fit the whole AS path: AS numbers, ranges of them, `?` for any one AS, `*` for any number of them.
        /// `""` is the empty path.
        as_path: List<AsPathMask> = "as-path", Otherwise("any path"), "[\"* 65001 *\", \"64512..65534 ?\"]";
        /// On export: whether the rule is about routes that this host originates, that it learned, or both. What is
        /// imported is always learned, so there it says nothing.
        source: Source = "source", Default("\"local\""), "\"any\"";
        /// What happens to the route.
        action: Verdict = "action", Required, "\"accept\"";
        /// What changes on a route that is accepted.
        set: Set = "set", Otherwise("nothing"), "{ local-pref = 200 }";
    }
}

section! {
    /// What changes on an accepted route. Communities are removed before others are added.
    Set "`set` of a rule" {
        /// LOCAL_PREF; the higher is preferred.
        local_pref: Int<0, { u32::MAX }> = "local-pref", Otherwise("unchanged"), "200";
        /// MULTI_EXIT_DISC; the lower is preferred.
        med: Int<0, { u32::MAX }> = "med", Otherwise("unchanged"), "50";
        /// Puts our AS before the path so many times more.
        prepend: Int<1, 16> = "prepend", Otherwise("not at all"), "2";
        /// Adds communities.
        community: List<Community> = "community", Default("[]"), "[\"65002:1\"]";
        /// Removes communities.
        community_remove: List<Community> = "community-remove", Default("[]"), "[\"65000:100\"]";
        /// Adds large communities.
        large_community: List<LargeCommunity> = "large-community", Default("[]"), "[\"65002:1:2\"]";
        /// Removes large communities.
        large_community_remove: List<LargeCommunity> = "large-community-remove", Default("[]"), "[\"65002:1:3\"]";
    }
}

section! {
    /// Whose networks, groups and endpoints these are. Nothing passes from one tenant to another, and each may use names
    /// and subnets that others use too. The tenant `default` always exists, and is meant where no other is named.
    Tenant "[[tenant]]" {
        /// Unique among tenants.
        name: Name = "name", Required, "\"blue\"";
    }
}

section! {
    /// Where containers get their addresses from. Has `subnet`, `subnet6` or both. Networks of one tenant do not overlap;
    /// neither do those that this host has routes to, which are routed networks and those with a gateway, nor do these
    /// overlap an uplink's subnet or a loopback.
    Network "[[network]]" {
        /// Unique among the networks of its tenant.
        name: Name = "name", Required, "\"public\"";
        /// The `[[tenant]]` that it belongs to.
        tenant: Name = "tenant", Default("\"default\""), "\"blue\"";
        /// How its traffic travels. `"routed"`: each container is a /32 and a /128 that the host routes. `"vlan"` and
        /// `"vxlan"`: containers of all hosts share one Ethernet segment, a VLAN of the uplink or a VXLAN (RFC 7348).
        encap: EncapWord = "encap", Default("\"routed\""), "\"vlan\"";
        /// Of a vlan network: the 802.1Q tag. Unique on its uplink.
        tag: Int<1, 4094> = "tag", Otherwise("required for `vlan`"), "112";
        /// Of a vlan network: the interface that tagged frames leave by. It need not exist yet, and need not be an
        /// `[[uplink]]`.
        uplink: IfName = "uplink", Otherwise("required for `vlan`"), "\"eth2\"";
        /// Of a vxlan network: its identifier. Unique on this host.
        vni: Int<1, 16_777_215> = "vni", Otherwise("required for `vxlan`"), "5001";
        /// Of a vxlan network: the addresses of the hosts that have containers in it. One family; this host's own may be
        /// among them, so that all hosts can have the same list.
        vteps: List<IpAddr> = "vteps", Otherwise("required for `vxlan`"), "[\"50.1.1.1\", \"60.1.1.3\"]";
        /// Of a vxlan network: the address of this host that packets are sent from.
        local: IpAddr = "local",
            Otherwise("an own address that is in `vteps`, else the first loopback of their family, else the lowest address of an uplink"),
            "\"50.1.1.1\"";
        /// Of a vxlan network: the UDP port, on all hosts the same.
        port: Int<1, 65535> = "port", Otherwise("4789, for `vxlan`"), "8472";
        /// IPv4 addresses of the network, /8 to /32.
        subnet: Ipv4Net = "subnet", Otherwise("no IPv4"), "\"192.168.1.0/24\"";
        /// The containers' IPv4 gateway: an address of the subnet, which no container gets, or a link-local one. This host
        /// answers for it. A bridged network without one is no way out, and this host has no way into it.
        gateway: Ipv4Addr = "gateway", Otherwise("169.254.1.1 for `routed`, else none"), "\"192.168.1.254\"";
        /// This host's share of the subnet: ranges, prefixes, single addresses. The gateway is never given out, nor are
        /// the network and the broadcast address of a /30 and shorter.
        pool: List<AddrRange<Ipv4Addr>> = "pool", Otherwise("the whole subnet"), "[\"192.168.1.1-192.168.1.100\"]";
        /// What is not given out, though it is in the pool: somebody else has it.
        exclude: List<AddrRange<Ipv4Addr>> = "exclude", Default("[]"), "[\"192.168.1.10\"]";
        /// IPv6 addresses of the network, /32 to /128.
        subnet6: Ipv6Net = "subnet6", Otherwise("no IPv6"), "\"2001:db8:1::/64\"";
        /// The containers' IPv6 gateway: an address of the subnet, which no container gets, or a link-local one.
        gateway6: Ipv6Addr = "gateway6", Otherwise("fe80::1 for `routed`, else none"), "\"2001:db8:1::fffe\"";
        /// This host's share of the IPv6 subnet. The gateway is never given out, nor is the subnet-router anycast address
        /// of a /126 and shorter.
        pool6: List<AddrRange<Ipv6Addr>> = "pool6", Otherwise("the whole subnet"), "[\"2001:db8:1::/80\"]";
        /// What is not given out, though it is in the IPv6 pool.
        exclude6: List<AddrRange<Ipv6Addr>> = "exclude6", Default("[]"), "[\"2001:db8:1::ff00/120\"]";
        /// What BGP says about it: a /32 and /128 for each attached container, the subnet as a whole, or nothing. In a
        /// bridged network, of the families that have a gateway.
        advertise: Advertise = "advertise",
            Otherwise("`\"endpoints\"` for `routed` and with a gateway, else `\"none\"`"), "\"subnet\"";
        /// Whether what leaves the network for other places than networks of the tenant gets an address of this host as
        /// source. Needs a gateway.
        masquerade: bool = "masquerade", Default("false"), "true";
        /// The containers' MTU in bytes; 1280 and up with IPv6 (RFC 8200).
        mtu: Int<68, 65535> = "mtu", Otherwise("the uplinks', less what the encapsulation takes"), "1400";
        /// Seconds that an address rests after it was released, before another container may get it.
        quarantine: Seconds<0, 65535> = "quarantine", Default("30"), "\"2m\"";
    }
}

section! {
    /// Containers of one network that have something in common.
    Group "[[group]]" {
        /// Unique among the groups of its tenant.
        name: Name = "name", Required, "\"web\"";
        /// The `[[tenant]]` that it belongs to, and its network.
        tenant: Name = "tenant", Default("\"default\""), "\"blue\"";
        /// The `[[network]]` that it is in.
        network: Name = "network", Required, "\"public\"";
        /// IPv4 addresses out of the network's pool that only this group's containers get.
        pool: List<AddrRange<Ipv4Addr>> = "pool",
            Otherwise("what no group of the network has for itself"), "[\"192.168.1.64/27\"]";
        /// IPv6 addresses out of the network's pool that only this group's containers get.
        pool6: List<AddrRange<Ipv6Addr>> = "pool6",
            Otherwise("what no group of the network has for itself"), "[\"2001:db8:1::64-2001:db8:1::95\"]";
        /// The `[[policy]]`s that hold for the group, of its own tenant, each once. Their rules are one set; the order here
        /// counts only between rules of the same priority and action.
        policies: List<Name> = "policies", Default("[]"), "[\"web-clients\"]";
        /// What becomes of traffic to and from the group's containers that no rule is about.
        default: DefaultAction = "default", Default("\"allow\""), "\"deny\"";
        /// The `[[profile]]` of the group, of its own tenant: each container has its limits for itself.
        profile: Name = "profile", Otherwise("no limits"), "\"slow\"";
        /// The group's number on the fabric, by which other hosts know its containers; the same on every host, and no other
        /// group's. In a vxlan network that does not advertise its endpoints, the lower 16 bits travel in each packet: they
        /// are not 0, and no other such group's.
        id: Int<1, { u32::MAX - 1 }> = "id", Otherwise("made of the tenant's and the group's name"), "4100";
    }
}

section! {
    /// A container that this file owns. Others are added and removed while the daemon runs.
    Endpoint "[[endpoint]]" {
        /// Unique among the endpoints of its tenant.
        name: Name = "name", Required, "\"web1\"";
        /// The `[[tenant]]` that it belongs to, and its network.
        tenant: Name = "tenant", Default("\"default\""), "\"blue\"";
        /// The `[[network]]` that it is in. Either this or `group`.
        network: Name = "network", Otherwise("the network of `group`"), "\"public\"";
        /// The `[[group]]` that it is in, and so its network. Either this or `network`.
        group: Name = "group", Otherwise("in no group"), "\"web\"";
        /// The container's network namespace. It may appear later: the endpoint is attached when it does. Unique together
        /// with `interface`.
        netns: AbsolutePath = "netns", Required, "\"/run/netns/web1\"";
        /// What the container's interface is called in there.
        interface: IfName = "interface", Default("\"eth0\""), "\"eth1\"";
        /// A fixed IPv4 address out of the pool of its group, else of its network.
        address: Ipv4Addr = "address", Otherwise("one from the pool"), "\"192.168.1.3\"";
        /// A fixed IPv6 address out of the pool of its group, else of its network.
        address6: Ipv6Addr = "address6", Otherwise("one from the pool"), "\"2001:db8:1::3\"";
        /// Ports of this host that lead to the container, on all addresses of the host or on one. Needs a gateway. No two
        /// endpoints publish the same port.
        publish: List<Publish> = "publish", Default("[]"), "[\"9099:80/tcp\", \"50.1.1.1:8000-8009:8000-8009/udp\"]";
    }
}

section! {
    /// How programs talk to the daemon. Stands once.
    Api "[api]" {
        /// Unix socket of the daemon, mode 0660. At most 107 bytes.
        socket: AbsolutePath = "socket", Default("\"/run/petiole/petiole.sock\""), "\"/run/petiole/other.sock\"";
        /// Where Prometheus finds the metrics.
        metrics: SocketAddr = "metrics", Otherwise("nowhere"), "\"127.0.0.1:9179\"";
    }
}

section! {
    /// What outlives the daemon. Stands once.
    State "[state]" {
        /// Directory of the journal of run-time endpoints.
        dir: AbsolutePath = "dir", Default("\"/var/lib/petiole\""), "\"/srv/petiole\"";
    }
}
