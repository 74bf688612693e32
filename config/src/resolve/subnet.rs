//! The addresses of a network in one family: `subnet`, `gateway`, `pool`, `exclude`.

use crate::{
    diagnostic::Kind,
    family::{Family, overlap, range_of},
    found::{At, Found, Span},
    model::{AddrRange, Subnet},
    schema::read::{List, Written},
};

/// What the keys of one family say. What is wrong with one of them leaves the others.
pub(super) struct SubnetAt<A: Family> {
    /// The addresses, and where they are written; `None` when they are not, or cannot be a network's.
    pub(super) whole: Option<At<AddrRange<A>>>,
    /// Where the pool is written, and what it says: ascending, with those parts that are never given out.
    pub(super) share: Option<At<Vec<AddrRange<A>>>>,
    /// The host has routes to them, or would have if nothing were wrong.
    pub(super) host_routes: bool,
    /// The subnet, or none of this family.
    pub(super) subnet: Result<Option<Subnet<A>>, Reported>,
}

/// Something is wrong, and has been reported.
#[derive(Clone, Copy)]
pub(super) struct Reported;

/// The keys of one family.
pub(super) struct Keys<'a, A: Family> {
    pub(super) net: &'a Written<A::Net>,
    pub(super) gateway: &'a Written<A>,
    pub(super) pool: &'a Written<List<AddrRange<A>>>,
    pub(super) exclude: &'a Written<List<AddrRange<A>>>,
    /// Containers of a routed network always have a gateway.
    pub(super) routed: bool,
}

/// What a list of ranges has to be inside of.
pub(super) struct Frame<'a, A> {
    /// Ascending and apart from each other.
    pub(super) ranges: &'a [AddrRange<A>],
    /// "the subnet 10.0.0.0/24".
    pub(super) name: String,
    /// Where it is written.
    pub(super) span: &'a Span,
    /// What to say there.
    pub(super) label: &'static str,
}

/// The addresses of one family.
pub(super) fn subnet<A: Family>(keys: &Keys<'_, A>, found: &mut Found<'_>) -> SubnetAt<A> {
    let none = |subnet| SubnetAt { whole: None, share: None, host_routes: false, subnet };
    let At { value: net, span } = match keys.net {
        Written::Is(at) => at,
        Written::Bad => return none(Err(Reported)),
        Written::Absent => return none(without_subnet(keys, found)),
    };
    let Some(whole) = range_of::<A>(*net) else { return none(Err(Reported)) };
    let usable = is_usable::<A>(*net, whole, span, found);
    let gateway = gateway(keys, *net, &whole, span, found);
    let frame = Frame {
        ranges: std::slice::from_ref(&whole),
        name: format!("the subnet {net}"),
        span,
        label: "the subnet",
    };
    let share = share(keys, &frame, found);
    let exclude = exclude(keys, &frame, found);
    // A gateway that could not be read leaves a pool that is not used.
    let known = gateway.unwrap_or_default();
    let pool = match (&share, exclude) {
        (Some(share), Some(exclude)) => pool::<A>(*net, known, share, &exclude, found),
        _ => None,
    };
    let whole = usable.then(|| At { value: whole, span: span.clone() });
    let subnet = match (&whole, gateway, pool) {
        (Some(_), Ok(gateway), Some(pool)) => Ok(Some(Subnet { net: *net, gateway, pool })),
        _ => Err(Reported),
    };
    SubnetAt { whole, share, host_routes: keys.routed || keys.gateway.is_written(), subnet }
}

/// Nothing else of a family makes sense without its subnet.
fn without_subnet<A: Family>(
    keys: &Keys<'_, A>,
    found: &mut Found<'_>,
) -> Result<Option<Subnet<A>>, Reported> {
    let suffix = A::SUFFIX;
    let spans = [
        ("gateway", keys.gateway.get().map(|at| &at.span)),
        ("pool", keys.pool.get().map(|at| &at.span)),
        ("exclude", keys.exclude.get().map(|at| &at.span)),
    ];
    for (key, span) in spans.iter().filter_map(|(key, span)| Some((key, (*span)?))) {
        found
            .error(Kind::Conflict, span, format!("`{key}{suffix}` without `subnet{suffix}`"))
            .help(format!("add `subnet{suffix} = \"{}\"`, or what is right here", A::EXAMPLE_NET));
    }
    if spans.iter().all(|(_, span)| span.is_none()) { Ok(None) } else { Err(Reported) }
}

/// Whether containers can have these addresses.
fn is_usable<A: Family>(net: A::Net, whole: AddrRange<A>, span: &Span, found: &mut Found<'_>) -> bool {
    let (_, _, length) = A::parts(net);
    if !(A::SHORTEST..=A::LONGEST).contains(&length) {
        found.error(Kind::BadValue, span, format!("a network cannot be a /{length}")).label(format!(
            "allowed is /{} to /{}",
            A::SHORTEST,
            A::LONGEST
        ));
        return false;
    }
    if let Some(what) = A::special(whole) {
        found
            .error(Kind::BadValue, span, format!("containers cannot have addresses of {net}: {what}"))
            .label(format!("for example {}", A::EXAMPLE_NET));
        return false;
    }
    true
}

/// The gateway; `None` in a bridged network that has none.
fn gateway<A: Family>(
    keys: &Keys<'_, A>,
    net: A::Net,
    whole: &AddrRange<A>,
    subnet: &Span,
    found: &mut Found<'_>,
) -> Result<Option<A>, Reported> {
    let At { value: gateway, span } = match keys.gateway {
        Written::Is(at) => at,
        Written::Bad => return Err(Reported),
        Written::Absent => return Ok(keys.routed.then_some(A::LINK_GATEWAY)),
    };
    if let Some((_, what)) = A::reserved(net).into_iter().find(|(address, _)| address == gateway) {
        found
            .error(Kind::BadValue, span, format!("the gateway {gateway} is {what} of {net}"))
            .also(subnet.clone(), "the subnet");
        return Err(Reported);
    }
    if whole.contains(*gateway) || gateway.is_link_local() {
        return Ok(Some(*gateway));
    }
    let error = found.error(Kind::Outside, span, format!("the gateway {gateway} is not in the subnet {net}"));
    error.label("neither in the subnet nor link-local").also(subnet.clone(), "the subnet");
    if keys.routed {
        error.help(format!("leave out `gateway{}` for {}", A::SUFFIX, A::LINK_GATEWAY));
    }
    Err(Reported)
}

/// This host's share as written: ascending, touching parts made one.
fn share<A: Family>(
    keys: &Keys<'_, A>,
    subnet: &Frame<'_, A>,
    found: &mut Found<'_>,
) -> Option<At<Vec<AddrRange<A>>>> {
    let list = match keys.pool {
        Written::Bad => return None,
        Written::Absent => return Some(At { value: subnet.ranges.to_vec(), span: subnet.span.clone() }),
        Written::Is(list) => list,
    };
    if let Some(span) = keys.pool.empty() {
        found
            .error(Kind::BadValue, span, "an empty pool has no addresses")
            .help(format!("leave out `pool{}` for the whole subnet", A::SUFFIX));
        return None;
    }
    let value = apart("the pool", &list.value.items, subnet, found)?;
    keys.pool.is_complete().then(|| At { value, span: list.span.clone() })
}

/// What somebody else has: ascending and apart.
fn exclude<A: Family>(
    keys: &Keys<'_, A>,
    subnet: &Frame<'_, A>,
    found: &mut Found<'_>,
) -> Option<Vec<AddrRange<A>>> {
    let list = keys.exclude.items();
    let good = inside("the exclusion", list, subnet, found);
    (good && keys.exclude.is_complete()).then(|| united(list.iter().map(|at| at.value).collect()))
}

/// What may be given out: the share without what never is.
fn pool<A: Family>(
    net: A::Net,
    gateway: Option<A>,
    share: &At<Vec<AddrRange<A>>>,
    exclude: &[AddrRange<A>],
    found: &mut Found<'_>,
) -> Option<Vec<AddrRange<A>>> {
    let taken = A::reserved(net).into_iter().map(|(address, _)| address).chain(gateway);
    let single = taken.filter_map(|address| AddrRange::new(address, address));
    let never = united(single.chain(exclude.iter().copied()).collect());
    let left = minus(&share.value, &never);
    if left.is_empty() {
        found
            .error(Kind::BadValue, &share.span, format!("no address of {net} is left for a container"))
            .note(if exclude.is_empty() {
                "the gateway, the network and the broadcast address are never given out"
            } else {
                "the gateway, the network and the broadcast address and what is excluded are never given out"
            });
        return None;
    }
    Some(left)
}

/// The written ranges inside their frame, ascending, touching ones made one; `None` after reporting that some are not
/// inside, or overlap. The same addresses make the same list, however they are written.
pub(super) fn apart<A: Family>(
    noun: &str,
    list: &[At<AddrRange<A>>],
    frame: &Frame<'_, A>,
    found: &mut Found<'_>,
) -> Option<Vec<AddrRange<A>>> {
    let mut ok = inside(noun, list, frame, found);
    let mut sorted: Vec<_> = list.iter().collect();
    sorted.sort_by_key(|at| (at.value, at.span.start));
    let mut widest: Option<&At<AddrRange<A>>> = None;
    for at in &sorted {
        if let Some(before) = widest.filter(|before| overlap(&before.value, &at.value)) {
            ok = false;
            let (first, second) =
                if before.span.start < at.span.start { (before, *at) } else { (*at, before) };
            found
                .error(
                    Kind::Overlap,
                    &second.span,
                    format!("{} and {} of a pool overlap", first.value, second.value),
                )
                .also(first.span.clone(), "already here");
        }
        if widest.is_none_or(|before| before.value.last() < at.value.last()) {
            widest = Some(at);
        }
    }
    ok.then(|| united(list.iter().map(|at| at.value).collect()))
}

/// Reports the ranges that are not inside their frame; `false` when there are some.
fn inside<A: Family>(
    noun: &str,
    list: &[At<AddrRange<A>>],
    frame: &Frame<'_, A>,
    found: &mut Found<'_>,
) -> bool {
    let mut ok = true;
    for At { value, span } in list {
        let before = frame.ranges.partition_point(|range| range.last() < value.first());
        let around = frame.ranges.get(before);
        if around.is_some_and(|range| range.contains(value.first()) && range.contains(value.last())) {
            continue;
        }
        ok = false;
        let name = if list.len() == 1 { noun.to_owned() } else { format!("this part of {noun}") };
        let shown: Vec<_> = frame.ranges.iter().take(5).map(ToString::to_string).collect();
        let more = if frame.ranges.len() > 5 { ", …" } else { "" };
        found
            .error(Kind::Outside, span, format!("{name}, {value}, is not inside {}", frame.name))
            .label(format!("{} is {}{more}", frame.label, shown.join(", ")))
            .also(frame.span.clone(), frame.label);
    }
    ok
}

/// Ascending and apart: ranges that overlap or touch made one.
pub(super) fn united<A: Family>(mut ranges: Vec<AddrRange<A>>) -> Vec<AddrRange<A>> {
    ranges.sort_unstable();
    let mut out: Vec<AddrRange<A>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let joined =
            out.last().filter(|last| overlap(last, &range) || above(last.last()) == Some(range.first()));
        match joined.and_then(|last| AddrRange::new(last.first(), last.last().max(range.last()))) {
            Some(joined) => {
                out.pop();
                out.push(joined);
            }
            None => out.push(range),
        }
    }
    out
}

/// What is in the ranges and in no hole; both are ascending and apart.
fn minus<A: Family>(ranges: &[AddrRange<A>], holes: &[AddrRange<A>]) -> Vec<AddrRange<A>> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().peekable();
    for range in ranges {
        let mut from = Some(range.first());
        while let (Some(start), Some(hole)) = (from, holes.peek()) {
            if hole.last() < start {
                holes.next();
                continue;
            }
            if hole.first() > range.last() {
                break;
            }
            left.extend(below(hole.first()).and_then(|last| AddrRange::new(start, last)));
            from = above(hole.last()).filter(|next| *next <= range.last());
        }
        left.extend(from.and_then(|start| AddrRange::new(start, range.last())));
    }
    left
}

/// What is in both; both are ascending and apart.
pub(super) fn common<A: Family>(a: &[AddrRange<A>], b: &[AddrRange<A>]) -> Vec<AddrRange<A>> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut both = Vec::new();
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        both.extend(AddrRange::new(x.first().max(y.first()), x.last().min(y.last())));
        if x.last() < y.last() {
            a.next()
        } else {
            b.next()
        };
    }
    both
}

fn below<A: Family>(address: A) -> Option<A> {
    address.to_bits().checked_sub(1).and_then(A::from_bits)
}

fn above<A: Family>(address: A) -> Option<A> {
    address.to_bits().checked_add(1).and_then(A::from_bits)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ranges(of: &[(u8, u8)]) -> Vec<AddrRange<Ipv4Addr>> {
        let address = |last| Ipv4Addr::from([10, 0, 0, last]);
        of.iter().map(|(first, last)| AddrRange::new(address(*first), address(*last)).unwrap()).collect()
    }

    #[test]
    fn ranges_that_overlap_or_touch_are_one() {
        assert_eq!(united(ranges(&[(7, 9), (1, 3), (4, 5), (8, 12)])), ranges(&[(1, 5), (7, 12)]));
        assert_eq!(united(ranges(&[(1, 9), (2, 3), (9, 9)])), ranges(&[(1, 9)]));
        let all = AddrRange::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).unwrap();
        assert_eq!(united(vec![all, all]), [all]);
    }

    #[test]
    fn holes_take_out_what_they_cover_over_several_ranges() {
        let left = |holes: &[(u8, u8)]| minus(&ranges(&[(1, 5), (7, 12), (20, 20)]), &ranges(holes));
        assert_eq!(left(&[]), ranges(&[(1, 5), (7, 12), (20, 20)]));
        assert_eq!(left(&[(4, 8)]), ranges(&[(1, 3), (9, 12), (20, 20)]));
        assert_eq!(left(&[(0, 1), (3, 3), (12, 30)]), ranges(&[(2, 2), (4, 5), (7, 11)]));
        assert_eq!(left(&[(0, 255)]), ranges(&[]));
        assert_eq!(left(&[(6, 6), (13, 19)]), ranges(&[(1, 5), (7, 12), (20, 20)]));
    }

    #[test]
    fn what_is_common_is_in_both() {
        let (a, b) = (ranges(&[(1, 5), (7, 12)]), ranges(&[(0, 1), (4, 8), (12, 20)]));
        assert_eq!(common(&a, &b), ranges(&[(1, 1), (4, 5), (7, 8), (12, 12)]));
        assert_eq!(common(&b, &a), common(&a, &b));
        assert_eq!(common(&a, &ranges(&[(6, 6)])), []);
    }
}
