//! How hosts know of each other's groups: a large community on host routes. What happens where there is none.

use petiole_netns_tests::{Lab, LabError, Node, Service, holds, skip, speaker::petiole::CONFIG, wait_until};

use crate::common::{
    contiv::PATIENCE,
    policy::{
        Asker, HOSTS, POLICY_LAB, ROUTED, all_as_expected, container, knows_all, members, policies, reload,
        up,
    },
    prefix,
};

/// ASN and the word that begin the large community which names a group.
const GROUP: &str = "65002:1735554416:";

/// The group's number on the route to a container, as a leaf has it.
fn number(leaf: Node<'_>, route: &str) -> Result<String, LabError> {
    wait_until(&format!("a group of {route} on {}", leaf.name()), PATIENCE, || {
        let paths = leaf.frr().paths_to(prefix(route)).map_err(|e| e.to_string())?;
        let all =
            paths.first().and_then(|path| path["largeCommunity"]["string"].as_str()).unwrap_or_default();
        let mut named = all.split(' ').filter_map(|community| community.strip_prefix(GROUP));
        let number = named.next().map(str::to_owned).ok_or_else(|| format!("{paths:?}"))?;
        holds(named.next().is_none(), "two groups")?;
        Ok::<_, String>(number)
    })
}

#[test]
fn routes_say_which_group_a_container_is_in() -> Result<(), LabError> {
    if skip("identity::routes_say_which_group_a_container_is_in", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    for leaf in ["leaf1", "leaf2"].map(|leaf| lab.node(leaf)) {
        let of = |host: u8, last: u8| -> Result<[String; 2], LabError> {
            let v4 = format!("20.1.1.{}/32", if host == 1 { last } else { 100 + last });
            Ok([number(leaf, &v4)?, number(leaf, &format!("2001:db8:14::{host}:{last}/128"))?])
        };
        let all = [of(1, 1)?, of(1, 2)?, of(1, 3)?];
        for (own, last) in all.iter().zip(1..) {
            assert_eq!(own[0], own[1], "of both families");
            assert_eq!(*own, of(2, last)?, "on both hosts");
        }
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2], "{all:?}");
    }

    // Withdrawn, nobody knows it any more; back in another group, it is in that.
    let (host1, host2) = (lab.node("host1"), lab.node("host2"));
    let known = |address: &str| -> Result<Option<String>, String> {
        let map = members(host1, 4).map_err(|e| e.to_string())?;
        let entry = map.split([',', '{', '}']).find(|entry| entry.contains(&format!(" {address} :")));
        Ok(entry.map(|entry| entry.split(" : ").nth(1).unwrap_or_default().trim().to_owned()))
    };
    let group_of = |name: &str| known(name).map(|k| k.and_then(|k| k.split(" . ").nth(1).map(str::to_owned)));
    let c1 = group_of("20.1.1.3").unwrap();
    let a2 = group_of("20.1.1.101").unwrap();
    assert!(c1.is_some() && a2.is_some() && a2 != c1, "{a2:?} {c1:?}");
    let config = host2.read_file(CONFIG)?;
    let a2_text = config.split("[[endpoint]]").find(|text| text.contains("\"a2\"")).unwrap();
    host2.petiole().write_config(&config.replace(&format!("[[endpoint]]{a2_text}"), ""))?;
    host2.petiole().reload()?;
    wait_until("a2 to be forgotten", PATIENCE, || {
        let known = known("20.1.1.101")?;
        holds(known.is_none(), format!("{known:?}"))
    })?;
    let moved = a2_text.replace("epgA", "epgC") + "address  = \"20.1.1.101\"\n";
    host2.petiole().write_config(&config.replace(a2_text, &moved))?;
    host2.petiole().reload()?;
    wait_until("a2 in its new group", PATIENCE, || {
        let group = group_of("20.1.1.101")?;
        holds(group == c1, format!("{group:?}"))
    })?;
    lab.down()
}

/// Has leaf1 tell host1 routes without large communities.
fn strip(lab: &Lab) -> Result<(), LabError> {
    lab.node("leaf1").frr().configure(&[
        "route-map STRIP permit 10",
        "set large-community none",
        "exit",
        "router bgp 500",
        "address-family ipv4 unicast",
        "neighbor 50.1.1.1 route-map STRIP out",
        "exit-address-family",
        "address-family ipv6 unicast",
        "neighbor 2001:db8:50::1 route-map STRIP out",
    ])
}

#[test]
fn where_the_fabric_drops_communities_denials_hold_and_permissions_do_not() -> Result<(), LabError> {
    if skip("identity::where_the_fabric_drops_communities_denials_hold_and_permissions_do_not", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let host1 = lab.node("host1");
    let b1 = container(&lab, ROUTED, 'b', 1);
    // From both hosts' containers of each group, and whether they are answered.
    let seen = |when: &str, a: [bool; 2], c: [bool; 2]| -> Result<(), LabError> {
        let mut askers = Vec::new();
        for (group, expected) in [('a', a), ('c', c)] {
            for (host, expected) in [1, 2].into_iter().zip(expected) {
                let asker = Asker::new(container(&lab, ROUTED, group, host));
                askers.push(asker.expects(&b1, Service::Icmp, expected)?);
            }
        }
        all_as_expected(when, &askers)
    };
    let deny = r#"{ id = "1", protocol = "icmp", from-group = "A", action = "deny" }"#;
    let allow = r#"{ id = "1", protocol = "icmp", from-group = "A", priority = 10 },
        { id = "2", protocol = "icmp", action = "deny" }"#;
    reload(&lab, &policies(deny))?;
    seen("deny, with communities", [false, false], [true, true])?;
    reload(&lab, &policies(allow))?;
    seen("allow, with communities", [true, true], [false, false])?;

    strip(&lab)?;
    for family in [4, 6] {
        wait_until("host2's containers to be unknown", PATIENCE, || {
            let map = members(host1, family).map_err(|e| e.to_string())?;
            holds(!map.contains(" 20.1.1.101 ") && !map.contains(" 2001:db8:14::2:1 "), map)
        })?;
    }
    seen("allow, without", [true, false], [false, false])?;
    reload(&lab, &policies(deny))?;
    // For all that is known here, c2 could be in the group.
    seen("deny, without", [false, false], [true, false])?;

    lab.node("leaf1").frr().configure(&["route-map STRIP permit 10", "no set large-community none"])?;
    for host in HOSTS {
        knows_all(lab.node(host))?;
    }
    seen("deny, with communities again", [false, false], [true, true])?;
    lab.down()
}
