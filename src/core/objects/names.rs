//! The names of our links, and the marks by which they are known again after a crash.

use petiole_config::model::ScopedName;
use petiole_fib::model::IfName;

/// The beginning of names of links that containers' packets pass to be limited.
const IFB: &str = "pi-";

/// The mark of a container's link (`IFLA_IFALIAS`).
pub(crate) fn endpoint_alias(endpoint: &ScopedName) -> String {
    format!("petiole:endpoint={endpoint}")
}

/// The endpoint that a link's mark names.
pub(crate) fn endpoint_of_alias(alias: &str) -> Option<ScopedName> {
    alias.strip_prefix("petiole:endpoint=")?.parse().ok()
}

/// The mark of a network's links.
pub(crate) fn network_alias(network: &ScopedName) -> String {
    format!("petiole:network={network}")
}

/// The name of a container's link on the host.
pub(crate) fn outer(endpoint: &ScopedName) -> IfName {
    link("pt", endpoint)
}

/// The name of the link that what leaves a container passes, if that is limited: from the name of its own.
pub(crate) fn ifb(outer: &IfName) -> IfName {
    let name = outer.as_str();
    let name = name.strip_prefix("pt-").unwrap_or(name);
    // An outer link's name is ASCII.
    let name = name.get(..name.len().min(IfName::MAX - IFB.len())).unwrap_or(name);
    IfName::new(&format!("{IFB}{name}")).expect("at most 15 ASCII characters")
}

/// Whether a link of ours is one of these.
pub(crate) fn is_ifb(link: &IfName) -> bool {
    link.as_str().starts_with(IFB)
}

/// The mark of such a link.
pub(crate) fn limits_alias(outer: &IfName) -> String {
    format!("petiole:limits={outer}")
}

/// The name of a network's bridge.
pub(crate) fn bridge(network: &ScopedName) -> IfName {
    link("pb", network)
}

/// The name of a VLAN's subinterface: tags are unique on a host.
pub(crate) fn vlan(tag: u16) -> IfName {
    IfName::new(&format!("pv-{tag}")).expect("at most 8 ASCII characters")
}

/// The name of a VXLAN device: VNIs are unique on a host.
pub(crate) fn vxlan(vni: u32) -> IfName {
    IfName::new(&format!("px-{vni}")).expect("at most 13 ASCII characters")
}

/// `PREFIX-NAME` in the default tenant where that fits and is a valid name, else the beginning of the name and a hash
/// of all of it with its tenant, so that it is the same after every restart.
fn link(prefix: &str, name: &ScopedName) -> IfName {
    let text = name.to_string();
    if !text.contains('/')
        && let Some(plain) = IfName::new(&format!("{prefix}-{text}"))
    {
        return plain;
    }
    // FNV-1a: stable over versions, and a clash is only a refused object, not a security matter.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let start: String = name.name.as_str().chars().take(4).collect();
    IfName::new(&format!("{prefix}-{start}-{:07x}", hash & 0x0fff_ffff)).expect("at most 15 ASCII characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scoped(text: &str) -> ScopedName {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_is_named_after_its_container_where_that_fits_and_always_the_same() {
        let outer = |n: &str| outer(&scoped(n)).to_string();
        assert_eq!(outer("web1"), "pt-web1");
        assert_eq!(outer("twelve-chars"), "pt-twelve-chars");
        let long = outer("a-name-that-is-longer-than-a-link-can-be");
        assert_eq!(long.len(), IfName::MAX);
        assert_eq!(long, outer("a-name-that-is-longer-than-a-link-can-be"));
        assert_ne!(long, outer("a-name-that-is-longer-than-a-link-may-be"));
    }

    #[test]
    fn each_container_has_its_own_link_for_limits() {
        let of = |n: &str| ifb(&outer(&scoped(n))).to_string();
        assert_eq!(of("web1"), "pi-web1");
        assert_eq!(of("twelve-chars"), "pi-twelve-chars");
        assert_ne!(
            of("a-name-that-is-longer-than-a-link-can-be"),
            of("a-name-that-is-longer-than-a-link-may-be")
        );
        assert_ne!(of("blue/web1"), of("red/web1"));
        assert!(is_ifb(&ifb(&outer(&scoped("web1")))) && !is_ifb(&outer(&scoped("pi-web1"))));
    }

    #[test]
    fn equal_names_of_two_tenants_have_different_links() {
        assert_ne!(bridge(&scoped("net")), bridge(&scoped("blue/net")));
        assert_ne!(bridge(&scoped("red/net")), bridge(&scoped("blue/net")));
    }

    #[test]
    fn an_alias_names_its_endpoint() {
        for name in ["web1", "blue/web1"] {
            assert_eq!(endpoint_of_alias(&endpoint_alias(&scoped(name))), Some(scoped(name)));
        }
        assert_eq!(endpoint_of_alias("petiole:network=web1"), None);
    }
}
