//! What is wrong with the YAML or the form of a document, told as for everything else: where, what, and what
//! would be right.
//!
//! The parser knows the line of what it refuses, but not the path. That is found afterwards: the document is
//! read again as a tree of anything, and what stands at the refused place is looked up in it. Where the YAML
//! itself is broken there is no tree, and so no path.

use serde_saphyr::{
    DuplicateKeyPolicy, Error, ExternalMessageSource, Location, MergeKeyPolicy, budget::BudgetBreach,
    granit_parser::ErrorKind,
};

use super::{
    super::fault::{Fault, escape, quote, step},
    ALIASES_MAX, DEPTH_MAX, EVENTS_MAX, Node, RawNode, options,
};

/// The fault that an error of the parser stands for.
pub(super) fn fault(error: &Error, text: &str) -> Fault {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let cause = cause(error);
    let tree = tree(text);
    // Where an alias stands for several nodes, the place of each is that of the alias; what tells them apart is
    // where they are defined.
    let defined = cause.location();
    let place = tree
        .as_ref()
        .and_then(|tree| place(tree, at, defined, cause).or_else(|| place(tree, at, None, cause)));
    let message = message(cause, place.as_ref().map(|place| place.kind));
    match place {
        Some(place) if place.path.is_empty() => {
            Fault::new(place.at, place.path, format!("the document {message}"))
        }
        Some(place) => Fault::new(place.at, place.path, message),
        None => Fault::new(at, String::new(), message),
    }
}

/// The error itself, without what was put around it.
fn cause(error: &Error) -> &Error {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => cause(error),
        other => other,
    }
}

/// The document as a tree of anything, with what its form forbids.
pub(in super::super) fn tree(text: &str) -> Option<Node> {
    let mut options = options();
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.reject_unsupported_tags = false;
    serde_saphyr::from_str_with_options(text, options).ok()
}

/// A place in the tree, and what stands there.
struct Place {
    at: Location,
    path: String,
    kind: &'static str,
}

/// The place that an error is about: a key, the mapping that lacks one, or a value.
fn place(tree: &Node, at: Location, defined: Option<Location>, error: &Error) -> Option<Place> {
    let same = |one: Location, other: Location| (one.line(), one.column()) == (other.line(), other.column());
    let is_here = |own: Location, own_defined| {
        same(own, at) && defined.is_none_or(|defined| same(own_defined, defined))
    };
    let key = || {
        find(tree, &|node| match &node.value {
            RawNode::Map(members) => members
                .iter()
                .map(|(key, _)| (node, key))
                .find(|(_, key)| is_here(key.referenced, key.defined)),
            _ => None,
        })
    };
    let value = || find(tree, &|node| is_here(node.referenced, node.defined).then_some(node));
    let (at, path, node) = match error {
        Error::SerdeUnknownField { .. }
        | Error::DuplicateMappingKey { .. }
        | Error::MergeKeyNotAllowed { .. } => {
            let (path, (owner, key)) = key()?;
            (at, path + &step(&key.value), owner)
        }
        // The parser tells the last key that is there.
        Error::SerdeMissingField { .. } if let Some((path, (owner, _))) = key() => {
            (owner.referenced, path, owner)
        }
        _ => {
            let (path, node) = value()?;
            (at, path, node)
        }
    };
    let path = path.strip_prefix('.').unwrap_or(&path).to_owned();
    Some(Place { at, path, kind: kind(&node.value) })
}

/// The first node in the order of the document that has what is wanted, and the path to it.
fn find<'t, T>(node: &'t Node, wanted: &dyn Fn(&'t Node) -> Option<T>) -> Option<(String, T)> {
    if let Some(found) = wanted(node) {
        return Some((String::new(), found));
    }
    let below = |step: String, node| find(node, wanted).map(|(path, found)| (step + &path, found));
    match &node.value {
        RawNode::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| below(format!("[{index}]"), item))
        }
        RawNode::Map(members) => members.iter().find_map(|(key, member)| below(step(&key.value), member)),
        _ => None,
    }
}

fn kind(node: &RawNode) -> &'static str {
    match node {
        RawNode::Null => "nothing",
        RawNode::Bool(_) => "a truth value",
        RawNode::Number(_) => "a number",
        RawNode::Text(_) => "a text",
        RawNode::List(_) => "a list",
        RawNode::Map(_) => "a mapping",
    }
}

/// What is wrong, and what would be right.
fn message(error: &Error, found: Option<&str>) -> String {
    let must_be = |wanted: &str| match found {
        Some(found) => format!("must be {wanted}, not {found}"),
        None => format!("must be {wanted}"),
    };
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let known: Vec<String> = expected.iter().map(|key| format!("`{key}`")).collect();
            format!("unknown key {}; use one of {}", quote(field), known.join(", "))
        }
        Error::SerdeMissingField { field, .. } => {
            format!("has no `{field}`; add it, such as `{field}: {}`", example(field))
        }
        Error::DuplicateMappingKey { .. } => "stands here twice; keep one of the two".to_owned(),
        Error::InvalidBooleanStrict { .. } => must_be("`true` or `false`"),
        Error::InvalidScalar { .. } => "must be a whole number, such as `2`".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } if found.is_none() => {
            "a key must be a text, not a list or a mapping".to_owned()
        }
        Error::NullIntoString { .. } | Error::Unexpected { expected: "string scalar", .. } => {
            must_be("a text")
        }
        Error::Unexpected { expected: "sequence start", .. } => must_be("a list, such as `[a, b]`"),
        Error::Unexpected { expected: "mapping start", .. } => must_be("a mapping, such as `{ key: value }`"),
        Error::MergeKeyNotAllowed { .. } => "merges a mapping into this one; write its keys out".to_owned(),
        Error::UnsupportedTag { tag, .. } => format!("has the tag {}; leave it out", quote(tag)),
        Error::UnknownAnchor { .. } => {
            "an alias names no anchor before it; write out what is meant, or set the anchor with `&`"
                .to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias stands inside the anchor that it names; write out what is meant".to_owned()
        }
        Error::Eof { .. } => "is empty; begin it with `tenant: default`".to_owned(),
        other => too_much(other).unwrap_or_else(|| broken(other)),
    }
}

/// What a value of a key that must be there may look like.
fn example(field: &str) -> &'static str {
    match field {
        "tenant" => "default",
        "effect" => "ALLOW",
        "code" => "VIEW",
        "resources" => "[tool.read_file]",
        "server" => "files",
        "names" => "[read_file]",
        "sensitivity" => "HIGH",
        "sensitivities" => "[HIGH, CRITICAL]",
        "methods" => "[GET]",
        "path" => "/users/{id}",
        "requires" => "[{ resource: menu.users, code: VIEW }]",
        "resource" => "menu.users",
        "when" => "{ at: /path, present: true }",
        "message" => "ask the owner first",
        _ => "review",
    }
}

/// What is said of a document that would cost more than its size.
fn too_much(error: &Error) -> Option<String> {
    let deep = || format!("is nested deeper than {DEPTH_MAX} lists and mappings, which no policy needs");
    let aliased = "has aliases that stand for too much in all; write out what is meant, or leave it out";
    Some(match error {
        Error::ExternalMessage { source, .. } => match &**source {
            ExternalMessageSource::Parser(error) if *error.kind() == ErrorKind::RecursionLimitExceeded => {
                deep()
            }
            _ => return None,
        },
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => aliased.to_owned(),
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => deep(),
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => {
                format!("has more than {ALIASES_MAX} aliases or anchors; write out what is meant")
            }
            BudgetBreach::Documents { .. } => {
                "a second document begins here; a policy is one document, so remove the `---`".to_owned()
            }
            BudgetBreach::AliasAnchorRatio { .. } => {
                "has too many aliases of too few anchors; write out what is meant".to_owned()
            }
            _ => format!(
                "has more than {EVENTS_MAX} keys and values, or too large ones, which no policy needs"
            ),
        },
        _ => return None,
    })
}

/// What is said of YAML that is broken.
fn broken(error: &Error) -> String {
    let Error::ExternalMessage { source, msg, .. } = error else {
        return format!("is no policy as YAML writes it: {}", escape(&error.without_snippet().to_string()));
    };
    let hint = match &**source {
        ExternalMessageSource::Parser(error) => hint(error.kind()),
        _ => None,
    };
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("is no YAML: {}{hint}", escape(msg))
}

fn hint(kind: &ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::MismatchedFlowCollectionEnd { .. }
        | ErrorKind::MisplacedFlowCollectionEnd => "close every bracket that is opened, and no other",
        ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed | ErrorKind::TabInIndentation => {
            "indent with spaces"
        }
        ErrorKind::MappingValueNotAllowed => "put a text that has `: ` in it in quotes",
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "indent the keys of one mapping alike"
        }
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::UnclosedQuotedScalar => "close the quote before",
        ErrorKind::UnknownQuotedScalarEscape => "in single quotes a backslash means itself",
        ErrorKind::UnexpectedCharacter { .. } => {
            "leave it out, or write it in double quotes as an escape such as `\\u0041`"
        }
        _ => return None,
    })
}
