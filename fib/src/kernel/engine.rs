//! The thread: waits for commands and for news from the kernel, and works them off one at a time.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Options, SpawnError, address,
    batch::Batch,
    channel::Channel,
    contested::Contested,
    failed,
    interfaces::Interfaces,
    monitor::{Echoes, Monitor},
    netfilter,
    netns::Namespaces,
    nft::Nft,
    resolve::Resolver,
    sysctl,
};
use crate::{
    model::{Command, Concern, Event, KernelError, Key, Ns, Object, Observed, Op},
    owner::Owner,
};

/// A dump that failed or was interrupted again and again is tried anew after this time.
const DUMP_AGAIN: Duration = Duration::from_millis(200);

/// Everything that the thread owns.
pub(super) struct Engine {
    pub(super) owner: Owner,
    pub(super) options: Options,
    /// Requests in the host's namespace.
    pub(super) host: Channel,
    pub(super) batch: Batch,
    pub(super) namespaces: Namespaces,
    pub(super) interfaces: Interfaces,
    pub(super) contested: Contested,
    pub(super) monitor: Monitor,
    pub(super) echoes: Echoes,
    pub(super) resolver: Resolver,
    /// Requests to netfilter, opened when there is the first.
    netfilter: Option<Channel>,
    pub(super) nft: Nft,
    wake: Arc<OwnedFd>,
    pub(super) events: Box<dyn Fn(Event) + Send>,
    dumps_due: Vec<(Instant, Ns, Concern)>,
    /// Addresses whose connections are to be forgotten: when there is nothing more urgent, or somebody else gets one.
    pub(super) given_back: Vec<IpAddr>,
}

impl Engine {
    /// Opens everything in the calling thread's network namespace, and looks around once.
    pub(super) fn start(
        owner: Owner,
        options: &Options,
        wake: Arc<OwnedFd>,
        events: Box<dyn Fn(Event) + Send>,
    ) -> Result<Self, SpawnError> {
        let system = |what| move |source: io::Error| SpawnError::System { what, source };
        let namespaces = Namespaces::new().map_err(system("opening the own network namespace"))?;
        let mut host = Channel::open(options.receive_buffer).map_err(system("opening a netlink socket"))?;
        if let Err(error) = host.request(address::probe, |_| {})
            && (error.errno.0 == libc::EPERM || error.errno.0 == libc::EACCES)
        {
            return Err(SpawnError::NotPermitted);
        }
        // Before the first look, so that nothing can fall between the two.
        let monitor = Monitor::open(host.port(), options.receive_buffer)
            .map_err(system("subscribing to the kernel's announcements"))?;
        let mut engine = Self {
            owner,
            options: options.clone(),
            host,
            batch: Batch::default(),
            namespaces,
            interfaces: Interfaces::default(),
            contested: Contested::default(),
            monitor,
            echoes: Echoes::default(),
            resolver: Resolver::default(),
            netfilter: None,
            nft: Nft::default(),
            wake,
            events,
            dumps_due: Vec::new(),
            given_back: Vec::new(),
        };
        engine.scan_links()?;
        engine.know_next_hops()?;
        engine.know_routes()?;
        Ok(engine)
    }

    /// Runs until told to stop, or until the other side of the inbox is gone.
    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Command>) {
        loop {
            self.wait();
            self.watch();
            self.settle();
            loop {
                match inbox.try_recv() {
                    Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => {
                        self.flush_connections();
                        return;
                    }
                    Ok(command) => self.obey(command),
                    Err(mpsc::TryRecvError::Empty) if self.given_back.is_empty() => break,
                    Err(mpsc::TryRecvError::Empty) => self.flush_connections(),
                }
                self.watch();
                self.settle();
            }
        }
    }

    /// Tells the daemon.
    pub(super) fn tell(&self, event: Event) {
        (self.events)(event);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Apply { batch, ops } => {
                if ops.iter().any(|op| self.goes_to_another(op)) {
                    self.flush_connections();
                }
                let results = self.apply(ops);
                self.tell(Event::Applied { batch, results });
            }
            Command::Namespace { ns, path } => {
                if let Err(error) = self.namespaces.declare(ns, path) {
                    self.tell(Event::NamespaceLost(ns, error.to_string()));
                }
            }
            Command::Forget(ns) => {
                self.namespaces.forget(ns);
                self.dumps_due.retain(|(_, of, _)| *of != ns);
            }
            Command::Dump(ns, concern) => self.dump_or_later(ns, concern),
            Command::ReadSysctls(ns, names) => self.read_sysctls(ns, names),
            Command::Resolve(addresses) => self.resolver.track(addresses),
            Command::FlushConnections(addresses) => self.given_back.extend(addresses),
            Command::EndConnections(table) => self.end_connections(&table),
            Command::Count(set) => self.count_elements(set),
            Command::Stop => {}
        }
    }

    /// Whether an operation leads an address that has been given back to its next owner.
    fn goes_to_another(&self, op: &Op) -> bool {
        match op {
            Op::Create(Object::Route(key, _)) => self.given_back.contains(&key.prefix.addr()),
            Op::Create(Object::Address(_, _, address)) => self.given_back.contains(&address.addr()),
            _ => false,
        }
    }

    /// The socket for requests to netfilter in the host's namespace.
    pub(super) fn netfilter(&mut self) -> Result<&mut Channel, KernelError> {
        match &mut self.netfilter {
            Some(channel) => Ok(channel),
            none => Ok(none.insert(netfilter::open(self.options.receive_buffer)?)),
        }
    }

    /// The commands are in order, so that a dump that comes late shows no less than was asked for.
    fn dump_or_later(&mut self, ns: Ns, concern: Concern) {
        if let Err(error) = self.dump(ns, concern)
            && self.namespaces.knows(ns)
        {
            tracing::warn!(%error, ?ns, ?concern, "the kernel's state cannot be read; trying again");
            self.dumps_due.push((Instant::now() + DUMP_AGAIN, ns, concern));
        }
    }

    fn read_sysctls(&mut self, ns: Ns, names: Vec<Arc<str>>) {
        let values = self.namespaces.within(ns, || {
            let read = |name: Arc<str>| (sysctl::read(&name), name);
            names.into_iter().map(read).collect::<Vec<_>>()
        });
        match values {
            Ok(values) => {
                for (value, name) in values {
                    self.tell(match value {
                        Ok(value) => {
                            let object = Object::Sysctl(ns, name, value);
                            Event::Object(Observed::Object { object, protocol: 0 })
                        }
                        Err(_) => Event::Gone(Key::Sysctl(ns, name)),
                    });
                }
            }
            Err(error) => self.lose(ns, &error),
        }
    }

    /// A namespace could not be entered. Tells so, unless that is known or the host is merely short of something.
    pub(super) fn lose(&mut self, ns: Ns, error: &io::Error) {
        let short = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ENOBUFS];
        if self.namespaces.knows(ns) && !short.contains(&failed(error).errno.0) {
            self.namespaces.forget(ns);
            self.tell(Event::NamespaceLost(ns, error.to_string()));
        }
    }

    /// What has become due.
    fn settle(&mut self) {
        let now = Instant::now();
        if self.resolver.due().is_some_and(|due| due <= now) {
            self.resolve();
        }
        if self.dumps_due.iter().any(|(due, ..)| *due <= now) {
            let (ready, rest) =
                std::mem::take(&mut self.dumps_due).into_iter().partition(|(due, ..)| *due <= now);
            self.dumps_due = rest;
            let ready: Vec<_> = ready;
            for (_, ns, concern) in ready {
                self.dump_or_later(ns, concern);
            }
        }
    }

    /// Sleeps until there is a command or news, or something becomes due.
    fn wait(&self) {
        let due = self.dumps_due.iter().map(|(due, ..)| *due).chain(self.resolver.due()).min();
        let timeout = due.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let mut ready = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        ready.extend(self.monitor.poll_fds());
        // An interrupted wait is a wait that ended early.
        let _ = poll(&mut ready, timeout.as_ref());
        let mut count = [0; 8];
        // Not readable when the news came from elsewhere.
        let _ = rustix::io::read(&*self.wake, &mut count);
    }
}
