//! Answering.

use std::{
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    thread,
};

use petiole_netns_tests::{LabError, Service};

use super::{failed, packet, socket};

/// Answers on these services, in both families. For ever.
pub(crate) fn respond(services: &[Service]) -> Result<ExitCode, LabError> {
    let mut running = Vec::new();
    for &service in services {
        let what = || failed(format!("answering {service}"));
        match service {
            Service::Tcp(port) => {
                let listener = TcpListener::bind(any(port)).map_err(what())?;
                running.push(thread::spawn(move || listen(&listener)));
            }
            Service::Udp(port) => {
                let socket = UdpSocket::bind(any(port)).map_err(what())?;
                running.push(thread::spawn(move || packets(&socket, |packet| Some(packet.to_vec()))));
            }
            // That is the kernel's.
            Service::Icmp => {}
            Service::Sctp(_) | Service::Protocol(_) => {
                for ipv4 in [true, false] {
                    let socket = UdpSocket::from(socket(service, ipv4).map_err(what())?);
                    socket.set_nonblocking(false).map_err(what())?;
                    running.push(thread::spawn(move || {
                        packets(&socket, |packet| packet::answer(service, ipv4, packet));
                    }));
                }
            }
        }
    }
    println!("ready");
    for thread in running {
        // None of them ends.
        let _ = thread.join();
    }
    Ok(ExitCode::SUCCESS)
}

fn any(port: u16) -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, port).into()
}

fn listen(listener: &TcpListener) {
    for stream in listener.incoming() {
        // One who went away again is not asking any more.
        let Ok(stream) = stream else { continue };
        thread::spawn(move || echo(stream));
    }
}

/// Says what it hears.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; packet::LONGEST];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

fn packets(socket: &UdpSocket, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let mut buffer = [0; packet::LONGEST];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(&buffer[..length]) {
            let _ = socket.send_to(&answer, from);
        }
    }
}
