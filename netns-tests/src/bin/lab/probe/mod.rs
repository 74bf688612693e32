//! Asking many at once, and answering.

mod packet;
mod respond;
mod talk;

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    process::ExitCode,
    time::{Duration, Instant},
};

use petiole_netns_tests::{LabError, Question, Service};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, ipproto, socket_with},
};

pub(crate) use respond::respond;
pub(crate) use talk::talk;

/// When what was not answered is said again.
const AGAIN: Duration = Duration::from_millis(300);
/// One look at all sockets.
const LOOK: Duration = Duration::from_millis(10);
/// Between two rounds of a hammer.
const PACE: Duration = Duration::from_millis(2);
/// How long a hammer listens for an answer.
const HAMMER_PATIENCE: Duration = Duration::from_millis(100);
/// How many rounds of a hammer are told of at once.
const ROUNDS: u64 = 50;

fn failed(what: String) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::System { what, source }
}

/// A question that has been asked.
struct Asked {
    question: Question,
    /// Raw sockets are used like UDP's.
    socket: Socket,
    /// What tells its answer from others.
    token: u16,
    at: Instant,
}

enum Socket {
    Stream(TcpStream),
    Packets(UdpSocket),
}

enum State {
    Open,
    Answered,
    /// Somebody else said that it cannot be.
    Failed,
}

impl Asked {
    fn new(question: Question, from: Option<IpAddr>, token: u16) -> io::Result<Self> {
        let fd = socket(question.service, question.to.is_ipv4())?;
        if let Some(from) = from {
            bind(&fd, &SocketAddr::from((from, 0)))?;
        }
        let port = match question.service {
            Service::Tcp(port) | Service::Udp(port) => port,
            _ => 0,
        };
        match connect(&fd, &SocketAddr::from((question.to, port))) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = match question.service {
            Service::Tcp(_) => Socket::Stream(fd.into()),
            _ => Socket::Packets(fd.into()),
        };
        let asked = Self { question, socket, token, at: Instant::now() };
        asked.say()?;
        Ok(asked)
    }

    fn say(&self) -> io::Result<()> {
        let Socket::Packets(socket) = &self.socket else { return Ok(()) };
        socket.send(&packet::question(self.question, self.token)).map(drop)
    }

    fn look(&self) -> State {
        match &self.socket {
            Socket::Stream(stream) => match stream.take_error() {
                Ok(None) if stream.peer_addr().is_ok() => State::Answered,
                Ok(None) => State::Open,
                // It was there to say no.
                Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => State::Answered,
                Ok(Some(_)) | Err(_) => State::Failed,
            },
            Socket::Packets(socket) => {
                let mut buffer = [0; packet::LONGEST];
                loop {
                    match socket.recv(&mut buffer) {
                        Ok(length) => {
                            if packet::is_answer(self.question, self.token, &buffer[..length]) {
                                return State::Answered;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                        Err(_) => return State::Failed,
                    }
                }
            }
        }
    }
}

impl AsFd for Asked {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match &self.socket {
            Socket::Stream(stream) => stream.as_fd(),
            Socket::Packets(socket) => socket.as_fd(),
        }
    }
}

fn socket(service: Service, ipv4: bool) -> io::Result<OwnedFd> {
    let family = if ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let raw =
        |number: u8| (SocketType::RAW, rustix::net::RawProtocol::new(number.into()).map(Protocol::from_raw));
    let (kind, protocol) = match service {
        Service::Tcp(_) => (SocketType::STREAM, None),
        Service::Udp(_) => (SocketType::DGRAM, None),
        Service::Sctp(_) => (SocketType::RAW, Some(ipproto::SCTP)),
        Service::Icmp if ipv4 => (SocketType::RAW, Some(ipproto::ICMP)),
        Service::Icmp => (SocketType::RAW, Some(ipproto::ICMPV6)),
        Service::Protocol(number) => raw(number),
    };
    Ok(socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, protocol)?)
}

/// Waits until something may have happened.
fn wait<'a>(asked: impl Iterator<Item = &'a Asked>, time: Duration) -> io::Result<()> {
    let mut fds: Vec<_> = asked
        .map(|asked| {
            let for_what = match asked.socket {
                Socket::Stream(_) => PollFlags::OUT,
                Socket::Packets(_) => PollFlags::IN,
            };
            PollFd::new(asked, for_what)
        })
        .collect();
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads questions from standard input, asks them all, and prints those that are answered.
pub(crate) fn probe(from: Option<IpAddr>, quiet: Duration, patience: Duration) -> Result<ExitCode, LabError> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input).map_err(failed("standard input".to_owned()))?;
    let mut open = Vec::new();
    for line in input.lines() {
        let wrong = || LabError::Build(format!("`{line}` is no question"));
        let (expected, question) = line.split_once(' ').ok_or_else(wrong)?;
        let question: Question = question.parse().map_err(|_| wrong())?;
        open.push((question, expected == "+", None::<Asked>));
    }
    let start = Instant::now();
    let (mut progress, mut token) = (start, 0_u16);
    let mut said = None::<Instant>;
    while !open.is_empty() {
        let now = Instant::now();
        if said.is_none_or(|said| now >= said + AGAIN) {
            said = Some(now);
            for (question, _, asked) in &mut open {
                token = token.wrapping_add(1);
                match asked {
                    Some(asked) => drop(asked.say()),
                    // There may be a way later.
                    None => *asked = Asked::new(*question, from, token).ok(),
                }
            }
        }
        wait(open.iter().filter_map(|(_, _, asked)| asked.as_ref()), LOOK)
            .map_err(failed("poll".to_owned()))?;
        open.retain_mut(|(question, expected, asked)| match asked.as_ref().map(Asked::look) {
            Some(State::Answered) => {
                println!("{question}");
                if *expected {
                    progress = Instant::now();
                }
                false
            }
            Some(State::Failed) => {
                *asked = None;
                true
            }
            Some(State::Open) | None => true,
        });
        let expecting = open.iter().any(|(_, expected, _)| *expected);
        if start.elapsed() >= patience || (!expecting && progress.elapsed() >= quiet) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks all of them again and again, and prints what is answered. For ever.
pub(crate) fn hammer(questions: &[Question]) -> Result<ExitCode, LabError> {
    let mut open: Vec<Asked> = Vec::new();
    let (mut rounds, mut token, mut next) = (0_u64, 0_u16, Instant::now());
    loop {
        if Instant::now() >= next {
            next = Instant::now() + PACE;
            token = token.wrapping_add(1);
            open.retain(|asked| asked.at.elapsed() < HAMMER_PATIENCE);
            // Where there is no way, there is no answer.
            open.extend(questions.iter().filter_map(|question| Asked::new(*question, None, token).ok()));
            rounds += 1;
            if rounds.is_multiple_of(ROUNDS) {
                println!("asked {rounds}");
            }
        }
        let left = next.saturating_duration_since(Instant::now());
        wait(open.iter(), left).map_err(failed("poll".to_owned()))?;
        open.retain(|asked| match asked.look() {
            State::Answered => {
                println!("{}", asked.question);
                false
            }
            State::Failed => false,
            State::Open => true,
        });
    }
}
