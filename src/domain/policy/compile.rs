//! From a document to a policy that answers quickly.
//!
//! Total: a name that refers to nothing gives nothing, so that even a document that was never checked compiles to
//! a policy that fails closed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    document::{Document, ToolEntry},
    pattern::{Pattern, PatternMap},
    resource::tool_key,
    rights::{Keyring, Role},
    rule::Rules,
    rulebook::{Rulebook, Tool},
    stage::Stage,
};
use crate::domain::{name::Name, sensitivity::Sensitivity};

pub(super) fn compile(document: &Document) -> Rulebook {
    let approvals = &document.approvals;
    let mut keyring = Keyring::default();
    Rulebook {
        tenant: document.tenant.clone(),
        mode: document.mode,
        threshold: document.threshold,
        workflow: document.workflow,
        timeout_max: approvals.timeout_max,
        rejections: approvals.rejections,
        reason_required: approvals.reason_required.clone(),
        made_by_from: approvals.made_by_from,
        roles: roles(document, &mut keyring),
        keyring,
        tools: tools(&document.tools),
        tool_entries: document.tools.clone(),
        endpoints: document.endpoints.iter().cloned().collect(),
        stages: stages(document),
        rules: Rules::new(&document.rules),
    }
}

fn roles(document: &Document, keyring: &mut Keyring) -> HashMap<Name, Arc<Role>> {
    let role = |(name, entry): (&Name, _)| (name.clone(), Arc::new(Role::new(name.clone(), entry, keyring)));
    document.roles.iter().map(role).collect()
}

fn tools(entries: &[ToolEntry]) -> PatternMap<PatternMap<Tool>> {
    let mut servers: BTreeMap<Pattern, Vec<(Pattern, Tool)>> = BTreeMap::new();
    for entry in entries {
        let key = entry.resource.clone().or_else(|| match &entry.name {
            Pattern::Exact(name) => Some(tool_key(name).into()),
            Pattern::Prefix(_) | Pattern::Any => None,
        });
        let tool = Tool { key, code: entry.code, sensitivity: entry.sensitivity };
        servers.entry(entry.server.clone()).or_default().push((entry.name.clone(), tool));
    }
    servers.into_iter().map(|(server, names)| (server, names.into_iter().collect())).collect()
}

fn stages(document: &Document) -> BTreeMap<Sensitivity, Arc<[Stage]>> {
    let of = |sensitivity: Sensitivity| -> Arc<[Stage]> {
        let entries = document.stages.iter().filter(|entry| entry.sensitivities.contains(&sensitivity));
        entries.map(|entry| entry.stage.clone()).collect()
    };
    Sensitivity::ALL.into_iter().map(|sensitivity| (sensitivity, of(sensitivity))).collect()
}
