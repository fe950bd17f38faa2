//! The tool entries of a document.

use std::collections::HashSet;

use serde_saphyr::Location;

use super::Checker;
use crate::domain::policy::{
    document::{TOOLS_MAX, ToolEntry},
    fault::quote,
    pattern::Pattern,
    resource::{Code, OWN_PREFIX, check_key},
    yaml::{RawTool, Text},
};

impl Checker<'_> {
    pub(super) fn tools(&mut self, raw: &[RawTool]) -> Vec<ToolEntry> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        for (index, tool) in raw.iter().enumerate() {
            let path = format!("tools[{index}]");
            if found.len() + tool.names.value.len() > TOOLS_MAX {
                let message = format!("there are more tools than the limit of {TOOLS_MAX}");
                self.fault(tool.names.referenced, &path, message);
                break;
            }
            for (position, entry) in self.tool(tool, &path) {
                if seen.insert((entry.server.clone(), entry.name.clone())) {
                    found.push(entry);
                    continue;
                }
                let (server, name) = (quote(&entry.server.to_string()), quote(&entry.name.to_string()));
                let message =
                    format!("the tool {name} of the server {server} is named twice; keep one entry");
                let at = tool.names.value.get(position).map_or(Location::UNKNOWN, |text| text.referenced);
                self.fault(at, &format!("{path}.names[{position}]"), message);
            }
        }
        found
    }

    /// The tools of one entry, each with its place in the list of names.
    fn tool(&mut self, raw: &RawTool, path: &str) -> Vec<(usize, ToolEntry)> {
        let server = Pattern::server(&raw.server.value).map_err(|error| {
            let message = format!("the server {} {error}", quote(&raw.server.value));
            self.fault(raw.server.referenced, &format!("{path}.server"), message);
        });
        let sensitivity = self.sensitivity(Some(&raw.sensitivity), &format!("{path}.sensitivity"));
        let code = self.code(raw.code.as_ref(), &format!("{path}.code")).unwrap_or(Code::Execute);
        self.tool_resource(raw.resource.as_ref(), &format!("{path}.resource"));
        if raw.names.value.is_empty() {
            let message = "is empty; name at least one tool, or `*`".to_owned();
            self.fault(raw.names.referenced, &format!("{path}.names"), message);
        }
        let mut found = Vec::new();
        for (index, text) in raw.names.value.iter().enumerate() {
            match (Pattern::tool(&text.value), &server, sensitivity) {
                (Ok(name), Ok(server), Some(sensitivity)) => {
                    let server = server.clone();
                    let resource = raw.resource.as_ref().map(|key| key.value.as_str().into());
                    found.push((index, ToolEntry { server, name, resource, code, sensitivity }));
                }
                (Ok(_), ..) => {}
                (Err(error), ..) => {
                    let message = format!("the tool {} {error}", quote(&text.value));
                    self.fault(text.referenced, &format!("{path}.names[{index}]"), message);
                }
            }
        }
        found
    }

    fn tool_resource(&mut self, text: Option<&Text>, path: &str) {
        let Some(text) = text else { return };
        let key = quote(&text.value);
        if let Err(error) = check_key(&text.value) {
            self.fault(text.referenced, path, format!("the resource key {key} {error}"));
        } else if text.value.starts_with(OWN_PREFIX) {
            let message =
                format!("{key} is one of Callgate's own keys; give the tool another, such as `tool.x`");
            self.fault(text.referenced, path, message);
        }
    }
}
