//! A conversation that goes on.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    process::ExitCode,
    thread,
    time::Duration,
};

use petiole_netns_tests::{LabError, Question, Service};

use super::failed;

/// Between two words.
const PACE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(5);
/// A number, as it is said.
const WORD: usize = 8;

/// Says ascending numbers, and prints those that come back. For ever, or until the conversation breaks.
pub(crate) fn talk(question: Question) -> Result<ExitCode, LabError> {
    let what = || failed(format!("talking to {question}"));
    let to = |port| SocketAddr::from((question.to, port));
    match question.service {
        Service::Tcp(port) => {
            let stream = TcpStream::connect_timeout(&to(port), PATIENCE).map_err(what())?;
            stream.set_nodelay(true).map_err(what())?;
            let mut heard = stream.try_clone().map_err(what())?;
            let said = stream;
            hold(move |word| (&said).write_all(word), move |word| heard.read_exact(word)).map_err(what())?;
        }
        Service::Udp(port) => {
            let any: SocketAddr =
                if question.to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
            let socket = UdpSocket::bind(any).map_err(what())?;
            socket.connect(to(port)).map_err(what())?;
            let heard = socket.try_clone().map_err(what())?;
            // What is in the way of one datagram need not be in that of the next.
            let say = move |word: &[u8]| {
                let _ = socket.send(word);
                Ok(())
            };
            let hear = move |word: &mut [u8]| {
                if heard.recv(word).is_err() {
                    word.fill(0);
                }
                Ok(())
            };
            hold(say, hear).map_err(what())?;
        }
        other => return Err(LabError::Build(format!("no conversation is held over {other}"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn hold(
    say: impl Fn(&[u8]) -> io::Result<()>,
    mut hear: impl FnMut(&mut [u8]) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    thread::spawn(move || {
        let mut word = [0; WORD];
        loop {
            if let Err(error) = hear(&mut word) {
                println!("broken: {error}");
                return;
            }
            match u64::from_be_bytes(word) {
                0 => {}
                number => println!("heard {number}"),
            }
        }
    });
    for number in 1_u64.. {
        say(&number.to_be_bytes())?;
        thread::sleep(PACE);
    }
    Ok(())
}
