//! Natural numbers of 256 bits: as many as the exact result of one step of decimal arithmetic
//! needs. No operation checks for overflow, because the decimals, with at most 34 digits, bound
//! every number here by 77 digits.

use std::cmp::Ordering;

/// The largest power of ten in a limb, and its exponent.
const STEP: u64 = 10u64.pow(STEP_DIGITS);
const STEP_DIGITS: u32 = 19;

/// A natural number, lowest limb first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide([u64; 4]);

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "limbs are the low 64 bits on purpose"
)]
impl Wide {
    pub(super) fn from(value: u128) -> Self {
        Self([value as u64, (value >> 64) as u64, 0, 0])
    }

    /// The low half, which is the whole of a number of at most 38 digits.
    pub(super) fn low(&self) -> u128 {
        u128::from(self.0[0]) | (u128::from(self.0[1]) << 64)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0 == [0; 4]
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let mut sum = *self;
        for (limb, more) in sum.0.iter_mut().zip(other.0) {
            let wide = u128::from(*limb) + u128::from(more) + carry;
            (*limb, carry) = (wide as u64, wide >> 64);
        }
        sum
    }

    /// The difference; `other` is not larger.
    pub(super) fn minus(&self, other: &Self) -> Self {
        let mut borrow = false;
        let mut difference = *self;
        for (limb, less) in difference.0.iter_mut().zip(other.0) {
            let (without, first) = limb.overflowing_sub(less);
            let (result, second) = without.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (result, first || second);
        }
        difference
    }

    fn times_small(mut self, factor: u64) -> Self {
        let mut carry = 0;
        for limb in &mut self.0 {
            let wide = u128::from(*limb) * u128::from(factor) + carry;
            (*limb, carry) = (wide as u64, wide >> 64);
        }
        self
    }

    pub(super) fn product(a: u128, b: u128) -> Self {
        let a = Self::from(a);
        let low = a.times_small(b as u64);
        let [first, second, third, _] = a.times_small((b >> 64) as u64).0;
        low.plus(&Self([0, first, second, third]))
    }

    pub(super) fn times_power_of_ten(mut self, mut power: u32) -> Self {
        while power > STEP_DIGITS {
            self = self.times_small(STEP);
            power -= STEP_DIGITS;
        }
        self.times_small(10u64.pow(power))
    }

    /// Quotient and remainder by a divisor above zero.
    pub(super) fn divided_by_small(mut self, divisor: u64) -> (Self, u64) {
        let mut rest = 0;
        for limb in self.0.iter_mut().rev() {
            let wide = (u128::from(rest) << 64) | u128::from(*limb);
            *limb = (wide / u128::from(divisor)) as u64;
            rest = (wide % u128::from(divisor)) as u64;
        }
        (self, rest)
    }

    /// The quotient, and whether something is left.
    pub(super) fn divided_by_power_of_ten(mut self, mut power: u32) -> (Self, bool) {
        let mut left = false;
        while power > 0 && !self.is_zero() {
            let digits = power.min(STEP_DIGITS);
            let (quotient, rest) = self.divided_by_small(10u64.pow(digits));
            left |= rest != 0;
            self = quotient;
            power -= digits;
        }
        (self, left)
    }

    /// Quotient and remainder by a coefficient above zero, bit by bit.
    pub(super) fn divided_by(self, divisor: u128) -> (Self, u128) {
        let mut quotient = Self([0; 4]);
        let mut rest = 0u128;
        for bit in (0..256).rev() {
            let (limb, shift) = (bit / 64, bit % 64);
            // A coefficient has 113 bits, so twice a remainder fits.
            rest = (rest << 1) | u128::from((self.0[limb] >> shift) & 1);
            if rest >= divisor {
                rest -= divisor;
                quotient.0[limb] |= 1 << shift;
            }
        }
        (quotient, rest)
    }

    /// How many decimal digits it has; none for zero.
    pub(super) fn digits(mut self) -> u32 {
        let mut digits = 0;
        while self.low() != self.0[0].into() || self.0[2] != 0 || self.0[3] != 0 {
            self = self.divided_by_small(STEP).0;
            digits += STEP_DIGITS;
        }
        // One limb is left; above, each division took whole digits off.
        digits + self.0[0].checked_ilog10().map_or(0, |last| last + 1)
    }
}
