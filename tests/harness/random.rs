//! Pseudo-random numbers with a printed seed. `CNBI_SEED` repeats a run.

use std::time::{SystemTime, UNIX_EPOCH};

/// A SplitMix64 generator: the same seed gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Uses the seed in `CNBI_SEED`, or a new one. Prints it, so that the output of a failed test contains it.
    ///
    /// # Panics
    ///
    /// If `CNBI_SEED` is not a number.
    pub fn new() -> Self {
        let seed = number("CNBI_SEED").unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) << 16 ^ now.as_secs() ^ u64::from(std::process::id())
        });
        eprintln!("CNBI_SEED={seed}");
        Self(seed)
    }

    /// Uses this seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number in the full range.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit.max(1)
    }

    /// An index into a sequence of this length; 0 if it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        // A usize has at most 64 bits here, and the remainder is below `length`.
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

/// The number in an environment variable, such as a seed or a count; `None` if it is not set.
///
/// # Panics
///
/// If the value is not a number.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")),
    )
}
