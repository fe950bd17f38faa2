//! In which domain an e-mail address is. Only a plain `local@domain` is judged: a display name, a list, a quoted
//! local part or an address literal could hide another address.

use super::{
    super::{
        mold::{Misfit, Mold},
        truth::{Answer, Why},
    },
    LIST_MAX, short_text,
    url::{Host, canonical},
};
use crate::domain::name::is_invisible;

/// One domain or several.
pub(super) fn domains(mold: &Mold<'_>) -> Result<Vec<Host>, Vec<Misfit>> {
    let domain = |text: &Mold<'_>| match Host::parse(short_text(text)?) {
        Some(host @ (Host::Below(_) | Host::Exact(url::Host::Domain(_)))) => Ok(host),
        _ => Err(text.misfits("is no domain; write `example.com` or `*.example.com`")),
    };
    mold.one_or_more(LIST_MAX)?.iter().map(domain).collect()
}

/// Whether the address is in one of the domains.
pub(super) fn in_domain(domains: &[Host], text: &str) -> Answer {
    let is_odd = |character: char| {
        character.is_whitespace() || is_invisible(character) || "\",:;<>()[]\\%!".contains(character)
    };
    let (local, domain) = text.split_once('@').ok_or(Why::Email)?;
    if local.is_empty() || text.contains(is_odd) {
        return Err(Why::Email);
    }
    match canonical(domain) {
        Some(host @ url::Host::Domain(_)) => Ok(domains.iter().any(|domain| domain.is(&host))),
        _ => Err(Why::Email),
    }
}
