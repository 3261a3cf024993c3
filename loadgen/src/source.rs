//! Where connections come from: one address has too few ports for very many of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// More users than this need several source addresses. An address has some 28,000 ports; half empty they are found at once.
const USERS_A_SOURCE: u32 = 12_500;
const USERS_WITHOUT_SOURCES_MAX: u32 = 10_000;

/// Server and sources are on this machine and of one kind.
pub fn check_addresses(server: SocketAddr, source: &[SourceRange]) -> Result<(), String> {
    if !server.ip().is_loopback() {
        return Err(format!(
            "{server} is not on loopback: this tool loads servers on its own machine only"
        ));
    }
    if source.iter().any(|range| !range.is_loopback()) {
        return Err("source addresses must be on loopback too (127.0.0.0/8)".into());
    }
    if !source.is_empty() && !server.is_ipv4() {
        return Err("source addresses are of IPv4, the server's is not".into());
    }
    Ok(())
}

/// Where so many connections come from: `asked`, or more than the kernel's choice where that has too few ports.
pub fn sources(server: SocketAddr, asked: &[SourceRange], connections: u32) -> Vec<IpAddr> {
    let mut sources: Vec<IpAddr> = asked.iter().flat_map(SourceRange::addresses).collect();
    if sources.is_empty() && server.is_ipv4() && connections > USERS_WITHOUT_SOURCES_MAX {
        let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
        let addresses = first..=first + connections / USERS_A_SOURCE;
        sources.extend(addresses.map(|address| IpAddr::V4(Ipv4Addr::from(address))));
    }
    sources
}

/// Some IPv4 addresses in a row, at most `SOURCES_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRange {
    first: u32,
    count: u32,
}

const SOURCES_MAX: u32 = 65_536;

/// Reads `127.0.1.0/28`, or one address.
pub fn source_range(text: &str) -> Result<SourceRange, String> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address
        .parse()
        .map_err(|_| format!("{address:?} is no IPv4 address"))?;
    let bits: u32 = bits
        .parse()
        .ok()
        .filter(|bits| (16..=32).contains(bits))
        .ok_or("a prefix of 16 to 32 bits")?;
    let count = SOURCES_MAX >> (bits - 16);
    Ok(SourceRange {
        first: u32::from(address) & !(count - 1),
        count,
    })
}

impl SourceRange {
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        (self.first..=self.first + (self.count - 1))
            .map(|address| IpAddr::V4(Ipv4Addr::from(address)))
    }

    fn is_loopback(&self) -> bool {
        // At most a /16, so all of it is in 127.0.0.0/8 or nothing is.
        Ipv4Addr::from(self.first).is_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_sources_is_all_its_addresses() {
        let range = source_range("127.0.1.7/30").unwrap();
        let all: Vec<String> = range
            .addresses()
            .map(|address| address.to_string())
            .collect();
        assert_eq!(all, ["127.0.1.4", "127.0.1.5", "127.0.1.6", "127.0.1.7"]);
        assert_eq!(source_range("127.0.0.3").unwrap().count, 1);
        assert!(source_range("127.0.0.0/8").is_err());
        assert!(source_range("host").is_err());
    }

    #[test]
    fn very_many_come_from_several_addresses() {
        let server = SocketAddr::from(([127, 0, 0, 1], 5061));
        let own = sources(server, &[], 100_000);
        assert_eq!((own.len(), own[0].to_string()), (9, "127.1.0.1".into()));
        assert!(sources(server, &[], 1_000).is_empty(), "the kernel chooses");
        let asked = [source_range("127.0.1.0/31").unwrap()];
        assert_eq!(sources(server, &asked, 100_000).len(), 2);
    }
}
