//! Many measurements of one thing, and what they come to.
//!
//! A percentile is a value that was measured: the smallest that is at least as large as that share of all.

use std::time::Duration;

/// Times that something took.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// Adds those of another.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Sorts them, to be read.
    #[must_use]
    pub fn sorted(mut self) -> Sorted {
        self.0.sort_unstable();
        Sorted(self.0)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// Times in order.
#[derive(Debug, Clone)]
pub struct Sorted(Vec<Duration>);

impl Sorted {
    /// The value that so many of a thousand don't exceed; zero without any sample.
    #[must_use]
    pub fn at(&self, per_mille: usize) -> Duration {
        let place = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.0.get(place).copied().unwrap_or_default()
    }

    /// The middle one.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.at(500)
    }

    /// The one that 95 of 100 don't exceed.
    #[must_use]
    pub fn p95(&self) -> Duration {
        self.at(950)
    }

    /// The one that 99 of 100 don't exceed.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.at(990)
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }
}

/// The median of some figures, and their range.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The median; the mean of the two in the middle of an even number.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of some figures; zeros without any.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let half = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(half.saturating_sub(1)), at(half))
        } else {
            at(half)
        };
        Self { median, min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }
}

/// A time in milliseconds.
#[must_use]
pub fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// A time in microseconds.
#[must_use]
pub fn us(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// A count as a figure; exact up to 2^53.
#[must_use]
pub fn float(count: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & 0xffff_ffff).unwrap_or_default());
    half(count >> 32) * 4_294_967_296.0 + half(count)
}

/// How many a second.
#[must_use]
pub fn rate(count: u64, span: Duration) -> f64 {
    float(count) / span.as_secs_f64().max(1e-9)
}
