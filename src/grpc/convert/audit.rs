//! Audit entries on the wire.

use super::time;
use crate::{
    domain::audit::{Kind, Record},
    engine::error::Error,
    proto::v1,
};

/// An entry; a kind that this version doesn't know is told as unspecified, and stands in the entry itself.
pub(in crate::grpc) fn entry(record: Record) -> v1::AuditEntry {
    let kind = v1::AuditKind::from_str_name(&format!("AUDIT_KIND_{}", record.kind));
    let subject = record.subject.unwrap_or_default();
    v1::AuditEntry {
        sequence: record.sequence,
        time: Some(time(record.time)),
        kind: kind.unwrap_or_default().into(),
        actor: record.actor.map(|actor| actor.user).unwrap_or_default(),
        user: subject.user,
        agent: subject.agent.unwrap_or_default(),
        server: record.server.unwrap_or_default(),
        tool: record.tool.unwrap_or_default(),
        decision: record.decision.unwrap_or_default(),
        reason: record.reason.unwrap_or_default(),
        message: record.message.unwrap_or_default(),
        approval_id: record.approval_id.unwrap_or_default(),
        policy_version: record.policy_version.unwrap_or_default(),
        entry_json: record.json,
        method: record.method.unwrap_or_default(),
    }
}

/// Kinds from the wire, as words.
pub(in crate::grpc) fn read_kinds(values: &[i32]) -> Result<Vec<&'static str>, Error> {
    values
        .iter()
        .map(|value| {
            v1::AuditKind::try_from(*value)
                .ok()
                .and_then(|kind| Kind::parse(kind.as_str_name().strip_prefix("AUDIT_KIND_")?))
                .map(Kind::as_str)
                .ok_or_else(|| Error::field("kinds", "has a value that is no kind"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_on_the_wire() {
        for kind in Kind::ALL {
            let wire = v1::AuditKind::from_str_name(&format!("AUDIT_KIND_{}", kind.as_str())).unwrap();
            assert_eq!(read_kinds(&[wire.into()]).unwrap(), [kind.as_str()]);
        }
        assert!(read_kinds(&[0]).is_err() && read_kinds(&[9_999]).is_err());
    }
}
