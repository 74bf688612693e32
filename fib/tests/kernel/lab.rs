//! A private network namespace with the engine in it, and `ip` to look at it and to play the others.

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::IpAddr,
    os::unix::process::CommandExt,
    process::{Command as Process, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use ipnet::IpNet;
use petiole_fib::{
    kernel::{Handle, Options, spawn_with},
    model::{
        Command, Concern, Event, IfName, KernelError, Key, Link, LinkKind, NextHop, NextHopId, Ns, Object,
        Observed, Op, OpResult, Route, RouteKey, RouteTarget,
    },
    owner::Owner,
};
use serde_json::Value;

/// Long enough for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// The engine under test.
pub(crate) struct Lab {
    pub(crate) handle: Handle,
    events: Receiver<Event>,
    /// Read while waiting for something else.
    unread: RefCell<VecDeque<Event>>,
    batches: RefCell<u64>,
}

/// Runs `body` on a thread of its own with new network and mount namespaces.
pub(crate) fn private(body: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to make network namespaces");
        return;
    }
    let outcome = std::thread::spawn(move || {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
        use rustix::thread::UnshareFlags;
        #[allow(deprecated, reason = "its replacement is unsafe for flags that are not used here")]
        rustix::thread::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        // `ip netns` keeps its namespaces here: ours are nobody else's
        std::fs::create_dir_all("/run/netns").unwrap();
        mount("tmpfs", "/run/netns", "tmpfs", MountFlags::empty(), None).unwrap();
        ip("link set lo up");
        body();
    })
    .join();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// [`private`] with the engine started.
pub(crate) fn lab(body: impl FnOnce(&Lab) + Send + 'static) {
    private(|| body(&Lab::start(Options::default())));
}

impl Lab {
    pub(crate) fn start(options: Options) -> Self {
        let (sender, events) = mpsc::channel();
        let handle = spawn_with(Owner::default(), options, move |event| drop(sender.send(event))).unwrap();
        Self { handle, events, unread: RefCell::default(), batches: RefCell::new(0) }
    }

    pub(crate) fn send(&self, command: Command) {
        self.handle.send(command).unwrap();
    }

    /// The next event, read before or not.
    fn next(&self) -> Event {
        self.events
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("nothing more; unread: {:#?}", self.unread))
    }

    /// Waits for the first event that `pick` takes. The others stay for later.
    pub(crate) fn wait<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut unread = self.unread.borrow_mut();
        if let Some((at, found)) = unread.iter().enumerate().find_map(|(at, event)| Some((at, pick(event)?)))
        {
            unread.remove(at);
            return found;
        }
        drop(unread);
        loop {
            let event = self.next();
            match pick(&event) {
                Some(found) => return found,
                None => self.unread.borrow_mut().push_back(event),
            }
        }
    }

    /// Applies and waits for the outcome.
    pub(crate) fn apply(&self, ops: Vec<Op>) -> Vec<(Key, OpResult)> {
        *self.batches.borrow_mut() += 1;
        let wanted = *self.batches.borrow();
        self.send(Command::Apply { batch: wanted, ops });
        self.wait(|event| match event {
            Event::Applied { batch, results } if *batch == wanted => Some(results.clone()),
            _ => None,
        })
    }

    /// Applies one operation.
    pub(crate) fn try_one(&self, op: Op) -> OpResult {
        let key = op.key();
        let mut results = self.apply(vec![op]);
        assert_eq!(results.len(), 1);
        let (of, result) = results.remove(0);
        assert_eq!(of, key);
        result
    }

    /// Applies, and all of it must succeed.
    pub(crate) fn must(&self, ops: Vec<Op>) {
        for (key, result) in self.apply(ops) {
            assert_eq!(result, Ok(()), "{key:?}");
        }
    }

    pub(crate) fn dump(&self, ns: Ns, concern: Concern) -> Vec<Observed> {
        self.send(Command::Dump(ns, concern));
        let mut all = Vec::new();
        loop {
            let (part, end) = self.wait(|event| match event {
                Event::Dump { ns: n, concern: c, objects, last } if (*n, *c) == (ns, concern) => {
                    Some((objects.clone(), *last))
                }
                _ => None,
            });
            all.extend(part);
            if end {
                return all;
            }
        }
    }

    /// Waits until the engine says that the object is there with that value and protocol.
    pub(crate) fn wait_object(&self, wanted: &Object, protocol: u8) {
        self.wait(|event| match event {
            Event::Object(Observed::Object { object, protocol: p }) if object == wanted => {
                assert_eq!(*p, protocol);
                Some(())
            }
            _ => None,
        });
    }

    pub(crate) fn wait_gone(&self, wanted: &Key) {
        self.wait(|event| matches!(event, Event::Gone(key) if key == wanted).then_some(()));
    }

    /// Has the engine read all news that there is now: it works in order, and reads news before it obeys. Gives all
    /// events unread so far.
    pub(crate) fn settle(&self) -> Vec<Event> {
        let probe: std::sync::Arc<str> = "net/ipv4/ip_forward".into();
        self.send(Command::ReadSysctls(Ns::HOST, vec![probe.clone()]));
        self.wait(|event| match event {
            Event::Object(Observed::Object { object: Object::Sysctl(_, name, _), .. }) if *name == probe => {
                Some(())
            }
            _ => None,
        });
        self.unread()
    }

    /// What came before the last event waited for, and was not what was waited for.
    pub(crate) fn unread(&self) -> Vec<Event> {
        self.unread.take().into()
    }

    /// Stops the engine and gives what it told until its end.
    pub(crate) fn stop(self) -> Vec<Event> {
        self.handle.stop().unwrap();
        self.events.iter().collect()
    }

    /// A namespace made by `ip netns add`, known to the engine.
    pub(crate) fn namespace(&self, ns: u32, name: &str) -> Ns {
        ip(&format!("netns add {name}"));
        self.send(Command::Namespace { ns: Ns(ns), path: format!("/run/netns/{name}").into() });
        Ns(ns)
    }
}

/// Runs `ip`, which must succeed.
pub(crate) fn ip(arguments: &str) {
    let output = Process::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a command line, which must succeed.
pub(crate) fn run(line: &str) {
    let (done, error) = try_run(line);
    assert!(done, "{line}: {error}");
}

/// Runs a command line until it succeeds.
pub(crate) fn run_until_done(line: &str) {
    let start = std::time::Instant::now();
    loop {
        let (done, error) = try_run(line);
        if done {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{line}: {error}");
    }
}

fn try_run(line: &str) -> (bool, String) {
    let mut words = line.split_whitespace();
    let output = Process::new(words.next().unwrap()).args(words).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Renames a link that is up. Before 6.2 the kernel wants it down for that.
pub(crate) fn rename(from: &str, to: &str) {
    let words = ["link", "set", from, "name", to];
    if !Process::new("ip").args(words).stderr(Stdio::null()).status().unwrap().success() {
        ip(&format!("link set {from} down"));
        ip(&words.join(" "));
        ip(&format!("link set {to} up"));
    }
}

/// What `ip -j` shows. (It prints nothing at all for some empty answers.)
pub(crate) fn shown(arguments: &str) -> Vec<Value> {
    let output =
        Process::new("ip").arg0("ip").args(["-j", "-d"]).args(arguments.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).unwrap() }
}

/// `ip -batch` from a text.
pub(crate) fn ip_batch(lines: &str) {
    batch("ip", lines);
}

/// `bridge -batch` from a text.
pub(crate) fn bridge_batch(lines: &str) {
    batch("bridge", lines);
}

fn batch(program: &str, lines: &str) {
    use std::io::Write;
    let mut child = Process::new(program).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

pub(crate) fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The key of a learned route.
pub(crate) fn learned(prefix: &str) -> RouteKey {
    Owner::default().route_key(net(prefix))
}

/// A learned route over a next hop.
pub(crate) fn over(prefix: &str, id: NextHopId) -> Object {
    Object::Route(learned(prefix), Route { target: RouteTarget::NextHop(id), preferred_source: None })
}

/// A learned route by gateway.
pub(crate) fn by(prefix: &str, link: &str, via: &str) -> Object {
    let target = RouteTarget::Link { link: name(link), via: Some(addr(via)) };
    Object::Route(learned(prefix), Route { target, preferred_source: None })
}

/// The n-th id of our range.
pub(crate) fn id(n: u32) -> NextHopId {
    NextHopId(Owner::NEXT_HOP_IDS.start + n)
}

pub(crate) fn single(n: u32, link: &str, via: &str) -> Object {
    Object::NextHop(id(n), NextHop::Single { via: addr(via), link: name(link), onlink: false })
}

pub(crate) fn group(n: u32, members: &[u32]) -> Object {
    Object::NextHop(id(n), NextHop::Group(members.iter().map(|m| id(*m)).collect()))
}

/// Settings of a link that somebody else made.
pub(crate) fn foreign(up: bool) -> Link {
    Link { kind: LinkKind::Foreign, mac: None, mtu: None, up, alias: None, port: None }
}

pub(crate) fn errno(result: &OpResult) -> i32 {
    match result {
        Err(KernelError { errno, .. }) => errno.0,
        Ok(()) => 0,
    }
}

pub(crate) fn text(result: &OpResult) -> &str {
    match result {
        Err(KernelError { text: Some(text), .. }) => text,
        _ => "",
    }
}

/// A veth pair made by somebody else, both ends up in this namespace: `name` with the address, and its other end
/// `name`p.
pub(crate) fn uplink(name: &str, address: &str) {
    ip(&format!("link add {name} type veth peer name {name}p"));
    ip(&format!("link set {name}p up"));
    ip(&format!("link set {name} up"));
    ip(&format!("addr add {address} dev {name}"));
}
