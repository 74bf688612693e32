//! The core against a kernel in memory: what is announced when.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use petiole_config::{HostConfig, SecretFile, model::ScopedName};
use petiole_fib::{
    fake::{FakeKernel, Fault},
    model::{Command, IfName, Key, Ns},
    owner::Owner,
};

use super::{Core, Effect, NamespaceId, Ticket, ipam::Release, show};
use crate::{
    control::{Reply, Show, rows::Rows},
    io::journal::{Contents, Persisted, Record, Write},
};

struct NoFiles;

impl petiole_config::Files for NoFiles {
    fn read_secret(&self, _: &Path) -> std::io::Result<SecretFile> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// A configuration with a `[host]` in front.
pub(super) fn config(rest: &str) -> HostConfig {
    let text = format!("[host]\nasn = 65002\nrouter-id = \"50.1.1.1\"\n{rest}");
    match petiole_config::parse("test.toml", &text, &NoFiles) {
        Ok(loaded) => loaded.config,
        Err(diagnostics) => panic!("{}", diagnostics.render(false)),
    }
}

const ONE: &str = r#"
    [[uplink]]
    interface = "eth1"
    address = ["50.1.1.1/24"]

    [[network]]
    name = "public"
    encap = "routed"
    subnet = "192.168.1.0/24"
    gateway = "192.168.1.254"
    subnet6 = "2001:db8:1::/64"

    [[endpoint]]
    name = "web1"
    network = "public"
    netns = "/run/netns/web1"
"#;

const TWO: &str = r#"
    [[endpoint]]
    name = "web0"
    network = "public"
    netns = "/run/netns/web0"
"#;

/// A journal in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stored {
    endpoints: BTreeMap<ScopedName, Record>,
    releases: BTreeMap<(ScopedName, IpAddr), u64>,
}

impl Stored {
    fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::PutEndpoint(record) => drop(self.endpoints.insert(record.id.clone(), *record)),
                Write::RemoveEndpoint(name) => drop(self.endpoints.remove(&name)),
                Write::PutRelease(r) => drop(self.releases.insert((r.network, r.address), r.at)),
                Write::RemoveRelease { network, address } => {
                    self.releases.remove(&(network, address));
                }
            }
        }
    }

    fn contents(&self) -> Contents {
        let releases = self.releases.iter().map(|((network, address), at)| Release {
            network: network.clone(),
            address: *address,
            at: *at,
        });
        Contents { endpoints: self.endpoints.values().cloned().collect(), releases: releases.collect() }
    }
}

/// A host: a core and a kernel in memory, with everything between them delivered at once.
struct Host {
    core: Core,
    kernel: FakeKernel,
    now: Instant,
    /// The namespaces that are there, and the paths that the core wants to be told of.
    present: BTreeMap<PathBuf, NamespaceId>,
    watched: BTreeSet<PathBuf>,
    /// What the journal has on disk.
    stored: Stored,
    answers: BTreeMap<Ticket, Reply>,
    /// Effects that are neither for the kernel nor for the watcher.
    others: Vec<Effect>,
}

impl Host {
    /// A host with `eth1`, started.
    fn start(config: &HostConfig) -> Self {
        let mut kernel = FakeKernel::new(Owner::default());
        kernel.add_link(Ns::HOST, &IfName::new("eth1").unwrap());
        kernel.set_link_up(Ns::HOST, &IfName::new("eth1").unwrap(), true);
        Self::on(kernel, BTreeMap::new(), Stored::default(), config)
    }

    /// The daemon was killed, and another one is started on what it left.
    fn again(self, config: &HostConfig) -> Self {
        Self::on(self.kernel, self.present, self.stored, config)
    }

    /// A daemon started on a host as it is.
    fn on(
        kernel: FakeKernel,
        present: BTreeMap<PathBuf, NamespaceId>,
        stored: Stored,
        config: &HostConfig,
    ) -> Self {
        let now = Instant::now();
        let mut core = Core::new(config.clone(), "host1".into(), 1, now, 1_000_000);
        core.restore(stored.contents(), "this boot".into());
        let mut host = Self {
            core,
            kernel,
            now,
            present,
            stored,
            answers: BTreeMap::new(),
            watched: BTreeSet::new(),
            others: Vec::new(),
        };
        host.settle();
        host
    }

    /// One effect or one event; `false` when there is neither.
    fn step(&mut self) -> bool {
        if let Some(effect) = self.core.poll_effect(self.now) {
            match effect {
                Effect::Kernel(Command::Namespace { ns, .. }) => {
                    if !self
                        .kernel
                        .keys_of(&Owner::default())
                        .iter()
                        .any(|k| matches!(k, Key::Link(n, _) if *n == ns))
                    {
                        self.kernel.add_ns(ns);
                    }
                }
                Effect::Kernel(command) => self.kernel.handle(command),
                Effect::Watch(path) => {
                    self.watched.insert(path.clone());
                    self.look(&path);
                }
                Effect::Look(path) => self.look(&path),
                Effect::Persist { seq, writes } => {
                    self.stored.write(writes);
                    self.core.persisted(Persisted { seq, result: Ok(()) }, self.now);
                }
                Effect::Answer { ticket, reply } => drop(self.answers.insert(ticket, reply)),
                Effect::Unwatch(path) => drop(self.watched.remove(&path)),
                other => self.others.push(other),
            }
            return true;
        }
        let Some(event) = self.kernel.event() else { return false };
        self.core.kernel(event, self.now);
        true
    }

    /// Until nothing moves any more, retries after refusals included.
    fn settle(&mut self) {
        for _ in 0..100 {
            while self.step() {}
            let Some(retry) = self.core.fib.next_retry() else { return };
            self.now = self.now.max(retry);
            self.core.handle_timeout(self.now);
        }
        let failing: Vec<_> =
            self.core.fib.failing().map(|(key, error, ..)| format!("{}: {error}", show::key(&key))).collect();
        panic!("does not settle: {failing:#?}\n{}", self.kernel.text_of(&Owner::default()));
    }

    fn appear(&mut self, name: &str) {
        let id = NamespaceId { device: 4, inode: name.bytes().map(u64::from).sum() };
        let path = Path::new("/run/netns").join(name);
        self.present.insert(path.clone(), id);
        self.look(&path);
    }

    fn vanish(&mut self, name: &str) {
        let ns = self.core.endpoints.all[&name.parse().unwrap()].attachment().map(|a| a.wiring.ns);
        if let Some(ns) = ns {
            self.kernel.remove_ns(ns);
        }
        let path = Path::new("/run/netns").join(name);
        self.present.remove(&path);
        self.look(&path);
    }

    /// What the watcher does.
    fn look(&mut self, path: &Path) {
        if self.watched.contains(path) {
            self.core.namespace(path, self.present.get(path).copied(), self.now);
        }
    }

    fn originated(&self, prefix: &str) -> bool {
        let route = self.core.speaker.route(prefix.parse().unwrap());
        route.is_some_and(|r| r.paths.iter().any(|p| p.peer.is_none()))
    }

    fn state(&self, name: &str) -> String {
        let (rows, _) = self.core.show(&Show::Endpoints, show::Cursor::Start, self.now).unwrap();
        let Rows::Endpoints(rows) = rows else { panic!("{rows:?}") };
        rows.into_iter().find(|e| e.name == name).map(|e| e.state).unwrap()
    }

    fn text(&self) -> String {
        self.kernel.text_of(&Owner::default())
    }
}

/// Our objects in the kernel when web1 is attached.
fn complete() -> String {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    host.text()
}

const WEB1: &str = "192.168.1.1/32";
const WEB1_V6: &str = "2001:db8:1::1/128";

#[test]
fn a_container_is_announced_when_its_namespace_is_there_and_withdrawn_when_it_goes() {
    let mut host = Host::start(&config(ONE));
    let empty = host.text();
    assert_eq!(host.state("web1"), "waiting");
    assert!(!host.originated(WEB1));

    host.appear("web1");
    host.settle();
    assert_eq!(host.state("web1"), "attached");
    assert!(host.originated(WEB1) && host.originated(WEB1_V6));

    host.vanish("web1");
    assert!(!host.originated(WEB1) && !host.originated(WEB1_V6), "withdrawn before anything else happens");
    host.settle();
    assert_eq!(host.text(), empty, "nothing is left behind");

    host.appear("web1");
    host.settle();
    assert!(host.originated(WEB1), "it comes back with the same address");
}

#[test]
fn a_container_is_not_announced_before_the_last_of_its_objects_stands() {
    let complete = complete();
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    while host.step() {
        if host.originated(WEB1) {
            assert_eq!(host.text(), complete);
        }
    }
    assert!(host.originated(WEB1));
}

#[test]
fn a_refused_operation_keeps_the_container_unannounced_until_a_retry_succeeds() {
    let complete = complete();
    let first = Host::start(&config(ONE)).kernel.operations();
    for operation in first.. {
        let mut host = Host::start(&config(ONE));
        host.kernel.fail_at(operation, Fault::Refuse(libc::ENOMEM));
        host.appear("web1");
        while host.step() {}
        if host.kernel.operations() <= operation {
            assert!(operation > first + 10, "the refusals were tried");
            return;
        }
        // A refused sysctl does not hold it up.
        assert_eq!(host.originated(WEB1), host.text() == complete, "operation {operation}");
        host.settle();
        assert_eq!(host.state("web1"), "attached", "operation {operation}");
        assert!(host.originated(WEB1));
    }
}

#[test]
fn a_restart_at_any_moment_ends_in_the_same_state_and_one_after_all_is_done_changes_nothing() {
    let config = config(ONE);
    let mut whole = Host::start(&config);
    whole.appear("web1");
    whole.settle();
    let operations = whole.kernel.operations();
    for cut in 0.. {
        let mut host = Host::start(&config);
        host.appear("web1");
        let finished = !(0..cut).all(|_| host.step());
        let before = host.kernel.operations();
        let mut again = host.again(&config);
        again.settle();
        assert_eq!(again.text(), whole.text(), "killed after step {cut}");
        assert!(again.originated(WEB1));
        if finished {
            assert_eq!(again.kernel.operations(), before, "nothing was to be done");
            assert_eq!(before, operations);
            return;
        }
    }
}

#[test]
fn containers_keep_their_addresses_over_a_restart_with_another_file() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    // web0 would be given the first address if web1's were not remembered.
    let mut again = host.again(&config(&format!("{ONE}{TWO}")));
    again.appear("web0");
    again.settle();
    assert_eq!(
        again.core.endpoints.all[&"web1".parse().unwrap()].assigned.as_ref().unwrap().v4,
        Some([192, 168, 1, 1].into())
    );
    assert_eq!(
        again.core.endpoints.all[&"web0".parse().unwrap()].assigned.as_ref().unwrap().v4,
        Some([192, 168, 1, 2].into())
    );
}

#[test]
fn what_an_earlier_run_left_for_a_container_that_is_in_no_file_any_more_goes() {
    let without = ONE.split("[[endpoint]]").next().unwrap();
    let clean = Host::start(&config(without)).text();
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let again = host.again(&config(without));
    assert_eq!(again.text(), clean);
}

#[test]
fn a_reload_of_the_same_file_does_nothing() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let before = host.kernel.operations();
    host.core.reconfigure(config(ONE), host.now).unwrap();
    host.settle();
    assert_eq!(host.kernel.operations(), before);
    assert!(host.originated(WEB1));
}

#[test]
fn a_container_that_a_reload_removes_leaves_nothing_and_others_are_not_touched() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let one = host.text();
    host.core.reconfigure(config(&format!("{ONE}{TWO}")), host.now).unwrap();
    host.appear("web0");
    host.settle();
    assert!(host.originated("192.168.1.2/32"));
    host.core.reconfigure(config(ONE), host.now).unwrap();
    assert!(!host.originated("192.168.1.2/32"));
    host.settle();
    assert_eq!(host.text(), one);
    assert_eq!(
        host.core.endpoints.ipam.owner(&"public".parse().unwrap(), [192, 168, 1, 2].into()),
        None,
        "its address is free again"
    );
}

#[test]
fn a_container_whose_address_a_reload_changes_is_made_anew() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let moved = ONE.replace("netns =", "address = \"192.168.1.7\"\n netns =");
    host.core.reconfigure(config(&moved), host.now).unwrap();
    assert!(!host.originated(WEB1));
    host.settle();
    assert!(host.originated("192.168.1.7/32"));
    assert!(!host.text().contains("192.168.1.1/32"), "{}", host.text());
}

#[test]
fn somebody_elses_deletion_is_repaired_and_the_container_withdrawn_meanwhile() {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    let whole = host.text();
    let key = Key::Address(Ns::HOST, IfName::new("pt-web1").unwrap(), "192.168.1.254/32".parse().unwrap());
    host.kernel.take_away(&key);
    let event = host.kernel.event().unwrap();
    host.core.kernel(event, host.now);
    assert!(!host.originated(WEB1));
    host.settle();
    assert!(host.originated(WEB1));
    assert_eq!(host.text(), whole);
}

#[test]
fn a_loopback_is_announced_while_it_stands() {
    let with = |rest: &str| {
        let text =
            "[host]\nasn = 65002\nrouter-id = \"50.1.1.1\"\nloopback = [\"10.0.0.1/32\"]\n".to_owned() + rest;
        petiole_config::parse("test.toml", &text, &NoFiles)
            .map(|l| l.config)
            .map_err(|d| d.render(false))
            .unwrap()
    };
    let mut host = Host::start(&with(ONE));
    assert!(host.originated("10.0.0.1/32"));
    host.core.reconfigure(config(ONE), host.now).unwrap();
    assert!(!host.originated("10.0.0.1/32"));
    host.settle();
    assert!(!host.text().contains("10.0.0.1"), "{}", host.text());
}

#[test]
fn what_cannot_change_live_is_refused_and_nothing_changes() {
    let mut host = Host::start(&config(ONE));
    let socket = format!("{}\n[api]\nsocket = \"/run/other.sock\"", ONE.replace("web1", "web2"));
    let refused = host.core.reconfigure(config(&socket), host.now).unwrap_err();
    assert!(refused.contains("[api]"), "{refused}");
    assert!(host.core.endpoints.all.contains_key(&"web1".parse().unwrap()));
}
