//! What this machine takes for a relayed message, or a notified watcher, when there is nothing to decide: the floor under `loadgen
//! message` and `loadgen presence`.
//!
//! One thread relays between a thousand TCP connections of loopback as a server does with a two-party message: the request in
//! and out, the 200 back and out, of the sizes that ours have, without TLS and without SIP. With `--watchers N` it is a change of
//! one that N are told of: the publication in, its 200 and N notifications out, their 200s in. It waits in one epoll set, as a
//! shard does, or with `--nap US` lets events gather for so long, as a busy shard does. What it costs is the kernel's share of
//! any server; how late it is, is the machine's.
//!
//! `cargo bench --bench floor -- [--watchers 100] [--rate 8000] [--seconds 8] [--nap 400] [--relay-core 0] [--client-core 1]` prints
//! CPU time of the relaying thread a message or watcher, the latencies, and how steady the machine was meanwhile: the time of one
//! and the same piece of the client's work, and how many of its runs took over twice the median. `--rate` is that of what begins:
//! messages, or changes.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::epoll;

/// As many connections as `loadgen message` has users in the README's table; the first ones send.
const CONNECTIONS: u32 = 1_000;
const SENDERS: u32 = 16;
/// Bytes of the records on the wire, by kind, as a trace of Muster shows them.
const SIZES: [usize; 8] = [418, 508, 285, 295, 655, 984, 276, 330];
/// A MESSAGE, in and out, and its 200, in and out: what comes in goes out as the next kind.
const MESSAGE_IN: u8 = 0;
const MESSAGE_OUT: u8 = 1;
const MESSAGE_ANSWER_IN: u8 = 2;
const MESSAGE_ANSWER_OUT: u8 = 3;
/// A PUBLISH, a NOTIFY for each watcher, the 200 of each, and that of the PUBLISH.
const PUBLISH: u8 = 4;
const NOTIFY: u8 = 5;
const NOTIFY_ANSWER: u8 = 6;
const PUBLISH_ANSWER: u8 = 7;
/// What a frame begins with: its kind, the other end, the instant (µs) that it was meant for.
const HEAD: usize = 16;
const EVENTS_MAX: usize = 256;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: u64| {
        let at = words.iter().position(|word| word == name);
        let given = at.and_then(|at| words.get(at + 1)?.parse().ok());
        given.unwrap_or(default)
    };
    let watchers = number("--watchers", 0).min(u64::from(CONNECTIONS - 1)) as u32;
    let (rate, seconds) = (number("--rate", 8_000), number("--seconds", 8));
    let nap = Duration::from_micros(number("--nap", 0));
    let (relay_core, client_core) = (number("--relay-core", 0), number("--client-core", 1));

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let listener = TcpListener::bind("127.0.0.1:0")?;
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
        }
        ours.push(server);
        theirs.push(client);
    }
    let over = Arc::new(AtomicBool::new(false));
    let relay = {
        let over = over.clone();
        thread::spawn(move || {
            pin(relay_core);
            relay(ours, watchers, nap, &over)
        })
    };
    let begun = rate * seconds;
    let told = begun * u64::from(watchers.max(1));
    let clients = thread::spawn(move || {
        pin(client_core);
        clients(theirs, watchers, rate, (begun, told))
    });
    let (latencies, paces) = clients.join().expect("the clients' thread")?;
    over.store(true, Ordering::Release);
    let cpu_ns = relay.join().expect("the relay's thread")?;

    let what = if watchers > 0 {
        println!("{begun} changes, {rate} a second, {watchers} watchers, naps of {nap:?}");
        "watcher"
    } else {
        println!("{begun} messages, {rate} a second, naps of {nap:?}");
        "message"
    };
    println!(
        "CPU a {what}        {:.1} µs",
        cpu_ns as f64 / told as f64 / 1e3
    );
    let quantile = |of: &Histogram<u64>, at: f64| of.value_at_quantile(at) as f64 / 1e3;
    println!(
        "delivered            p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        quantile(&latencies, 0.5),
        quantile(&latencies, 0.99),
        quantile(&latencies, 0.999)
    );
    let median = paces.value_at_quantile(0.5);
    let slow = paces.count_between(2 * median, u64::MAX) as f64 * 100.0 / paces.len() as f64;
    println!("the machine          {slow:.1} % of equal pieces of work took over twice the median");
    Ok(())
}

fn pin(core: u64) {
    let id = core as usize;
    assert!(
        core_affinity::set_for_current(core_affinity::CoreId { id }),
        "this process may not run on core {core}: choose others by --relay-core and --client-core"
    );
}

/// CPU time of this thread: the first number of schedstat (proc(5)), in nanoseconds.
fn thread_cpu_ns() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ran = text.split(' ').next().and_then(|word| word.parse().ok());
    ran.ok_or_else(|| io::Error::other("/proc/thread-self/schedstat does not begin with a number"))
}

/// An epoll set with all connections, by their numbers.
fn watch(connections: &[TcpStream], flags: epoll::EventFlags) -> io::Result<OwnedFd> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (at, connection) in connections.iter().enumerate() {
        let data = epoll::EventData::new_u64(at as u64);
        epoll::add(&set, connection.as_fd(), data, flags)?;
    }
    Ok(set)
}

/// Sends on what comes until it is over. Returns its CPU time.
fn relay(
    mut connections: Vec<TcpStream>,
    watchers: u32,
    nap: Duration,
    over: &AtomicBool,
) -> io::Result<u64> {
    let set = watch(&connections, epoll::EventFlags::IN | epoll::EventFlags::ET)?;
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
    let mut buffer = vec![0; 64 * 1024];
    let mut frame = [0; 1024];
    let patience = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 10_000_000,
    };
    let before = thread_cpu_ns()?;
    while !over.load(Ordering::Acquire) {
        events.clear();
        epoll::wait(
            &set,
            rustix::buffer::spare_capacity(&mut events),
            Some(&patience),
        )?;
        for event in &events {
            let from = event.data.u64() as usize;
            let read = match connections[from].read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let mut rest = &buffer[..read];
            while let Some((kind, size)) = kind_and_size(rest) {
                let (one, after) = rest.split_at(size);
                rest = after;
                let to = u32::from_le_bytes(one[4..8].try_into().expect("four bytes"));
                let mut send = |to: u32, kind: u8| {
                    let out = &mut frame[..SIZES[usize::from(kind)]];
                    out[..HEAD].copy_from_slice(&one[..HEAD]);
                    out[0] = kind;
                    out[4..8].copy_from_slice(&(from as u32).to_le_bytes());
                    connections[to as usize].write_all(out)
                };
                match kind {
                    MESSAGE_IN => send(to, MESSAGE_OUT)?,
                    MESSAGE_ANSWER_IN => send(to, MESSAGE_ANSWER_OUT)?,
                    PUBLISH => {
                        send(from as u32, PUBLISH_ANSWER)?;
                        (1..=watchers).try_for_each(|watcher| send(watcher, NOTIFY))?;
                    }
                    _ => {}
                }
            }
        }
        if !nap.is_zero() && !events.is_empty() {
            thread::sleep(nap);
        }
    }
    Ok(thread_cpu_ns()? - before)
}

/// Begins so many messages or changes at the rate and answers what comes, until so many were delivered or told. Returns how
/// long each was under way, and how long each equal piece of work took.
fn clients(
    mut connections: Vec<TcpStream>,
    watchers: u32,
    rate: u64,
    (begun, told): (u64, u64),
) -> io::Result<(Histogram<u64>, Histogram<u64>)> {
    let set = watch(&connections, epoll::EventFlags::IN)?;
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
    let mut latencies = Histogram::new(3).map_err(io::Error::other)?;
    let mut paces = Histogram::new(3).map_err(io::Error::other)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut frame = [0; 1024];
    let start = Instant::now();
    let (mut sent, mut done) = (0, 0);
    while done < told {
        let now_us = start.elapsed().as_micros() as u64;
        while sent < begun && sent * 1_000_000 / rate <= now_us {
            let (kind, from, to) = if watchers > 0 {
                (PUBLISH, 0, 0)
            } else {
                let to = (sent * 7 % u64::from(CONNECTIONS - SENDERS)) as u32 + SENDERS;
                (MESSAGE_IN, sent % u64::from(SENDERS), to)
            };
            frame[0] = kind;
            frame[4..8].copy_from_slice(&to.to_le_bytes());
            frame[8..HEAD].copy_from_slice(&(sent * 1_000_000 / rate).to_le_bytes());
            connections[from as usize].write_all(&frame[..SIZES[usize::from(kind)]])?;
            sent += 1;
        }
        paces.record(piece_of_work_ns()).map_err(io::Error::other)?;
        events.clear();
        let at_once = rustix::event::Timespec::default();
        epoll::wait(
            &set,
            rustix::buffer::spare_capacity(&mut events),
            Some(&at_once),
        )?;
        for event in &events {
            let at = event.data.u64() as usize;
            let read = connections[at].read(&mut buffer)?;
            let mut rest = &buffer[..read];
            while let Some((kind, size)) = kind_and_size(rest) {
                let (one, after) = rest.split_at(size);
                rest = after;
                let answer = match kind {
                    MESSAGE_OUT => MESSAGE_ANSWER_IN,
                    NOTIFY => NOTIFY_ANSWER,
                    _ => {
                        done += u64::from(kind == MESSAGE_ANSWER_OUT);
                        continue;
                    }
                };
                done += u64::from(kind == NOTIFY);
                let meant_us = u64::from_le_bytes(one[8..HEAD].try_into().expect("eight bytes"));
                let us = (start.elapsed().as_micros() as u64).saturating_sub(meant_us);
                latencies.record(us).map_err(io::Error::other)?;
                frame[..HEAD].copy_from_slice(&one[..HEAD]);
                frame[0] = answer;
                connections[at].write_all(&frame[..SIZES[usize::from(answer)]])?;
            }
        }
    }
    Ok((latencies, paces))
}

/// Of the frame that begins here, if one does.
fn kind_and_size(bytes: &[u8]) -> Option<(u8, usize)> {
    bytes.first().map(|kind| (*kind, SIZES[usize::from(*kind)]))
}

/// Always the same work, some microseconds of it: how long it takes shows what the machine does beside.
fn piece_of_work_ns() -> u64 {
    let start = Instant::now();
    let mut sum = 1u64;
    for step in 0..3_000u64 {
        sum = std::hint::black_box(sum.rotate_left(7) ^ step);
    }
    start.elapsed().as_nanos() as u64
}
