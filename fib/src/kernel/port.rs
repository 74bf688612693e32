//! A link as port of a bridge: `IFLA_MASTER`, and `IFLA_BRPORT_*` (linux/if_link.h).
//!
//! The settings come in two wrappings: in every announcement of the link (`IFLA_INFO_SLAVE_DATA`), and in the bridge's
//! own announcements about its ports, which travel under the numbers of link announcements with the family
//! `AF_BRIDGE` (`IFLA_PROTINFO`). A change by `bridge link set` is told by the latter alone; there a "deleted link" is
//! a port that left its bridge.

use super::{
    codec::{Message, Writer, attributes, attributes_after, text_of, u32_at, u32_of},
    uapi::{
        AF_BRIDGE, IFLA_BRPORT_ISOLATED, IFLA_BRPORT_LEARNING, IFLA_BRPORT_MODE, IFLA_BRPORT_NEIGH_SUPPRESS,
        IFLA_INFO_SLAVE_DATA, IFLA_INFO_SLAVE_KIND, IFLA_LINKINFO, IFLA_MASTER, IFLA_PROTINFO, RTM_DELLINK,
        RTM_NEWLINK,
    },
};
use crate::model::{BridgePort, IfName};

/// `sizeof(struct ifinfomsg)`.
const FIXED: usize = 16;

/// The settings of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    isolated: bool,
    hairpin: bool,
    neigh_suppress: bool,
    learning: bool,
}

impl Default for Flags {
    /// As the kernel makes a new port.
    fn default() -> Self {
        Self { isolated: false, hairpin: false, neigh_suppress: false, learning: true }
    }
}

impl Flags {
    /// What is wanted of a port.
    pub(super) fn of(port: &BridgePort) -> Self {
        let BridgePort { isolated, hairpin, neigh_suppress, learning, bridge: _ } = *port;
        Self { isolated, hairpin, neigh_suppress, learning }
    }

    /// In the model's form.
    pub(super) fn on(self, bridge: IfName) -> BridgePort {
        let Self { isolated, hairpin, neigh_suppress, learning } = self;
        BridgePort { bridge, isolated, hairpin, neigh_suppress, learning }
    }

    /// Writes them as a change of a link that is a port by then.
    pub(super) fn encode(self, w: &mut Writer) {
        w.nested(IFLA_LINKINFO, |w| {
            w.nested(IFLA_INFO_SLAVE_DATA, |w| {
                w.u8(IFLA_BRPORT_ISOLATED, self.isolated.into());
                w.u8(IFLA_BRPORT_MODE, self.hairpin.into());
                w.u8(IFLA_BRPORT_NEIGH_SUPPRESS, self.neigh_suppress.into());
                w.u8(IFLA_BRPORT_LEARNING, self.learning.into());
            });
        });
    }

    fn decode(data: &[u8]) -> Self {
        let mut flags = Self::default();
        for (number, payload) in attributes(data) {
            let place = match number {
                IFLA_BRPORT_ISOLATED => &mut flags.isolated,
                IFLA_BRPORT_MODE => &mut flags.hairpin,
                IFLA_BRPORT_NEIGH_SUPPRESS => &mut flags.neigh_suppress,
                IFLA_BRPORT_LEARNING => &mut flags.learning,
                _ => continue,
            };
            *place = payload.first().is_some_and(|byte| *byte != 0);
        }
        flags
    }
}

/// Reads the payload of `IFLA_LINKINFO`. `None` when the link is no bridge's port.
pub(super) fn decode_info(info: &[u8]) -> Option<Flags> {
    let (mut of_bridge, mut flags) = (false, Flags::default());
    for (number, payload) in attributes(info) {
        match number {
            IFLA_INFO_SLAVE_KIND => of_bridge = text_of(payload) == Some("bridge"),
            IFLA_INFO_SLAVE_DATA => flags = Flags::decode(payload),
            _ => {}
        }
    }
    of_bridge.then_some(flags)
}

/// What a bridge says about one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    /// The port's interface index.
    pub(super) link: u32,
    /// The bridge's index, and how the port is set. `None`: it is no port any more.
    pub(super) port: Option<(u32, Flags)>,
}

/// Reads a bridge's announcement about a port. `None` when it is about something else, the bridge itself included.
pub(super) fn decode_news(message: Message<'_>) -> Option<News> {
    let removed = message.kind == RTM_DELLINK;
    if !removed && message.kind != RTM_NEWLINK || *message.body.first()? != AF_BRIDGE {
        return None;
    }
    let link = u32_at(message.body, 4)?;
    let (mut bridge, mut flags) = (None, None);
    for (number, payload) in attributes_after(message.body, FIXED) {
        match number {
            IFLA_MASTER => bridge = u32_of(payload),
            IFLA_PROTINFO => flags = Some(Flags::decode(payload)),
            _ => {}
        }
    }
    if removed {
        return bridge.filter(|bridge| *bridge != link).map(|_| News { link, port: None });
    }
    Some(News { link, port: Some((bridge.filter(|bridge| *bridge != link)?, flags?)) })
}
