//! `[[group]]`.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    Unique,
    known::Known,
    network::NetworkAt,
    subnet::{Frame, Reported, SubnetAt, apart, common},
    tenant::Tenants,
};
use crate::{
    diagnostic::Kind,
    family::{Family, overlap},
    found::{At, Found},
    model::{AddrRange, DefaultAction, Group, GroupId, ScopedName},
    schema::{
        self,
        read::{List, Written},
    },
};

/// A group. What is wrong with one part of it leaves the others.
pub(super) struct GroupAt {
    pub(super) id: ScopedName,
    /// The network that it names, when there is one.
    pub(super) network: Option<ScopedName>,
    pub(super) v4: Result<Vec<AddrRange<Ipv4Addr>>, Reported>,
    pub(super) v6: Result<Vec<AddrRange<Ipv6Addr>>, Reported>,
}

impl GroupAt {
    /// The group, when nothing is wrong with it.
    pub(super) fn into_config(self) -> Option<Group> {
        Some(Group {
            number: GroupId::of_name(&self.id),
            id: self.id,
            network: self.network?,
            policies: Vec::new(),
            default: DefaultAction::Allow,
            profile: None,
            all4: Vec::new(),
            all6: Vec::new(),
            v4: self.v4.ok()?,
            v6: self.v6.ok()?,
        })
    }
}

pub(super) fn groups(
    raw: &[At<schema::Group>],
    tenants: &Tenants,
    networks: &[NetworkAt],
    known: &Known<'_>,
    found: &mut Found<'_>,
) -> Vec<GroupAt> {
    let by_id: HashMap<_, _> = networks.iter().map(|network| (&network.id, network)).collect();
    let mut names = Unique::new();
    let (mut v4, mut v6) = (Claims::new(), Claims::new());
    let mut groups = Vec::new();
    for At { value: raw, .. } in raw {
        let tenant = tenants.of(&raw.tenant, found);
        let id = tenant.clone().zip(raw.name.get());
        let id = id.map(|(tenant, at)| ScopedName::new(tenant, at.value.clone()));
        if let (Some(id), Some(At { span, .. })) = (&id, raw.name.get()) {
            names.claim(id.clone(), span, found, || format!("two groups are called `{id}`"));
        }
        let network =
            tenant.zip(raw.network.get()).and_then(|(tenant, at)| known.find_network(&tenant, at, found));
        let network = network.and_then(|view| by_id.get(view.id).copied());
        let own4 = pool(&raw.pool, network.map(|network| (&network.id, &network.v4)), &mut v4, found);
        let own6 = pool(&raw.pool6, network.map(|network| (&network.id, &network.v6)), &mut v6, found);
        let Some(id) = id else { continue };
        groups.push(GroupAt { id, network: network.map(|network| network.id.clone()), v4: own4, v6: own6 });
    }
    v4.report(found);
    v6.report(found);
    groups
}

/// What a group has for itself; empty when that is nothing.
fn pool<'a, A: Family>(
    written: &Written<List<AddrRange<A>>>,
    network: Option<(&'a ScopedName, &'a SubnetAt<A>)>,
    claims: &mut Claims<'a, A>,
    found: &mut Found<'_>,
) -> Result<Vec<AddrRange<A>>, Reported> {
    let list = match written {
        Written::Is(list) => list,
        Written::Absent => return Ok(Vec::new()),
        Written::Bad => return Err(Reported),
    };
    let (name, subnet) = network.ok_or(Reported)?;
    let suffix = A::SUFFIX;
    if let Ok(None) = subnet.subnet {
        found
            .error(Kind::Conflict, &list.span, format!("network `{name}` has no {}", A::NAME))
            .help(format!("leave out `pool{suffix}`, or give the network a `subnet{suffix}`"));
        return Err(Reported);
    }
    if let Some(span) = written.empty() {
        found
            .error(Kind::BadValue, span, "an empty pool has no addresses")
            .help(format!("leave out `pool{suffix}` for what no group of the network has for itself"));
        return Err(Reported);
    }
    let share = subnet.share.as_ref().ok_or(Reported)?;
    let frame = Frame {
        ranges: &share.value,
        name: format!("the pool of network `{name}`"),
        span: &share.span,
        label: "the network's pool",
    };
    let ranges = apart("the group's pool", &list.value.items, &frame, found).ok_or(Reported)?;
    claims.of.entry(name).or_default().extend(list.value.items.iter().cloned());
    let whole = match &subnet.subnet {
        Ok(Some(whole)) if written.is_complete() => whole,
        _ => return Err(Reported),
    };
    // The gateway and what is excluded may lie among the group's addresses, as among the network's.
    let left = common(&ranges, &whole.pool);
    if left.is_empty() {
        found
            .error(
                Kind::BadValue,
                &list.span,
                format!("no address of network `{name}` is left for the group"),
            )
            .note("what the network never gives out, its groups do not either");
        return Err(Reported);
    }
    Ok(left)
}

/// What the groups of each network have for themselves.
struct Claims<'a, A: Family> {
    of: HashMap<&'a ScopedName, Vec<At<AddrRange<A>>>>,
}

impl<A: Family> Claims<'_, A> {
    fn new() -> Self {
        Self { of: HashMap::new() }
    }

    /// Reports what two groups of a network have.
    fn report(self, found: &mut Found<'_>) {
        for (network, mut claims) in self.of {
            claims.sort_by_key(|at| (at.value, at.span.start));
            let mut widest: Option<&At<AddrRange<A>>> = None;
            for this in &claims {
                if let Some(other) = widest.filter(|other| overlap(&other.value, &this.value)) {
                    let (first, second) =
                        if other.span.start < this.span.start { (other, this) } else { (this, other) };
                    found
                        .error(
                            Kind::Overlap,
                            &second.span,
                            format!(
                                "two groups of network `{network}` have {} and {}, which overlap",
                                first.value, second.value
                            ),
                        )
                        .also(first.span.clone(), "already here");
                }
                if widest.is_none_or(|other| other.value.last() < this.value.last()) {
                    widest = Some(this);
                }
            }
        }
    }
}
