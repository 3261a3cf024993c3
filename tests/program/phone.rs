//! A SIP client over plain TCP: registers, sends, answers when the test says so.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::place::{PATIENCE, Server};
use crate::client::{Heard, Inbox, authorization};

/// One connection of one user.
pub struct Phone {
    stream: TcpStream,
    local: SocketAddr,
    user: String,
    inbox: Inbox,
    heard: VecDeque<Heard>,
    count: u32,
}

impl Phone {
    /// A connection of nobody yet, meant for `user`.
    pub fn connect(server: &mut Server, user: &str) -> Phone {
        let stream = TcpStream::connect(server.address("sip")).expect("the server accepts");
        Phone::on(stream, user)
    }

    /// The same from this address and port: any, or one that a connection made here had, and has no more.
    pub fn connect_from(server: &mut Server, user: &str, local: SocketAddr) -> Phone {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("a socket");
        socket.bind(&local.into()).expect("the port is free");
        let address = server.address("sip");
        socket.connect(&address.into()).expect("the server accepts");
        Phone::on(socket.into(), user)
    }

    fn on(stream: TcpStream, user: &str) -> Phone {
        stream.set_nodelay(true).expect("a socket");
        let local = stream.local_addr().expect("a socket");
        Phone {
            stream,
            local,
            user: user.to_owned(),
            inbox: Inbox::default(),
            heard: VecDeque::new(),
            count: 0,
        }
    }

    /// A connection of `user`, registered with the password that `Place::add` gives.
    pub fn registered(server: &mut Server, user: &str) -> Phone {
        let mut phone = Phone::connect(server, user);
        assert_eq!(phone.register(&format!("{user}-secret")), 200);
        phone
    }

    /// Its end of the connection.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The user's address of record.
    pub fn uri(&self) -> String {
        format!("sip:{}@example.com", self.user)
    }

    /// Registers; gives the final status.
    pub fn register(&mut self, password: &str) -> u16 {
        self.register_with(password, "")
    }

    /// The same with more header lines.
    pub fn register_with(&mut self, password: &str, headers: &str) -> u16 {
        let uri = "sip:example.com";
        let challenge = self.ask("REGISTER", uri, headers, "");
        if challenge.status != Some(401) {
            return challenge.status.expect("a response");
        }
        let value = authorization(&challenge, "REGISTER", uri, &self.user, password, 1)
            .expect("a challenge");
        let headers = format!("{headers}Authorization: {value}\r\n");
        self.ask("REGISTER", uri, &headers, "")
            .status
            .expect("a response")
    }

    /// Sends a request outside of a dialog and waits for the final response.
    pub fn ask(&mut self, method: &str, to: &str, headers: &str, body: &str) -> Heard {
        self.send(method, to, headers, body);
        self.response(method)
    }

    /// Sends a request outside of a dialog; `REGISTER`s go to the user's own address of record.
    pub fn send(&mut self, method: &str, to: &str, headers: &str, body: &str) {
        self.count += 1;
        let (user, local, count) = (&self.user, self.local, self.count);
        let target = if method == "REGISTER" {
            format!("sip:{user}@example.com")
        } else {
            to.to_owned()
        };
        let content = if body.is_empty() || headers.contains("Content-Type:") {
            ""
        } else {
            "Content-Type: text/plain\r\n"
        };
        let text = format!(
            "{method} {to} SIP/2.0\r\nVia: SIP/2.0/TCP {local};branch=z9hG4bK-{user}-{count}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@example.com>;tag={user}{count}\r\nTo: <{target}>\r\nCall-ID: {user}-{count}-{port}\r\nCSeq: {count} {method}\r\n\
             Contact: <sip:{user}@{local};transport=tcp>\r\n{content}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len(),
            port = local.port(),
        );
        self.write(text.as_bytes());
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // A connection that the server has closed shows when something is read.
        let _ = self.stream.write_all(bytes);
    }

    /// Answers a request with `status`.
    pub fn answer(&mut self, request: &Heard, status: u16) {
        let response = request.response(status, "Of The Test", "t", "", "");
        self.write(&response);
    }

    /// The final response to the last request of `method`.
    pub fn response(&mut self, method: &str) -> Heard {
        self.next(&format!("a final response to {method}"), |heard| {
            heard.method == method && heard.status.is_some_and(|status| status >= 200)
        })
    }

    /// The next request of `method`.
    pub fn request(&mut self, method: &str) -> Heard {
        self.next(&format!("a {method}"), |heard| {
            heard.method == method && heard.status.is_none()
        })
    }

    /// The body of the next request of `method` that speaks of `what`.
    pub fn told(&mut self, method: &str, what: &str) -> String {
        let heard = self.next(&format!("a {method} with {what}"), |heard| {
            heard.method == method && heard.status.is_none() && heard.text().contains(what)
        });
        heard.text()
    }

    fn next(&mut self, what: &str, wanted: impl Fn(&Heard) -> bool) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(heard) = self.heard.pop_front() {
                if wanted(&heard) {
                    return heard;
                }
            }
            assert!(
                self.read(deadline),
                "{} is closed, or {what} does not come",
                self.user
            );
        }
    }

    /// Waits until the server closes the connection; gives how long that took.
    pub fn closed_after(&mut self) -> Duration {
        let begun = Instant::now();
        while self.read(begun + PATIENCE) {}
        let took = begun.elapsed();
        assert!(
            took < PATIENCE,
            "the connection of {} is not closed",
            self.user
        );
        took
    }

    /// Reads once; false when the connection is closed or nothing came until `deadline`.
    fn read(&mut self, deadline: Instant) -> bool {
        let mut bytes = [0; 16 * 1024];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).expect("a socket");
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.heard.extend(self.inbox.push(&bytes[..count]));
                true
            }
            Err(error) => error.kind() == ErrorKind::Interrupted,
        }
    }
}
