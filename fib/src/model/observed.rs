//! What the kernel says: the state of links, objects found by a dump or announced by an event, and the words
//! exchanged with the kernel thread.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use crate::acl::AclTable;

use super::{BridgePort, ElementKey, Hook, IfName, Key, LinkKind, Mac, Ns, Object, Op, OpResult, TableItem};

/// One link as the kernel shows it, ours or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Where.
    pub ns: Ns,
    /// Kernel interface index, unique in the namespace.
    pub index: u32,
    /// Name.
    pub name: IfName,
    /// `Veth`/`VethPeer` cannot be told apart from the kernel alone: `VethPeer` stands for any veth. Bridges, VLAN
    /// and VXLAN devices and IFBs are shown as such, ours or not (a parent in another namespace: `Foreign`); all else is
    /// `Foreign`.
    pub kind: LinkKind,
    /// Ethernet address, for links that have one.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// `IFF_UP`.
    pub up: bool,
    /// `IFF_LOWER_UP`: the carrier.
    pub carrier: bool,
    /// `IFLA_IFALIAS`.
    pub alias: Option<Arc<str>>,
    /// The bridge of this namespace that it is a port of, and the port's settings. `None` also for a link whose master
    /// is no bridge.
    pub port: Option<BridgePort>,
    /// `IFLA_GROUP`: the mark that, unlike the alias, a link has from the moment of its creation.
    pub group: u32,
}

/// An object found in the kernel, with what tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A link.
    Link(LinkState),
    /// A chain of an nftables table of ours. Rules cannot be compared as the kernel shows them; each of ours carries its
    /// fingerprint ([`super::Rule::fingerprint`]) in its user data.
    Chain {
        /// Which.
        chain: TableItem,
        /// Its hook.
        hook: Option<Hook>,
        /// The rules' fingerprints, in their order; `None` for a rule that is not ours.
        rules: Vec<Option<u64>>,
    },
    /// Any other object. `protocol` is `rtm_protocol` of routes, `nh_protocol` of next hops, `IFA_PROTO` of
    /// addresses and `NDA_PROTOCOL` of neighbours, 0 where the kernel has none.
    Object {
        /// The object.
        object: Object,
        /// Who made it, as far as the kernel knows.
        protocol: u8,
    },
}

/// Which part of the kernel's state a dump or an overrun is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Concern {
    /// Links.
    Links,
    /// Addresses.
    Addresses,
    /// Permanent neighbour entries.
    Neighbours,
    /// Nexthop objects and groups.
    NextHops,
    /// Routes of our protocol, in all tables.
    Routes,
    /// Entries of forwarding databases: the permanent ones of VXLAN devices and the static ones of bridge ports.
    Fdb,
    /// Traffic control on links of ours: root qdiscs and redirections.
    Tc,
    /// The nftables tables of our name (`owner`), and all that is in them.
    Nft,
}

/// From the daemon to the kernel thread.
#[derive(Clone, Debug)]
pub enum Command {
    /// Apply in order, in as few batches as the order allows; answered by [`Event::Applied`] with the same `batch`.
    Apply {
        /// Given back in the answer.
        batch: u64,
        /// The operations.
        ops: Vec<Op>,
    },
    /// From now on `ns` means the namespace at `path` (of the file that is there now).
    Namespace {
        /// The number.
        ns: Ns,
        /// An nsfs file, as `/run/netns/web1`.
        path: PathBuf,
    },
    /// `ns` is gone or no longer of interest: nothing of it is kept open.
    Forget(Ns),
    /// Read everything of one concern; answered by [`Event::Dump`].
    Dump(Ns, Concern),
    /// Delete the connection-tracking entries of these addresses, as source or destination in either direction: the
    /// next one who gets the address does not inherit them (rule 26). Not answered; a failure is logged.
    FlushConnections(Vec<IpAddr>),
    /// Delete the connection-tracking entries that the table would not let come to be (rule 28). Answered by
    /// [`Event::ConnectionsEnded`].
    EndConnections(Arc<AclTable>),
    /// Read the counters of a set's elements; answered by [`Event::Counted`], with nothing in it where there is no such
    /// set.
    Count(TableItem),
    /// Read these sysctls; answered by [`Event::Object`] each, or [`Event::Gone`] for one that the kernel lacks.
    ReadSysctls(Ns, Vec<Arc<str>>),
    /// Track where the host would send packets for these addresses; answered by [`Event::Resolved`] now and
    /// whenever the answer changes. The whole set each time.
    Resolve(Vec<IpAddr>),
    /// End the thread after what has been asked so far.
    Stop,
}

/// From the kernel thread to the daemon.
///
/// Commands are worked off one by one, and their answers come in that order: a dump contains the effect of exactly
/// those operations whose [`Event::Applied`] went before it. What the kernel announced by itself before an operation
/// was answered comes before that answer: a link that went down just before we set it up is not taken for one that
/// went down afterwards.
#[derive(Clone, Debug)]
pub enum Event {
    /// Outcome of an [`Command::Apply`], one entry per operation, in its order.
    Applied {
        /// As given.
        batch: u64,
        /// Per operation.
        results: Vec<(Key, OpResult)>,
    },
    /// Everything of one concern, ours and foreign (routes: ours only), in as many parts as suits the sender.
    Dump {
        /// Where.
        ns: Ns,
        /// What.
        concern: Concern,
        /// The objects of this part.
        objects: Vec<Observed>,
        /// The dump is complete with this part: what was in no part is not there.
        last: bool,
    },
    /// An object appeared or changed; never the echo of our own operation. Host namespace only.
    Object(Observed),
    /// An object went away, not by our own operation. Host namespace only.
    Gone(Key),
    /// Events were lost (`ENOBUFS`): only a dump tells the truth now.
    Overrun(Concern),
    /// So many connections have been ended.
    ConnectionsEnded(usize),
    /// Packets and octets that elements of a set have been found for.
    Counted(TableItem, Vec<(ElementKey, Count)>),
    /// The answer for one address of [`Command::Resolve`] is new or has changed.
    Resolved(IpAddr, Option<Resolution>),
    /// A namespace could not be entered: its file is gone, or it is not a network namespace.
    NamespaceLost(Ns, String),
}

/// What a counter of nftables holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Octets of their IP packets, headers included.
    pub octets: u64,
}

/// Where the host sends packets for an address, by routes that are not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Outgoing link.
    pub link: IfName,
    /// Its index.
    pub index: u32,
    /// The gateway, when the address is not on the link itself.
    pub via: Option<IpAddr>,
    /// Metric of the route used.
    pub metric: u32,
    /// The source address the kernel would use.
    pub source: Option<IpAddr>,
}
