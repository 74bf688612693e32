//! The sections of policies and profiles.

use super::{
    read::List,
    section::section,
    value::{AclProtocol, AnyRange, Burst, Int, Ports},
};
use crate::model::{AclAction, Bandwidth, Direction, IcmpType, Name};

section! {
    /// Rules about who may talk to whom, for the groups that name it in `policies`. All rules of the policies of both
    /// groups stand side by side, and one decides: of the rules that a packet matches the one with the highest priority;
    /// at the same priority one that denies, before those that allow. Replies to what was allowed need no rule. No rule is
    /// about neighbour discovery and multicast listener discovery, without which IPv6 does not work.
    Policy "[[policy]]" {
        /// Unique among the policies of its tenant.
        name: Name = "name", Required, "\"web-clients\"";
        /// The `[[tenant]]` that it belongs to, with the groups that have it and those that its rules name.
        tenant: Name = "tenant", Default("\"default\""), "\"blue\"";
        /// The rules.
        rules: List<AclRule> = "rules", Default("[]"),
            "[{ id = \"http\", protocol = \"tcp\", port = \"80,443\", action = \"allow\" }]";
    }
}

section! {
    /// What a rule says holds of a packet that matches each of its conditions; a condition with several values holds when
    /// one of them does. A rule without conditions is about everything in its direction. Who the other side is, say
    /// `from-group`, `from-network` and `from-address` of a rule that is `in`, and `to-group`, `to-network` and
    /// `to-address` of one that is `out`.
    AclRule "a rule of a policy" {
        /// What the rule is called in commands, logs and counters. It is a name and not an order. Unique in the policy.
        id: Name = "id", Required, "\"http\"";
        /// Which way connections begin: `"in"`, to containers of the group that has the policy; `"out"`, from them.
        direction: Direction = "direction", Default("\"in\""), "\"out\"";
        /// What becomes of it.
        action: AclAction = "action", Default("\"allow\""), "\"deny\"";
        /// Of the rules that match, the one with the highest decides.
        priority: Int<1, 100> = "priority", Default("1"), "10";
        /// What is spoken: a word, or the number of a protocol (IANA's "Protocol Numbers"), which may stand in quotes.
        /// `"icmp"` is ICMP in IPv4 and ICMPv6 in IPv6.
        protocol: AclProtocol = "protocol", Otherwise("any"), "\"tcp\"";
        /// Destination ports of `"tcp"`, `"udp"` or `"sctp"`: one, ranges, or a list of both; 0 alone is every port.
        port: Ports = "port", Otherwise("any"), "\"80,443,8000-8010\"";
        /// With `protocol = "icmp"`: which messages. `redirect`, `timestamp-request` and `timestamp-reply` are in IPv4
        /// alone, `packet-too-big` is in IPv6 alone.
        icmp_type: List<IcmpType> = "icmp-type", Otherwise("any"), "[\"echo-request\", \"echo-reply\"]";
        /// From containers of this `[[group]]`, of the policy's tenant. With `from-address`, from those of them that have
        /// one of the addresses.
        from_group: Name = "from-group", Otherwise("anybody"), "\"web\"";
        /// From an address in a subnet of this `[[network]]`, of the policy's tenant. Excludes `from-group` and
        /// `from-address`.
        from_network: Name = "from-network", Otherwise("anybody"), "\"public\"";
        /// From these addresses: prefixes, ranges, single ones, of either family; they may overlap. Those of one family
        /// alone leave the other one unmatched.
        from_address: List<AnyRange> = "from-address", Otherwise("anybody"),
            "[\"10.0.0.0/8\", \"10.1.1.1-10.1.1.9\", \"2001:db8::/32\"]";
        /// Like `from-group`, of a rule that is `out`: to containers of this group.
        to_group: Name = "to-group", Otherwise("anybody"), "\"web\"";
        /// Like `from-network`, of a rule that is `out`.
        to_network: Name = "to-network", Otherwise("anybody"), "\"public\"";
        /// Like `from-address`, of a rule that is `out`.
        to_address: List<AnyRange> = "to-address", Otherwise("anybody"), "[\"10.0.0.0/8\", \"2001:db8::1\"]";
        /// Whether the kernel logs what the rule decides.
        log: bool = "log", Default("false"), "true";
    }
}

section! {
    /// Limits and marks for each container of the groups that name it in `profile`.
    Profile "[[profile]]" {
        /// Unique among the profiles of its tenant.
        name: Name = "name", Required, "\"slow\"";
        /// The `[[tenant]]` that it belongs to, with the groups that have it.
        tenant: Name = "tenant", Default("\"default\""), "\"blue\"";
        /// What leaves the container, at most. Units are `bps`, `Kbps`, `Mbps` and `Gbps`, in capitals or not, in steps of
        /// 1024: `500Kbps` is 512000 bits in a second. A fraction has to come out whole.
        bandwidth: Bandwidth = "bandwidth", Otherwise("no limit"), "\"500Kbps\"";
        /// What comes to the container, at most.
        bandwidth_in: Bandwidth = "bandwidth-in", Otherwise("no limit"), "\"1.5Mbps\"";
        /// What may leave the container at once after a pause, up to 256MiB: a number of KiB, or a size in `B`, `KiB`,
        /// `MiB`. Needs `bandwidth`.
        burst: Burst = "burst", Otherwise("what `bandwidth` carries in 50 ms, at least 16KiB"), "\"80KiB\"";
        /// What may come to the container at once. Needs `bandwidth-in`.
        burst_in: Burst = "burst-in", Otherwise("what `bandwidth-in` carries in 50 ms, at least 16KiB"), "80";
        /// Differentiated services code point (RFC 2474) of what leaves the container, in IPv4 and IPv6. 0 leaves it as the
        /// container sets it.
        dscp: Int<0, 63> = "dscp", Default("0"), "6";
    }
}
