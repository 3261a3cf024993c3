//! `muster check`: what of the config and the host would be in the way of `muster serve`, a line each with its mend.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Failure, certificate, print, serve};
use crate::config::Config;
use crate::shell::cdr::CdrWriter;
use crate::shell::store::{DataDir, Store};
use crate::shell::{admin, limits, run, tls};

/// The oldest kernel whose io_uring does what glommio asks of it.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Weight {
    Fine,
    /// `serve` starts, and some day somebody wonders.
    Worse,
    /// `serve` would fail.
    Fatal,
}

#[derive(Clone, Debug)]
struct Finding {
    weight: Weight,
    text: String,
}

fn fine(text: impl Into<String>) -> Finding {
    Finding {
        weight: Weight::Fine,
        text: text.into(),
    }
}

fn worse(text: impl Into<String>) -> Finding {
    Finding {
        weight: Weight::Worse,
        text: text.into(),
    }
}

fn fatal(text: impl Into<String>) -> Finding {
    Finding {
        weight: Weight::Fatal,
        text: text.into(),
    }
}

pub(super) fn check(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load(file).map_err(Failure::config)?;
    let mut findings = vec![kernel(), rings(), cores(&config)];
    findings.extend(open_files(&config));
    findings.extend(ports(&config));
    findings.extend(data_dir(&config));
    findings.extend(certificates(&config));
    findings.extend(SYSCTLS.iter().filter_map(sysctl));
    print(|out| {
        findings.iter().try_for_each(|finding| {
            let mark = match finding.weight {
                Weight::Fine => "ok   ",
                Weight::Worse => "could",
                Weight::Fatal => "MUST ",
            };
            writeln!(out, "{mark}  {}", finding.text)
        })
    })?;
    let fails = findings
        .iter()
        .any(|finding| finding.weight == Weight::Fatal);
    Ok(ExitCode::from(u8::from(fails)))
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|word| word.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= KERNEL_MIN => {
            fine(format!("kernel {release}"))
        }
        (Some(_), Some(_)) => fatal(format!(
            "kernel {release} is older than {}.{}: its io_uring can't do what is asked; boot a newer one",
            KERNEL_MIN.0, KERNEL_MIN.1
        )),
        _ => worse(format!(
            "kernel {release}: this is no version that can be compared; {}.{} is needed",
            KERNEL_MIN.0, KERNEL_MIN.1
        )),
    }
}

fn rings() -> Finding {
    if !limits::raise().has_memory_for_rings() {
        return fatal(format!(
            "locked memory is limited to less than {} KiB: `ulimit -l unlimited`, or LimitMEMLOCK=infinity in the unit",
            limits::MEMLOCK_MIN / 1024
        ));
    }
    // 0 is all, 1 is some, 2 is none; absent before Linux 6.6.
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    // Only who asks knows: a container may forbid the call, whatever the kernel can do.
    match (disabled.as_deref().map(str::trim), run::try_ring()) {
        (_, Ok(())) => fine("io_uring is there"),
        (Ok("2"), _) => fatal("io_uring is switched off: `sysctl -w kernel.io_uring_disabled=0`"),
        (Ok("1"), _) => fatal(
            "io_uring is for a group of its own only: `sysctl -w kernel.io_uring_disabled=0`, or run in that group",
        ),
        (_, Err(error)) => fatal(format!(
            "io_uring is refused ({error}): allow io_uring_setup, io_uring_enter and io_uring_register in the \
             container's seccomp profile"
        )),
    }
}

fn open_files(config: &Config) -> Option<Finding> {
    // What is wrong with the cores is said for itself.
    let (_, capacity) = serve::plan(config, &limits::raise()).ok()?;
    Some(if capacity.is_enough() {
        fine(capacity.to_string())
    } else if capacity.connections_max() == 0 {
        fatal(capacity.to_string())
    } else {
        worse(capacity.to_string())
    })
}

/// Each is taken as `serve` takes it and in its order, and kept while the next ones are tried: two of them may be in each
/// other's way, or look as if they were.
fn ports(config: &Config) -> Vec<Finding> {
    let listen = &config.listen;
    let taken = admin::listen(listen.admin);
    let mut findings = vec![port(
        listen.admin,
        "health and metrics",
        taken.as_ref().err(),
    )];
    let sips = listen.sips.iter().map(|address| (*address, "SIP over TLS"));
    let sip = listen.sip.iter().map(|address| (*address, "SIP over TCP"));
    let mut held = Vec::new();
    for (address, what) in sips.chain(sip) {
        let taken = run::try_hold(address);
        findings.push(port(address, what, taken.as_ref().err()));
        held.extend(taken);
    }
    findings
}

fn port(address: SocketAddr, what: &str, refused: Option<&io::Error>) -> Finding {
    match refused {
        None if address.port() == 0 => fine(format!("{what}: any free port of {}", address.ip())),
        None => fine(format!("{what}: {address} is free")),
        Some(error) => fatal(format!(
            "{what}: cannot listen on {address} ({error}); stop who holds it (`ss -ltnp`), or change it under [listen]"
        )),
    }
}

fn data_dir(config: &Config) -> Vec<Finding> {
    let data_dir = match DataDir::probe(&config.data_dir) {
        Ok(data_dir) => data_dir,
        Err(error) => return vec![fatal(format!("data_dir: {error}"))],
    };
    let mut findings = vec![fine(format!(
        "data_dir {} can be written",
        config.data_dir.display()
    ))];
    let databases = [Store::probe(&data_dir), CdrWriter::probe(&data_dir)];
    let unusable = databases.into_iter().filter_map(Result::err);
    findings.extend(unusable.map(|error| fatal(format!("data_dir: {error}"))));
    findings
}

fn cores(config: &Config) -> Finding {
    match serve::plan(config, &limits::raise()) {
        Ok((cores, capacity)) => fine(format!(
            "{} shards, on the cores {cores:?}",
            capacity.shards
        )),
        Err(failure) => fatal(failure.to_string()),
    }
}

/// The pair that `serve` would use, and how long it is good.
fn certificates(config: &Config) -> Vec<Finding> {
    let (cert, key) = match &config.tls {
        Some(files) => (files.cert.clone(), files.key.clone()),
        None => {
            let self_signed = worse(
                "the certificate is a self-signed one that clients must be told to trust; set cert and key under [tls]",
            );
            let (cert, key) = DataDir::tls_pair_in(&config.data_dir);
            if !cert.exists() || !key.exists() {
                return vec![self_signed];
            }
            return [vec![self_signed], pair(&cert, &key)].concat();
        }
    };
    pair(&cert, &key)
}

fn pair(cert: &Path, key: &Path) -> Vec<Finding> {
    if let Err(error) = tls::load(cert, key) {
        return vec![fatal(error.to_string())];
    }
    vec![certificate::dates_now(cert).map_or_else(worse, fine)]
}

struct Sysctl {
    name: &'static str,
    least: u64,
    why: &'static str,
}

/// The ones of `tuning/90-muster.conf` that a storm of logons meets first.
const SYSCTLS: [Sysctl; 3] = [
    Sysctl {
        name: "net/core/somaxconn",
        least: 65_535,
        why: "a storm of logons loses SYNs, and clients wait a second",
    },
    Sysctl {
        name: "net/ipv4/tcp_max_syn_backlog",
        least: 65_535,
        why: "the same, for half-open connections",
    },
    Sysctl {
        name: "net/core/netdev_max_backlog",
        least: 10_000,
        why: "packets are dropped while a core is busy",
    },
];

fn sysctl(sysctl: &Sysctl) -> Option<Finding> {
    let text = std::fs::read_to_string(format!("/proc/sys/{}", sysctl.name)).ok()?;
    let value: u64 = text.trim().parse().ok()?;
    let name = sysctl.name.replace('/', ".");
    Some(if value >= sysctl.least {
        fine(format!("{name} = {value}"))
    } else {
        worse(format!(
            "{name} = {value}: with many users {}; `tuning/tune apply`, or {name} = {}",
            sysctl.why, sysctl.least
        ))
    })
}
