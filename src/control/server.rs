//! The daemon's side of the control socket: accepts, reads one request, streams the answer.
//!
//! Must not know what a request means: it asks the core's loop for one part of the answer after the other, so
//! that a table of a million rows is neither held in memory nor blocks the loop.

use std::{io, os::unix::fs::PermissionsExt, path::Path, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
};

use petiole_config::model::Publish;

use super::{Reply, Request};
use crate::{
    core::{NamespaceId, show::Cursor},
    io::{Event, netns, ports},
};

/// A longer request is none of ours.
const REQUEST_MAX: u64 = 64 * 1024;

/// A client that takes nothing for this long is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// One part of an answer, and where the next part starts.
pub(crate) struct Part {
    pub(crate) reply: Reply,
    pub(crate) next: Option<Cursor>,
}

/// What had to be looked up for a request, outside the core's loop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// The namespace at the path that the request names.
    pub(crate) namespace: Option<NamespaceId>,
    /// A port that the request wants and somebody else has, in words.
    pub(crate) port_taken: Option<String>,
}

/// A request on its way to the core's loop.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) facts: Facts,
    pub(crate) cursor: Cursor,
    pub(crate) answer: oneshot::Sender<Part>,
}

/// Why the control socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("another daemon answers on {0}; stop it first, or set [api] socket to another path")]
    InUse(String),
    #[error("{path} is in the way and is not a socket")]
    NotASocket { path: String },
    #[error("cannot open {path}: {error}")]
    Io { path: String, error: io::Error },
}

/// Opens the socket with mode 0660, for the group `petiole` where it exists. A socket file that nobody listens on
/// (left by a killed daemon) is replaced.
pub(crate) async fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let name = path.display().to_string();
    let fail = |error| ListenError::Io { path: name.clone(), error };
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(fail)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(meta) => {
            use std::os::unix::fs::FileTypeExt;
            if !meta.file_type().is_socket() {
                return Err(ListenError::NotASocket { path: name });
            }
            if UnixStream::connect(path).await.is_ok() {
                return Err(ListenError::InUse(name));
            }
            std::fs::remove_file(path).map_err(fail)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(fail(e)),
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(fail)?;
    if let Some(gid) = group_id("petiole") {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(fail)?;
    }
    Ok(listener)
}

/// The id of a local group, from `/etc/group`: the group is made by the package, so no name service is asked.
fn group_id(name: &str) -> Option<u32> {
    std::fs::read_to_string("/etc/group").ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Accepts for ever. A clone of `busy` lives as long as a client waits for the rest of its answer.
pub(crate) async fn serve(listener: UnixListener, events: mpsc::Sender<Event>, busy: Rc<()>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (events, busy) = (events.clone(), Rc::clone(&busy));
                tokio::task::spawn_local(async move {
                    // A client that goes away in the middle is its own affair.
                    let _ = answer(stream, events).await;
                    drop(busy);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket: accept failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, events: mpsc::Sender<Event>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(REQUEST_MAX).read_line(&mut line).await?;
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(e) => return write(&mut stream, &Reply::Error(format!("request not understood: {e}"))).await,
    };
    let looked_up = request.clone();
    let facts = tokio::task::spawn_blocking(move || look_up(&looked_up)).await.unwrap_or_default();
    let mut cursor = Cursor::default();
    loop {
        let (answer, part) = oneshot::channel();
        let asked = Asked { request: request.clone(), facts: facts.clone(), cursor, answer };
        if events.send(Event::Asked(asked)).await.is_err() {
            break;
        }
        let Ok(part) = part.await else { break };
        write(&mut stream, &part.reply).await?;
        let Some(next) = part.next else {
            if matches!(part.reply, Reply::Rows(_)) {
                write(&mut stream, &Reply::Done(None)).await?;
            }
            return Ok(());
        };
        cursor = next;
    }
    write(&mut stream, &Reply::Error("the daemon is stopping".into())).await
}

/// Looks files up that a request names: what may take time.
fn look_up(request: &Request) -> Facts {
    let Request::EndpointAdd(request) = request else { return Facts::default() };
    let published = request.publish.iter().filter_map(|text| text.parse::<Publish>().ok());
    Facts {
        namespace: netns::identify(Path::new(&request.netns)),
        port_taken: published
            .into_iter()
            .find_map(|p| ports::taken(p.protocol, p.address, p.host.first()..=p.host.last())),
    }
}

async fn write(stream: &mut BufReader<UnixStream>, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&line)).await.map_err(io::Error::from)?
}
