//! What conditions look like, for the schema of documents: made of the lists by which they are read.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{
    condition::{DEPTH_MAX, OPERANDS_MAX},
    facts::Who,
    glob::GLOB_CHARS_MAX,
    hours::DAYS,
    matcher::{Description, KINDS, LIST_MAX, MATCHERS, REGEX_BYTES_MAX, REGEXES_MAX, TEXT_BYTES_MAX},
    read::FORMS,
    selector::SELECTOR_BYTES_MAX,
};
use crate::domain::policy::schema::one_of;

/// A condition.
pub struct Condition;

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = Map::new();
        for form in FORMS {
            properties.insert(form.to_owned(), form_schema(form, generator));
        }
        for matcher in MATCHERS {
            properties.insert(matcher.word.to_owned(), operand(matcher));
        }
        properties.extend(beside());
        let words: Vec<&str> = MATCHERS.iter().map(|matcher| matcher.word).collect();
        let whole = json!({
            "description": format!(
                "When a rule matches: `all`, `any` or `none` of several conditions; a field of the arguments (`at`) \
                 and one matcher, such as `equals`; who asks (`subject`); when (`time`). A rule has at most \
                 {OPERANDS_MAX} of the last three, nested at most {DEPTH_MAX} deep."
            ),
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "allOf": [one_of(&FORMS)],
            "if": { "required": ["at"] },
            "then": one_of(&words),
            "else": { "maxProperties": 1 },
            "dependencies": {
                "base": { "anyOf": [{ "required": ["path_within"] }, { "required": ["path_outside"] }] }
            }
        });
        whole.try_into().unwrap()
    }
}

fn form_schema(form: &str, generator: &mut SchemaGenerator) -> Value {
    let mut several = |description: &str| {
        json!({
            "description": description,
            "type": "array",
            "items": generator.subschema_for::<Condition>(),
            "minItems": 1,
            "maxItems": OPERANDS_MAX
        })
    };
    match form {
        "all" => several("All of these hold."),
        "any" => several("Any of these holds."),
        "none" => several("None of these holds."),
        "at" => json!({
            "description": "Which field of the arguments: a JSON Pointer such as `/path`, in which `*` is each element \
                or member and `**`, once, any depth; empty for the whole.",
            "type": "string",
            "pattern": "^(/.*)?$",
            "maxLength": SELECTOR_BYTES_MAX,
            "examples": ["/path", "/files/*/name", "/**/password"]
        }),
        "subject" => subject(),
        "time" => time(),
        other => panic!("what follows `{other}` isn't said here"),
    }
}

/// What may stand beside a selector and a matcher.
fn beside() -> Map<String, Value> {
    let all = json!({
        "optional": {
            "description": "Whether a missing field is no match. The default is false: what is missing counts as one.",
            "type": "boolean"
        },
        "elements": {
            "description": "For selectors with `*` or `**`: whether any value that is selected must be so, the \
                default, or every one.",
            "enum": ["any", "every"]
        },
        "base": {
            "description": "For `path_within` and `path_outside`: the folder that relative paths start from. Without \
                one they count as outside.",
            "type": "string",
            "maxLength": TEXT_BYTES_MAX
        }
    });
    all.as_object().unwrap().clone()
}

fn names(description: &str) -> Value {
    let mut names = one_or_more(&json!({ "type": "string", "minLength": 1 }), LIST_MAX);
    names["description"] = description.into();
    names
}

fn subject() -> Value {
    json!({
        "description": "Who asks: for each list that is given, the subject has something of it.",
        "type": "object",
        "properties": {
            "users": names("The users, by their names."),
            "roles": names("Roles that the subject holds, also through departments."),
            "departments": names("Departments that the subject belongs to, also through one below."),
            "agents": names("The agents that act for it, as they call themselves: names, or prefixes and `*`.")
        },
        "additionalProperties": false,
        "minProperties": 1
    })
}

fn time() -> Value {
    let days = DAYS.map(|(word, _)| word);
    let clock = |description: &str| {
        json!({
            "description": description,
            "type": "string",
            "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
            "examples": ["22:00"]
        })
    };
    json!({
        "description": "When it is, in a time zone. A window that ends before it begins runs past midnight and belongs \
            to the day on which it began.",
        "type": "object",
        "properties": {
            "zone": {
                "description": "A name of the IANA database.",
                "type": "string",
                "examples": ["Europe/Berlin", "UTC"]
            },
            "from": clock("When it begins, inclusive, in quotes."),
            "to": clock("When it ends, exclusive, in quotes."),
            "days": {
                "description": "On which days it begins; the default is on all.",
                "type": "array",
                "items": { "enum": days },
                "minItems": 1,
                "maxItems": days.len()
            }
        },
        "additionalProperties": false,
        "required": ["zone"],
        "dependencies": { "from": ["to"], "to": ["from"] },
        "anyOf": [{ "required": ["from"] }, { "required": ["days"] }]
    })
}

/// What follows the word of a matcher.
fn operand(matcher: &Description) -> Value {
    let text = |bytes_max: usize| json!({ "type": "string", "maxLength": bytes_max });
    let mut operand = match matcher.word {
        "present" | "absent" | "shell_syntax" | "looks_like_secret" => json!({ "const": true }),
        "type" => one_or_more(&json!({ "enum": KINDS }), KINDS.len()),
        "equals" => comparand(),
        "in" => json!({ "type": "array", "items": comparand(), "minItems": 1, "maxItems": LIST_MAX }),
        "less" | "at_most" | "more" | "at_least" => json!({ "type": "number" }),
        "length" | "size" => limit(),
        "glob" => one_or_more(&text(GLOB_CHARS_MAX), LIST_MAX),
        "regex" => one_or_more(&text(REGEX_BYTES_MAX), REGEXES_MAX),
        "starts_with" | "ends_with" | "contains" | "path_within" | "path_outside" | "url_scheme"
        | "url_host" | "url_network" | "program_in" | "program_not_in" | "email_domain" => {
            one_or_more(&json!({ "type": "string", "minLength": 1, "maxLength": TEXT_BYTES_MAX }), LIST_MAX)
        }
        other => panic!("what follows `{other}` isn't said here"),
    };
    operand["description"] = format!("Holds when {}.", matcher.holds).into();
    // One of them is a number that no double holds.
    if let Ok(example) = serde_json::from_str::<Value>(matcher.example) {
        operand["examples"] = json!([example]);
    }
    operand
}

/// A list, or the one thing that isn't one.
fn one_or_more(one: &Value, max: usize) -> Value {
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": max }] })
}

/// Anything, or a value of the subject's.
fn comparand() -> Value {
    json!({
        "if": { "type": "object", "required": ["subject"] },
        "then": {
            "properties": { "subject": { "enum": Who::ALL.map(Who::as_str) } },
            "additionalProperties": false
        }
    })
}

/// Bounds, all of which hold.
fn limit() -> Value {
    let bound = |description: &str| json!({ "description": description, "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "properties": {
            "less": bound("Fewer than this."),
            "at_most": bound("No more than this."),
            "more": bound("More than this."),
            "at_least": bound("No fewer than this.")
        },
        "additionalProperties": false,
        "minProperties": 1
    })
}
