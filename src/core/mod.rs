//! The only place that knows both BGP and the kernel: sessions, routes and containers kept as one.
//!
//! Knows what has to happen before what: a container's prefix is announced only when the kernel confirmed its
//! objects, and withdrawn before they are taken away (rule 11). Must not know I/O: events come in by method calls
//! with the time as an argument, effects come out of [`Core::poll_effect`].

mod elsewhere;
mod endpoints;
mod host;
pub(crate) mod ipam;
mod metrics;
mod networks;
mod objects;
mod policy;
mod routes;
mod sessions;
pub(crate) mod show;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ipnet::IpNet;
use petiole_bgp::{
    rib::PeerId,
    speaker::{
        self, Action, ConnId, Impact, Origination, PeerEvent, PeerEventKind, Refusal, Secret, Speaker,
        Transport,
    },
    wire::Family,
};
use petiole_config::HostConfig;
use petiole_fib::{
    model::{
        Command, Concern, Event as KernelEvent, IfName, Key, LinkState, Ns, Object, Observed, Resolution,
    },
    owner::Owner,
    plan::{Fib, Notice, Scope},
};

use elsewhere::Duplicates;
use endpoints::Endpoints;
pub(crate) use endpoints::{NamespaceId, Ticket};
use networks::Networks;
use policy::Members;

use crate::{control::Reply, io::journal::Write};

/// Operations handed to the kernel thread at once.
const BATCH: usize = 2048;

/// Batches on their way at the same time: one that the kernel works on, one that waits for it.
const BATCHES: usize = 2;

/// Route changes waiting in the plan before no more are taken from the RIB. They coalesce there.
const ROUTES_WAITING: usize = 2 * BATCHES * BATCH;

/// How long sessions wait at the start for the uplinks' addresses: dialling without one would only fail.
const START_WITHIN: Duration = Duration::from_secs(1);

/// How long a stop that takes everything away may take.
const CLEAR_WITHIN: Duration = Duration::from_secs(10);

/// How long routes of an earlier run are kept for a fabric that does not come back (rule 5).
const SWEEP_AFTER: Duration = Duration::from_mins(1);

/// What the daemon has to do for the core.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Dial.
    Connect { conn: ConnId, remote: SocketAddr, transport: Transport, external: bool },
    /// Close, after what is on its way and these last words.
    Close { conn: ConnId, farewell: Bytes },
    /// There is something to transmit.
    Writable { conn: ConnId },
    /// For the kernel thread.
    Kernel(Command),
    /// From now on tell of the namespace at this path, and first what is there now.
    Watch(PathBuf),
    /// The path is of no interest any more.
    Unwatch(PathBuf),
    /// Say once more what is at this watched path.
    Look(PathBuf),
    /// For the journal.
    Persist { seq: u64, writes: Vec<Write> },
    /// For somebody who waits; `next`: where the next part of the answer starts.
    Answer { ticket: Ticket, reply: Reply, next: Option<show::Cursor> },
    /// The peers' TCP-MD5 keys, for the listening sockets.
    Keys(BTreeMap<IpAddr, Secret>),
    /// The kernel is known, the sessions are started.
    Ready,
}

/// All that the host is and should be.
pub(crate) struct Core {
    config: HostConfig,
    host_name: String,
    speaker: Speaker,
    /// The speaker's configuration.
    sessions: speaker::Config,
    /// Peers that are away and were reported so.
    silent: BTreeSet<PeerId>,
    /// Families of sessions whose peer has not sent all its routes yet.
    unfinished: BTreeSet<(PeerId, Family)>,
    fib: Fib,
    networks: Networks,
    endpoints: Endpoints,
    duplicates: Duplicates,
    members: Members,
    /// The attributes of what this host announces.
    origination: Origination,
    /// The host's links by name, as the kernel shows them.
    links: HashMap<IfName, LinkState>,
    /// Dumps of the host's namespace that have not come in since the start.
    unread: BTreeSet<Concern>,
    /// Addresses on the host's links, by link: for the router id and as next hops.
    own_addresses: BTreeMap<IfName, BTreeSet<IpNet>>,
    own_addresses_changed: bool,
    /// Chosen once where the config has none, so that a new address does not reset the sessions.
    router_id: Ipv4Addr,
    /// Prefixes of the host itself, the object that must stand first, and whether they are announced.
    announced: BTreeMap<IpNet, (Key, bool)>,
    /// Next hops that the RIB asks for.
    watched: BTreeSet<IpAddr>,
    watched_changed: bool,
    resolved: HashMap<IpAddr, Resolution>,
    /// Uplinks that are being brought up.
    raised: BTreeSet<Key>,
    /// The kernel's state may have moved: whoever waits for it has to look.
    moved: bool,
    batches: usize,
    batch: u64,
    /// Sessions start when the uplinks have their addresses, and at the latest then.
    start_at: Option<Instant>,
    sweep_at: Option<Instant>,
    /// On the way out.
    stopping: bool,
    /// On the way out everything of ours goes from the kernel, at the latest then.
    clearing: Option<Instant>,
    effects: VecDeque<Effect>,
    started: Instant,
    /// The same as unix seconds. The clock is not asked again: it may be set meanwhile.
    started_unix: u64,
}

impl Core {
    /// A core that knows nothing of the kernel yet; sessions start when it does. `unix`: now, in unix seconds.
    pub(crate) fn new(config: HostConfig, host_name: String, seed: u64, now: Instant, unix: u64) -> Self {
        // Without peers until the kernel is known: the router id and the next hops may come from there.
        let mut nobody = sessions::speaker(&config, Ipv4Addr::LOCALHOST, &host_name, &[]);
        nobody.peers.clear();
        let mut core = Self {
            speaker: Speaker::new(nobody.clone(), seed, now),
            sessions: nobody,
            silent: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            fib: Fib::new(Owner::default()),
            networks: Networks::default(),
            endpoints: Endpoints::default(),
            duplicates: Duplicates::default(),
            members: Members::default(),
            origination: elsewhere::origination(config.host.asn, Ipv4Addr::LOCALHOST),
            links: HashMap::new(),
            unread: [
                Concern::Links,
                Concern::Addresses,
                Concern::Neighbours,
                Concern::NextHops,
                Concern::Routes,
                Concern::Fdb,
                Concern::Tc,
                Concern::Nft,
            ]
            .into(),
            own_addresses: BTreeMap::new(),
            own_addresses_changed: false,
            router_id: Ipv4Addr::LOCALHOST,
            announced: BTreeMap::new(),
            watched: BTreeSet::new(),
            watched_changed: false,
            resolved: HashMap::new(),
            raised: BTreeSet::new(),
            moved: false,
            batches: 0,
            batch: 0,
            start_at: None,
            sweep_at: Some(now + SWEEP_AFTER),
            stopping: false,
            clearing: None,
            effects: VecDeque::new(),
            started: now,
            started_unix: unix,
            config,
            host_name,
        };
        core.fib.watch_ns(Ns::HOST);
        core
    }

    /// The BGP half, for the bytes of its connections.
    pub(crate) fn speaker(&mut self) -> &mut Speaker {
        &mut self.speaker
    }

    fn unix(&self, now: Instant) -> u64 {
        self.started_unix + now.saturating_duration_since(self.started).as_secs()
    }

    /// The next thing to do, if there is any.
    pub(crate) fn poll_effect(&mut self, now: Instant) -> Option<Effect> {
        if self.effects.is_empty() {
            self.advance(now);
        }
        self.effects.pop_front()
    }

    /// When [`Core::handle_timeout`] has to be called even if nothing happens.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        [
            self.speaker.next_timeout(),
            self.fib.next_retry(),
            self.sweep_at,
            self.start_at,
            self.endpoints.next_timeout(),
            self.duplicates.next,
            self.next_review(),
            self.members.hits.next_timeout(),
            self.clearing,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.speaker.next_timeout().is_some_and(|at| at <= now) {
            self.speaker.handle_timeout(now);
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep_learned(now);
        }
        self.finish_detaching(now);
        self.expire_requests(now);
        self.expire_counting(now);
        if self.watch_duplicates(now) {
            // An address may have left its quarantine, or the fabric.
            self.retry_unassigned(now);
            self.retry_undeleted();
        }
    }

    /// A slice of background work. Returns whether more is left.
    pub(crate) fn work(&mut self) -> bool {
        self.speaker.work()
    }

    /// Ends all sessions with a word to the peers. The kernel's state stays (rule 9).
    pub(crate) fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.speaker.stop("", now);
    }

    /// After [`Core::stop`], when the peers have had their last words: takes everything that is ours out of the kernel.
    pub(crate) fn clear(&mut self, now: Instant) {
        self.clearing = Some(now + CLEAR_WITHIN);
        let wanted: Vec<Key> = self.fib.objects().map(|(object, _)| object.key()).collect();
        for key in &wanted {
            self.fib.unwant(key);
        }
        let mut at = Some(0);
        while let Some(cursor) = at {
            let (routes, next) = self.fib.routes(cursor, BATCH);
            for route in routes {
                self.fib.unwant_route(route.prefix);
            }
            at = next;
        }
        self.fib.sweep(Scope::Learned);
        self.fib.sweep(Scope::Local);
    }

    /// Whether that is done, or has taken too long.
    pub(crate) fn is_cleared(&self, now: Instant) -> bool {
        self.clearing.is_some_and(|deadline| (self.batches == 0 && self.fib.idle()) || deadline <= now)
    }

    /// Lets everything that waits for something else take its next step.
    fn advance(&mut self, now: Instant) {
        self.follow_kernel(now);
        while let Some(action) = self.speaker.poll_action() {
            self.act(action, now);
        }
        self.persist_releases();
        if self.stopping && self.clearing.is_none() {
            return;
        }
        if !self.stopping {
            if std::mem::take(&mut self.watched_changed) {
                let watched = self.watched.iter().copied().collect();
                self.effects.push_back(Effect::Kernel(Command::Resolve(watched)));
            }
            self.install_routes(now);
        }
        let requests = self.fib.take_requests();
        self.effects.extend(requests.into_iter().map(Effect::Kernel));
        while self.batches < BATCHES {
            let ops = self.fib.plan(BATCH, now);
            if ops.is_empty() {
                break;
            }
            self.batches += 1;
            self.batch += 1;
            self.effects.push_back(Effect::Kernel(Command::Apply { batch: self.batch, ops }));
        }
        // Where the kernel thread has been handed all there is to do, what it does next comes after that.
        self.review_connections(now);
        for notice in self.fib.take_notices() {
            self.moved = true;
            self.notice(notice, now);
        }
    }

    /// The kernel moved: what waited for that goes on.
    fn follow_kernel(&mut self, now: Instant) {
        if std::mem::take(&mut self.moved) {
            self.check_announced();
            self.check_attaching();
            self.settle_uplinks();
            self.finish_detaching(now);
        } else if self.peers_were_told() {
            // What was transmitted moved nothing in the kernel.
            self.finish_detaching(now);
        }
        let waiting = self.start_at.is_some_and(|at| now < at && !self.uplinks_addressed());
        if (self.start_at.is_some() && !waiting)
            || (self.own_addresses_changed && self.unread.is_empty() && self.start_at.is_none())
        {
            self.start_at = None;
            self.start_sessions(now);
        }
    }

    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Connect { conn, remote, transport, .. } => {
                let external =
                    sessions::transport(&self.sessions, remote).is_none_or(|(_, external)| external);
                self.effects.push_back(Effect::Connect { conn, remote, transport, external });
            }
            Action::Close { conn, farewell } => self.effects.push_back(Effect::Close { conn, farewell }),
            Action::Writable { conn } => self.effects.push_back(Effect::Writable { conn }),
            Action::Watch(address) => self.watched_changed |= self.watched.insert(address),
            Action::Unwatch(address) => {
                self.watched_changed |= self.watched.remove(&address);
                self.resolved.remove(&address);
            }
            Action::Event(event) => self.session_event(&event, now),
        }
    }

    fn session_event(&mut self, event: &PeerEvent, now: Instant) {
        let quiet = match &event.kind {
            PeerEventKind::AttemptFailed(_) => !self.silent.insert(event.peer),
            PeerEventKind::Up { negotiated, .. } => {
                self.silent.remove(&event.peer);
                self.peer_forwards(&event.name, true);
                let families = negotiated.session.families.iter().map(|f| (event.peer, f));
                self.unfinished.extend(families);
                false
            }
            PeerEventKind::EndOfRib(family) => {
                self.unfinished.remove(&(event.peer, *family));
                if self.sweep_at.is_some() && self.unfinished.is_empty() && self.all_up() {
                    self.sweep_learned(now);
                }
                false
            }
            PeerEventKind::Down(_) => {
                self.unfinished.retain(|(peer, _)| *peer != event.peer);
                self.peer_forwards(&event.name, false);
                false
            }
            _ => false,
        };
        sessions::log(event, quiet);
    }

    /// Whether every peer that is not shut down has a session.
    fn all_up(&self) -> bool {
        self.speaker.peers().all(|p| p.shutdown.is_some() || p.state == speaker::State::Established)
    }

    /// Somebody connected. With the connection come the options of its socket.
    pub(crate) fn accept(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<(ConnId, Transport, bool), Refusal> {
        let conn = self.speaker.accept(local, remote, now)?;
        let (transport, external) = sessions::transport(&self.sessions, remote).unwrap_or_default();
        Ok((conn, transport, external))
    }

    /// What an earlier run left of learned routes, and nobody announced again, goes.
    fn sweep_learned(&mut self, now: Instant) {
        self.sweep_at = None;
        self.forget_provisional(now);
        self.fib.sweep(Scope::Learned);
    }

    /// The kernel thread has something to say.
    pub(crate) fn kernel(&mut self, event: KernelEvent, now: Instant) {
        if let KernelEvent::Resolved(address, resolution) = event {
            self.resolve(address, resolution);
            return;
        }
        let mut read = None;
        match &event {
            KernelEvent::Applied { .. } => self.batches = self.batches.saturating_sub(1),
            KernelEvent::Dump { ns: Ns::HOST, concern, objects, last } => {
                self.recover(*concern, objects);
                read = last.then_some(*concern);
            }
            KernelEvent::Object(Observed::Link(link)) if link.ns == Ns::HOST => {
                self.link_changed(link);
            }
            KernelEvent::Gone(Key::Link(Ns::HOST, name)) => {
                self.links.remove(name);
                self.own_addresses_changed |= self.own_addresses.remove(name).is_some();
            }
            KernelEvent::Object(Observed::Object {
                object: Object::Address(Ns::HOST, link, address),
                ..
            }) if !is_link_local(address) => {
                self.own_addresses_changed |=
                    self.own_addresses.entry(link.clone()).or_default().insert(*address);
            }
            KernelEvent::Gone(Key::Address(Ns::HOST, link, address)) => {
                let addresses = self.own_addresses.get_mut(link);
                self.own_addresses_changed |= addresses.is_some_and(|a| a.remove(address));
            }
            KernelEvent::NamespaceLost(ns, why) => self.namespace_lost(*ns, why),
            KernelEvent::ConnectionsEnded(count) => self.connections_ended(*count),
            KernelEvent::Counted(set, counts) => self.counted(set, counts, now),
            _ => {}
        }
        self.moved = true;
        for notice in self.fib.observe(event, now) {
            self.notice(notice, now);
        }
        if let Some(concern) = read
            && self.unread.remove(&concern)
            && self.unread.is_empty()
        {
            self.begin(now);
        }
    }

    /// Remembers what the host's namespace holds at the start.
    fn recover(&mut self, concern: Concern, objects: &[Observed]) {
        // A dump may come in parts and be repeated; what went away meanwhile is announced by events, or repaired by
        // the next address that changes: these are hints for next hops, not a truth that anything is built on.
        self.own_addresses_changed |= concern == Concern::Addresses;
        for object in objects {
            match object {
                Observed::Link(link) => self.link_changed(link),
                Observed::Object { object: Object::Address(_, link, address), .. }
                    if !is_link_local(address) =>
                {
                    self.own_addresses.entry(link.clone()).or_default().insert(*address);
                }
                Observed::Object { object: Object::Route(key, route), .. } if !self.unread.is_empty() => {
                    self.endpoints.remember_route(key, route);
                }
                Observed::Object { object: object @ (Object::Fdb(_) | Object::Neighbour(..)), .. }
                    if !self.unread.is_empty() =>
                {
                    self.endpoints.remember_neighbour(object);
                }
                Observed::Object { object: object @ Object::Element(..), .. } if !self.unread.is_empty() => {
                    self.remember_member(object);
                }
                Observed::Chain { .. } | Observed::Object { .. } => {}
            }
        }
    }

    /// The host's namespace is known: everything can start.
    fn begin(&mut self, now: Instant) {
        for link in self.links.values() {
            self.endpoints.remember_link(link);
        }
        self.router_id = self.choose_router_id();
        self.origination = elsewhere::origination(self.config.host.asn, self.router_id);
        if let Err(problem) = self.check_networks(&self.config) {
            tracing::error!("{problem}");
        }
        self.announce_host(&BTreeMap::new());
        self.reconfigure_policy(now);
        self.start_endpoints(now);
        self.want_configured();
        self.begin_requests(now);
        self.start_at = Some(now + START_WITHIN);
        self.moved = true;
        tracing::info!(
            asn = self.config.host.asn,
            router_id = %self.router_id,
            neighbors = self.config.neighbors.len(),
            endpoints = self.config.endpoints.len(),
            "started"
        );
        self.effects.push_back(Effect::Ready);
    }

    /// Brings the speaker in line with the config and the host's addresses.
    fn start_sessions(&mut self, now: Instant) -> Vec<(String, Impact)> {
        let configured = self.config.uplinks.iter().map(|u| u.addresses.clone());
        let found = self.own_addresses.values().map(|a| a.iter().copied().collect());
        let own: Vec<Vec<IpNet>> = configured.chain(found).collect();
        self.own_addresses_changed = false;
        self.sessions = sessions::speaker(&self.config, self.router_id, &self.host_name, &own);
        self.effects.push_back(Effect::Keys(sessions::keys(&self.sessions)));
        self.speaker.reconfigure(self.sessions.clone(), now)
    }

    fn notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            // Whoever waits for it looks in `advance`.
            Notice::Settled(key) => {
                self.endpoint_object_settled(&key);
                self.network_object_settled(&key);
                self.policy_object_settled(&key, now);
            }
            Notice::Lost(key) => {
                tracing::info!(object = %show::key(&key), "taken away or changed by somebody else; repairing");
                self.endpoint_object_lost(&key);
                self.policy_object_lost(&key);
            }
            Notice::Failed { key, error, attempts } => {
                // Once: the retries are counted, and `show fib` has the latest word.
                if attempts == 1 {
                    tracing::warn!(object = %show::key(&key), "the kernel refused: {error}");
                }
                self.network_object_failed(&key, &error);
                self.endpoint_object_failed(&key, &error, attempts, now);
            }
        }
    }

    /// Applies another configuration, or refuses it and changes nothing. Returns a word for the operator.
    pub(crate) fn reconfigure(&mut self, config: HostConfig, now: Instant) -> Result<String, String> {
        if config.api != self.config.api {
            return Err("[api] cannot change while the daemon runs: restart it".into());
        }
        if config.state != self.config.state {
            return Err("[state] cannot change while the daemon runs: restart it".into());
        }
        if !self.unread.is_empty() {
            return Err("still starting: the kernel's state is being read".into());
        }
        self.check_networks(&config)?;
        self.check_requests(&config)?;
        let old = std::mem::replace(&mut self.config, config);
        if (old.host.asn, old.host.router_id) != (self.config.host.asn, self.config.host.router_id) {
            self.router_id = self.choose_router_id();
            self.origination = elsewhere::origination(self.config.host.asn, self.router_id);
            self.announce_again();
        }
        let before = std::mem::take(&mut self.announced);
        self.announce_host(&before);
        let new = &self.config;
        if (&old.networks, &old.groups, &old.policies, &old.profiles)
            != (&new.networks, &new.groups, &new.policies, &new.profiles)
        {
            self.reconfigure_policy(now);
        }
        let endpoints = self.reconfigure_endpoints(&old, now);
        self.want_configured();
        self.update_containers();
        if old.groups != self.config.groups {
            self.announce_containers_again();
        }
        self.moved = true;
        let sessions = self.start_sessions(now);
        if old.host.loopback != self.config.host.loopback {
            // Every learned route has a new preferred source.
            self.speaker.reinstall_routes();
        }
        Ok(format!("{}; {endpoints}", sessions::summary(&sessions)))
    }
}

/// Every link has one, and none is of use as a next hop.
fn is_link_local(address: &IpNet) -> bool {
    matches!(address.addr(), IpAddr::V6(a) if a.is_unicast_link_local())
}
