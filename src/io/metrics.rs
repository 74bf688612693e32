//! `GET /metrics` for Prometheus.
//!
//! Knows as much of HTTP/1.1 as that takes; must not know what the metrics are.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

use super::Event;

/// A longer request head is none of Prometheus'.
const HEAD_MAX: usize = 8 * 1024;
/// A client that is slower than this is dropped.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the metrics port.
pub(crate) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers for ever.
pub(crate) async fn serve(listener: TcpListener, events: mpsc::Sender<Event>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let events = events.clone();
        tokio::task::spawn_local(async move {
            // A client that goes away is its own affair.
            let _ = tokio::time::timeout(TIMEOUT, answer(stream, events)).await;
        });
    }
}

async fn answer(mut stream: TcpStream, events: mpsc::Sender<Event>) -> io::Result<()> {
    let mut head = Vec::new();
    let (status, body) = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head) {
            Ok(httparse::Status::Partial) if head.len() < HEAD_MAX => {}
            Ok(httparse::Status::Complete(_)) => match (request.method, request.path) {
                (Some("GET"), Some("/metrics")) => {
                    let (tx, rx) = oneshot::channel();
                    if events.send(Event::Metrics(tx)).await.is_err() {
                        return Ok(());
                    }
                    let Ok(text) = rx.await else { return Ok(()) };
                    break ("200 OK", text);
                }
                (Some("GET"), _) => break ("404 Not Found", "the metrics are at /metrics\n".into()),
                _ => break ("405 Method Not Allowed", "GET only\n".into()),
            },
            _ => break ("400 Bad Request", String::new()),
        }
    };
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
