//! One approval as an approver sees it: whole, with nothing that could deceive.
//!
//! What the agent says about itself stands apart behind a bar and is labelled; the arguments come rendered from
//! the server and stand behind a bar too, so that no text of theirs looks like a line of this program.

use std::fmt::Write as _;

use crate::{
    domain::time::Timestamp,
    proto::v1::{Approval, ApprovalState, Grant, Sensitivity, Stage, Vote},
};

use super::super::{
    output::Output,
    table::{Tone, paint},
    text, time, words,
};

/// The whole approval, a fact a line, with a line end.
#[must_use]
pub fn whole(approval: &Approval, now: Timestamp, coloured: bool) -> String {
    let mut lines = Lines::default();
    lines.head(approval, now, coloured);
    lines.action(approval, coloured);
    lines.agent(approval);
    lines.requirement(approval);
    lines.times(approval, now);
    if let Some(grant) = &approval.grant {
        lines.fact("grant", &grant_line(grant));
    }
    lines.fact("policy version", &approval.policy_version.to_string());
    lines.0
}

/// What an approver might do next.
pub fn hint(approval: &Approval, output: &Output) {
    let short = text::escaped(&approval.short_id);
    match approval.state() {
        ApprovalState::Pending => {
            output.hint(format!("\nlook at it:  callgate approvals show {short}"));
            output.hint(format!("approve it:  callgate approvals approve {short} --reason …"));
            output.hint(format!("reject it:   callgate approvals reject {short} --reason …"));
        }
        ApprovalState::Approved => {
            let is_open = approval.grant.as_ref().filter(|grant| words::grant_state(grant.state) == "OPEN");
            if let Some(grant) = is_open {
                let id = text::escaped(&grant.grant_id);
                output.hint(format!("\ntake it back before it is used:  callgate approvals revoke {id}"));
            }
        }
        _ => {}
    }
}

/// The stages, a line each: what they need, who may, and what is missing.
#[must_use]
pub fn stage_line(stage: &Stage) -> String {
    let missing = match stage.missing {
        0 => "met".to_owned(),
        missing => format!("{missing} missing"),
    };
    format!("{}: {} of {}; {missing}", text::escaped(&stage.name), stage.count, eligible(stage))
}

fn eligible(stage: &Stage) -> String {
    let kinds = [("role", &stage.roles), ("user", &stage.users), ("department", &stage.departments)];
    let who: Vec<String> = kinds
        .iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind} {}", text::escaped(name))))
        .collect();
    if who.is_empty() { "nobody".to_owned() } else { who.join(" or ") }
}

fn grant_line(grant: &Grant) -> String {
    let mut line = format!(
        "{} {}, {} left, until {}",
        text::escaped(&grant.grant_id),
        words::grant_state(grant.state),
        if grant.uses_left == 1 { "1 use".to_owned() } else { format!("{} uses", grant.uses_left) },
        time::local(grant.expire_time.as_ref())
    );
    if grant.use_time.is_some() {
        let outcome = words::outcome(grant.outcome);
        let outcome = if outcome.is_empty() { "outcome not reported" } else { &outcome };
        // Writing to a string can't fail.
        let _ = write!(line, "; last used {}: {outcome}", time::local(grant.use_time.as_ref()));
    }
    line
}

fn vote_line(vote: &Vote) -> String {
    let mut line = format!(
        "{}  {} {}",
        time::local(vote.create_time.as_ref()),
        text::escaped(&vote.user),
        words::verdict(vote.verdict)
    );
    if !vote.reason.is_empty() {
        let _ = write!(line, ": {}", text::shown(&vote.reason));
    }
    line
}

/// Lines of facts; writing to a string can't fail, so results are dropped.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn fact(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let _ = writeln!(self.0, "  {name:<16}{value}");
        }
    }

    fn barred(&mut self, title: &str, text: &str) {
        let _ = writeln!(self.0, "  {title}");
        for line in text::lines(text) {
            let _ = writeln!(self.0, "    │ {line}");
        }
    }

    fn head(&mut self, approval: &Approval, now: Timestamp, coloured: bool) {
        let state = words::state(approval.state);
        let tone = match approval.state() {
            ApprovalState::Pending => Tone::Warning,
            ApprovalState::Approved => Tone::Good,
            ApprovalState::Rejected => Tone::Bad,
            _ => Tone::Plain,
        };
        let _ = write!(self.0, "approval {}  ", text::escaped(&approval.short_id));
        self.0.push_str(&paint(&state, tone, coloured));
        if approval.state() == ApprovalState::Pending {
            let _ = write!(self.0, "  {}", time::left(approval.expire_time.as_ref(), now));
        }
        self.0.push('\n');
        self.fact("id", &text::escaped(&approval.approval_id));
    }

    fn action(&mut self, approval: &Approval, coloured: bool) {
        let subject = approval.subject.clone().unwrap_or_default();
        let roles = names(&approval.subject_roles);
        let roles = if roles.is_empty() { String::new() } else { format!(" (roles: {roles})") };
        self.fact("for user", &format!("{}{roles}", text::escaped(&subject.user)));
        self.fact("tenant", &text::escaped(&subject.tenant));
        self.fact("asked through", &names(&approval.askers));
        self.fact("server", &text::escaped(&approval.server));
        self.fact("tool", &text::escaped(&approval.tool));
        let tone = match approval.sensitivity() {
            Sensitivity::Critical => Tone::Bad,
            Sensitivity::High => Tone::Warning,
            _ => Tone::Plain,
        };
        self.fact("sensitivity", &paint(&words::sensitivity(approval.sensitivity), tone, coloured));
        self.fact("action digest", &text::escaped(&approval.action_digest));
        let title = match approval.arguments_cut_bytes {
            0 => "arguments".to_owned(),
            cut => format!("arguments, INCOMPLETE: {cut} bytes are not shown"),
        };
        self.barred(&title, &approval.arguments_preview);
    }

    fn agent(&mut self, approval: &Approval) {
        let subject = approval.subject.clone().unwrap_or_default();
        let mut said = Vec::new();
        if !subject.agent.is_empty() {
            said.push(format!("name: {}", text::escaped(&subject.agent)));
        }
        if !subject.session.is_empty() {
            said.push(format!("session: {}", text::escaped(&subject.session)));
        }
        // On one line each: a line of its own could pass for another of these facts.
        said.extend(approval.justifications.iter().map(|words| format!("says: {}", text::shown(words))));
        if !said.is_empty() {
            self.barred("the agent about itself (unverified)", &said.join("\n"));
        }
    }

    fn requirement(&mut self, approval: &Approval) {
        for stage in &approval.stages {
            self.fact("needs", &stage_line(stage));
        }
        for vote in &approval.votes {
            self.fact("vote", &vote_line(vote));
        }
    }

    fn times(&mut self, approval: &Approval, now: Timestamp) {
        let created = approval.create_time.as_ref();
        self.fact("opened", &format!("{} ({})", time::local(created), time::ago(created, now)));
        let expire = approval.expire_time.as_ref();
        let left = match approval.state() {
            ApprovalState::Pending => format!(" ({})", time::left(expire, now)),
            _ => String::new(),
        };
        self.fact("decide until", &format!("{}{left}", time::local(expire)));
        if approval.decide_time.is_some() {
            let by = match approval.decided_by.as_str() {
                "" => String::new(),
                user => format!(" by {}", text::escaped(user)),
            };
            self.fact("ended", &format!("{}{by}", time::local(approval.decide_time.as_ref())));
        }
        self.fact("reason", &text::shown(&approval.decide_reason));
        if approval.state() == ApprovalState::Expired {
            self.fact("waited for", if approval.waited { "yes" } else { "no" });
        }
    }
}

/// Names from elsewhere, escaped, with commas.
#[must_use]
pub fn names(names: &[String]) -> String {
    names.iter().map(|name| text::escaped(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
