//! The daemon: one loop that takes events, lets the core decide, and carries out its effects.
//!
//! Knows the order of start and stop. Must not know what an event means: that is the core's.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use bytes::BytesMut;
use petiole_bgp::speaker::ConnId;
use petiole_config::model::ScopedName;
use petiole_fib::{kernel, owner::Owner};
use sd_notify::NotifyState;
use socket2::Domain;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    task::{AbortHandle, LocalSet, spawn_local},
};

use crate::{
    control::{
        Reply, Request, Show,
        rows::Rows,
        server::{self, Asked, ListenError, Part},
    },
    core::{Core, Effect, Ticket, show::Cursor},
    io::{
        Event,
        journal::{Journal, OpenError},
        lock::HostLock,
        log, metrics, netns, ports,
        tcp::{self, Outgoing},
    },
};

/// Events waiting for the loop. Whoever brings one more waits: this bounds what is read but not yet worked on.
const QUEUE: usize = 64;

/// Events handled before effects are carried out.
const BURST: usize = 32;

/// How long clients of the control socket have to take the rest of their answers at the end.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(200);

/// One buffer on its way to a peer.
const TRANSMIT_SIZE: usize = 64 * 1024;

/// Why the daemon does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("{0}")]
    Config(String),
    #[error("another petiole runs on this host already (one daemon per network namespace)")]
    AlreadyRunning,
    #[error(transparent)]
    Control(#[from] ListenError),
    #[error("cannot listen on port {port}: {error}", port = tcp::BGP_PORT)]
    Listen { error: std::io::Error },
    #[error("port {port} is in use: another BGP speaker (FRR, BIRD, GoBGP) runs on this host", port = tcp::BGP_PORT)]
    PortInUse,
    #[error("cannot serve metrics on {address}: {error}")]
    Metrics { address: std::net::SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error(transparent)]
    Kernel(#[from] kernel::SpawnError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(path: &Path) -> Result<(), RunError> {
    log::init();
    let config = load(path).map_err(RunError::Config)?;
    let _lock = HostLock::take()?.ok_or(RunError::AlreadyRunning)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let daemon = Daemon::start(path.to_path_buf(), config).await?;
        daemon.run().await
    })
}

struct Daemon {
    path: PathBuf,
    core: Core,
    connections: HashMap<ConnId, Connection>,
    /// Connections whose task has not ended: also those that only get their last words out.
    open_tasks: Rc<Cell<usize>>,
    kernel: kernel::Handle,
    journal: Journal,
    namespaces: netns::Paths,
    /// Who waits for an answer that takes its time.
    waiting: HashMap<Ticket, oneshot::Sender<Part>>,
    last_ticket: u64,
    listeners: [Option<tcp::Listener>; 2],
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    socket: PathBuf,
    serving: AbortHandle,
    /// Each client on the control socket has a clone.
    clients: Rc<()>,
    stopped: bool,
    flush: Flush,
}

/// Whether the kernel is cleared of everything of ours at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    No,
    Wanted,
    Begun,
}

/// What stands behind a [`ConnId`].
enum Connection {
    /// Dialling; aborted when the core gives up.
    Dialling(AbortHandle),
    /// Standing, with the way to its task.
    Open {
        outgoing: mpsc::Sender<Outgoing>,
        /// The task has a buffer that it is still writing; the core is asked again when it comes back.
        writing: bool,
        /// Received bytes that the core has not taken yet: part of a message, mostly.
        partial: BytesMut,
    },
}

impl Daemon {
    async fn start(path: PathBuf, config: petiole_config::HostConfig) -> Result<Self, RunError> {
        let (sender, events) = mpsc::channel(QUEUE);
        let control = server::listen(&config.api.socket).await?;
        let socket = config.api.socket.clone();
        if let Some(address) = config.api.metrics {
            let listener =
                metrics::listen(address).await.map_err(|error| RunError::Metrics { address, error })?;
            spawn_local(metrics::serve(listener, sender.clone()));
        }
        // Listen before dialling (rule 10).
        let listeners = [listen(Domain::IPV4, &sender)?, listen(Domain::IPV6, &sender)?];

        let to_loop = sender.clone();
        let kernel = kernel::spawn(Owner::default(), move |event| {
            // Fails only when the loop is gone, and then nobody is interested any more.
            let _ = to_loop.blocking_send(Event::Kernel(event));
        })?;
        let to_loop = sender.clone();
        let (journal, stored) = Journal::open(&config.state.dir, move |persisted| {
            let _ = to_loop.blocking_send(Event::Persisted(persisted));
        })?;
        let namespaces = netns::Paths::default();
        let watched = namespaces.clone();
        let to_loop = sender.clone();
        spawn_local(async move {
            let report = async |change| {
                let _ = to_loop.send(Event::Namespace(change)).await;
            };
            if let Err(error) = watched.watch(report).await {
                tracing::error!(%error, "cannot watch for container namespaces");
            }
        });
        let clients = Rc::new(());
        let serving = spawn_local(server::serve(control, sender.clone(), Rc::clone(&clients))).abort_handle();
        for (kind, event) in [
            (SignalKind::hangup(), (|| Event::Reload) as fn() -> Event),
            (SignalKind::terminate(), || Event::Stop),
            (SignalKind::interrupt(), || Event::Stop),
        ] {
            let mut signals = signal(kind)?;
            let sender = sender.clone();
            spawn_local(async move {
                while signals.recv().await.is_some() && sender.send(event()).await.is_ok() {}
            });
        }

        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seed = unix.as_nanos() as u64 ^ u64::from(std::process::id());
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut core = Core::new(config, host_name, seed, Instant::now(), unix.as_secs());
        // A kernel that does not tell has one boot for us.
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        core.restore(stored, boot.trim().to_owned());
        core.block(blocked(&core));
        Ok(Self {
            path,
            core,
            connections: HashMap::new(),
            open_tasks: Rc::default(),
            kernel,
            journal,
            namespaces,
            waiting: HashMap::new(),
            last_ticket: 0,
            listeners,
            events,
            sender,
            socket,
            serving,
            clients,
            stopped: false,
            flush: Flush::No,
        })
    }

    async fn run(mut self) -> Result<(), RunError> {
        loop {
            while let Some(effect) = self.core.poll_effect(Instant::now()) {
                self.carry_out(effect);
            }
            if self.stopped && self.open_tasks.get() == 0 {
                match self.flush {
                    Flush::No => break,
                    // Not before the last connection is closed, or the peers would not hear the last words.
                    Flush::Wanted => {
                        self.flush = Flush::Begun;
                        self.core.clear(Instant::now());
                        continue;
                    }
                    Flush::Begun if self.core.is_cleared(Instant::now()) => break,
                    Flush::Begun => {}
                }
            }
            if self.core.work() {
                // There is background work: look what came in, but do not wait for it.
                tokio::task::yield_now().await;
            } else {
                let wake = self.core.next_timeout();
                let sleep = async {
                    match wake {
                        Some(at) => tokio::time::sleep_until(at.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    event = self.events.recv() => {
                        if let Some(event) = event {
                            self.handle(event);
                        }
                    }
                    () = sleep => {}
                }
            }
            for _ in 0..BURST {
                let Ok(event) = self.events.try_recv() else { break };
                self.handle(event);
            }
            self.core.handle_timeout(Instant::now());
        }
        let _ = std::fs::remove_file(&self.socket);
        // The kernel's and the journal's threads may be waiting for room in the queue.
        self.events.close();
        let _ = self.kernel.stop();
        drop(self.journal);
        // Who waited for the end.
        self.serving.abort();
        for (_, answer) in self.waiting {
            let _ = answer.send(Part { reply: Reply::Done(None), next: None });
        }
        let farewell = Instant::now() + FAREWELL;
        while Rc::strong_count(&self.clients) > 1 && Instant::now() < farewell {
            tokio::task::yield_now().await;
        }
        tracing::info!(
            "stopped{}",
            if self.flush == Flush::No { "; the kernel keeps what was installed" } else { "" }
        );
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        let now = Instant::now();
        match event {
            Event::Connected { conn, stream, local, remote } => {
                self.open(conn, stream);
                self.core.speaker().connected(conn, local, remote, now);
            }
            Event::ConnectFailed { conn, reason } => {
                self.connections.remove(&conn);
                self.core.speaker().connect_failed(conn, reason, now);
            }
            Event::Accepted { stream, local, remote } => self.accept(stream, local, remote, now),
            Event::Received { conn, data } => self.receive(conn, data, now),
            Event::Sent { conn, buffer } => {
                if let Some(Connection::Open { writing, .. }) = self.connections.get_mut(&conn) {
                    *writing = false;
                    self.transmit(conn, buffer, now);
                }
            }
            Event::Closed { conn, reason } => {
                if self.connections.remove(&conn).is_some() {
                    self.core.speaker().closed(conn, reason, now);
                }
            }
            Event::Kernel(event) => self.core.kernel(event, now),
            Event::Namespace(change) => self.core.namespace(&change.path, change.identity, now),
            Event::Persisted(persisted) => self.core.persisted(persisted, now),
            Event::Asked(asked) => self.answer(asked, now),
            // A scraper that went away is its own affair.
            Event::Metrics(answer) => drop(answer.send(self.core.metrics(now))),
            // What comes of it is in the log.
            Event::Reload => drop(self.reload(now)),
            Event::Stop => self.stop(false, now),
        }
    }

    fn stop(&mut self, flush: bool, now: Instant) {
        if !self.stopped {
            tracing::info!("stopping");
            notify(&[NotifyState::Stopping]);
            self.stopped = true;
            self.flush = if flush { Flush::Wanted } else { Flush::No };
            self.core.stop(now);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect { conn, remote, transport, external } => {
                let events = self.sender.clone();
                let task = spawn_local(async move {
                    let event = match tcp::connect(remote, &transport, external).await {
                        Ok(stream) => match stream.local_addr() {
                            Ok(local) => Event::Connected { conn, stream, local, remote },
                            Err(e) => Event::ConnectFailed { conn, reason: e.to_string() },
                        },
                        Err(e) => Event::ConnectFailed { conn, reason: e.to_string() },
                    };
                    let _ = events.send(event).await;
                });
                self.connections.insert(conn, Connection::Dialling(task.abort_handle()));
            }
            Effect::Close { conn, farewell } => match self.connections.remove(&conn) {
                Some(Connection::Dialling(task)) => task.abort(),
                // The core has forgotten the connection; its task writes what it has, then this, and ends. The
                // channel has room: see `open`.
                Some(Connection::Open { outgoing, .. }) => {
                    let _ = outgoing.try_send(Outgoing::Close(farewell));
                }
                None => {}
            },
            Effect::Writable { conn } => self.transmit(conn, BytesMut::new(), Instant::now()),
            Effect::Kernel(command) => {
                if self.kernel.send(command).is_err() {
                    // Without it the host is on its own; systemd starts us again, and the kernel's state stays.
                    tracing::error!("the kernel thread has ended");
                    std::process::exit(1);
                }
            }
            Effect::Watch(path) => self.namespaces.add(path),
            Effect::Unwatch(path) => self.namespaces.remove(&path),
            Effect::Look(path) => self.namespaces.look(&path),
            Effect::Persist { seq, writes } => self.journal.commit(seq, writes),
            Effect::Answer { ticket, reply, next } => {
                if let Some(answer) = self.waiting.remove(&ticket) {
                    // A client that went away is its own affair.
                    let _ = answer.send(Part { reply, next });
                }
            }
            Effect::Keys(keys) => {
                for listener in self.listeners.iter_mut().flatten() {
                    listener.set_keys(&keys);
                }
            }
            Effect::Ready => notify(&[NotifyState::Ready]),
        }
    }

    fn open(&mut self, conn: ConnId, stream: tokio::net::TcpStream) {
        // Room for one buffer and the order to close behind it: sending never has to wait.
        let (outgoing, commands) = mpsc::channel(2);
        let (events, tasks) = (self.sender.clone(), Rc::clone(&self.open_tasks));
        tasks.set(tasks.get() + 1);
        spawn_local(async move {
            let reason = tcp::serve(conn, stream, &events, commands).await;
            tasks.set(tasks.get() - 1);
            // Also wakes a loop that waits for the last connection to end.
            let _ = events.send(Event::Closed { conn, reason }).await;
        });
        let open = Connection::Open { outgoing, writing: false, partial: BytesMut::new() };
        self.connections.insert(conn, open);
    }

    fn accept(
        &mut self,
        stream: tokio::net::TcpStream,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        now: Instant,
    ) {
        match self.core.accept(local, remote, now) {
            Ok((conn, transport, external)) => match tcp::adopt(&stream, remote.ip(), &transport, external) {
                Ok(()) => self.open(conn, stream),
                Err(error) => self.core.speaker().closed(conn, error.to_string(), now),
            },
            Err(refusal) => {
                // Somebody who is not configured; scanners do this all day long.
                tracing::debug!(%remote, "connection refused: {}", refusal.reason);
                spawn_local(tcp::refuse(stream, refusal.farewell));
            }
        }
    }

    fn receive(&mut self, conn: ConnId, data: BytesMut, now: Instant) {
        let Some(Connection::Open { partial, .. }) = self.connections.get_mut(&conn) else { return };
        if partial.is_empty() {
            *partial = data;
        } else {
            partial.extend_from_slice(&data);
        }
        // What comes in one read is bounded, so there is no need to stop for others.
        while self.core.speaker().receive(conn, partial, now) {}
        if partial.is_empty() {
            // Gives the large buffer back: idle sessions hold none.
            *partial = BytesMut::new();
        }
    }

    /// Lets the core fill one buffer for the peer, unless one is on its way already.
    fn transmit(&mut self, conn: ConnId, mut buffer: BytesMut, now: Instant) {
        let Some(Connection::Open { outgoing, writing, .. }) = self.connections.get_mut(&conn) else {
            return;
        };
        if *writing {
            return;
        }
        self.core.speaker().transmit(conn, &mut buffer, TRANSMIT_SIZE, now);
        // A full channel cannot be (see `open`); a closed one means that `Closed` is on its way.
        if !buffer.is_empty() {
            *writing = outgoing.try_send(Outgoing::Data(buffer)).is_ok();
        }
    }

    fn answer(&mut self, asked: Asked, now: Instant) {
        let Asked { request, facts, cursor, answer } = asked;
        let part = match request {
            Request::EndpointAdd(request) => match (facts.namespace, facts.port_taken) {
                (_, Some(taken)) => Part { reply: Reply::Error(taken), next: None },
                (None, None) => {
                    let error = format!("{} is not a network namespace", request.netns);
                    Part { reply: Reply::Error(error), next: None }
                }
                (Some(namespace), None) if netns::own() == Some(namespace) => {
                    let error = format!("{} is the host's own network namespace", request.netns);
                    Part { reply: Reply::Error(error), next: None }
                }
                (Some(namespace), None) => {
                    let ticket = self.ticket(answer);
                    self.core.add_endpoint(ticket, request, namespace, now);
                    return;
                }
            },
            Request::EndpointDel { name } => {
                let ticket = self.ticket(answer);
                self.core.remove_endpoint(ticket, &name, now);
                return;
            }
            Request::Stop { flush } => {
                self.ticket(answer);
                self.stop(flush, now);
                return;
            }
            Request::Reload => {
                let reply = match self.reload(now) {
                    Ok(word) => Reply::Done(Some(word)),
                    Err(error) => Reply::Error(error),
                };
                Part { reply, next: None }
            }
            // The kernel is asked first; the other parts follow from what it said.
            Request::Show(Show::Policies) if matches!(cursor, Cursor::Start) => {
                let ticket = self.ticket(answer);
                self.core.show_policies(ticket, now);
                return;
            }
            Request::Explain(question) => match self.core.explain(&question) {
                Ok(explanation) => {
                    Part { reply: Reply::Rows(Rows::Explained(Box::new(explanation))), next: None }
                }
                Err(error) => Part { reply: Reply::Error(error), next: None },
            },
            Request::Show(show) => match self.core.show(&show, cursor, now) {
                Ok((rows, next)) => Part { reply: Reply::Rows(rows), next },
                Err(error) => Part { reply: Reply::Error(error), next: None },
            },
        };
        // A client that went away is its own affair.
        let _ = answer.send(part);
    }

    /// Keeps somebody waiting for an answer.
    fn ticket(&mut self, answer: oneshot::Sender<Part>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiting.insert(ticket, answer);
        ticket
    }

    /// Reads the file and applies it, or says why not and changes nothing.
    fn reload(&mut self, now: Instant) -> Result<String, String> {
        notify(&[
            NotifyState::Reloading,
            NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading),
        ]);
        let result = load(&self.path).and_then(|config| {
            for wanted in self.core.new_ports(&config) {
                if let Some(taken) = ports::taken(wanted.protocol, wanted.address, wanted.ports) {
                    return Err(format!("{}: {taken}", wanted.what));
                }
            }
            let word = self.core.reconfigure(config, now)?;
            self.core.block(blocked(&self.core));
            Ok(word)
        });
        notify(&[NotifyState::Ready]);
        match &result {
            Ok(word) => tracing::info!("reload: {word}"),
            Err(error) => tracing::error!("reload refused, the old configuration stays: {error}"),
        }
        result
    }
}

/// The containers with a published port that a process of the host has: it would get no connection any more.
fn blocked(core: &Core) -> BTreeMap<ScopedName, String> {
    let ports = core.unattached_ports();
    let taken = ports.into_iter().filter_map(|(name, wanted)| {
        Some((name, ports::taken(wanted.protocol, wanted.address, wanted.ports)?))
    });
    taken.collect()
}

/// Reads and checks the file; logs its warnings.
fn load(path: &Path) -> Result<petiole_config::HostConfig, String> {
    let loaded = petiole_config::load(path).map_err(|e| e.to_string())?;
    let warnings = loaded.warnings.render(false);
    if !warnings.is_empty() {
        tracing::warn!("{}", warnings.trim_end());
    }
    Ok(loaded.config)
}

/// Opens the listening socket of one family and accepts in a task of its own. A host without IPv6 has one family.
fn listen(domain: Domain, events: &mpsc::Sender<Event>) -> Result<Option<tcp::Listener>, RunError> {
    match tcp::Listener::open(domain, events.clone()) {
        Ok(listener) => Ok(Some(listener)),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => Err(RunError::PortInUse),
        Err(e) if e.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(None),
        Err(error) => Err(RunError::Listen { error }),
    }
}

/// Tells systemd, where it wants to know.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "sd_notify");
    }
}
