//! From JSON values to conditions, with everything that is wrong on the way.

use std::collections::BTreeSet;

use super::{
    condition::{Condition, DEPTH_MAX, Field, OPERANDS_MAX, Subject},
    hours::Hours,
    matcher::{LIST_MAX, MATCHERS, Matcher, is_matcher},
    mold::{Misfit, Mold, listed},
    selector::Selector,
};
use crate::domain::{
    name::Name,
    policy::{fault::quote, pattern::Pattern},
};

/// The names that conditions may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Defined<'a> {
    /// The roles of the document.
    pub roles: &'a BTreeSet<&'a str>,
    /// The departments of the document, or of the stored directory beside it; none where that isn't at hand, and
    /// any department counts as defined.
    pub departments: Option<&'a BTreeSet<&'a str>>,
}

/// What a condition can be, each by its key.
pub(super) const FORMS: [&str; 6] = ["all", "any", "none", "at", "subject", "time"];
/// What may stand beside a selector and a matcher.
const BESIDE: [&str; 4] = ["at", "optional", "elements", "base"];

/// Reads one condition; gathers what is wrong with it.
pub(super) struct Reader<'a> {
    defined: Option<&'a Defined<'a>>,
    operands: usize,
    misfits: Vec<Misfit>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(defined: Option<&'a Defined<'a>>) -> Self {
        Self { defined, operands: 0, misfits: Vec::new() }
    }

    pub(super) fn read(mut self, mold: &Mold<'_>) -> Result<Condition, Vec<Misfit>> {
        let condition = self.condition(mold, 1);
        if self.operands > OPERANDS_MAX {
            let message = format!("has {} operands, the limit is {OPERANDS_MAX}", self.operands);
            self.misfits.insert(0, Misfit { path: mold.path.clone(), message });
        }
        match condition {
            Some(condition) if self.misfits.is_empty() => Ok(condition),
            _ => Err(self.misfits),
        }
    }

    /// Takes what was read, or notes what is wrong.
    fn take<T>(&mut self, result: Result<T, Vec<Misfit>>) -> Option<T> {
        result.map_err(|misfits| self.misfits.extend(misfits)).ok()
    }

    fn condition(&mut self, mold: &Mold<'_>, depth: usize) -> Option<Condition> {
        if depth > DEPTH_MAX {
            self.misfits.push(mold.misfit(&format!("is nested deeper than {DEPTH_MAX} conditions")));
            return None;
        }
        let forms: Vec<&str> = FORMS.into_iter().filter(|form| mold.member(form).is_some()).collect();
        let [form] = forms.as_slice() else {
            let known = listed(&FORMS);
            let message = match forms.as_slice() {
                [] if mold.value.as_object().is_none() => format!("must be a mapping with one of {known}"),
                [] => format!("is no condition; give one of {known}"),
                several => {
                    format!("is several conditions at once ({}); put them under `all`", listed(several))
                }
            };
            self.misfits.push(mold.misfit(&message));
            return None;
        };
        if *form == "at" {
            self.operands += 1;
            let field = field(mold);
            return self.take(field).map(Condition::Field);
        }
        let alone = mold.only(&[form]);
        self.take(alone)?;
        let inner = mold.member(form)?;
        match *form {
            "all" => self.several(&inner, depth).map(Condition::All),
            "any" => self.several(&inner, depth).map(Condition::Any),
            "none" => self.several(&inner, depth).map(Condition::None),
            "subject" => {
                self.operands += 1;
                self.subject(&inner).map(Condition::Subject)
            }
            _ => {
                self.operands += 1;
                let hours = Hours::read(&inner);
                self.take(hours).map(Condition::Time)
            }
        }
    }

    fn several(&mut self, mold: &Mold<'_>, depth: usize) -> Option<Vec<Condition>> {
        let items = mold.items(OPERANDS_MAX);
        let items = self.take(items)?;
        // Every one of them is read, so that every fault is told.
        let read: Vec<_> = items.iter().map(|item| self.condition(item, depth + 1)).collect();
        read.into_iter().collect()
    }

    fn subject(&mut self, mold: &Mold<'_>) -> Option<Subject> {
        let known = mold.only(&["users", "roles", "departments", "agents"]);
        self.take(known)?;
        if mold.value.as_object().is_none_or(<[_]>::is_empty) {
            self.misfits.push(mold.misfit("says nothing; list `users`, `roles`, `departments` or `agents`"));
            return None;
        }
        let defined = self.defined;
        // Every list is read, so that every fault is told.
        let users = self.names(mold, "users", None);
        let roles = self.names(mold, "roles", defined.map(|defined| defined.roles));
        let departments = self.names(mold, "departments", defined.and_then(|defined| defined.departments));
        let agents = match mold.member("agents") {
            None => Some(Vec::new()),
            Some(agents) => {
                let agents = agents
                    .one_or_more(LIST_MAX)
                    .and_then(|agents| agents.iter().map(agent).collect::<Result<_, _>>());
                self.take(agents)
            }
        };
        Some(Subject { users: users?, roles: roles?, departments: departments?, agents: agents? })
    }

    fn names(&mut self, mold: &Mold<'_>, key: &str, known: Option<&BTreeSet<&str>>) -> Option<Vec<String>> {
        let Some(listed) = mold.member(key) else { return Some(Vec::new()) };
        let items = listed.one_or_more(LIST_MAX);
        let items = self.take(items)?;
        let name = |item: &Mold<'_>| {
            let text = item.text()?;
            if known.is_some_and(|known| !known.contains(text)) {
                return Err(item.misfits(&format!("is not defined under `{key}`")));
            }
            Name::new(text).map_err(|error| item.misfits(&error.to_string()))?;
            Ok(text.to_owned())
        };
        let names: Vec<_> = items.iter().map(|item| self.take(name(item))).collect();
        names.into_iter().collect()
    }
}

fn agent(mold: &Mold<'_>) -> Result<Pattern, Vec<Misfit>> {
    Pattern::server(mold.text()?).map_err(|error| mold.misfits(&error.to_string()))
}

/// Reads what is asked of a field.
fn field(mold: &Mold<'_>) -> Result<Field, Vec<Misfit>> {
    let at = mold.need("at", "name a field such as `/path`")?;
    let selector = Selector::parse(at.text()?).map_err(|error| at.misfits(&error.to_string()))?;
    let members = mold.value.as_object().unwrap_or_default();
    let words: Vec<&str> =
        members.iter().map(|(key, _)| key.as_ref()).filter(|key| !BESIDE.contains(key)).collect();
    let [word] = words.as_slice() else {
        let message = match words.as_slice() {
            [] => "asks nothing of the field; give a matcher such as `equals`".to_owned(),
            several => format!("asks several things at once ({}); put them under `all`", listed(several)),
        };
        return Err(mold.misfits(&message));
    };
    let operand = mold.need(word, "")?;
    if !is_matcher(word) {
        let known: Vec<&str> = MATCHERS.iter().map(|matcher| matcher.word).collect();
        let message = format!("unknown matcher {}; use one of {}", quote(word), listed(&known));
        return Err(vec![Misfit { path: operand.path, message }]);
    }
    let base = mold.member("base");
    if let Some(base) = base.as_ref().filter(|_| !word.starts_with("path_")) {
        return Err(base.misfits("is for `path_within` and `path_outside` alone"));
    }
    let matcher = Matcher::read(word, &operand, base.as_ref())?;
    Ok(Field {
        every: every(mold, &selector)?,
        optional: optional(mold, &matcher)?,
        at: selector,
        word: (*word).to_owned(),
        operand: operand.value.clone().into_owned(),
        base: base.map(|base| base.value.clone().into_owned()),
        matcher,
    })
}

fn every(mold: &Mold<'_>, selector: &Selector) -> Result<bool, Vec<Misfit>> {
    let Some(elements) = mold.member("elements") else { return Ok(false) };
    if !selector.is_wild() {
        return Err(elements.misfits("is for selectors with `*` or `**` alone"));
    }
    match elements.text()? {
        "any" => Ok(false),
        "every" => Ok(true),
        _ => Err(elements.misfits("is neither `any` nor `every`")),
    }
}

fn optional(mold: &Mold<'_>, matcher: &Matcher) -> Result<bool, Vec<Misfit>> {
    let Some(optional) = mold.member("optional") else { return Ok(false) };
    if matches!(matcher, Matcher::Present | Matcher::Absent) {
        return Err(optional.misfits("has no meaning beside `present` and `absent`, which are always known"));
    }
    optional.flag()
}
