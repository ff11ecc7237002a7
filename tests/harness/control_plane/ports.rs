//! Free ports on loopback.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Below the ephemeral ports of operating systems, so that a program that restarts finds its port free.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// Ports already returned in this process. A program may bind its port minutes after it was chosen, so ports must not repeat.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `N` distinct free ports that no other call in this process gets. They are random because several processes choose
/// concurrently.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = (0..1000)
            .map(|_| random())
            .find(|port| !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .with_context(|| format!("no free port found between {} and {}", RANGE.start, RANGE.end))?;
        given.insert(*port);
    }
    Ok(ports)
}

fn random() -> u16 {
    let number = RandomState::new().build_hasher().finish();
    // The remainder fits, because the range does.
    RANGE.start + u16::try_from(number % u64::from(RANGE.end - RANGE.start)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() -> Result<()> {
        let mut seen = BTreeSet::new();
        // With random choice alone, about one in 22 of a thousand ports would repeat.
        for _ in 0..500 {
            for port in free::<3>()? {
                assert!(RANGE.contains(&port) && seen.insert(port), "{port}");
            }
        }
        Ok(())
    }
}
