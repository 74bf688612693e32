//! How fast a container may send and receive: a token bucket each way.
//!
//! What goes into it passes the root of its link's end on the host. What comes out of it passes a link of its own, an IFB
//! that it is redirected to before the host looks at it: a bucket on the container's end would be the container's to
//! remove.

use petiole_config::model::{HostConfig, Limit, ScopedName};
use petiole_fib::model::{IfName, Key, Link, LinkKind, Ns, Object, Qdisc, TokenBucket};

use super::{names, sysctl};

/// What a link has that nobody says anything of (Ethernet).
const DEFAULT_MTU: u32 = 1500;

/// The limits of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of what leaves it.
    pub(crate) out: Option<Limit>,
    /// Of what comes to it.
    pub(crate) inward: Option<Limit>,
}

impl Limits {
    /// Those of a group's members.
    pub(crate) fn of(config: &HostConfig, group: Option<&ScopedName>) -> Self {
        let profile = group
            .and_then(|group| config.group(group)?.profile.as_ref())
            .and_then(|profile| config.profile(profile));
        profile.map_or_else(Self::default, |profile| Self { out: profile.out, inward: profile.inward })
    }
}

/// The objects that limit what passes the link of that name, a container's on the host.
pub(crate) fn limits(outer: &IfName, limits: Limits, mtu: Option<u32>) -> Vec<Object> {
    let bucket = |link: &IfName, limit: Limit| {
        let bucket = TokenBucket::new(limit.rate.octets(), limit.burst, mtu.unwrap_or(DEFAULT_MTU));
        Object::Qdisc(link.clone(), Qdisc::Bucket(bucket))
    };
    let mut objects: Vec<Object> = limits.inward.map(|limit| bucket(outer, limit)).into_iter().collect();
    if let Some(limit) = limits.out {
        let ifb = names::ifb(outer);
        let alias = Some(names::limits_alias(outer).into());
        let settings = Link { kind: LinkKind::Ifb, mac: None, mtu, up: true, alias, port: None };
        objects.extend([
            Object::Link(Ns::HOST, ifb.clone(), settings),
            // Nobody is to be reached there.
            sysctl(Ns::HOST, &format!("net/ipv6/conf/{ifb}/disable_ipv6"), "1"),
            bucket(&ifb, limit),
            Object::Redirect(outer.clone(), Some(ifb)),
        ]);
    }
    objects
}

/// Whether an object of a container only slows it down: nothing is unreachable for want of it.
pub(crate) fn is_limit(key: &Key) -> bool {
    match key {
        Key::Qdisc(_) | Key::Redirect(_) => true,
        Key::Link(Ns::HOST, link) => names::is_ifb(link),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use petiole_config::model::Bandwidth;

    use super::*;

    fn limit(bits: u64, burst: u32) -> Limit {
        Limit { rate: Bandwidth::new(bits).unwrap(), burst }
    }

    fn text(limits: Limits, mtu: Option<u32>) -> String {
        let objects = super::limits(&IfName::new("pt-web1").unwrap(), limits, mtu);
        objects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn without_limits_there_is_nothing() {
        assert_eq!(text(Limits::default(), Some(1450)), "");
    }

    #[test]
    fn into_the_container_is_one_bucket_and_out_of_it_a_link_with_one() {
        let inward = Some(limit(9 << 20, 80 << 10));
        assert_eq!(
            text(Limits { out: None, inward }, Some(1450)),
            "qdisc of pt-web1 rate 1179648 burst 81920 queue 29491"
        );
        let out = Some(limit(500 << 10, 80 << 10));
        assert_eq!(
            text(Limits { out, inward: None }, Some(1450)),
            "link pi-web1: ifb mtu 1450 alias petiole:limits=pt-web1 up\n\
             sysctl net/ipv6/conf/pi-web1/disable_ipv6 = 1\n\
             qdisc of pi-web1 rate 64000 burst 81920 queue 7340\n\
             redirect of pt-web1 to pi-web1"
        );
    }

    #[test]
    fn a_burst_of_nothing_still_lets_a_frame_of_the_links_mtu_through() {
        for (mtu, frame) in [(Some(9000), 9018), (None, 1518)] {
            let objects = limits(
                &IfName::new("pt-web1").unwrap(),
                Limits { out: None, inward: Some(limit(500 << 10, 0)) },
                mtu,
            );
            let [Object::Qdisc(_, Qdisc::Bucket(bucket))] = objects.as_slice() else { panic!("{objects:?}") };
            assert_eq!(bucket.burst_octets(), frame);
        }
    }

    #[test]
    fn limits_are_told_from_what_a_container_cannot_do_without() {
        let outer = IfName::new("pt-web1").unwrap();
        let both = Limits { out: Some(limit(1, 1)), inward: Some(limit(1, 1)) };
        let objects = limits(&outer, both, None);
        assert!(objects.iter().map(Object::key).all(|k| is_limit(&k) || matches!(k, Key::Sysctl(..))));
        assert!(!is_limit(&Key::Link(Ns::HOST, outer)));
    }
}
