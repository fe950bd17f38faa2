//! The stages of a document.

use std::collections::HashSet;

use super::{Checker, word::Known};
use crate::domain::{
    policy::{
        document::{COUNT_MAX, STAGES_MAX, StageEntry},
        fault::quote,
        stage::Stage,
        yaml::{RawDocument, RawStage, Text},
    },
    sensitivity::Sensitivity,
};

impl Checker<'_> {
    pub(super) fn stages(&mut self, raw: &[RawStage]) -> Vec<StageEntry> {
        let mut found = Vec::new();
        let mut names = HashSet::new();
        for (index, stage) in raw.iter().enumerate() {
            let path = format!("stages[{index}]");
            if index == STAGES_MAX {
                let message = format!("there are {} stages, the limit is {STAGES_MAX}", raw.len());
                self.fault(stage.name.referenced, &path, message);
                break;
            }
            if !names.insert(stage.name.value.as_str()) {
                let message = format!(
                    "a stage before is called {} too; give one of them another name",
                    quote(&stage.name.value)
                );
                self.fault(stage.name.referenced, &format!("{path}.name"), message);
            }
            found.extend(self.stage(stage, &path));
        }
        found
    }

    fn stage(&mut self, raw: &RawStage, path: &str) -> Option<StageEntry> {
        let texts = &raw.sensitivities;
        let sensitivities = self.sensitivities(&texts.value, &format!("{path}.sensitivities"));
        if texts.value.is_empty() {
            let message = "is empty; name at least one sensitivity".to_owned();
            self.fault(texts.referenced, &format!("{path}.sensitivities"), message);
        }
        if raw.roles.is_empty() && raw.users.is_empty() && raw.departments.is_empty() {
            let message = "lists nobody; name roles, users or departments that may decide".to_owned();
            self.fault(raw.name.referenced, path, message);
        }
        let name = self.name(&raw.name, &format!("{path}.name"));
        let mut listed = |what, texts: &[Text], field: &str| -> Vec<String> {
            let names = self.references(what, texts, &format!("{path}.{field}"));
            names.iter().map(|name| name.as_str().to_owned()).collect()
        };
        let roles = listed(Known::Role, &raw.roles, "roles");
        let users = listed(Known::User, &raw.users, "users");
        let departments = listed(Known::Department, &raw.departments, "departments");
        let count = self.number(raw.count.as_ref(), &format!("{path}.count"), COUNT_MAX);
        let name = name?.as_str().to_owned();
        Some(StageEntry { sensitivities, stage: Stage { name, roles, users, departments, count } })
    }

    /// Every sensitivity that needs a human must have a stage, or its approvals would need nobody.
    pub(super) fn stages_suffice(&mut self, raw: &RawDocument, threshold: Sensitivity) {
        let stages = &raw.stages;
        let held = Sensitivity::ALL.into_iter().filter(|sensitivity| *sensitivity >= threshold);
        for sensitivity in held {
            let word = sensitivity.as_str();
            let covered =
                stages.iter().any(|stage| stage.sensitivities.value.iter().any(|text| text.value == word));
            if !covered {
                let at = stages.first().map_or(raw.tenant.referenced, |stage| stage.name.referenced);
                let message = format!(
                    "no stage has the sensitivity {word}, which needs a human from the threshold {} on; add one",
                    threshold.as_str()
                );
                self.fault(at, "stages", message);
            }
        }
    }
}
