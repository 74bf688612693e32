//! What must never be seen: a packet that passes while something changes, though it may pass neither before nor after.

use petiole_netns_tests::{
    Hammer, Lab, LabError, Node, Place, Probe, Question,
    Requirement::{self, Nft, Petiole, Root},
    Service, Snapshot, holds, skip,
    speaker::petiole::CONFIG,
    wait_until,
};

use crate::common::{
    contiv::{PATIENCE, addresses_of},
    lone::{self, HOST, settled},
    policy::{
        HOSTS, POLICY_LAB, ROUTED, container, knows_all, members, policies, reload as reload_both, respond,
        up,
    },
};

const LONE_LAB: &[Requirement] = &[Root, Petiole, Nft];
/// How often something is changed while somebody asks all the time.
const TIMES: usize = 50;

const GROUPS: &str = r#"
[[network]]
name = "inside"
encap = "routed"
subnet = "192.168.1.0/24"
subnet6 = "2001:db8:1::/64"
quarantine = 0

[[group]]
name = "client"
network = "inside"

[[group]]
name = "server"
network = "inside"
policies = ["own"]
"#;

/// The ways to deny a client TCP to port 8000, one as good as another.
const DENIALS: [&str; 3] = [
    r#"{ id = "1", protocol = "tcp", from-group = "client", action = "deny" }"#,
    r#"{ id = "2", from-group = "client", action = "deny", priority = 50 },
       { id = "3", protocol = "tcp", port = 8001, from-group = "client", priority = 60 }"#,
    r#"{ id = "1", protocol = "tcp", port = "7000-9000", from-group = "client", action = "deny", priority = 9 },
       { id = "4", protocol = "udp", from-group = "client" }"#,
];

fn config(rules: &str, more: &str) -> String {
    format!("{}{GROUPS}\n[[policy]]\nname = \"own\"\nrules = [{rules}]\n{more}", lone::BASE)
}

fn reload(host: Node<'_>, rules: &str, more: &str) -> Result<(), LabError> {
    host.petiole().write_config(&config(rules, more))?;
    host.petiole().reload()
}

fn add(host: Node<'_>, name: &str, group: &str) -> Result<[std::net::IpAddr; 2], LabError> {
    if !host.container(name).exists() {
        host.netns_add(name)?;
    }
    host.petiole().endpoint_add(&format!("{name} --group {group} --netns /run/netns/{name}"))?;
    addresses_of(&host.container(name))
}

fn silent(hammer: &Hammer, when: &str) {
    let answers = hammer.answers();
    assert!(answers.is_empty(), "{when}: {} answers: {:?}", answers.len(), &answers[..answers.len().min(5)]);
}

/// A client and a server, which answers.
fn two(rules: &str) -> Result<Lab, LabError> {
    let lab = lone::prepared("")?;
    let host = lab.node("host");
    host.petiole().write_config(&config(rules, ""))?;
    host.boot()?;
    host.petiole().wait_ready()?;
    add(host, "c1", "client")?;
    settled(host)?;
    Ok(lab)
}

#[test]
fn between_two_policies_that_deny_the_same_nothing_passes() -> Result<(), LabError> {
    if skip("atomic::between_two_policies_that_deny_the_same_nothing_passes", LONE_LAB) {
        return Ok(());
    }
    let lab = two(DENIALS[0])?;
    let host = lab.node("host");
    let server = add(host, "s1", "server")?;
    let _responder = host.container("s1").respond(&[Service::Tcp(8000)])?;
    settled(host)?;
    let hammer =
        host.container("c1").hammer(&server.map(|to| Question { service: Service::Tcp(8000), to }))?;
    for round in 0..TIMES {
        reload(host, DENIALS[(round + 1) % DENIALS.len()], "")?;
        silent(&hammer, &format!("reload {round}"));
    }
    hammer.goes_on()?;
    silent(&hammer, "after all reloads");
    reload(host, "", "")?;
    hammer.is_answered()?;
    lab.down()
}

#[test]
fn a_container_that_comes_and_goes_is_never_open_for_a_moment() -> Result<(), LabError> {
    if skip("atomic::a_container_that_comes_and_goes_is_never_open_for_a_moment", LONE_LAB) {
        return Ok(());
    }
    let lab = two("")?;
    let (host, world) = (lab.node("host"), lab.node("world"));
    let closed = r#"
[[group]]
name = "closed"
network = "inside"
default = "deny"
"#;
    // No pool of its own, that would say what the address is whoever has it.
    let fixed = "closed --address 192.168.1.200 --address 2001:db8:1::200";
    for (to, by) in [("192.168.1.0/24", HOST[0]), ("2001:db8:1::/64", HOST[1])] {
        world.run(&format!("ip route add {to} via {by}"))?;
    }
    reload(host, "", closed)?;
    let services = [Service::Tcp(8000), Service::Udp(8000), Service::Icmp];
    let member = host.netns_add("m1")?;
    let _responder = member.respond(&services)?;
    let addresses = add(host, "m1", fixed)?;
    let questions = services.map(|service| addresses.map(|to| Question { service, to })).concat();
    let hammers = [host.container("c1").hammer(&questions)?, world.hammer(&questions)?];
    let all_silent = |when: &str| hammers.iter().for_each(|hammer| silent(hammer, when));
    for round in 0..TIMES {
        host.petiole().endpoint_del("m1")?;
        add(host, "m1", fixed)?;
        all_silent(&format!("round {round}"));
    }
    host.petiole().endpoint_del("m1")?;
    // One of the file, whose namespace appears.
    let file = format!(
        "{closed}[[endpoint]]\nname = \"f1\"\ngroup = \"closed\"\nnetns = \"/run/netns/f1\"\n\
         address = \"192.168.1.200\"\naddress6 = \"2001:db8:1::200\"\n"
    );
    reload(host, "", &file)?;
    for round in 0..10 {
        host.netns_add("f1")?;
        assert_eq!(addresses_of(&host.container("f1"))?, addresses);
        for hammer in &hammers {
            hammer.goes_on()?;
        }
        host.netns_del("f1")?;
        wait_until("detachment", PATIENCE, || {
            let rows = host.petiole().rows("endpoints").map_err(|e| e.to_string())?;
            let attached = rows.iter().any(|row| row["name"] == "f1" && row["state"] == "attached");
            holds(!attached, format!("{rows:?}"))
        })?;
        all_silent(&format!("namespace {round}"));
    }
    // Open, both would have been answered.
    reload(host, "", &file.replace("\"deny\"", "\"allow\""))?;
    let open = host.netns_add("f1")?;
    assert_eq!(addresses_of(&open)?, addresses);
    for hammer in &hammers {
        hammer.is_answered()?;
    }
    lab.down()
}

#[test]
fn somebody_who_flushes_all_rules_opens_nothing_for_long() -> Result<(), LabError> {
    if skip("atomic::somebody_who_flushes_all_rules_opens_nothing_for_long", LONE_LAB) {
        return Ok(());
    }
    let lab = two(DENIALS[1])?;
    let host = lab.node("host");
    let server = add(host, "s1", "server")?;
    let services = [Service::Tcp(8000), Service::Udp(8000), Service::Icmp, Service::Protocol(253)];
    let _responder = host.container("s1").respond(&services)?;
    settled(host)?;
    let questions = services.map(|service| server.map(|to| Question { service, to })).concat();
    let rules = || Snapshot::with(&host, &["nft list ruleset"]);
    let counted = |snapshot: Snapshot| format!("{snapshot:?}").split("counter").count();
    let before = counted(rules()?);
    for damage in ["flush ruleset", "delete table inet petiole", "flush table inet petiole"] {
        // The last service has no ports: what passes in the meantime is one connection that goes on.
        let hammer = host.container("c1").hammer(&questions)?;
        host.run(&format!("nft {damage}"))?;
        wait_until(&format!("repair after {damage}"), PATIENCE, || {
            let now = counted(rules().map_err(|e| e.to_string())?);
            holds(now == before, now)
        })?;
        settled(host)?;
        wait_until(&format!("silence after {damage}"), PATIENCE, || {
            let before = hammer.answers().len();
            hammer.goes_on().map_err(|e| e.to_string())?;
            hammer.goes_on().map_err(|e| e.to_string())?;
            let new = hammer.answers().split_off(before);
            holds(new.is_empty(), format!("{} answers: {:?}", new.len(), new.first()))
        })?;
    }
    lab.down()
}

/// The second groups deny what no rule is about; the first ones may do all.
fn only_the_first(lab: &Lab) -> Result<(), LabError> {
    for host in HOSTS.map(|host| lab.node(host)) {
        let config = host.read_file(CONFIG)?;
        let config =
            config.replace("policies = [\"policyAB\"]", "policies = [\"policyAB\"]\ndefault  = \"deny\"");
        host.petiole().write_config(&config)?;
    }
    reload_both(lab, &policies("{ id = \"1\", from-group = \"A\" }"))
}

#[test]
fn rules_and_members_outlive_the_daemon() -> Result<(), LabError> {
    if skip("atomic::rules_and_members_outlive_the_daemon", POLICY_LAB) {
        return Ok(());
    }
    let lab = up()?;
    let (host, leaf) = (lab.node("host1"), lab.node("leaf1"));
    let services = [Service::Tcp(8000), Service::Udp(8000)];
    let _responders = respond(&lab, &services)?;
    only_the_first(&lab)?;
    let to = addresses_of(&container(&lab, ROUTED, 'b', 1))?;
    let questions = [services[0], services[1], Service::Icmp]
        .map(|service| to.map(|to| Question { service, to }))
        .concat();
    let foreign = [1, 2].map(|host| container(&lab, ROUTED, 'c', host).hammer(&questions));
    let [near, far] = foreign;
    let foreign = [near?, far?];
    let allowed = [1, 2].map(|host| container(&lab, ROUTED, 'a', host).hammer(&questions));
    let [near, far] = allowed;
    let allowed = [near?, far?];
    let held = |when: &str| -> Result<(), LabError> {
        foreign.iter().try_for_each(Hammer::goes_on)?;
        for hammer in &foreign {
            silent(hammer, when);
        }
        Ok(())
    };
    held("before")?;
    allowed.iter().try_for_each(Hammer::is_answered)?;
    // Elements and chains, without what counts.
    let remote = ["20.1.1.101 ", "20.1.1.103 "];
    let remembered = |when: &str| -> Result<(), LabError> {
        let map = members(host, 4)?;
        assert!(remote.iter().all(|address| map.contains(address)), "{when}:\n{map}");
        Ok(())
    };
    let rules = host.run("nft -s list table inet petiole")?;

    host.petiole().kill()?;
    held("killed")?;
    allowed[0].is_answered()?;
    assert_eq!(host.run("nft -s list table inet petiole")?, rules);
    // The leaf does not talk to it for now.
    let bgp = |no: &str| {
        [50, 2001].map(|family| {
            let neighbor = if family == 50 { "50.1.1.1" } else { "2001:db8:50::1" };
            format!("{no}neighbor {neighbor} shutdown")
        })
    };
    let [v4, v6] = bgp("");
    leaf.frr().configure(&["router bgp 500", &v4, &v6])?;
    host.petiole().start()?;
    host.petiole().wait_ready()?;
    held("started, without a session")?;
    allowed[0].is_answered()?;
    remembered("started, without a session")?;
    let [v4, v6] = bgp("no ");
    leaf.frr().configure(&["router bgp 500", &v4, &v6])?;
    host.petiole().wait_established("leaf1")?;
    host.petiole().wait_established("leaf1-v6")?;
    knows_all(host)?;
    held("with sessions")?;
    allowed.iter().try_for_each(Hammer::is_answered)?;
    remembered("with sessions")?;
    held("at last")?;
    lab.down()
}
