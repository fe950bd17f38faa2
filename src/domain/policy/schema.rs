//! The JSON Schema of policy documents, generated from the types that read them.
//!
//! It is for editors, which complete, explain and check a document while it is typed; what it accepts may still
//! be refused, for it can't tell whether names are defined. It is written to docs/policy.schema.json, which the
//! program prints, so the generator is only needed by the test that holds the file to it.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform,
};
use serde_json::{Value, json};

pub(super) use super::{
    document::{Mode, UserKind},
    resource::{Code, Effect},
    rule::schema::Condition,
};
use super::{
    endpoint::{method::METHOD_BYTES_MAX, pattern::PATTERN_BYTES_MAX},
    resource::KEY_BYTES_MAX,
    rule::{RULE_MESSAGE_BYTES_MAX, RULE_NAME_BYTES_MAX},
    yaml::{Entries, RawDocument},
};
use crate::domain::name::NAME_BYTES_MAX;
pub(super) use crate::domain::sensitivity::Sensitivity;

mod tests;

/// Texts that mean something, each with what its schema says.
macro_rules! texts {
    ($($name:ident: $schema:expr;)*) => {$(
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema.try_into().unwrap()
            }
        }
    )*};
}

texts! {
    Name: text(NAME_BYTES_MAX, r"^[^/\s]([^/]*[^/\s])?$");
    Server: text(NAME_BYTES_MAX, r"^[^/*]*\*?$");
    ToolName: text(NAME_BYTES_MAX, r"^[^*]*\*?$");
    Key: text(KEY_BYTES_MAX, r"^(?!callgate\.)[^.*]+(\.[^.*]+)*$");
    Resource: text(KEY_BYTES_MAX, r"^[^.*]+(\.[^.*]+)*(\.\*)?$");
    Method: text(METHOD_BYTES_MAX, "^([*]|[A-Z][A-Z0-9_-]*)$");
    PathPattern: text(PATTERN_BYTES_MAX, "^/");
    Time: text(32, "^[0-9]+[smh]$");
    RuleName: text(RULE_NAME_BYTES_MAX, "^[A-Za-z0-9._-]+$");
    Message: text(RULE_MESSAGE_BYTES_MAX, r"^.*\S.*$");
    Deny: json!({ "enum": [Effect::Deny.as_str()] });
    Raised: json!({ "enum": Sensitivity::ALL.into_iter().skip(1).map(Sensitivity::as_str).collect::<Vec<_>>() });
}

/// A schema counts characters, of which a text has no more than bytes.
fn text(bytes_max: usize, pattern: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": bytes_max, "pattern": pattern })
}

/// Exactly one of these keys is there.
pub(super) fn one_of(keys: &[&str]) -> Value {
    json!({ "oneOf": keys.iter().map(|key| json!({ "required": [key] })).collect::<Vec<_>>() })
}

/// At least one of these keys is there.
pub(super) fn some_of(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = json!({
            "type": "object",
            "propertyNames": generator.subschema_for::<Name>(),
            "additionalProperties": generator.subschema_for::<T>()
        });
        whole.try_into().unwrap()
    }
}

/// The schema, as it is written to a file. Draft 7 is what editors understand best.
fn schema() -> String {
    let mut settings = SchemaSettings::draft07();
    settings.transforms.insert(0, Box::new(RecursiveTransform(tidy)));
    let schema = settings.into_generator().into_root_schema_for::<RawDocument>();
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

/// What isn't said is left out and not `null`; and a description is one line.
fn tidy(schema: &mut Schema) {
    let is_null = |value: &Value| *value == json!({ "type": "null" }) || value == "null";
    if let Some(Value::Array(of)) = schema.get_mut("anyOf")
        && of.iter().any(is_null)
    {
        of.retain(|one| !is_null(one));
        let only = of.pop().unwrap();
        schema.remove("anyOf");
        schema.ensure_object().extend(only.as_object().unwrap().clone());
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| !is_null(kind));
        let only = kinds.pop().unwrap();
        schema.insert("type".to_owned(), only);
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}
