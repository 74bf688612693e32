//! The two ends of a conversation: who is seen at the other end, and whether it comes about at all.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    time::Duration,
};

use clap::ValueEnum;
use petiole_netns_tests::LabError;

/// How they talk.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Protocol {
    /// TCP: a connection for each question.
    Tcp,
    /// UDP: a datagram each way.
    Udp,
}

/// How long an answerer waits for somebody to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// A datagram that is larger is none of `ask`'s.
const DATAGRAM: usize = 2048;

fn failed(what: String) -> impl FnOnce(io::Error) -> LabError {
    move |source| LabError::System { what, source }
}

/// Tells everybody who asks at `address` what their own address looks like from here. For ever.
pub(crate) fn answer(protocol: Protocol, address: SocketAddr) -> Result<ExitCode, LabError> {
    let what = || format!("answering on {address}");
    match protocol {
        Protocol::Tcp => {
            let listener = TcpListener::bind(address).map_err(failed(what()))?;
            println!("ready");
            for stream in listener.incoming() {
                // One who went away again is not asking any more.
                let Ok(mut stream) = stream else { continue };
                let Ok(peer) = stream.peer_addr() else { continue };
                println!("{peer}");
                // Who has not read what was said, and ends, resets the connection.
                let _ = stream.write_all(peer.to_string().as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.set_read_timeout(Some(PATIENCE));
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(address).map_err(failed(what()))?;
            println!("ready");
            let mut datagram = [0; DATAGRAM];
            loop {
                let Ok((_, peer)) = socket.recv_from(&mut datagram) else { continue };
                println!("{peer}");
                let _ = socket.send_to(peer.to_string().as_bytes(), peer);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says what is on standard input to `address`, and prints what is answered within `patience`.
pub(crate) fn ask(protocol: Protocol, address: SocketAddr, patience: Duration) -> Result<ExitCode, LabError> {
    let mut question = Vec::new();
    io::stdin().read_to_end(&mut question).map_err(failed("standard input".to_owned()))?;
    let said = match protocol {
        Protocol::Tcp => ask_tcp(address, &question, patience),
        Protocol::Udp => ask_udp(address, &question, patience),
    };
    let said = said.map_err(failed(format!("asking {address}")))?;
    print!("{}", String::from_utf8_lossy(&said));
    Ok(ExitCode::SUCCESS)
}

fn ask_tcp(address: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(question)?;
    stream.shutdown(Shutdown::Write)?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(said)
}

fn ask_udp(address: SocketAddr, question: &[u8], patience: Duration) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any)?;
    // An answer from elsewhere is none.
    socket.connect(address)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(question)?;
    let mut datagram = vec![0; DATAGRAM];
    let length = socket.recv(&mut datagram)?;
    datagram.truncate(length);
    Ok(datagram)
}
