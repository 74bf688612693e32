//! The metrics, in Prometheus' text format (version 0.0.4).

use std::{
    fmt::{Display, Write},
    time::Instant,
};

use petiole_bgp::speaker::State as Session;

use petiole_fib::model::{Key, Ns};

use super::{Core, endpoints::State, objects};

/// A text under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP petiole_{name} {help}\n# TYPE petiole_{name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.0, "petiole_{name}");
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }
}

impl Core {
    /// All metrics. The kernel is asked for counts of rules, which are there for the next one.
    pub(crate) fn metrics(&mut self, now: Instant) -> String {
        self.count_hits();
        self.metrics_text(now)
    }

    fn metrics_text(&self, now: Instant) -> String {
        let mut t = Text::default();
        t.metric("build_info", "gauge", "The running version.");
        t.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let uptime = now.saturating_duration_since(self.started).as_secs();
        t.single("uptime_seconds", "gauge", "Time since the daemon started.", uptime);
        self.session_metrics(&mut t);
        self.fib_metrics(&mut t);
        t.metric("endpoints", "gauge", "Containers by state.");
        let count =
            |wanted: fn(&State) -> bool| self.endpoints.all.values().filter(|e| wanted(&e.state)).count();
        t.sample("endpoints", &[("state", "waiting")], count(|s| matches!(s, State::Waiting)));
        t.sample("endpoints", &[("state", "attaching")], count(|s| matches!(s, State::Attaching(_))));
        t.sample("endpoints", &[("state", "attached")], count(|s| matches!(s, State::Attached(_))));
        self.network_metrics(&mut t, now);
        self.policy_metrics(&mut t);
        t.0
    }

    fn network_metrics(&self, t: &mut Text, now: Instant) {
        let networks: Vec<_> = self
            .config
            .networks
            .iter()
            .map(|n| (n, n.id.name.to_string(), n.id.tenant.to_string()))
            .collect();
        let usages: Vec<_> =
            networks.iter().map(|(n, ..)| self.endpoints.ipam.usage(n, self.unix(now))).collect();
        t.metric("network_addresses", "gauge", "Addresses of this host's share of a network.");
        for ((_, name, tenant), usage) in networks.iter().zip(&usages) {
            let states = [("used", usage.used), ("quarantined", usage.quarantined), ("total", usage.size)];
            for (state, value) in states {
                let labels = [("network", &**name), ("tenant", tenant), ("state", state)];
                t.sample("network_addresses", &labels, value);
            }
        }
        t.metric("network_up", "gauge", "1 while the links of a network stand as they should.");
        for (n, name, tenant) in &networks {
            let up = objects::network_links(n).all(|link| self.fib.settled(&Key::Link(Ns::HOST, link)));
            t.sample("network_up", &[("network", name), ("tenant", tenant)], u8::from(up));
        }
        t.single(
            "duplicate_addresses",
            "gauge",
            "Addresses of containers that another host announces too.",
            self.duplicates.alarms.len(),
        );
        t.single(
            "duplicate_addresses_total",
            "counter",
            "Such addresses found since the start.",
            self.duplicates.total,
        );
    }

    fn policy_metrics(&self, t: &mut Text) {
        let hits: Vec<_> = self.rule_hits().collect();
        let names = [("packets", "Packets"), ("octets", "Octets")];
        for (at, (kind, word)) in names.into_iter().enumerate() {
            let name = format!("policy_{kind}_total");
            t.metric(
                &name,
                "counter",
                &format!("{word} that a rule has decided about, as of the scrape before."),
            );
            for (labels, count) in &hits {
                let labels = [
                    ("policy", &*labels.policy),
                    ("rule", &*labels.rule),
                    ("group", &*labels.group),
                    ("action", labels.action),
                ];
                t.sample(&name, &labels, [count.packets, count.octets][at]);
            }
        }
        t.metric("group_members", "gauge", "Addresses that are known to be of a group's members.");
        for (group, local, remote) in self.member_counts() {
            let (name, tenant) = (group.name.to_string(), group.tenant.to_string());
            for (source, count) in [("endpoint", local), ("route", remote)] {
                let labels = [("group", &*name), ("tenant", &*tenant), ("source", source)];
                t.sample("group_members", &labels, count);
            }
        }
        t.single(
            "group_silent_routes",
            "gauge",
            "Host routes into networks with groups that name none.",
            self.members.silent.len(),
        );
        t.single(
            "policy_connections_ended_total",
            "counter",
            "Connections ended because a policy forbids them now.",
            self.members.ended,
        );
        let (rules, elements) = self.policy_size();
        t.single("policy_rules", "gauge", "Rules and defaults that hold for some group.", rules);
        t.single(
            "policy_elements",
            "gauge",
            "Elements that policies want in the kernel, members apart.",
            elements,
        );
    }

    fn session_metrics(&self, t: &mut Text) {
        let peers: Vec<_> = self.speaker.peers().collect();
        t.metric("neighbor_up", "gauge", "1 while the session is Established.");
        for p in &peers {
            t.sample("neighbor_up", &[("neighbor", &p.name)], u8::from(p.state == Session::Established));
        }
        t.metric("neighbor_flaps_total", "counter", "Established sessions that were lost.");
        for p in &peers {
            t.sample("neighbor_flaps_total", &[("neighbor", &p.name)], p.flaps);
        }
        t.metric(
            "neighbor_update_errors_total",
            "counter",
            "Malformed UPDATEs that did not end the session.",
        );
        for p in &peers {
            t.sample("neighbor_update_errors_total", &[("neighbor", &p.name)], p.update_errors);
        }
        t.metric("neighbor_messages_total", "counter", "BGP messages.");
        for p in &peers {
            for (direction, m) in [("received", &p.messages.received), ("sent", &p.messages.sent)] {
                let kinds = [
                    ("open", m.open),
                    ("update", m.update),
                    ("notification", m.notification),
                    ("keepalive", m.keepalive),
                    ("route-refresh", m.route_refresh),
                ];
                for (kind, value) in kinds {
                    let labels = [("neighbor", &*p.name), ("direction", direction), ("type", kind)];
                    t.sample("neighbor_messages_total", &labels, value);
                }
            }
        }
        t.metric("neighbor_routes", "gauge", "Routes of established sessions.");
        for p in &peers {
            for (family, c) in &p.families {
                let family = family.to_string();
                for (kind, value) in [("accepted", c.accepted), ("advertised", c.advertised)] {
                    let labels = [("neighbor", &*p.name), ("family", &family), ("kind", kind)];
                    t.sample("neighbor_routes", &labels, value);
                }
            }
        }
    }

    fn fib_metrics(&self, t: &mut Text) {
        let c = self.fib.counters();
        t.single(
            "fib_routes_wanted",
            "gauge",
            "Learned routes that should be in the kernel.",
            c.routes_wanted,
        );
        t.single("fib_routes_installed", "gauge", "Learned routes in the kernel.", c.routes_installed);
        t.single("fib_objects", "gauge", "Other kernel objects that should exist.", c.objects_wanted);
        t.single(
            "fib_pending",
            "gauge",
            "Objects that differ and wait for their turn.",
            c.dirty + c.in_flight + c.waiting,
        );
        t.single("fib_failed", "gauge", "Objects whose last operation the kernel refused.", c.failing);
        t.single("fib_operations_total", "counter", "Kernel operations done.", c.operations);
        t.single("fib_failures_total", "counter", "Kernel operations refused.", c.failures);
    }
}
