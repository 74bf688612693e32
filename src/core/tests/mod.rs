//! The core against a kernel in memory, with a watcher, a journal and, where a test asks for it, a leaf: all that is
//! around the daemon, but nothing that takes time.
//!
//! A [`Host`] can be killed after any step and started again on what is left.

mod chaos;
mod containers;
mod duplicates;
mod explained;
mod guarded;
mod leaf;
mod limits;
mod namespaces;
mod netfilter;
mod networks;
mod policies;
mod requests;
mod restarts;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use petiole_config::{EndpointRequest, HostConfig, SecretFile, model::ScopedName};
use petiole_fib::{
    fake::FakeKernel,
    model::{Command, Count, ElementKey, Event, IfName, Ns, Resolution, TableItem},
    owner::Owner,
};

use super::{Core, Effect, NamespaceId, Ticket, endpoints::State, ipam::Release, show};
use crate::{
    control::{
        Reply, Show,
        rows::{self, Rows},
    },
    io::journal::{Contents, Persisted, Record, Write},
};
use leaf::Leaf;
use namespaces::Namespaces;

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

/// An uplink and a routed network.
const BARE: &str = r#"
    [[uplink]]
    interface = "eth1"
    address = ["50.1.1.1/24"]

    [[network]]
    name = "public"
    encap = "routed"
    subnet = "192.168.1.0/24"
    gateway = "192.168.1.254"
    subnet6 = "2001:db8:1::/64"
"#;

/// The same with a container.
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

/// Unix seconds when the first daemon starts.
const EPOCH: u64 = 1_000_000;

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

/// What the journal's disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Disk {
    /// Commits are durable before anything else happens.
    #[default]
    Fast,
    /// Everything else happens first.
    Slow,
    /// Nothing is written.
    Stuck,
    /// Every commit is refused.
    Full,
}

/// A host: a core and a kernel in memory, with everything between them delivered at once.
struct Host {
    core: Core,
    kernel: FakeKernel,
    /// When the first daemon was started; now.
    born: Instant,
    now: Instant,
    /// The namespaces that are there, and the paths that the core wants to be told of.
    present: BTreeMap<PathBuf, NamespaceId>,
    watched: BTreeSet<PathBuf>,
    namespaces: Namespaces,
    /// What the journal has on disk, and what it has not written yet.
    stored: Stored,
    boot: String,
    unwritten: VecDeque<(u64, Vec<Write>)>,
    disk: Disk,
    answers: BTreeMap<Ticket, Reply>,
    last_ticket: u64,
    leaf: Option<Leaf>,
    /// Operations after which the power fails, and whether it has.
    operations_left: Option<usize>,
    dead: bool,
    /// Addresses of which the kernel was told to forget all connections.
    flushed: Vec<IpAddr>,
    /// The watcher looks at new paths when there is nothing else to do: these are still to be looked at.
    late_watcher: bool,
    unlooked: VecDeque<PathBuf>,
    /// Whenever connections were looked through: how many members the tables had then.
    reviewed: Vec<usize>,
    counters: Counters,
    /// All next hops are on `eth1`; else there is no way to any.
    ways: bool,
}

/// What the kernel says when it is asked to count.
#[derive(Default)]
struct Counters {
    /// By rule.
    counts: HashMap<u32, Count>,
    /// How often it was asked.
    asked: usize,
    /// It does not answer; this is the question.
    mute: bool,
    unanswered: Option<TableItem>,
}

impl Host {
    /// A host with `eth1`, started.
    fn start(config: &HostConfig) -> Self {
        let now = Instant::now();
        let boot = "one boot".to_owned();
        let mut host = Self::on(machine(), BTreeMap::new(), Stored::default(), config, boot, (now, now));
        host.settle();
        host
    }

    /// A host with a session to a leaf.
    fn joined(config: &HostConfig) -> Self {
        let mut host = Self::start(config);
        for _ in 0..60 {
            if host.core.all_up() {
                return host;
            }
            host.pass(1);
        }
        panic!("no session");
    }

    fn leaf(&mut self) -> &mut Leaf {
        self.leaf.as_mut().unwrap()
    }

    /// The daemon was killed, and another one is started on what it left.
    fn again(self, config: &HostConfig) -> Self {
        self.again_but(config, |_| {})
    }

    /// The same, with something done to the new core before it starts.
    fn again_but(self, config: &HostConfig, prepare: impl FnOnce(&mut Core)) -> Self {
        let Self { mut kernel, present, stored, boot, born, now, .. } = self;
        kernel.forget_faults();
        while kernel.event().is_some() {}
        let mut host = Self::on(kernel, present, stored, config, boot, (born, now));
        prepare(&mut host.core);
        host.settle();
        host
    }

    /// The machine was started anew: nothing is left but the disk.
    fn rebooted(self, config: &HostConfig) -> Self {
        let times = (self.born, self.now);
        let boot = "another boot".to_owned();
        let mut host = Self::on(machine(), BTreeMap::new(), self.stored, config, boot, times);
        host.settle();
        host
    }

    /// A daemon on a host as it is; it has done nothing yet.
    fn on(
        kernel: FakeKernel,
        present: BTreeMap<PathBuf, NamespaceId>,
        stored: Stored,
        config: &HostConfig,
        boot: String,
        (born, now): (Instant, Instant),
    ) -> Self {
        let unix = EPOCH + (now - born).as_secs();
        let mut core = Core::new(config.clone(), "host1".into(), 1, now, unix);
        core.restore(stored.contents(), boot.clone());
        Self {
            core,
            kernel,
            born,
            now,
            present,
            watched: BTreeSet::new(),
            namespaces: Namespaces::default(),
            stored,
            boot,
            unwritten: VecDeque::new(),
            disk: Disk::Fast,
            answers: BTreeMap::new(),
            last_ticket: 0,
            leaf: (!config.neighbors.is_empty()).then(|| Leaf::new(now)),
            operations_left: None,
            dead: false,
            flushed: Vec::new(),
            late_watcher: false,
            unlooked: VecDeque::new(),
            reviewed: Vec::new(),
            counters: Counters::default(),
            ways: false,
        }
    }

    /// One effect or one event; `false` when there is neither, or the power has failed.
    fn step(&mut self) -> bool {
        if self.dead {
            return false;
        }
        if self.disk == Disk::Fast && self.write() {
            return true;
        }
        if let Some(effect) = self.core.poll_effect(self.now) {
            self.carry_out(effect);
            return true;
        }
        if self.core.work() {
            return true;
        }
        if !self.counters.mute
            && let Some(set) = self.counters.unanswered.take()
        {
            let key = |rule: &u32| ElementKey { first: rule.to_be_bytes().to_vec().into(), last: None };
            let counts = self.counters.counts.iter().map(|(rule, count)| (key(rule), *count)).collect();
            self.core.kernel(Event::Counted(set, counts), self.now);
            return true;
        }
        if let Some(event) = self.kernel.event() {
            if let Some(event) = self.namespaces.event(event) {
                self.core.kernel(event, self.now);
            }
            return true;
        }
        if self.leaf.as_mut().is_some_and(|leaf| leaf.step(&mut self.core.speaker, self.now)) {
            return true;
        }
        if let Some(path) = self.unlooked.pop_front() {
            self.look(&path);
            return true;
        }
        matches!(self.disk, Disk::Slow | Disk::Full) && self.write()
    }

    /// So many steps; whether there were so many to do.
    fn steps(&mut self, count: usize) -> bool {
        (0..count).all(|_| self.step())
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Kernel(Command::Namespace { ns, path }) => {
                let real = self.present.get(&path).map(|id| Ns(id.inode as u32));
                self.namespaces.enter(ns, real);
            }
            Effect::Kernel(Command::FlushConnections(addresses)) => self.flushed.extend(addresses),
            Effect::Kernel(Command::Resolve(addresses)) if self.ways => {
                let link = IfName::new("eth1").unwrap();
                let way = Resolution { link, index: 2, via: None, metric: 0, source: None };
                for address in addresses {
                    self.core.kernel(Event::Resolved(address, Some(way.clone())), self.now);
                }
            }
            Effect::Kernel(Command::Count(set)) => {
                self.counters.asked += 1;
                assert_eq!(self.counters.unanswered.replace(set), None, "one question at a time");
            }
            Effect::Kernel(mut command) => {
                if let Command::EndConnections(table) = &command {
                    self.reviewed.push(table.members.len());
                }
                if let Command::Apply { ops, .. } = &mut command
                    && let Some(left) = &mut self.operations_left
                {
                    let mut done = ops.len().min(*left);
                    self.dead = done < ops.len();
                    // A transaction of nftables is done as a whole.
                    while self.dead && done > 0 && ops[done].key().is_nft() && ops[done - 1].key().is_nft() {
                        done -= 1;
                    }
                    *left -= done;
                    ops.truncate(done);
                }
                let command = self.namespaces.command(command);
                self.kernel.handle(command);
            }
            Effect::Watch(path) => {
                self.watched.insert(path.clone());
                if self.late_watcher {
                    self.unlooked.push_back(path);
                } else {
                    self.look(&path);
                }
            }
            Effect::Look(path) => self.look(&path),
            Effect::Unwatch(path) => drop(self.watched.remove(&path)),
            Effect::Persist { seq, writes } => self.unwritten.push_back((seq, writes)),
            Effect::Answer { ticket, reply, .. } => {
                let former = self.answers.insert(ticket, reply);
                assert_eq!(former, None, "two answers to one question");
            }
            Effect::Connect { conn, remote, .. } => match &mut self.leaf {
                Some(leaf) => leaf.connect(&mut self.core.speaker, conn, remote, self.now),
                None => self.core.speaker.connect_failed(conn, "nobody there".into(), self.now),
            },
            Effect::Close { conn, .. } => {
                if let Some(leaf) = &mut self.leaf {
                    leaf.closed(conn, self.now);
                }
            }
            Effect::Writable { conn } => {
                if let Some(leaf) = &mut self.leaf {
                    leaf.read(&mut self.core.speaker, conn, self.now);
                }
            }
            Effect::Keys(_) | Effect::Ready => {}
        }
    }

    /// The journal writes its next commit, if there is one.
    fn write(&mut self) -> bool {
        let Some((seq, writes)) = self.unwritten.pop_front() else { return false };
        let result = if self.disk == Disk::Full {
            Err("no space left on device".to_owned())
        } else {
            self.stored.write(writes);
            Ok(())
        };
        self.core.persisted(Persisted { seq, result }, self.now);
        true
    }

    /// Until nothing moves any more.
    fn run(&mut self) {
        while self.step() {}
    }

    /// Until nothing moves any more, retries after refusals included.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.run();
            let Some(retry) = self.core.fib.next_retry() else { return };
            self.now = self.now.max(retry);
            self.core.handle_timeout(self.now);
        }
        let failing: Vec<_> =
            self.core.fib.failing().map(|(key, error, ..)| format!("{}: {error}", show::key(&key))).collect();
        panic!("does not settle: {failing:#?}\nanswered: {:#?}\n{}", self.answers, self.text());
    }

    /// Time passes, second by second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.core.handle_timeout(self.now);
            if let Some(leaf) = &mut self.leaf {
                leaf.speaker.handle_timeout(self.now);
            }
            self.run();
        }
    }

    /// A namespace appears, or another one at the same path.
    fn appear(&mut self, name: &str) {
        let id = self.make_namespace(name);
        let path = Path::new("/run/netns").join(name);
        self.present.insert(path.clone(), id);
        self.look(&path);
    }

    /// The number is made of the name, so that two hosts on which the same happened are alike.
    fn make_namespace(&mut self, name: &str) -> NamespaceId {
        let mut inode = name.bytes().fold(0, |sum: u64, b| (sum * 31 + u64::from(b)) % 1_000_003) * 100 + 1;
        while self.present.values().any(|id| id.inode == inode) {
            inode += 1;
        }
        self.kernel.add_ns(Ns(inode as u32));
        NamespaceId { device: 4, inode }
    }

    /// A namespace goes, with all that is in it.
    fn vanish(&mut self, name: &str) {
        let path = Path::new("/run/netns").join(name);
        if let Some(id) = self.present.remove(&path) {
            self.kernel.remove_ns(Ns(id.inode as u32));
        }
        self.look(&path);
    }

    /// What the watcher does.
    fn look(&mut self, path: &Path) {
        if self.watched.contains(path) {
            self.core.namespace(path, self.present.get(path).copied(), self.now);
        }
    }

    /// Asks for an endpoint whose namespace is there.
    fn ask(&mut self, request: &EndpointRequest) -> Ticket {
        let ticket = self.ticket();
        let namespace = self.present[Path::new(&request.netns)];
        self.core.add_endpoint(ticket, request.clone(), namespace, self.now);
        ticket
    }

    fn ask_to_remove(&mut self, name: &str) -> Ticket {
        let ticket = self.ticket();
        self.core.remove_endpoint(ticket, &name.parse().unwrap(), self.now);
        ticket
    }

    fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    /// Adds an endpoint in a namespace of its name and waits for the answer.
    fn add(&mut self, request: &EndpointRequest) -> Result<rows::Endpoint, String> {
        let ticket = self.ask(request);
        self.settle();
        self.added(ticket).expect("an answer")
    }

    fn remove(&mut self, name: &str) -> Result<(), String> {
        let ticket = self.ask_to_remove(name);
        self.settle();
        self.removed(ticket).expect("an answer")
    }

    /// The answer to a request to add, if there is one yet.
    fn added(&self, ticket: Ticket) -> Option<Result<rows::Endpoint, String>> {
        match self.answers.get(&ticket)? {
            Reply::Rows(Rows::Endpoints(rows)) => Some(Ok(rows[0].clone())),
            Reply::Error(text) => Some(Err(text.clone())),
            other => panic!("{other:?}"),
        }
    }

    fn removed(&self, ticket: Ticket) -> Option<Result<(), String>> {
        match self.answers.get(&ticket)? {
            Reply::Done(_) => Some(Ok(())),
            Reply::Error(text) => Some(Err(text.clone())),
            other @ Reply::Rows(_) => panic!("{other:?}"),
        }
    }

    fn reload(&mut self, config: &HostConfig) -> Result<String, String> {
        let result = self.core.reconfigure(config.clone(), self.now);
        self.settle();
        result
    }

    fn originated(&self, prefix: &str) -> bool {
        let route = self.core.speaker.route(prefix.parse().unwrap());
        route.is_some_and(|r| r.paths.iter().any(|p| p.peer.is_none()))
    }

    fn rows(&self) -> Vec<rows::Endpoint> {
        let (rows, _) = self.core.show(&Show::Endpoints, show::Cursor::Start, self.now).unwrap();
        let Rows::Endpoints(rows) = rows else { panic!("{rows:?}") };
        rows
    }

    fn row(&self, name: &str) -> rows::Endpoint {
        self.rows().into_iter().find(|e| e.name == name).unwrap_or_else(|| panic!("no endpoint {name}"))
    }

    fn state(&self, name: &str) -> String {
        self.row(name).state
    }

    /// Who has an address of the network `public`.
    fn owner(&self, network: &str, address: &str) -> Option<String> {
        let owner = self.core.endpoints.ipam.owner(&network.parse().unwrap(), address.parse().unwrap());
        owner.map(ToString::to_string)
    }

    fn text(&self) -> String {
        self.kernel.text_of(&Owner::default())
    }

    /// Ours in the kernel, what is journaled of endpoints, what is announced and who has which address: what has to be
    /// as before when an endpoint has come and gone. The addresses' quarantine is not in it.
    fn whole(&self) -> Whole {
        let attached = |e: &super::endpoints::Endpoint| matches!(e.state, State::Attached(_));
        let all = &self.core.endpoints.all;
        Whole {
            kernel: self.text(),
            endpoints: self.stored.endpoints.clone(),
            attached: all.values().filter(|e| attached(e)).map(|e| e.spec.id.to_string()).collect(),
            watched: self.watched.clone(),
        }
    }
}

/// See [`Host::whole`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    kernel: String,
    endpoints: BTreeMap<ScopedName, Record>,
    attached: Vec<String>,
    watched: BTreeSet<PathBuf>,
}

/// A kernel with `eth1`, up.
fn machine() -> FakeKernel {
    let mut kernel = FakeKernel::new(Owner::default());
    let eth1 = IfName::new("eth1").unwrap();
    kernel.add_link(Ns::HOST, &eth1);
    kernel.set_link_up(Ns::HOST, &eth1, true);
    kernel
}

/// A request for an endpoint of a network, in a namespace of its name.
fn request(name: &str, network: &str) -> EndpointRequest {
    EndpointRequest {
        name: name.into(),
        network: Some(network.into()),
        netns: format!("/run/netns/{name}"),
        ..EndpointRequest::default()
    }
}

/// Our objects in the kernel when web1 is attached.
fn complete() -> String {
    let mut host = Host::start(&config(ONE));
    host.appear("web1");
    host.settle();
    host.text()
}
