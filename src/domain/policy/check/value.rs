//! What a piece of YAML means as JSON.

use std::borrow::Cow;

use crate::domain::{
    json::{self, Limits, Value},
    policy::{
        fault::{FAULTS_MAX, Fault, step},
        yaml::{Node, RawNode},
    },
};

/// What a node says, every number as it is written in `text`; faults where one can't be.
pub(in crate::domain::policy) fn value(
    node: &Node,
    text: &str,
    path: &str,
    faults: &mut Vec<Fault>,
) -> Option<Value<'static>> {
    Some(match &node.value {
        RawNode::Null => Value::Null,
        RawNode::Bool(truth) => Value::Bool(*truth),
        RawNode::Number(near) => {
            let number = written(node, near, text);
            if number.is_none() && faults.len() < FAULTS_MAX {
                let message = "is no number as JSON writes one, such as `31` or `-0.5`; write it so, or in quotes if it is a text";
                faults.push(Fault::new(node.referenced, path.to_owned(), message.to_owned()));
            }
            number?
        }
        RawNode::Text(text) => Value::String(text.clone().into()),
        RawNode::List(items) => {
            let items = items.iter().enumerate();
            let item = |(index, item): (usize, &Node)| value(item, text, &format!("{path}[{index}]"), faults);
            Value::Array(items.map(item).collect::<Option<_>>()?)
        }
        RawNode::Map(members) => {
            let mut found = Vec::new();
            for (key, member) in members {
                let value = value(member, text, &format!("{path}{}", step(&key.value)), faults)?;
                found.push((key.value.clone().into(), value));
            }
            found.sort_by(|(one, _), (other, _): &(Cow<'_, str>, _)| json::utf16_order(one, other));
            Value::Object(found)
        }
    })
}

/// The number that stands at the place of a node; it must round to what the YAML parser saw.
fn written(node: &Node, near: &str, text: &str) -> Option<Value<'static>> {
    let span = node.defined.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
    let literal = text.get(start..end)?.trim();
    let number = json::parse(literal, &Limits::default()).ok()?;
    // Adding zero makes -0 and 0 one.
    let rounded = |text: &str| text.parse::<f64>().map(|double| (double + 0.0).to_bits()).ok();
    let is_it = number.as_number().is_some() && rounded(literal) == rounded(near);
    is_it.then(|| number.into_owned())
}
