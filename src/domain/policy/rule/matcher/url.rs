//! Where a URL leads: its scheme, its host, and the network of an address.
//!
//! URLs are read as browsers read them (host names to lower case and punycode, addresses in decimal, octal or
//! hexadecimal to four numbers). Where other programs are known to read a URL differently, nothing is known: a
//! backslash, white space or invisible character, a `%` or a second `@` before the path, missing slashes. A name
//! is never resolved, so a host that is a name lies in no network.
//!
//! Source: the URL Standard (WHATWG), RFC 3986.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    super::{
        mold::{Misfit, Mold},
        truth::{Answer, Why},
    },
    LIST_MAX, short_text,
};
use crate::domain::name::is_invisible;

/// A host of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// This one.
    Exact(url::Host<String>),
    /// Every one below this domain.
    Below(String),
}

/// A network of a document.
pub type Network = IpNet;

/// One scheme or several, in lower case.
pub(super) fn schemes(mold: &Mold<'_>) -> Result<Vec<String>, Vec<Misfit>> {
    let scheme = |text: &Mold<'_>| {
        let found = short_text(text)?;
        let is_plain = |other: char| other.is_ascii_alphanumeric() || matches!(other, '+' | '-' | '.');
        if found.starts_with(|first: char| first.is_ascii_alphabetic()) && found.chars().all(is_plain) {
            return Ok(found.to_ascii_lowercase());
        }
        Err(text.misfits("is no scheme; write it without `:`, such as `https`"))
    };
    mold.one_or_more(LIST_MAX)?.iter().map(scheme).collect()
}

/// One host or several.
pub(super) fn hosts(mold: &Mold<'_>) -> Result<Vec<Host>, Vec<Misfit>> {
    let host = |text: &Mold<'_>| {
        Host::parse(short_text(text)?).ok_or_else(|| {
            text.misfits("is no host; write `example.com`, `*.example.com` or an IP address, without scheme, port or path")
        })
    };
    mold.one_or_more(LIST_MAX)?.iter().map(host).collect()
}

/// One network or several.
pub(super) fn networks(mold: &Mold<'_>) -> Result<Vec<Network>, Vec<Misfit>> {
    let network = |text: &Mold<'_>| {
        let found = short_text(text)?;
        let whole = match (found.contains('/'), found.contains(':')) {
            (true, _) => found.to_owned(),
            (false, true) => format!("{found}/128"),
            (false, false) => format!("{found}/32"),
        };
        let Ok(network) = whole.parse::<IpNet>() else {
            return Err(text.misfits("is no network; write it as `10.0.0.0/8` or `fc00::/7`"));
        };
        let is_mapped = matches!(&network, IpNet::V6(six) if six.addr().to_ipv4_mapped().is_some());
        if is_mapped {
            return Err(text.misfits("is IPv4 inside IPv6; write the IPv4 network, which covers both"));
        }
        if network != network.trunc() {
            return Err(text.misfits(&format!("has bits behind its prefix; write `{}`", network.trunc())));
        }
        Ok(network)
    };
    mold.one_or_more(LIST_MAX)?.iter().map(network).collect()
}

impl Host {
    /// Reads a host, or `*.` and a domain.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(domain) = text.strip_prefix("*.") {
            return match canonical(domain)? {
                url::Host::Domain(domain) => Some(Self::Below(domain)),
                url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
            };
        }
        let literal =
            if text.contains(':') && !text.starts_with('[') { format!("[{text}]") } else { text.into() };
        canonical(&literal).map(Self::Exact)
    }

    pub(super) fn is(&self, host: &url::Host<String>) -> bool {
        match (self, host) {
            (Self::Exact(own), _) => own == host,
            (Self::Below(own), url::Host::Domain(domain)) => {
                domain.strip_suffix(own.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Self::Below(_), _) => false,
        }
    }
}

/// A host in the one form that all its spellings share: punycode in lower case, no dot at the end; an IPv4
/// address inside an IPv6 one as itself.
pub(super) fn canonical(text: &str) -> Option<url::Host<String>> {
    if text.contains(['*', '%', '/', '@']) {
        return None;
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    match url::Host::parse(text).ok()? {
        url::Host::Domain(domain) if domain.is_empty() || domain.ends_with('.') => None,
        url::Host::Ipv6(address) => Some(match inner(address.segments()) {
            Some(octets) => url::Host::Ipv4(octets.into()),
            None => url::Host::Ipv6(address),
        }),
        other => Some(other),
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, translated (NAT64) or tunnelled (6to4).
///
/// Source: RFC 4291 section 2.5.5, RFC 6052 section 2.1, RFC 3056 section 2.
fn inner(segments: [u16; 8]) -> Option<[u8; 4]> {
    let (high, low) = match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 || low > 1 => (high, low),
        _ => return None,
    };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some([a, b, c, d])
}

/// Whether the URL has one of the schemes.
pub(super) fn scheme_in(schemes: &[String], text: &str) -> Answer {
    let url = read(text)?;
    Ok(schemes.iter().any(|scheme| scheme == url.scheme()))
}

/// Whether the URL leads to one of the hosts. One that leads to no host at all leads to none of them.
pub(super) fn host_in(hosts: &[Host], text: &str) -> Answer {
    let found = host(text)?;
    Ok(found.is_some_and(|found| hosts.iter().any(|host| host.is(&found))))
}

/// Whether the URL leads to an address in one of the networks.
pub(super) fn network_has(networks: &[Network], text: &str) -> Answer {
    let address: IpNet = match host(text)? {
        Some(url::Host::Ipv4(address)) => Ipv4Net::from(address).into(),
        Some(url::Host::Ipv6(address)) => Ipv6Net::from(address).into(),
        Some(url::Host::Domain(_)) | None => return Ok(false),
    };
    Ok(networks.iter().any(|network| network.contains(&address)))
}

/// The host that a URL leads to, if it leads to one.
fn host(text: &str) -> Result<Option<url::Host<String>>, Why> {
    let url = read(text)?;
    let Some(found) = url.host_str().filter(|host| !host.is_empty()) else { return Ok(None) };
    canonical(found).map(Some).ok_or(Why::Url("its host is no host name or address"))
}

/// Reads a URL that all programs read alike.
fn read(text: &str) -> Result<url::Url, Why> {
    if text
        .contains(|character: char| character == '\\' || character.is_whitespace() || is_invisible(character))
    {
        return Err(Why::Url("it holds a backslash, white space or something invisible"));
    }
    let url = url::Url::parse(text).map_err(|_| Why::Url("it is no absolute URL"))?;
    let (_, rest) = text.split_once(':').unwrap_or_default();
    let Some(rest) = rest.strip_prefix("//") else {
        return if url.has_host() { Err(Why::Url("it lacks slashes before its host")) } else { Ok(url) };
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    if authority.is_empty() && url.has_host() {
        return Err(Why::Url("it has more slashes than two before its host"));
    }
    if authority.contains('%') || authority.matches('@').count() > 1 {
        return Err(Why::Url("programs don't agree on what its host is"));
    }
    if !tail.starts_with('/') && tail.contains('@') {
        return Err(Why::Url("programs don't agree on what its host is"));
    }
    Ok(url)
}
