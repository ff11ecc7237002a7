//! Numbers that look random, of a seed that is printed and can be given again: `CNBI_SEED`.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of numbers (SplitMix64), so that a seed means the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Of the seed in `CNBI_SEED`, or of a new one; it is printed, and so seen when a test fails.
    ///
    /// # Panics
    ///
    /// Where `CNBI_SEED` is not a number: another run than the one that was asked for would show nothing.
    pub fn new() -> Self {
        let seed = number("CNBI_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) << 16 ^ now.as_secs() ^ u64::from(std::process::id())
        });
        eprintln!("CNBI_SEED={seed}");
        Self(seed)
    }

    /// Of this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, of all there are.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One below `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    /// A place in something of this length, or its end where it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        // A usize has never more bits than a u64 here, and what is left is below `length`.
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// The number in an environment variable that asks for more, or for the same again; `None` where it is not set.
///
/// # Panics
///
/// Where it is set to something else.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")),
    )
}
