//! What this machine takes for a relayed message when there is nothing to decide: the floor under `loadgen message`.
//!
//! One thread relays between a thousand TCP connections of loopback as a server does with a two-party message: the request in
//! and out, the 200 back and out, of the sizes that ours have, without TLS and without SIP. It waits in one epoll set, as a
//! shard does, or with `--nap US` lets events gather for so long, as a busy shard does. What it costs is the kernel's share of
//! any server; how late it is, is the machine's.
//!
//! `cargo bench --bench floor -- [--rate 8000] [--seconds 8] [--nap 400] [--relay-core 0] [--client-core 1]` prints CPU time of
//! the relaying thread a message, the latencies, and how steady the machine was meanwhile: the time of one and the same piece
//! of the client's work, and how many of its runs took over twice the median.

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
/// Bytes of the four records on the wire, as a trace of Muster shows them: MESSAGE in and out, its 200 in and out.
const SIZES: [usize; 4] = [418, 508, 285, 295];
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
            relay(ours, nap, &over)
        })
    };
    let clients = thread::spawn(move || {
        pin(client_core);
        clients(theirs, rate, rate * seconds)
    });
    let (latencies, paces) = clients.join().expect("the clients' thread")?;
    over.store(true, Ordering::Release);
    let cpu_ns = relay.join().expect("the relay's thread")?;

    let messages = rate * seconds;
    println!("{messages} messages, {rate} a second, naps of {nap:?}");
    println!(
        "CPU a message        {:.1} µs",
        cpu_ns as f64 / messages as f64 / 1e3
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
fn relay(mut connections: Vec<TcpStream>, nap: Duration, over: &AtomicBool) -> io::Result<u64> {
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
            while let Some((kind, size)) =
                rest.first().map(|kind| (*kind, SIZES[usize::from(*kind)]))
            {
                let (one, after) = rest.split_at(size);
                let to = u32::from_le_bytes(one[4..8].try_into().expect("four bytes")) as usize;
                let out = &mut frame[..SIZES[usize::from(kind) + 1]];
                out[..HEAD].copy_from_slice(&one[..HEAD]);
                out[0] = kind + 1;
                out[4..8].copy_from_slice(&(from as u32).to_le_bytes());
                connections[to].write_all(out)?;
                rest = after;
            }
        }
        if !nap.is_zero() && !events.is_empty() {
            thread::sleep(nap);
        }
    }
    Ok(thread_cpu_ns()? - before)
}

/// Sends at the rate, answers what comes. Returns how long each message was under way, and how long each equal piece of work took.
fn clients(
    mut connections: Vec<TcpStream>,
    rate: u64,
    messages: u64,
) -> io::Result<(Histogram<u64>, Histogram<u64>)> {
    let set = watch(&connections, epoll::EventFlags::IN)?;
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
    let mut latencies = Histogram::new(3).map_err(io::Error::other)?;
    let mut paces = Histogram::new(3).map_err(io::Error::other)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut frame = [0; 1024];
    let start = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < messages {
        let now_us = start.elapsed().as_micros() as u64;
        while sent < messages && sent * 1_000_000 / rate <= now_us {
            let (from, to) = (
                sent % u64::from(SENDERS),
                sent * 7 % u64::from(CONNECTIONS - SENDERS),
            );
            let to = to as u32 + SENDERS;
            frame[0] = 0;
            frame[4..8].copy_from_slice(&to.to_le_bytes());
            frame[8..HEAD].copy_from_slice(&(sent * 1_000_000 / rate).to_le_bytes());
            connections[from as usize].write_all(&frame[..SIZES[0]])?;
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
            while let Some((kind, size)) =
                rest.first().map(|kind| (*kind, SIZES[usize::from(*kind)]))
            {
                let (one, after) = rest.split_at(size);
                if kind == 1 {
                    let meant_us =
                        u64::from_le_bytes(one[8..HEAD].try_into().expect("eight bytes"));
                    let us = (start.elapsed().as_micros() as u64).saturating_sub(meant_us);
                    latencies.record(us).map_err(io::Error::other)?;
                    frame[..HEAD].copy_from_slice(&one[..HEAD]);
                    frame[0] = 2;
                    connections[at].write_all(&frame[..SIZES[2]])?;
                } else {
                    answered += 1;
                }
                rest = after;
            }
        }
    }
    Ok((latencies, paces))
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
