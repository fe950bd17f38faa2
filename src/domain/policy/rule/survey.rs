//! What several conditions look for in the same places, looked up once.
//!
//! Conditions about every text of the arguments are what a large call costs: each walks to all of them, and searches
//! each of them. So where several conditions of a policy have one selector with wildcards, its places are gathered
//! once for a call, and the texts there are searched once for everything that any of these conditions seeks. Where
//! nothing of it is found, none of them finds anything. Where something is, each looks for itself.
//!
//! No answer depends on this: it is what walking and searching anew would say, and a test holds it to that.

use std::{cell::OnceCell, collections::BTreeMap, ops::ControlFlow};

use regex::RegexSet;

use super::{
    Rule,
    condition::{Condition, Field},
    matcher::Matcher,
    search,
    selector::{Found, Selector, Trail},
};
use crate::domain::json::Value;

/// The most that is sought at once, and the longest text of it in bytes; what has more is searched for by each.
const SOUGHT_MAX: usize = 256;
const SOUGHT_BYTES_MAX: usize = 64 * 1024;
/// For how many selectors it is tried to look for everything at once: each try may take a moment.
const SCREENS_MAX: usize = 16;

/// The selectors that several conditions of a policy share.
#[derive(Debug, Default)]
pub(super) struct Screens(Vec<Screen>);

#[derive(Debug)]
struct Screen {
    at: Selector,
    /// Finds whatever any of the conditions seeks in texts; none where only one does, or it can't be quick.
    search: Option<RegexSet>,
    /// Whether that is all but regular expressions, which can't be looked for together.
    is_plain: bool,
}

impl Screens {
    /// Those of a policy's rules.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut by_selector: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
        for rule in rules {
            each_field(&rule.when, &mut |field| {
                if field.at.is_wild() {
                    by_selector.entry(field.at.as_str()).or_default().push(field);
                }
            });
        }
        let shared = by_selector.into_values().filter(|fields| fields.len() > 1);
        Self(shared.enumerate().filter_map(|(at, fields)| Screen::new(&fields, at < SCREENS_MAX)).collect())
    }
}

impl Screen {
    fn new(fields: &[&Field], is_searched: bool) -> Option<Self> {
        let at = fields.first()?.at.clone();
        let search = |is_plain: bool| {
            let wanted = fields.iter().filter(|field| !is_plain || !field.matcher.is_regex());
            let sought: Vec<String> = wanted.flat_map(|field| field.matcher.sought()).collect();
            let bytes: usize = sought.iter().map(String::len).sum();
            let is_worth_it = sought.len() > 1 && sought.len() <= SOUGHT_MAX && bytes <= SOUGHT_BYTES_MAX;
            if is_worth_it && is_searched { search::compile_set(&sought) } else { None }
        };
        Some(match search(false) {
            Some(all) => Self { at, search: Some(all), is_plain: false },
            None => Self { at, search: search(true), is_plain: true },
        })
    }
}

fn each_field<'c>(condition: &'c Condition, visit: &mut impl FnMut(&'c Field)) {
    match condition {
        Condition::All(of) | Condition::Any(of) | Condition::None(of) => {
            for part in of {
                each_field(part, visit);
            }
        }
        Condition::Field(field) => visit(field),
        Condition::Subject(_) | Condition::Time(_) => {}
    }
}

/// What was found in one call so far.
#[derive(Debug)]
pub(super) struct Survey<'s, 'v> {
    arguments: &'v Value<'v>,
    seen: Vec<(&'s Screen, OnceCell<Seen<'v>>)>,
}

/// What a selector finds.
#[derive(Debug)]
pub(super) struct Seen<'v> {
    places: Vec<Place<'v>>,
    /// Where nothing that is sought stands in any text there: of each kind of place the first, in order. What seeks in
    /// vain is answered alike by all of one kind.
    in_vain: Option<Vec<Place<'v>>>,
    /// Whether that says nothing of regular expressions.
    is_plain: bool,
}

#[derive(Debug, Clone, Copy)]
enum Place<'v> {
    Value(&'v Value<'v>),
    Missing,
    Blocked(&'static str),
}

impl<'s, 'v> Survey<'s, 'v> {
    /// One of these arguments, by the selectors that a policy shares.
    pub(super) fn new(screens: &'s Screens, arguments: &'v Value<'v>) -> Self {
        Self { arguments, seen: screens.0.iter().map(|screen| (screen, OnceCell::new())).collect() }
    }

    /// One that nothing is shared in.
    pub(super) fn none(arguments: &'v Value<'v>) -> Self {
        Self { arguments, seen: Vec::new() }
    }

    /// What a selector finds, if several have it.
    pub(super) fn seen(&self, at: &Selector) -> Option<&Seen<'v>> {
        if !at.is_wild() {
            return None;
        }
        let (screen, seen) = self.seen.iter().find(|(screen, _)| screen.at == *at)?;
        Some(seen.get_or_init(|| Seen::look(screen, self.arguments)))
    }
}

impl<'v> Seen<'v> {
    fn look(screen: &Screen, arguments: &'v Value<'v>) -> Self {
        let mut places = Vec::new();
        screen.at.walk(arguments, &mut |found| {
            places.push(match found {
                Found::Value(value, _) => Place::Value(value),
                Found::Missing => Place::Missing,
                Found::Blocked(kind) => Place::Blocked(kind),
            });
            ControlFlow::Continue(())
        });
        let mut texts = places.iter().filter_map(Place::text);
        let is_clean = screen.search.as_ref().is_some_and(|search| !texts.any(|text| search.is_match(text)));
        let in_vain = is_clean.then(|| first_of_each_kind(&places));
        Self { places, in_vain, is_plain: screen.is_plain }
    }

    /// Shows everything that was found, in order, until the visitor has seen enough. Where no text has anything of what
    /// `matcher` seeks, the visitor is shown nothing instead of a text, and of each kind only one.
    pub(super) fn walk(
        &self,
        matcher: &Matcher,
        mut visit: impl FnMut(Option<Found<'_, 'v>>) -> ControlFlow<()>,
    ) {
        let is_screened = matcher.is_search() && !(self.is_plain && matcher.is_regex());
        let in_vain = self.in_vain.as_ref().filter(|_| is_screened);
        let places = in_vain.unwrap_or(&self.places);
        let whole = Trail::whole();
        // The visitor has nothing left to stop.
        let _ = places.iter().try_for_each(|place| {
            visit(match place {
                Place::Value(Value::String(_)) if in_vain.is_some() => None,
                Place::Value(value) => Some(Found::Value(value, &whole)),
                Place::Missing => Some(Found::Missing),
                Place::Blocked(kind) => Some(Found::Blocked(kind)),
            })
        });
    }
}

fn first_of_each_kind<'v>(places: &[Place<'v>]) -> Vec<Place<'v>> {
    let mut kinds: Vec<Place<'v>> = Vec::new();
    for place in places {
        if !kinds.iter().any(|seen| seen.kind() == place.kind()) {
            kinds.push(*place);
        }
    }
    kinds
}

impl<'v> Place<'v> {
    /// What a matcher that searches texts goes by, the text apart.
    fn kind(&self) -> (std::mem::Discriminant<Self>, &'static str) {
        let kind = match self {
            Self::Value(value) => value.kind(),
            Self::Missing => "",
            Self::Blocked(kind) => kind,
        };
        (std::mem::discriminant(self), kind)
    }

    fn text(&self) -> Option<&'v str> {
        if let Self::Value(value) = self { value.as_str() } else { None }
    }
}
