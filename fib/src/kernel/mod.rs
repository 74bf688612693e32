//! The kernel, by netlink: dump, apply in batches, monitor, resolve. One OS thread, no runtime.
//!
//! A thread of its own, because `sendmsg` on a netlink socket does the kernel's work before it returns: a large
//! batch would stall whatever else shared the thread. [`spawn`] starts it; [`Command`]s go in through a
//! [`Handle`], [`Event`]s come out through a callback that runs on the thread.
//!
//! Knows how objects of [`crate::model`] look in netlink, and which of the kernel's rules keep foreign objects
//! safe. Must not know why an object is wanted, BGP, or the config.
//!
//! | module | knows |
//! |---|---|
//! | `uapi`, `codec` | numbers and wire format |
//! | `sys` | the system calls that need `unsafe` |
//! | `channel` | one request socket: exchange, dump |
//! | `batch` | many requests in one `sendmsg`, whose error belongs to which operation |
//! | `link`, `address`, `neighbour`, `fdb`, `nexthop`, `route`, `tc`, `sysctl` | one kind of object: encode, decode |
//! | `device`, `port` | of links: what a bridge, a VLAN, a VXLAN device and an IFB are made of; how a port of a bridge is set |
//! | `netfilter` | what the requests of the next two have in common |
//! | `nft` | nftables: transactions, dumps, what others do there |
//! | `conntrack` | forgetting connections |
//! | `udp` | who has a UDP port |
//! | `netns` | entering a container's network namespace and coming back |
//! | `interfaces` | the host's links: name ↔ index |
//! | `contested` | foreign objects that stand on our keys |
//! | `apply` | operations → batches |
//! | `dump` | everything of one concern |
//! | `monitor`, `filter` | what others do; what of it is not to be heard |
//! | `resolve` | where packets for an address would go |
//! | `engine` | the thread: all of the above in one loop |
//!
//! # How foreign objects stay safe
//!
//! The kernel's `NLM_F_REPLACE` looks at prefix, type of service and metric of a route, not at its protocol: it
//! would hit a foreign route that stands first on the same key. So:
//!
//! - Creation is always exclusive (`NLM_F_EXCL`).
//! - Deletion of a route carries our protocol, which the kernel compares. Deletion of a next hop is refused when the
//!   id is known to be foreign; addresses, neighbours and links are looked at first (`IFA_PROTO`, `NDA_PROTOCOL`,
//!   the alias) and then named by interface index.
//! - A link joins a bridge, and forwarding entries are written, only where link and bridge are ours. A port's entry is
//!   looked at first: learned ones give way, what is static on another port does not.
//! - Qdiscs and filters are put and deleted on links of ours only. There somebody else's root qdisc gives way where we
//!   want ours (known by its handle), and stays where we want none; filters of another priority than ours stay.
//! - Change of a learned route (our table and metric in the host's namespace) is a replacement, refused with `EEXIST` on keys
//!   where a foreign route is known to stand. They are known from one scan of all routes, kept current by the
//!   monitor, which is read right before each batch. What is left is a foreign route *prepended* to ours in the
//!   microseconds between that reading and the replacement.
//! - Change of any other route is a deletion with our protocol, then an exclusive creation.
//!
//! # What the kernel does not announce
//!
//! Tried on Linux 6.18 and held by tests (`tests/kernel.rs`, "implied"):
//!
//! | when | announced | silent |
//! |---|---|---|
//! | a link is set down | the link, its IPv6 addresses, IPv6 routes out of it | IPv4 routes out of it; next hops over it, their leaving of groups, groups left empty |
//! | a link loses its carrier | the link | next hops over it, as above; routes out of it stay, marked `linkdown` |
//! | a link is deleted | it and its other end, its addresses and neighbours, IPv6 routes out of it | as when it is set down |
//! | a next hop is deleted by request | it, groups that shrink (as new ones), groups left empty | |
//! | a next hop or group goes, however | with `nexthop_compat_mode` 1 IPv6 routes by it | IPv4 routes by it; with mode 0 IPv6 ones too |
//! | the last IPv4 address of a link is deleted | the address, its connected route | IPv4 routes out of the link by gateway; next hops stay |
//! | a port leaves its bridge, or the bridge goes | the port (as a link without bridge), its static forwarding entries | |
//! | a port's static entry is put on another port | the entry there | that it is gone here (told as [`Event::Overrun`] by us) |
//! | a VXLAN device goes | it, its forwarding entries | |
//! | a link with qdiscs goes | it | its qdiscs, filters on it |
//! | the link that a filter redirects to goes | that link | that the filter leads nowhere: it stays, and drops |
//! | a clsact is deleted | it | filters on it |
//! | an IPv6 address is deleted | the address, its connected route | (all else stays) |
//! | an IPv4 address that routes prefer as source is deleted | the address, those routes (silent before Linux 6.6) | |
//!
//! So [`Event`]s tell of links at once and faithfully; whoever keeps a picture of routes and next hops has to
//! conclude from those.

mod address;
mod apply;
mod batch;
mod channel;
mod codec;
mod conntrack;
mod contested;
mod device;
mod dump;
mod engine;
mod fdb;
mod filter;
mod interfaces;
mod link;
mod monitor;
mod neighbour;
mod netfilter;
mod netns;
mod nexthop;
mod nft;
mod port;
mod resolve;
mod route;
mod sys;
mod sysctl;
mod tc;
#[cfg(test)]
mod tests;
mod uapi;
mod udp;

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use rustix::event::{EventfdFlags, eventfd};

use crate::{
    model::{Command, Errno, Event, KernelError},
    owner::Owner,
};

/// Settings that have a right value for everybody but tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of each socket's receive buffer in bytes. It is a limit, not an allocation.
    pub receive_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { receive_buffer: 16 << 20 }
    }
}

/// Why the kernel thread could not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The process may not configure the network namespace it runs in.
    #[error("no CAP_NET_ADMIN in this network namespace")]
    NotPermitted,
    /// A call that every supported kernel has failed.
    #[error("{what}: {source}")]
    System {
        /// The attempted thing.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The first look at the kernel's links was refused.
    #[error("reading the host's links: {0}")]
    Kernel(#[from] KernelError),
}

/// The thread is no longer there: it has been stopped, or it has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel thread has ended")]
pub struct Stopped;

/// The way to the kernel thread. Dropping it stops the thread and waits for its end.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread on the network namespace of the calling thread. `events` is called on the new thread and
/// should not block: while it does, nothing is applied or seen.
pub fn spawn<F>(owner: Owner, events: F) -> Result<Handle, SpawnError>
where
    F: Fn(Event) + Send + 'static,
{
    spawn_with(owner, Options::default(), events)
}

/// [`spawn`] with other settings.
pub fn spawn_with<F>(owner: Owner, options: Options, events: F) -> Result<Handle, SpawnError>
where
    F: Fn(Event) + Send + 'static,
{
    let system = |what| move |source: io::Error| SpawnError::System { what, source };
    let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
    let wake = Arc::new(eventfd(0, flags).map_err(|e| system("eventfd")(e.into()))?);
    let (commands, inbox) = mpsc::channel();
    let (started, outcome) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("kernel".into())
        .spawn({
            let wake = wake.clone();
            move || match engine::Engine::start(owner, &options, wake, Box::new(events)) {
                Ok(engine) => {
                    if started.send(Ok(())).is_ok() {
                        engine.run(&inbox);
                    }
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })
        .map_err(system("starting the kernel thread"))?;
    match outcome.recv() {
        Ok(Ok(())) => Ok(Handle { commands, wake, thread: Some(thread) }),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(system("starting the kernel thread")(io::ErrorKind::Other.into())),
    }
}

impl Handle {
    /// Hands a command over and wakes the thread. Never blocks. The queue has no limit of its own: what is in
    /// flight is bounded by whoever waits for [`Event::Applied`] before sending more.
    pub fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).map_err(|_| Stopped)?;
        // Fails only when the counter is full, and then the thread is awake anyway.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }

    /// Has the thread finish what has been asked so far, and waits for its end. `Err` when it panicked.
    pub fn stop(mut self) -> Result<(), Stopped> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Stopped> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let _ = self.send(Command::Stop);
        thread.join().map_err(|_| Stopped)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// An error of our own making, in the kernel's form.
fn refused(errno: i32, text: impl Into<String>) -> KernelError {
    KernelError { errno: Errno(errno), text: Some(text.into()) }
}

/// A failed system call, in the kernel's form.
fn failed(error: &io::Error) -> KernelError {
    let errno = error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => libc::ENOENT,
        io::ErrorKind::PermissionDenied => libc::EPERM,
        io::ErrorKind::InvalidInput => libc::EINVAL,
        _ => libc::EIO,
    });
    let text = error.raw_os_error().is_none().then(|| error.to_string());
    KernelError { errno: Errno(errno), text }
}
