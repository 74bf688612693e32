//! The schema says of itself what the checker does: defaults are defaults, examples are taken.

use std::{io, path::Path};

use super::{
    AclRule, Api, Endpoint, Group, Host, Neighbor, Network, Policy, Profile, RoutePolicy, Rule, Set, State,
    Tenant, Uplink,
    read::{Key, Later, Presence, Section},
};
use crate::{Diagnostics, Files, HostConfig, Kind, SecretFile, parse};

struct Key1;

impl Files for Key1 {
    fn read_secret(&self, _: &Path) -> io::Result<SecretFile> {
        Ok(SecretFile { bytes: b"s3cret".into(), world_readable: false })
    }
}

/// A file with one of everything, and these lines put into one section. A line replaces the base's own for its key.
fn file(section: &str, line: &str) -> Result<HostConfig, Diagnostics> {
    let with = |title: &str, base: &[&str]| {
        let key = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_owned());
        let extra = Some(line).filter(|_| title == section);
        let base = base.iter().filter(|line| extra.is_none_or(|extra| key(extra) != key(line)));
        base.copied().chain(extra).map(str::to_owned).collect::<Vec<_>>()
    };
    let table = |title: &str, base: &[&str]| format!("{title}\n{}\n", with(title, base).join("\n"));
    let set = format!("{{ {} }}", with(Set::TITLE, &[]).join(", "));
    let rule =
        format!("{{ {} }}", with(Rule::TITLE, &["action = \"accept\"", &format!("set = {set}")]).join(", "));
    let acl_rule = format!("{{ {} }}", with(AclRule::TITLE, &["id = \"a\""]).join(", "));
    let text = [
        table(Host::TITLE, &["asn = 65002"]),
        table(Uplink::TITLE, &["interface = \"eth9\""]),
        table(Neighbor::TITLE, &["name = \"a\"", "address = \"10.9.9.9\"", "asn = 1", "import = \"all\""]),
        table(RoutePolicy::TITLE, &["name = \"a\""]),
        format!("[[route-policy]]\nname = \"b\"\nrules = [{rule}]\n"),
        table(Tenant::TITLE, &["name = \"t\""]),
        table(
            Network::TITLE,
            &["name = \"n\"", "subnet = \"192.168.1.0/24\"", "subnet6 = \"2001:db8:1::/64\""],
        ),
        table(Group::TITLE, &["name = \"g\"", "network = \"n\""]),
        table(Policy::TITLE, &["name = \"p\""]),
        format!("[[policy]]\nname = \"q\"\nrules = [{acl_rule}]\n"),
        table(Profile::TITLE, &["name = \"p\"", "bandwidth = \"1Mbps\"", "bandwidth-in = \"1Mbps\""]),
        table(Endpoint::TITLE, &["name = \"e\"", "network = \"n\"", "netns = \"/run/netns/e\""]),
        table(Api::TITLE, &[]),
        table(State::TITLE, &[]),
    ];
    parse("schema", &text.concat(), &Key1).map(|loaded| loaded.config)
}

/// Calls with the title, the keys and the later keys of each section.
fn sections(mut each: impl FnMut(&'static str, &'static [Key], &'static [Later])) {
    each(Host::TITLE, Host::KEYS, Host::LATER);
    each(Uplink::TITLE, Uplink::KEYS, Uplink::LATER);
    each(Neighbor::TITLE, Neighbor::KEYS, Neighbor::LATER);
    each(RoutePolicy::TITLE, RoutePolicy::KEYS, RoutePolicy::LATER);
    each(Rule::TITLE, Rule::KEYS, Rule::LATER);
    each(Set::TITLE, Set::KEYS, Set::LATER);
    each(Tenant::TITLE, Tenant::KEYS, Tenant::LATER);
    each(Network::TITLE, Network::KEYS, Network::LATER);
    each(Group::TITLE, Group::KEYS, Group::LATER);
    each(Policy::TITLE, Policy::KEYS, Policy::LATER);
    each(AclRule::TITLE, AclRule::KEYS, AclRule::LATER);
    each(Profile::TITLE, Profile::KEYS, Profile::LATER);
    each(Endpoint::TITLE, Endpoint::KEYS, Endpoint::LATER);
    each(Api::TITLE, Api::KEYS, Api::LATER);
    each(State::TITLE, State::KEYS, State::LATER);
}

#[test]
fn writing_a_default_changes_nothing() {
    let base = file("", "").unwrap();
    let mut seen = 0;
    sections(|title, keys, _| {
        for key in keys {
            if let Presence::Default(default) = key.presence {
                seen += 1;
                let written = file(title, &format!("{} = {default}", key.name));
                assert_eq!(written.as_ref(), Ok(&base), "{} in {title}", key.name);
            }
        }
    });
    assert!(seen > 25);
}

#[test]
fn examples_are_values_that_their_keys_take() {
    sections(|title, keys, _| {
        for key in keys {
            let Err(diagnostics) = file(title, &format!("{} = {}", key.name, key.example)) else { continue };
            // Alone in this file an example may contradict its neighbours, but not be malformed.
            let malformed =
                |kind| matches!(kind, Kind::Syntax | Kind::UnknownKey | Kind::WrongType | Kind::BadValue);
            assert!(!diagnostics.iter().any(|d| malformed(d.kind)), "{diagnostics}");
        }
    });
}

#[test]
fn an_example_differs_from_the_default_or_shows_it_in_another_form() {
    let base = file("", "").unwrap();
    // These have one value so far, or stand in the base.
    let same: &[&str] = &["export", "subnet", "subnet6", "network"];
    sections(|title, keys, _| {
        for key in keys.iter().filter(|key| key.presence != Presence::Required && !same.contains(&key.name)) {
            let written = file(title, &format!("{} = {}", key.name, key.example));
            assert_ne!(written.as_ref(), Ok(&base), "{} in {title} does nothing", key.name);
        }
    });
}

#[test]
fn harmless_values_of_later_keys_change_nothing_and_others_are_refused() {
    let base = file("", "").unwrap();
    sections(|title, _, later| {
        for key in later {
            if let Some(harmless) = key.harmless {
                assert_eq!(
                    file(title, &format!("{} = {harmless}", key.name)).as_ref(),
                    Ok(&base),
                    "{}",
                    key.name
                );
            }
            let refused = file(title, &format!("{} = 7", key.name)).unwrap_err();
            assert!(refused.iter().any(|d| d.kind == Kind::Unsupported), "{refused}");
        }
    });
}

#[test]
fn comments_of_keys_are_sentences() {
    sections(|title, keys, _| {
        for key in keys {
            let doc = super::json::paragraph(key.doc);
            assert!(doc.ends_with('.') && !doc.contains('|'), "{} in {title}: {doc}", key.name);
        }
    });
}
