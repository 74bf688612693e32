//! Constants of the kernel's user interface: `linux/netlink.h`, `rtnetlink.h`, `if_link.h`, `if_addr.h`,
//! `neighbour.h`, `nexthop.h`, `veth.h`, `if_ether.h`, `pkt_sched.h`, `pkt_cls.h`. The names are the headers'; the types are those of the fields they go
//! into. (The libc crate has half of them, with types that differ between its targets.)

// linux/netlink.h
pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_ECHO: u16 = 0x8;
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;
/// Of a message that makes something: what was there has been replaced.
pub(super) const NLM_F_REPLACE: u16 = 0x100;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_APPEND: u16 = 0x800;
/// Of a request that reads: everything.
pub(super) const NLM_F_DUMP: u16 = 0x300;
/// Of an answer: the request was not copied into it.
pub(super) const NLM_F_CAPPED: u16 = 0x100;
/// Of an answer: attributes follow.
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
pub(super) const NLMSG_OVERRUN: u16 = 4;
pub(super) const NLMSGERR_ATTR_MSG: u16 = 1;
pub(super) const NLMSGERR_ATTR_OFFS: u16 = 2;
/// Bits of an attribute's type that are not its number.
pub(super) const NLA_TYPE_MASK: u16 = 0x3fff;
pub(super) const NLA_F_NESTED: u16 = 0x8000;

// linux/rtnetlink.h
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_SETLINK: u16 = 19;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_GETROUTE: u16 = 26;
pub(super) const RTM_NEWNEIGH: u16 = 28;
pub(super) const RTM_DELNEIGH: u16 = 29;
pub(super) const RTM_GETNEIGH: u16 = 30;
pub(super) const RTM_NEWQDISC: u16 = 36;
pub(super) const RTM_DELQDISC: u16 = 37;
pub(super) const RTM_GETQDISC: u16 = 38;
pub(super) const RTM_NEWTFILTER: u16 = 44;
pub(super) const RTM_DELTFILTER: u16 = 45;
pub(super) const RTM_GETTFILTER: u16 = 46;
pub(super) const RTM_NEWNEXTHOP: u16 = 104;
pub(super) const RTM_DELNEXTHOP: u16 = 105;
pub(super) const RTM_GETNEXTHOP: u16 = 106;

pub(super) const RTNLGRP_LINK: u32 = 1;
pub(super) const RTNLGRP_NEIGH: u32 = 3;
pub(super) const RTNLGRP_TC: u32 = 4;
pub(super) const RTNLGRP_IPV4_IFADDR: u32 = 5;
pub(super) const RTNLGRP_IPV4_ROUTE: u32 = 7;
pub(super) const RTNLGRP_IPV6_IFADDR: u32 = 9;
pub(super) const RTNLGRP_IPV6_ROUTE: u32 = 11;
pub(super) const RTNLGRP_NEXTHOP: u32 = 32;

pub(super) const TCA_KIND: u16 = 1;
pub(super) const TCA_OPTIONS: u16 = 2;

pub(super) const RTA_DST: u16 = 1;
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_PREFSRC: u16 = 7;
pub(super) const RTA_MULTIPATH: u16 = 9;
pub(super) const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
pub(super) const RTA_NH_ID: u16 = 30;
pub(super) const RTN_UNICAST: u8 = 1;
pub(super) const RTN_BLACKHOLE: u8 = 6;
pub(super) const RTN_UNREACHABLE: u8 = 7;
pub(super) const RT_SCOPE_UNIVERSE: u8 = 0;
pub(super) const RT_SCOPE_LINK: u8 = 253;
pub(super) const RT_SCOPE_HOST: u8 = 254;
pub(super) const RT_SCOPE_NOWHERE: u8 = 255;
pub(super) const RT_TABLE_COMPAT: u8 = 252;
pub(super) const RT_TABLE_MAIN: u32 = 254;
pub(super) const RTM_F_CLONED: u32 = 0x200;
pub(super) const RTM_F_FIB_MATCH: u32 = 0x2000;
pub(super) const RTNH_F_ONLINK: u32 = 4;

// linux/if_link.h, linux/if.h, linux/veth.h
pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_LINK: u16 = 5;
pub(super) const IFLA_MASTER: u16 = 10;
pub(super) const IFLA_PROTINFO: u16 = 12;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_IFALIAS: u16 = 20;
pub(super) const IFLA_GROUP: u16 = 27;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_EXT_MASK: u16 = 29;
pub(super) const IFLA_LINK_NETNSID: u16 = 37;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFLA_INFO_SLAVE_KIND: u16 = 4;
pub(super) const IFLA_INFO_SLAVE_DATA: u16 = 5;
pub(super) const IFLA_BR_STP_STATE: u16 = 5;
pub(super) const IFLA_BR_MCAST_SNOOPING: u16 = 23;
pub(super) const IFLA_BR_NF_CALL_IPTABLES: u16 = 36;
pub(super) const IFLA_BR_NF_CALL_IP6TABLES: u16 = 37;
pub(super) const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;
pub(super) const IFLA_BRPORT_MODE: u16 = 4;
pub(super) const IFLA_BRPORT_LEARNING: u16 = 8;
pub(super) const IFLA_BRPORT_NEIGH_SUPPRESS: u16 = 32;
pub(super) const IFLA_BRPORT_ISOLATED: u16 = 33;
pub(super) const IFLA_VLAN_ID: u16 = 1;
pub(super) const IFLA_VLAN_PROTOCOL: u16 = 5;
pub(super) const IFLA_VXLAN_ID: u16 = 1;
pub(super) const IFLA_VXLAN_GROUP: u16 = 2;
pub(super) const IFLA_VXLAN_LINK: u16 = 3;
pub(super) const IFLA_VXLAN_LOCAL: u16 = 4;
pub(super) const IFLA_VXLAN_LEARNING: u16 = 7;
pub(super) const IFLA_VXLAN_PROXY: u16 = 11;
pub(super) const IFLA_VXLAN_RSC: u16 = 12;
pub(super) const IFLA_VXLAN_L2MISS: u16 = 13;
pub(super) const IFLA_VXLAN_L3MISS: u16 = 14;
pub(super) const IFLA_VXLAN_PORT: u16 = 15;
pub(super) const IFLA_VXLAN_GROUP6: u16 = 16;
pub(super) const IFLA_VXLAN_LOCAL6: u16 = 17;
pub(super) const IFLA_VXLAN_UDP_ZERO_CSUM6_RX: u16 = 20;
pub(super) const IFLA_VXLAN_REMCSUM_TX: u16 = 21;
pub(super) const IFLA_VXLAN_REMCSUM_RX: u16 = 22;
pub(super) const IFLA_VXLAN_GBP: u16 = 23;
pub(super) const IFLA_VXLAN_COLLECT_METADATA: u16 = 25;
pub(super) const IFLA_VXLAN_GPE: u16 = 27;
pub(super) const VETH_INFO_PEER: u16 = 1;
pub(super) const RTEXT_FILTER_SKIP_STATS: u32 = 8;
pub(super) const IFF_UP: u32 = 0x1;
pub(super) const IFF_LOWER_UP: u32 = 0x1_0000;

// linux/if_addr.h
pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const IFA_PROTO: u16 = 11;
pub(super) const IFA_F_NODAD: u32 = 0x02;

// linux/neighbour.h
pub(super) const NDA_DST: u16 = 1;
pub(super) const NDA_LLADDR: u16 = 2;
pub(super) const NDA_VLAN: u16 = 5;
pub(super) const NDA_PORT: u16 = 6;
pub(super) const NDA_VNI: u16 = 7;
pub(super) const NDA_IFINDEX: u16 = 8;
pub(super) const NDA_MASTER: u16 = 9;
pub(super) const NDA_PROTOCOL: u16 = 12;
pub(super) const NUD_NOARP: u16 = 0x40;
pub(super) const NUD_PERMANENT: u16 = 0x80;
pub(super) const NTF_SELF: u8 = 0x02;
pub(super) const NTF_MASTER: u8 = 0x04;
pub(super) const NTF_PROXY: u8 = 0x08;
pub(super) const NTF_EXT_LEARNED: u8 = 0x10;
pub(super) const NTF_STICKY: u8 = 0x40;

// linux/nexthop.h
pub(super) const NHA_ID: u16 = 1;
pub(super) const NHA_GROUP: u16 = 2;
pub(super) const NHA_GROUP_TYPE: u16 = 3;
pub(super) const NHA_BLACKHOLE: u16 = 4;
pub(super) const NHA_OIF: u16 = 5;
pub(super) const NHA_GATEWAY: u16 = 6;
pub(super) const NHA_ENCAP: u16 = 8;
pub(super) const NHA_FDB: u16 = 11;

// linux/pkt_sched.h
pub(super) const TC_H_ROOT: u32 = 0xffff_ffff;
pub(super) const TC_H_CLSACT: u32 = 0xffff_fff1;
pub(super) const TC_H_MIN_INGRESS: u32 = 0xfff2;
pub(super) const TC_H_MIN_EGRESS: u32 = 0xfff3;
pub(super) const TC_LINKLAYER_ETHERNET: u8 = 1;
pub(super) const TCA_TBF_PARMS: u16 = 1;
pub(super) const TCA_TBF_RATE64: u16 = 4;

// linux/pkt_cls.h, linux/tc_act/tc_mirred.h
pub(super) const TCA_U32_SEL: u16 = 5;
pub(super) const TCA_U32_ACT: u16 = 7;
pub(super) const TC_U32_TERMINAL: u8 = 1;
pub(super) const TCA_ACT_KIND: u16 = 1;
pub(super) const TCA_ACT_OPTIONS: u16 = 2;
pub(super) const TC_ACT_STOLEN: u32 = 4;
pub(super) const TCA_MIRRED_PARMS: u16 = 2;
pub(super) const TCA_EGRESS_REDIR: u32 = 1;

// linux/if_ether.h
pub(super) const ETH_P_ALL: u16 = 0x0003;
pub(super) const ETH_P_8021Q: u16 = 0x8100;

// sys/socket.h
pub(super) const AF_BRIDGE: u8 = 7;
pub(super) const AF_UNSPEC: u8 = 0;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
