//! Ports on loopback that nobody listens on.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below what operating systems hand out to outgoing connections, so that a program that is stopped finds its port free
/// when it starts again.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// `N` different ports, chosen at random because several processes choose at the same time.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is found, so no port is given twice.
    let mut held: Vec<TcpListener> = Vec::with_capacity(N);
    for _ in 0..1000 {
        if held.len() == N {
            break;
        }
        let random = RandomState::new().build_hasher().finish();
        let width = u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(random % width)?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push(listener);
        }
    }
    if held.len() < N {
        bail!("no {N} free ports between {} and {}", RANGE.start, RANGE.end);
    }
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
