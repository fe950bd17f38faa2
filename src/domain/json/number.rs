//! Numbers that keep what was written and know what it means.
//!
//! A number is compared, ordered and hashed by its decimal value, never by the double next to it. Nothing
//! here expands an exponent, so `1e999999999` costs as little as `1`, and every step is linear in the length
//! of the literal.

use std::{borrow::Cow, cmp::Ordering, fmt::Write as _};

/// As many significant digits as always survive the way to a double and back.
///
/// Source: IEEE 754 binary64 (`DBL_DIG`).
const DIGITS_SAFE: usize = 15;
/// The most significant digits that a shortest round-trip form has.
const DIGITS_MAX: usize = 17;

/// A JSON number: the literal as written. Two numbers are equal when their decimal values are.
#[derive(Debug, Clone)]
pub struct Number<'a> {
    literal: Cow<'a, str>,
}

impl<'a> Number<'a> {
    /// Takes a literal that matches JSON's grammar; nothing if its exponent, written or normalised, doesn't
    /// fit 32 bits.
    pub(super) fn new(literal: &'a str) -> Option<Self> {
        // Without an exponent there is nothing that doesn't fit.
        let is_short = literal.len() <= DIGITS_SAFE && literal.bytes().all(|byte| byte.is_ascii_digit());
        if !is_short {
            Decimal::read(literal)?;
        }
        Some(Self { literal: Cow::Borrowed(literal) })
    }

    /// The same number, which borrows nothing.
    pub(super) fn into_owned(self) -> Number<'static> {
        Number { literal: Cow::Owned(self.literal.into_owned()) }
    }

    /// The number as it was written.
    #[must_use]
    pub fn literal(&self) -> &str {
        &self.literal
    }

    /// The one form that all literals of this value share.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write_canonical(&mut out);
        out
    }

    /// How many bytes the canonical form has.
    pub(super) fn canonical_bytes(&self) -> usize {
        if self.is_short_integer() { self.literal.len() } else { self.canonical().len() }
    }

    /// Whether the canonical form is what was written, as of most numbers there are.
    fn is_short_integer(&self) -> bool {
        self.literal.len() <= DIGITS_SAFE && self.literal.bytes().all(|byte| byte.is_ascii_digit())
    }

    /// Appends the canonical form.
    pub(super) fn write_canonical(&self, out: &mut String) {
        if self.is_short_integer() {
            out.push_str(&self.literal);
            return;
        }
        let decimal = self.decimal();
        if decimal.is_zero() {
            out.push('0');
            return;
        }
        if decimal.negative {
            out.push('-');
        }
        if decimal.is_shortest_form_of_a_double() {
            decimal.write_ecmascript(out);
        } else {
            decimal.write_scientific(out);
        }
    }

    fn decimal(&self) -> Decimal<'_> {
        // `new` has read the literal, so the default is never taken.
        Decimal::read(&self.literal).unwrap_or_default()
    }
}

impl PartialEq for Number<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number<'_> {}

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.decimal(), other.decimal());
        left.sign().cmp(&right.sign()).then_with(|| {
            let magnitude = left.point().cmp(&right.point()).then_with(|| left.digits().cmp(right.digits()));
            if left.negative { magnitude.reverse() } else { magnitude }
        })
    }
}

/// A decimal value: the digits of `whole` and then of `fraction`, without zeros at either end, times ten to
/// the power of `exponent`. Zero has no digits.
#[derive(Default)]
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i32,
}

impl<'a> Decimal<'a> {
    fn read(literal: &'a str) -> Option<Self> {
        let unsigned = literal.strip_prefix('-').unwrap_or(literal);
        let (mantissa, written) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut whole = whole.trim_start_matches('0');
        let mut fraction = fraction.trim_end_matches('0');
        let mut exponent = i64::from(written) - i64::try_from(fraction.len()).ok()?;
        if fraction.is_empty() {
            let kept = whole.trim_end_matches('0');
            exponent += i64::try_from(whole.len() - kept.len()).ok()?;
            whole = kept;
        }
        if whole.is_empty() {
            fraction = fraction.trim_start_matches('0');
        }
        if whole.is_empty() && fraction.is_empty() {
            return Some(Self::default());
        }
        let negative = unsigned.len() < literal.len();
        Some(Self { negative, whole, fraction, exponent: i32::try_from(exponent).ok()? })
    }

    fn is_zero(&self) -> bool {
        self.count() == 0
    }

    fn sign(&self) -> i8 {
        match (self.is_zero(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    /// How many digits there are.
    fn count(&self) -> usize {
        self.whole.len() + self.fraction.len()
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    /// How many places the decimal point stands after the first digit's left edge.
    fn point(&self) -> i64 {
        i64::from(self.exponent).saturating_add(i64::try_from(self.count()).unwrap_or(i64::MAX))
    }

    /// Whether the double nearest to this value is written with exactly these digits by whoever writes the
    /// fewest digits that read back.
    fn is_shortest_form_of_a_double(&self) -> bool {
        let (count, point) = (self.count(), self.point());
        if count <= DIGITS_SAFE && (-300..=300).contains(&point) {
            return true;
        }
        if count > DIGITS_MAX || !(-330..=310).contains(&point) {
            return false;
        }
        let mut text = String::with_capacity(32);
        self.write_scientific(&mut text);
        let Some(double) = text.parse::<f64>().ok().filter(|double| double.is_finite()) else {
            return false;
        };
        // Where two forms are equally short and equally close, ECMAScript takes the even one, and so does
        // serde_json. The standard library doesn't: it writes 1426881665460613.25 as …613.3.
        let shortest = serde_json::to_string(&double).unwrap_or_default();
        Decimal::read(&shortest)
            .is_some_and(|other| other.exponent == self.exponent && other.digits().eq(self.digits()))
    }

    /// Appends digits, `e`, exponent: the form of a value that no double stands for.
    fn write_scientific(&self, out: &mut String) {
        out.push_str(self.whole);
        out.push_str(self.fraction);
        // Writing to a string can't fail.
        let _ = write!(out, "e{}", self.exponent);
    }

    /// Appends the magnitude as ECMAScript writes a double with these digits.
    ///
    /// Source: ECMA-262, `Number::toString`, as RFC 8785 section 3.2.2.3 demands it.
    fn write_ecmascript(&self, out: &mut String) {
        let point = self.point();
        if (-5..=0).contains(&point) {
            out.push_str("0.");
            push_zeros(out, point.unsigned_abs());
        }
        let first = out.len();
        out.push_str(self.whole);
        out.push_str(self.fraction);
        if (-5..=0).contains(&point) {
            return;
        }
        let is_plain = (1..=21).contains(&point);
        let places = if is_plain { usize::try_from(point).unwrap_or(1) } else { 1 };
        if places < self.count() {
            out.insert(first + places, '.');
        }
        if is_plain {
            push_zeros(out, self.exponent.max(0).unsigned_abs().into());
        } else {
            let _ = write!(out, "e{:+}", point - 1);
        }
    }
}

/// Appends a few zeros: at most 20, as ECMAScript's plain form allows no more.
fn push_zeros(out: &mut String, count: u64) {
    for _ in 0..count {
        out.push('0');
    }
}
