//! Numbers that are the same for the same seed, everywhere.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

/// Xorshift.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// The numbers below `count`, in an order of their own (Fisher-Yates).
    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order = Vec::from_iter(0..count);
        for place in (1..count).rev() {
            order.swap(place, self.below(place + 1));
        }
        order
    }
}
