//! How other hosts know who is in a group: by the group's number, or by addresses that are its own.

use std::collections::{HashMap, HashSet};

use super::{group::GroupAt, network::NetworkAt, policy::PolicyAt, subnet::SubnetAt};
use crate::{
    diagnostic::Kind,
    family::Family,
    found::{Found, Span},
    model::{Advertise, Encap, GroupId, Peer},
};

/// Whether the addresses of each family of a network are told to other hosts one by one, where it has the family.
struct Told {
    v4: Option<bool>,
    v6: Option<bool>,
}

impl Told {
    /// `None` when something is wrong with the network.
    fn of(network: &NetworkAt) -> Option<Self> {
        let each = network.advertise? == Advertise::Endpoints;
        Some(Self { v4: family(&network.v4, each)?, v6: family(&network.v6, each)? })
    }

    fn all(&self) -> bool {
        self.v4 != Some(false) && self.v6 != Some(false)
    }
}

#[allow(clippy::option_option, reason = "the outer one is whether it could be read")]
fn family<A: Family>(subnet: &SubnetAt<A>, each: bool) -> Option<Option<bool>> {
    let subnet = subnet.subnet.as_ref().ok()?;
    Some(subnet.as_ref().map(|subnet| each && subnet.gateway.is_some()))
}

/// Reports groups whose numbers are the same where they have to differ.
pub(super) fn numbers(groups: &[GroupAt], networks: &[NetworkAt], found: &mut Found<'_>) {
    let networks: HashMap<_, _> = networks.iter().map(|network| (&network.id, network)).collect();
    let mut numbers: HashMap<GroupId, &GroupAt> = HashMap::new();
    let mut in_packets: HashMap<u16, &GroupAt> = HashMap::new();
    let mut names = HashSet::new();
    for group in groups {
        let Some(number) = group.number else { continue };
        // Of two groups of one name the second has been reported, and has the first one's number.
        if !names.insert(&group.id) {
            continue;
        }
        if let Some(first) = numbers.get(&number) {
            let message = format!("groups `{}` and `{}` have the same number, {number}", first.id, group.id);
            clash(message, first, group, found);
            continue;
        }
        numbers.insert(number, group);
        let network = group.network.as_ref().and_then(|network| networks.get(network));
        let travels = network.is_some_and(|network| {
            matches!(network.encap, Some(Encap::Vxlan { .. }))
                && Told::of(network).is_some_and(|told| !told.all())
        });
        if !travels {
            continue;
        }
        let low = number.in_packets();
        if low == 0 {
            found
                .error(
                    Kind::BadValue,
                    &group.number_span,
                    format!("group `{}` would have no number in VXLAN packets", group.id),
                )
                .label("the lower 16 bits are 0")
                .note(IN_PACKETS)
                .help("choose an `id` that is no multiple of 65536, the same on every host");
        } else if let Some(first) = in_packets.get(&low) {
            let message = format!(
                "groups `{}` ({}) and `{}` ({number}) have the same number in VXLAN packets, {low}",
                first.id,
                first.number.map_or(0, GroupId::get),
                group.id,
            );
            clash(message, first, group, found).note(IN_PACKETS);
        } else {
            in_packets.insert(low, group);
        }
    }
}

const IN_PACKETS: &str = "in a vxlan network that does not advertise its endpoints, the lower 16 bits of the number \
                          travel in each packet, and are all that other hosts see of it";

fn clash<'f>(
    message: String,
    first: &GroupAt,
    second: &GroupAt,
    found: &'f mut Found<'_>,
) -> &'f mut crate::Diagnostic {
    let made = |group: &GroupAt| if group.has_id { "its number" } else { "its number is made of its name" };
    found
        .error(Kind::Duplicate, &second.number_span, message)
        .label(made(second))
        .also(first.number_span.clone(), made(first))
        .help("give one of them an `id` that no other group has, the same on every host")
}

/// Warns of groups that rules name and of which it cannot be known which containers of other hosts are in them; once for each group, where it
/// is first named.
pub(super) fn unknown(
    policies: &[PolicyAt],
    groups: &[GroupAt],
    networks: &[NetworkAt],
    found: &mut Found<'_>,
) {
    let groups: HashMap<_, _> = groups.iter().map(|group| (&group.id, group)).collect();
    let networks: HashMap<_, _> = networks.iter().map(|network| (&network.id, network)).collect();
    let mut seen = HashSet::new();
    for at in policies.iter().flat_map(|policy| &policy.rules) {
        let (Peer::Of { group: Some(id), .. }, Some(span)) = (&at.rule.peer, &at.group) else { continue };
        if !seen.insert(id) {
            continue;
        }
        let Some(group) = groups.get(id) else { continue };
        if let Some(network) = group.network.as_ref().and_then(|network| networks.get(network)) {
            unknown_group(group, network, span, found);
        }
    }
}

fn unknown_group(group: &GroupAt, network: &NetworkAt, span: &Span, found: &mut Found<'_>) {
    let (Some(told), Ok(v4), Ok(v6)) = (Told::of(network), &group.v4, &group.v6) else { return };
    let bridged = match network.encap {
        Some(Encap::Vlan { .. }) => true,
        Some(Encap::Routed) => false,
        Some(Encap::Vxlan { .. }) | None => return,
    };
    let lost4 = told.v4 == Some(false) && v4.left.is_empty();
    let lost6 = told.v6 == Some(false) && v6.left.is_empty();
    let (family, pools, gateways) = match (lost4, lost6) {
        (false, false) => return,
        (true, false) => ("IPv4 ", "a `pool`", "a `gateway`"),
        (false, true) => ("IPv6 ", "a `pool6`", "a `gateway6`"),
        (true, true) => ("", "a `pool` and a `pool6`", "a `gateway` and a `gateway6`"),
    };
    // Of a network of one family it need not be said which.
    let family = if told.v4.is_some() && told.v6.is_some() { family } else { "" };
    let kind = if bridged { "vlan" } else { "routed" };
    found
        .warning(span, format!("it cannot be known which containers of other hosts are in group `{}`", group.id))
        .label("known are those of this host alone")
        .note(format!(
            "its network `{}` is {kind} and does not advertise the {family}addresses of its containers, and the group \
             has none for itself",
            network.id
        ))
        .help(format!("give the group {pools} in the file of every host"))
        .help(if bridged {
            format!("or give the network {gateways} and `advertise = \"endpoints\"`, the default there")
        } else {
            "or let the network have `advertise = \"endpoints\"`, the default there".to_owned()
        })
        .help("or use a vxlan network, where the group's number travels in each packet");
}
