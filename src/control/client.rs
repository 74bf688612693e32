//! The command line's side of the control socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{Reply, Request};

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no daemon answers on {path}: {error}")]
    Unreachable { path: String, error: io::Error },
    #[error("the connection to the daemon broke: {0}")]
    Broken(io::Error),
    #[error("the daemon answered with something else: {0}; are daemon and command of the same version?")]
    Garbled(serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

/// Sends `request` and hands every part of the answer to `each`. Returns the daemon's closing word.
pub(crate) fn ask(
    socket: &Path,
    request: &Request,
    mut each: impl FnMut(super::Rows) -> io::Result<()>,
) -> Result<Option<String>, ClientError> {
    let unreachable = |error| ClientError::Unreachable { path: socket.display().to_string(), error };
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    let mut line = serde_json::to_vec(request).map_err(ClientError::Garbled)?;
    line.push(b'\n');
    stream.write_all(&line).map_err(ClientError::Broken)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(ClientError::Broken)?;
        match serde_json::from_str(&line).map_err(ClientError::Garbled)? {
            Reply::Rows(rows) => each(rows).map_err(ClientError::Broken)?,
            Reply::Done(word) => return Ok(word),
            Reply::Error(text) => return Err(ClientError::Refused(text)),
        }
    }
    Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()))
}
