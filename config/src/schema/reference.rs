//! The reference of all keys, as Markdown: the tables of `docs/config.md`.

use std::fmt::Write as _;

use super::{
    AclRule, Api, Endpoint, File, Group, Host, Neighbor, Network, Policy, Profile, RoutePolicy, Rule, Set,
    State, Tenant, Uplink,
    json::paragraph,
    read::{Presence, Section},
};

/// The tables of all sections, as `docs/config.md` has them between its markers.
pub fn reference() -> String {
    let mut out = String::new();
    chapter::<Host>("`[host]`", &mut out);
    chapter::<Uplink>("`[[uplink]]`", &mut out);
    chapter::<Neighbor>("`[[neighbor]]`", &mut out);
    chapter::<RoutePolicy>("`[[route-policy]]`", &mut out);
    chapter::<Rule>("`rules` of a route policy", &mut out);
    chapter::<Set>("`set` of a rule", &mut out);
    chapter::<Tenant>("`[[tenant]]`", &mut out);
    chapter::<Network>("`[[network]]`", &mut out);
    chapter::<Group>("`[[group]]`", &mut out);
    chapter::<Policy>("`[[policy]]`", &mut out);
    chapter::<AclRule>("`rules` of a policy", &mut out);
    chapter::<Profile>("`[[profile]]`", &mut out);
    chapter::<Endpoint>("`[[endpoint]]`", &mut out);
    chapter::<Api>("`[api]`", &mut out);
    chapter::<State>("`[state]`", &mut out);
    if !File::LATER.is_empty() {
        let sections: Vec<_> = File::LATER.iter().map(|later| format!("`{}`", later.name)).collect();
        let _ = writeln!(out, "## Sections of later versions\n\n{}: refused.", sections.join(", "));
    }
    // The last table ends the file.
    out.truncate(out.trim_end().len());
    out + "\n"
}

/// The keys of every section with their names, for tests and tools: `(section, key)`.
pub fn keys() -> Vec<(&'static str, &'static str)> {
    fn of<S: Section>() -> impl Iterator<Item = (&'static str, &'static str)> {
        S::KEYS.iter().map(|key| (S::TITLE, key.name))
    }
    of::<File>()
        .chain(of::<Host>())
        .chain(of::<Uplink>())
        .chain(of::<Neighbor>())
        .chain(of::<RoutePolicy>())
        .chain(of::<Rule>())
        .chain(of::<Set>())
        .chain(of::<Tenant>())
        .chain(of::<Network>())
        .chain(of::<Group>())
        .chain(of::<Policy>())
        .chain(of::<AclRule>())
        .chain(of::<Profile>())
        .chain(of::<Endpoint>())
        .chain(of::<Api>())
        .chain(of::<State>())
        .collect()
}

fn chapter<S: Section>(title: &str, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "## {title}\n\n{}\n", paragraph(S::DOC));
    let _ = writeln!(out, "| key | type | default | meaning | example |\n|---|---|---|---|---|");
    for key in S::KEYS {
        let default = match key.presence {
            Presence::Required => "**required**".to_owned(),
            Presence::Default(value) => format!("`{value}`"),
            Presence::Otherwise(what) => what.to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{}` | {} | {default} | {} | `{}` |",
            key.name,
            (key.type_name)(),
            paragraph(key.doc),
            key.example
        );
    }
    if !S::LATER.is_empty() {
        let later: Vec<_> = S::LATER
            .iter()
            .map(|later| match later.harmless {
                Some(harmless) => format!("`{}` (other than `{harmless}`)", later.name),
                None => format!("`{}`", later.name),
            })
            .collect();
        let _ = writeln!(out, "\nOf later versions, and refused: {}.", later.join(", "));
    }
    let _ = writeln!(out);
}
