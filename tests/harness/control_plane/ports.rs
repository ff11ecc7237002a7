//! Ports on loopback that nobody listens on.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// Below what operating systems hand out to outgoing connections, so that a program that is stopped finds its port free
/// when it starts again.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// Ports that this process was given before. Minutes may pass between the choice of a port and the program that listens on
/// it, and with hundreds of them in a process two would now and then be the same.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// `N` different ports that no other call in this process gets, chosen at random because several processes choose at the
/// same time.
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
    // What is left of the division fits, as the range itself does.
    RANGE.start + u16::try_from(number % u64::from(RANGE.end - RANGE.start)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() -> Result<()> {
        let mut seen = BTreeSet::new();
        // One in 22 would be given again by chance alone after a thousand of them.
        for _ in 0..500 {
            for port in free::<3>()? {
                assert!(RANGE.contains(&port) && seen.insert(port), "{port}");
            }
        }
        Ok(())
    }
}
