//! Plain HTTP for the operator, on loopback: `/healthz`, `/readyz`, `/metrics`. One request a connection and a plain thread for
//! each, small bounds on everything: whoever is slow here is cut off, keeps nobody else waiting, and no executor waits for it.
//!
//! Not here: what the figures mean (`telemetry`), and who may connect (the config allows loopback only).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::shell::run::Control;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 4096;
/// The most header lines of one.
const HEADERS_MAX: usize = 64;
/// How long one request may take, from its first byte to the last of its answer.
const REQUEST: Duration = Duration::from_secs(2);
/// So many requests are answered at a time; more are closed unread.
const REQUESTS_MAX: usize = 32;
/// How long a shard may take to say that it takes work.
const SHARD: Duration = Duration::from_secs(1);

/// Takes `address` for an [`Admin`] to come: connections wait until there is one.
///
/// # Errors
/// Where the address can't be listened on.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
}

/// The listener. Stops when dropped.
#[derive(Debug)]
pub struct Admin {
    /// Where it listens, with the port that was chosen.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Answers on `listener` for the shards behind `control`.
    ///
    /// # Errors
    /// Where there is no room for another thread.
    pub fn start(listener: TcpListener, control: Control) -> io::Result<Admin> {
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let control = Arc::new(control);
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                match stream {
                    // Each request has one, this thread the other.
                    Ok(_) if Arc::strong_count(&control) > REQUESTS_MAX => {}
                    Ok(stream) => {
                        let control = control.clone();
                        let request = thread::Builder::new().name("admin request".into());
                        // A peer that goes away in the middle has no answer coming; without a thread none has.
                        drop(request.spawn(move || drop(answer(stream, &control))));
                    }
                    // Out of descriptors or the like: it passes, and must not spin.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        })?;
        Ok(Admin {
            address,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread waits in accept: one connection of our own wakes it.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_ok();
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            // A request that is being answered ends within its bound by itself; a panic has been reported already.
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, control: &Control) -> io::Result<()> {
    let deadline = Instant::now() + REQUEST;
    stream.set_write_timeout(Some(REQUEST))?;
    let mut head = [0u8; HEAD_BYTES_MAX];
    let mut filled = 0;
    let (status, content_type, body, with_body) = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        let Some(room) = head.get_mut(filled..).filter(|room| !room.is_empty()) else {
            break plain(
                "431 Request Header Fields Too Large",
                "the head is longer than 4096 bytes\n",
            );
        };
        let count = stream.read(room)?;
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head.get(..filled).unwrap_or_default()) {
            Ok(httparse::Status::Partial) => {}
            Ok(httparse::Status::Complete(_)) => {
                break respond(
                    request.method.unwrap_or_default(),
                    request.path.unwrap_or_default(),
                    control,
                );
            }
            Err(httparse::Error::TooManyHeaders) => {
                break plain(
                    "431 Request Header Fields Too Large",
                    "there are more than 64 header lines\n",
                );
            }
            Err(_) => break plain("400 Bad Request", "this is no HTTP request\n"),
        }
    };
    let allow = if status.starts_with("405") {
        "Allow: GET, HEAD\r\n"
    } else {
        ""
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if with_body {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}

type Response = (&'static str, &'static str, String, bool);

fn plain(status: &'static str, body: &str) -> Response {
    (status, "text/plain; charset=utf-8", body.to_owned(), true)
}

fn respond(method: &str, path: &str, control: &Control) -> Response {
    if method != "GET" && method != "HEAD" {
        return plain("405 Method Not Allowed", "only GET and HEAD\n");
    }
    let path = path.split('?').next().unwrap_or_default();
    let mut response = match path {
        "/healthz" => plain("200 OK", "ok\n"),
        "/readyz" => match control.ready(SHARD) {
            Ok(()) => plain("200 OK", "ready\n"),
            Err(shard) => plain(
                "503 Service Unavailable",
                &format!("shard {} does not take work\n", shard.0),
            ),
        },
        "/metrics" => match control.telemetry(SHARD) {
            Ok(telemetry) => {
                let mut text = String::with_capacity(16 * 1024);
                telemetry.write_metrics(&mut text);
                (
                    "200 OK",
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                    true,
                )
            }
            Err(shard) => plain(
                "503 Service Unavailable",
                &format!("shard {} does not answer\n", shard.0),
            ),
        },
        _ => plain("404 Not Found", "there is /healthz, /readyz and /metrics\n"),
    };
    response.3 = method == "GET";
    response
}
