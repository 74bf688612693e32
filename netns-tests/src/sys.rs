//! The system calls that Rust cannot vouch for: fork, unshare, and entering namespaces between fork and exec.
//!
//! The only module of this crate that may say `unsafe`. It knows processes and namespaces as file descriptors; it must
//! not know labs.
#![allow(unsafe_code)]

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
    thread,
};

use rustix::{
    process::Pid,
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space},
};

/// Duplicates this process. `None` in the child. Refused unless the process has one thread: the child of a process
/// with more could find a lock held for ever.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    // SAFETY: the process has one thread, so the child has all of the parent's state, and no lock is held by a
    // thread that does not exist in it.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Pid::from_raw(pid)) }
}

/// Gives this process namespaces of its own; `NEWPID` counts for its next child.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    debug_assert!(!namespaces.contains(UnshareFlags::FILES));
    // SAFETY: the file descriptor table stays shared, which is all that the call could break.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }.map_err(io::Error::from)
}

/// Lets the kernel reap the children of this process, adopted ones too: an init that has nothing to learn from them.
pub(crate) fn ignore_children() -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Stays for ever, with nothing open but the standard streams: what a forked process has inherited would otherwise keep
/// the pipes of others open.
pub(crate) fn park() -> ! {
    // SAFETY: this thread is the only one that could use a descriptor, and it never returns from here.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    loop {
        thread::park();
    }
}

/// From now on the terminal's interrupt and quit keys are for the programs that this process runs in a lab, and not for
/// itself. For programs like `lab exec`.
pub fn interrupts_are_the_childs() {
    // SAFETY: SIG_IGN runs no code of ours; the two signals exist, so the call cannot fail.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGQUIT, libc::SIG_IGN);
    }
}

/// The namespaces in which a process is started; those that are absent are the caller's.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    pub(crate) pid: Option<OwnedFd>,
    pub(crate) net: Option<OwnedFd>,
    pub(crate) uts: Option<OwnedFd>,
    pub(crate) mount: Option<OwnedFd>,
}

impl Namespaces {
    /// Starts `command` inside. The child is a direct child of this process: its id is the one seen here.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let duplicate = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose();
        // The mount namespace last: until then the child can still be told apart in the caller's /proc.
        let enter = [
            (duplicate(&self.net)?, LinkNameSpaceType::Network),
            (duplicate(&self.uts)?, LinkNameSpaceType::HostNameAndNISDomainName),
            (duplicate(&self.mount)?, LinkNameSpaceType::Mount),
        ];
        let enter = move || -> io::Result<()> {
            for (fd, kind) in &enter {
                if let Some(fd) = fd {
                    move_into_link_name_space(fd.as_fd(), Some(*kind))?;
                }
            }
            // Ctrl-C of a caller that ignores it is still the child's to handle.
            // SAFETY: SIG_DFL runs no code of ours.
            unsafe {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                libc::signal(libc::SIGQUIT, libc::SIG_DFL);
            }
            Ok(())
        };
        // SAFETY: the closure makes system calls on descriptors that it owns, and neither allocates nor takes a lock.
        unsafe { command.pre_exec(enter) };
        let Some(pid) = &self.pid else { return command.spawn() };
        spawn_in_pid_namespace(command, pid.as_fd())
    }
}

/// A process belongs to the PID namespace that its parent thread names for children. That is a property of a thread,
/// so a thread of its own names it and is gone before anybody else could start a child from it.
fn spawn_in_pid_namespace(command: &mut Command, namespace: BorrowedFd<'_>) -> io::Result<Child> {
    thread::scope(|scope| {
        let spawner = scope.spawn(|| {
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::ProcessID))?;
            command.spawn()
        });
        spawner.join().unwrap_or_else(|_| Err(io::Error::other("the spawning thread panicked")))
    })
}
