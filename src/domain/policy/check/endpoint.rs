//! The endpoint entries of a document.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_saphyr::Location;

use super::Checker;
use crate::domain::policy::{
    endpoint::{
        ENDPOINTS_MAX, EndpointEntry, METHODS_MAX, Method, PathPattern, REQUIREMENTS_MAX, Requirement,
    },
    fault::quote,
    resource::{OWN_PREFIX, check_key},
    yaml::{RawEndpoint, RawRequirement, Text},
};

/// What two entries must not have in common: the paths, a method (none for every), and whether in shadow.
type Meaning = (String, Option<Method>, bool);

impl Checker<'_> {
    pub(super) fn endpoints(&mut self, raw: &[RawEndpoint]) -> Vec<Arc<EndpointEntry>> {
        let mut found = Vec::new();
        let mut names: HashSet<&str> = HashSet::new();
        let mut meanings = HashMap::new();
        for (index, endpoint) in raw.iter().enumerate() {
            let path = format!("endpoints[{index}]");
            if index == ENDPOINTS_MAX {
                let message = format!("there are {} endpoints, the limit is {ENDPOINTS_MAX}", raw.len());
                self.fault(endpoint.path.referenced, &path, message);
                break;
            }
            if let Some(name) = endpoint.name.as_ref().filter(|name| !names.insert(name.value.as_str())) {
                let message = format!(
                    "an endpoint before is called {} too; give one of them another name",
                    quote(&name.value)
                );
                self.fault(name.referenced, &format!("{path}.name"), message);
            }
            if let Some(entry) = self.endpoint(endpoint, &path) {
                self.endpoint_is_new(&entry, endpoint.path.referenced, &path, &mut meanings);
                found.push(Arc::new(entry));
            }
        }
        found
    }

    fn endpoint(&mut self, raw: &RawEndpoint, path: &str) -> Option<EndpointEntry> {
        let name = match &raw.name {
            Some(text) => self.name(text, &format!("{path}.name")).map(Some),
            None => Some(None),
        };
        let methods = self.methods(&raw.methods.value, raw.methods.referenced, &format!("{path}.methods"));
        let pattern = PathPattern::parse(&raw.path.value).map_err(|error| {
            let message = format!("the path {} {error}", quote(&raw.path.value));
            self.fault(raw.path.referenced, &format!("{path}.path"), message);
        });
        let requires =
            self.requirements(&raw.requires.value, raw.requires.referenced, &format!("{path}.requires"));
        let shadow = raw.shadow.unwrap_or(false);
        Some(EndpointEntry { name: name?, methods: methods?, pattern: pattern.ok()?, requires, shadow })
    }

    /// The methods of an entry: none for `*`, which means every method.
    fn methods(&mut self, texts: &[Text], at: Location, path: &str) -> Option<Vec<Method>> {
        if texts.is_empty() || texts.len() > METHODS_MAX {
            let message = format!(
                "has {} methods; name 1 to {METHODS_MAX}, or `[\"*\"]` for every method",
                texts.len()
            );
            self.fault(at, path, message);
            return None;
        }
        if let [only] = texts
            && only.value == "*"
        {
            return Some(Vec::new());
        }
        let mut found = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match self.method(text, &path) {
                Some(method) if found.contains(&method) => {
                    self.fault(
                        text.referenced,
                        &path,
                        format!("{} is named twice; keep one", quote(&method)),
                    );
                }
                method => found.extend(method),
            }
        }
        // Without any, it would mean every method.
        (!found.is_empty()).then_some(found)
    }

    fn method(&mut self, text: &Text, path: &str) -> Option<Method> {
        let shown = quote(&text.value);
        let message = match Method::parse(&text.value) {
            Ok(method) if *method == *text.value => return Some(method),
            Ok(method) => format!("the method {shown} must be in upper case: {}", quote(&method)),
            Err(_) if text.value == "*" => "`*` means every method; it stands alone".to_owned(),
            Err(error) => format!("the method {shown} {error}"),
        };
        self.fault(text.referenced, path, message);
        None
    }

    fn requirements(&mut self, raw: &[RawRequirement], at: Location, path: &str) -> Vec<Requirement> {
        if raw.is_empty() || raw.len() > REQUIREMENTS_MAX {
            let message = format!(
                "has {} requirements; name 1 to {REQUIREMENTS_MAX}, such as `{{ resource: menu.users, code: VIEW }}`",
                raw.len()
            );
            self.fault(at, path, message);
        }
        let mut found = Vec::new();
        for (index, one) in raw.iter().enumerate().take(REQUIREMENTS_MAX) {
            let path = format!("{path}[{index}]");
            self.required_key(&one.resource, &format!("{path}.resource"));
            let Some(code) = self.code(Some(&one.code), &format!("{path}.code")) else { continue };
            let requirement = Requirement { resource: one.resource.value.as_str().into(), code };
            if found.contains(&requirement) {
                let key = quote(&one.resource.value);
                let message = format!("{key} with {} is required twice; keep one", code.as_str());
                self.fault(one.resource.referenced, &path, message);
            } else {
                found.push(requirement);
            }
        }
        found
    }

    fn required_key(&mut self, text: &Text, path: &str) {
        let key = quote(&text.value);
        if let Err(error) = check_key(&text.value) {
            self.fault(text.referenced, path, format!("the resource key {key} {error}"));
        } else if text.value.starts_with(OWN_PREFIX) {
            let message = format!(
                "{key} is one of Callgate's own keys; require another, such as `menu.users`, and allow that to a role"
            );
            self.fault(text.referenced, path, message);
        }
    }

    /// Refuses an entry that means the same endpoints as one before: the order must not decide.
    fn endpoint_is_new(
        &mut self,
        entry: &EndpointEntry,
        at: Location,
        path: &str,
        meanings: &mut HashMap<Meaning, (Location, String)>,
    ) {
        let shape = entry.pattern.shape();
        let every = entry.methods.is_empty().then_some(None);
        let methods: Vec<Option<Method>> =
            every.into_iter().chain(entry.methods.iter().cloned().map(Some)).collect();
        for method in methods {
            let word = method.as_ref().map_or("every method".to_owned(), |method| quote(method));
            let meaning = (shape.clone(), method, entry.shadow);
            if let Some((first, pattern)) = meanings.get(&meaning) {
                let message = format!(
                    "{} means the same paths for {word} as {} on line {}, whatever the names of segments and the case; keep one of them",
                    quote(entry.pattern.as_str()),
                    quote(pattern),
                    first.line()
                );
                self.fault(at, &format!("{path}.path"), message);
                return;
            }
            meanings.insert(meaning, (at, entry.pattern.as_str().to_owned()));
        }
    }
}
