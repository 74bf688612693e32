//! `[[group]]`.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    Unique,
    known::Known,
    named::Named,
    network::NetworkAt,
    subnet::{Frame, Reported, SubnetAt, apart, common},
    tenant::Tenants,
};
use crate::{
    diagnostic::Kind,
    family::{Family, overlap},
    found::{At, Found, Span},
    model::{AddrRange, DefaultAction, Group, GroupId, Name, ScopedName},
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
    pub(super) v4: Result<Own<Ipv4Addr>, Reported>,
    pub(super) v6: Result<Own<Ipv6Addr>, Reported>,
    /// `None`: it could not be read.
    pub(super) number: Option<GroupId>,
    /// Where it is written, else where the name is that it is made of.
    pub(super) number_span: Span,
    /// It is written.
    pub(super) has_id: bool,
    /// `None`: something is wrong with them.
    pub(super) policies: Option<Vec<ScopedName>>,
    pub(super) profile: Result<Option<ScopedName>, Reported>,
    default: Option<DefaultAction>,
}

/// The addresses that a group has for itself.
pub(super) struct Own<A: Family> {
    /// All of them.
    pub(super) all: Vec<AddrRange<A>>,
    /// Those that this host gives out.
    pub(super) left: Vec<AddrRange<A>>,
}

impl GroupAt {
    /// The group, when nothing is wrong with it.
    pub(super) fn into_config(self) -> Option<Group> {
        let (v4, v6) = (self.v4.ok()?, self.v6.ok()?);
        Some(Group {
            id: self.id,
            network: self.network?,
            number: self.number?,
            policies: self.policies?,
            default: self.default?,
            profile: self.profile.ok()?,
            all4: v4.all,
            all6: v6.all,
            v4: v4.left,
            v6: v6.left,
        })
    }
}

/// What groups may name.
pub(super) struct Context<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) networks: &'a [NetworkAt],
    pub(super) known: &'a Known<'a>,
    pub(super) policies: &'a Named<'a, schema::Policy>,
    pub(super) profiles: &'a Named<'a, schema::Profile>,
}

pub(super) fn groups(
    raw: &[At<schema::Group>],
    context: &Context<'_>,
    found: &mut Found<'_>,
) -> Vec<GroupAt> {
    let by_id: HashMap<_, _> = context.networks.iter().map(|network| (&network.id, network)).collect();
    let mut names = Unique::new();
    let (mut v4, mut v6) = (Claims::new(), Claims::new());
    let mut groups = Vec::new();
    for At { value: raw, .. } in raw {
        let tenant = context.tenants.of(&raw.tenant, found);
        let id = tenant.clone().zip(raw.name.get());
        let id = id.map(|(tenant, at)| ScopedName::new(tenant, at.value.clone()));
        if let (Some(id), Some(At { span, .. })) = (&id, raw.name.get()) {
            names.claim(id.clone(), span, found, || format!("two groups are called `{id}`"));
        }
        let named = tenant.as_ref().zip(raw.network.get());
        let network = named.and_then(|(tenant, at)| context.known.find_network(tenant, at, found));
        let network = network.and_then(|view| by_id.get(view.id).copied());
        let own4 = pool(&raw.pool, network.map(|network| (&network.id, &network.v4)), &mut v4, found);
        let own6 = pool(&raw.pool6, network.map(|network| (&network.id, &network.v6)), &mut v6, found);
        let policies = policies(&raw.policies, tenant.as_ref(), context.policies, found);
        let profile = match (&raw.profile, tenant.as_ref()) {
            (Written::Absent, _) => Ok(None),
            (Written::Is(at), Some(tenant)) => {
                context.profiles.find(tenant, at, found).map(Some).ok_or(Reported)
            }
            (Written::Is(_), None) | (Written::Bad, _) => Err(Reported),
        };
        let (Some(id), Some(name)) = (id, raw.name.get()) else { continue };
        groups.push(GroupAt {
            network: network.map(|network| network.id.clone()),
            v4: own4,
            v6: own6,
            number: match &raw.id {
                Written::Is(at) => GroupId::new(at.value.get()),
                Written::Absent => Some(GroupId::of_name(&id)),
                Written::Bad => None,
            },
            number_span: raw.id.get().map_or(&name.span, |at| &at.span).clone(),
            has_id: raw.id.is_written(),
            policies,
            profile,
            default: raw.default.or(DefaultAction::Allow),
            id,
        });
    }
    v4.report(found);
    v6.report(found);
    groups
}

/// The names of policies or profiles.
pub(super) type Used<'a> = HashSet<&'a ScopedName>;

/// The policies and profiles that groups name; `None` when something could not be read, and may have meant any.
pub(super) fn used(groups: &[GroupAt], complete: bool) -> Option<(Used<'_>, Used<'_>)> {
    let (mut policies, mut profiles) = (HashSet::new(), HashSet::new());
    for group in groups {
        policies.extend(group.policies.as_ref()?);
        profiles.extend(group.profile.as_ref().ok()?);
    }
    complete.then_some((policies, profiles))
}

/// The policies of a group, in its order.
fn policies(
    written: &Written<List<Name>>,
    tenant: Option<&Name>,
    all: &Named<'_, schema::Policy>,
    found: &mut Found<'_>,
) -> Option<Vec<ScopedName>> {
    let mut unique = Unique::new();
    let mut policies = Vec::new();
    let mut ok = written.is_complete();
    for at in written.items() {
        let twice = unique
            .claim(&at.value, &at.span, found, || format!("policy `{}` is in the list twice", at.value));
        ok &= twice.is_none();
        match tenant.and_then(|tenant| all.find(tenant, at, found)) {
            Some(id) => policies.push(id),
            None => ok = false,
        }
    }
    ok.then_some(policies)
}

/// What a group has for itself; empty when that is nothing.
fn pool<'a, A: Family>(
    written: &Written<List<AddrRange<A>>>,
    network: Option<(&'a ScopedName, &'a SubnetAt<A>)>,
    claims: &mut Claims<'a, A>,
    found: &mut Found<'_>,
) -> Result<Own<A>, Reported> {
    let list = match written {
        Written::Is(list) => list,
        Written::Absent => return Ok(Own { all: Vec::new(), left: Vec::new() }),
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
    Ok(Own { all: ranges, left })
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
