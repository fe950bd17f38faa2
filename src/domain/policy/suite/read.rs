//! From YAML to a suite, or to every fault in it.

use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{
    CALLS_MAX, Call, Cell, Expected, People, SUITE_BYTES_MAX, Subject, Suite, TESTS_MAX, TIME_DEFAULT,
    Target, Test,
};
use crate::domain::{
    json::Value,
    name::Name,
    policy::{
        check::value::value,
        endpoint::{Attributes, Endpoint},
        fault::{FAULTS_MAX, Fault, quote, step},
        yaml::{self, Entries, Node, RawDepartment, RawUser, Text},
    },
    time::Timestamp,
};

/// A suite as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuite {
    policy: Option<Text>,
    users: Option<Spanned<Entries<RawUser>>>,
    departments: Option<Spanned<Entries<RawDepartment>>>,
    calls: Entries<RawCall>,
    tests: Spanned<Vec<Spanned<RawTest>>>,
}

/// A call: a tool, an endpoint, or one of Callgate's own rights.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCall {
    server: Option<Text>,
    tool: Option<Text>,
    arguments: Option<Node>,
    endpoint: Option<Text>,
    attributes: Option<Node>,
    right: Option<Text>,
}

/// A row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTest {
    name: Option<Text>,
    users: Option<Spanned<Vec<Text>>>,
    roles: Option<Spanned<Vec<Text>>>,
    agent: Option<Text>,
    time: Option<Text>,
    expect: Entries<Text>,
}

pub(super) fn read(text: &str) -> Result<Suite, Vec<Fault>> {
    if text.len() > SUITE_BYTES_MAX {
        let message = format!("the suite is {} bytes long, the limit is {SUITE_BYTES_MAX}", text.len());
        return Err(vec![Fault::new(Location::UNKNOWN, String::new(), message)]);
    }
    let raw: RawSuite = yaml::read_as(text).map_err(|fault| vec![fault])?;
    let mut reader = Reader { text, faults: Vec::new() };
    let suite = reader.suite(raw);
    if reader.faults.is_empty() { Ok(suite) } else { Err(reader.faults) }
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn fault(&mut self, at: Location, path: &str, message: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault::new(at, path.to_owned(), message));
        }
    }

    fn suite(&mut self, raw: RawSuite) -> Suite {
        let at = raw.users.as_ref().map(|users| users.referenced);
        let people =
            at.or(raw.departments.as_ref().map(|departments| departments.referenced)).map(|at| People {
                users: raw.users.map(|users| users.value),
                departments: raw.departments.map(|departments| departments.value),
                at,
            });
        let counts = [("calls", raw.calls.0.len(), CALLS_MAX), ("tests", raw.tests.value.len(), TESTS_MAX)];
        for (path, count, max) in counts {
            if count == 0 || count > max {
                let message = format!("has {count} entries; give 1 to {max}");
                self.fault(raw.tests.referenced, path, message);
            }
        }
        let named = raw.calls.0.iter().take(CALLS_MAX);
        let calls: Vec<(String, Option<Call>)> =
            named.map(|(key, call)| (key.value.clone(), self.call(key, call))).collect();
        let rows = raw.tests.value.iter().take(TESTS_MAX).enumerate();
        let tests =
            rows.filter_map(|(index, test)| self.test(test, &calls, &format!("tests[{index}]"))).collect();
        Suite {
            policy: raw.policy.map(|policy| policy.value),
            people,
            // Where one is missing there is a fault, and no suite.
            calls: calls.into_iter().filter_map(|(_, call)| call).collect(),
            tests,
        }
    }

    fn call(&mut self, key: &Text, raw: &RawCall) -> Option<Call> {
        let path = format!("calls{}", step(&key.value));
        let target = match (&raw.tool, &raw.endpoint, &raw.right) {
            (Some(tool), None, None) => {
                self.absent(raw.attributes.as_ref().map(|node| node.referenced), &path, "attributes", "tool");
                self.tool(tool, raw, &path)?
            }
            (None, Some(endpoint), None) => {
                self.absent(raw.server.as_ref().map(|text| text.referenced), &path, "server", "endpoint");
                self.absent(
                    raw.arguments.as_ref().map(|node| node.referenced),
                    &path,
                    "arguments",
                    "endpoint",
                );
                self.endpoint(endpoint, raw, &path)?
            }
            (None, None, Some(right)) => {
                self.absent(raw.server.as_ref().map(|text| text.referenced), &path, "server", "right");
                self.absent(raw.arguments.as_ref().map(|node| node.referenced), &path, "arguments", "right");
                self.absent(
                    raw.attributes.as_ref().map(|node| node.referenced),
                    &path,
                    "attributes",
                    "right",
                );
                Target::Right(right.value.clone())
            }
            _ => {
                let message = "must have one of `tool`, `endpoint` and `right`, and only one".to_owned();
                self.fault(key.referenced, &path, message);
                return None;
            }
        };
        Some(Call { name: Arc::from(key.value.as_str()), target })
    }

    /// Says of something that is there that it doesn't belong there.
    fn absent(&mut self, at: Option<Location>, path: &str, what: &str, with: &str) {
        if let Some(at) = at {
            self.fault(at, &format!("{path}.{what}"), format!("means nothing beside `{with}`; leave it out"));
        }
    }

    fn tool(&mut self, tool: &Text, raw: &RawCall, path: &str) -> Option<Target> {
        let Some(server) = &raw.server else {
            self.fault(
                tool.referenced,
                path,
                "has no `server`; name the MCP server that has the tool".to_owned(),
            );
            return None;
        };
        let server = self.name(server, &format!("{path}.server"), Name::new);
        let tool = self.name(tool, &format!("{path}.tool"), Name::tool);
        let arguments = self.object(raw.arguments.as_ref(), &format!("{path}.arguments"))?;
        Some(Target::Tool { server: server?, tool: tool?, arguments })
    }

    fn endpoint(&mut self, text: &Text, raw: &RawCall, path: &str) -> Option<Target> {
        let Some((method, url)) = text.value.split_once(' ') else {
            let message =
                format!("{} must be a method and a path, such as `GET /users/7`", quote(&text.value));
            self.fault(text.referenced, &format!("{path}.endpoint"), message);
            return None;
        };
        let path = format!("{path}.attributes");
        let object = self.object(raw.attributes.as_ref(), &path)?;
        let attributes = Attributes::read(&object.canonical(), usize::MAX).unwrap_or_else(|error| {
            let at = raw.attributes.as_ref().map_or(text.referenced, |node| node.referenced);
            self.fault(at, &path, error.to_string());
            Attributes::none()
        });
        // What can't be judged is denied, and that may be what is expected.
        let endpoint = Endpoint::read(method, url);
        Some(Target::Endpoint { endpoint, attributes: Box::new(attributes) })
    }

    /// A JSON object; `{}` where nothing is written.
    fn object(&mut self, node: Option<&Node>, path: &str) -> Option<Value<'static>> {
        let Some(node) = node else { return Some(Value::Object(Vec::new())) };
        let value = value(node, self.text, path, &mut self.faults)?;
        if value.as_object().is_none() {
            self.fault(node.referenced, path, "must be a mapping, such as `{ path: /srv/a }`".to_owned());
            return None;
        }
        Some(value)
    }

    fn test(&mut self, raw: &Spanned<RawTest>, calls: &[(String, Option<Call>)], path: &str) -> Option<Test> {
        let (at, raw) = (raw.referenced, &raw.value);
        let subject = self.subject(raw, at, path);
        let agent = raw.agent.as_ref().map(|agent| self.name(agent, &format!("{path}.agent"), Name::new));
        let time = self.time(raw.time.as_ref(), &format!("{path}.time"));
        if raw.expect.0.is_empty() {
            let message = "expects nothing; name a call and what must be answered".to_owned();
            self.fault(at, &format!("{path}.expect"), message);
        }
        let expected = raw
            .expect
            .0
            .iter()
            .filter_map(|(call, text)| {
                let path = format!("{path}.expect{}", step(&call.value));
                self.cell(call, text, calls, &path)
            })
            .collect();
        let name = raw.name.as_ref().map_or_else(|| path.to_owned(), |name| name.value.clone());
        let agent = match agent {
            None => None,
            Some(read) => Some(read?),
        };
        Some(Test { name, subject: subject?, agent, time: time?, expected })
    }

    /// Who asks: the users of the row, or somebody who holds its roles.
    fn subject(&mut self, raw: &RawTest, at: Location, path: &str) -> Option<Subject> {
        let (key, texts) = match (&raw.users, &raw.roles) {
            (Some(users), None) => ("users", users),
            (None, Some(roles)) => ("roles", roles),
            _ => {
                let message = "must have one of `users` and `roles`, and only one".to_owned();
                self.fault(at, path, message);
                return None;
            }
        };
        let path = format!("{path}.{key}");
        if texts.value.is_empty() {
            let message = format!("is empty; name at least one {}", key.trim_end_matches('s'));
            self.fault(texts.referenced, &path, message);
        }
        let names: Vec<Name> = texts
            .value
            .iter()
            .enumerate()
            .filter_map(|(index, text)| self.name(text, &format!("{path}[{index}]"), Name::new))
            .collect();
        if key == "users" {
            return Some(Subject::Users(names));
        }
        let whole: Vec<&str> = names.iter().map(Name::as_str).collect();
        let whole = format!("role/{}", whole.join("/"));
        // No user or role has a slash in its name, so this is nobody else.
        match Name::tool(&whole) {
            Ok(holder) => Some(Subject::Holder { holder, roles: names, at: texts.referenced, path }),
            Err(error) => {
                let message = format!("together, as {}, {error}", quote(&whole));
                self.fault(texts.referenced, &path, message);
                None
            }
        }
    }

    fn cell(
        &mut self,
        call: &Text,
        text: &Text,
        calls: &[(String, Option<Call>)],
        path: &str,
    ) -> Option<Cell> {
        let Some(place) = calls.iter().position(|(name, _)| *name == call.value) else {
            let message = format!("`calls` has no {}; add it there, or correct the name", quote(&call.value));
            self.fault(call.referenced, path, message);
            return None;
        };
        let target = &calls.get(place)?.1.as_ref()?.target;
        match Expected::parse(&text.value, target) {
            Ok(expected) => Some(Cell { call: place, expected, line: text.referenced.line() }),
            Err(message) => {
                self.fault(text.referenced, path, message);
                None
            }
        }
    }

    fn time(&mut self, text: Option<&Text>, path: &str) -> Option<Timestamp> {
        let Some(text) = text else { return Timestamp::parse(TIME_DEFAULT) };
        let time = Timestamp::parse(&text.value);
        if time.is_none() {
            let message = format!("{} is no time; write it as `{TIME_DEFAULT}`", quote(&text.value));
            self.fault(text.referenced, path, message);
        }
        time
    }

    fn name<E: std::fmt::Display>(
        &mut self,
        text: &Text,
        path: &str,
        read: fn(&str) -> Result<Name, E>,
    ) -> Option<Name> {
        read(&text.value)
            .map_err(|error| {
                self.fault(text.referenced, path, format!("the name {} {error}", quote(&text.value)));
            })
            .ok()
    }
}
