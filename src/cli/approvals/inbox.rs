//! What waits for a decision, read again and again, and what changed in between.
//!
//! The server is asked for the whole list at an interval; the differences are computed here, purely. What both
//! opens and ends between two answers is not noticed; everything that is told was seen.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;

use crate::{
    client::{Client, ErrorReport, retry, retry::Retry},
    proto::v1::{Approval, ApprovalState, GetApprovalRequest, ListApprovalsRequest},
};

use super::super::connection::{LIST_MAX, Listed, pages};

/// How many approvals a page is asked for: the most that a server gives.
const PAGE_SIZE: i32 = 500;

/// One attempt: whoever follows the inbox decides when to ask again.
const ONCE: Retry = Retry {
    attempts_max: 1,
    attempt_timeout: Duration::from_secs(10),
    total: Duration::from_secs(11),
    backoff: retry::Backoff { first: Duration::ZERO, max: Duration::ZERO },
};

/// Where pending approvals are read.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    client: Client,
    question: ListApprovalsRequest,
}

/// Which approvals are wanted, as options say it.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filter {
    #[command(flatten)]
    pub(super) about: About,
    /// Only those on which you may vote
    #[arg(long)]
    pub(super) mine: bool,
}

/// What approvals are about, as options say it.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct About {
    /// Only those of this tool
    #[arg(long, value_name = "TOOL")]
    tool: Option<String>,
    /// Only those on behalf of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl Filter {
    /// The question for the first page of those in these states, so many a page.
    pub(super) fn question(self, states: Vec<i32>, page_size: i32) -> ListApprovalsRequest {
        ListApprovalsRequest {
            states,
            tool: self.about.tool.unwrap_or_default(),
            user: self.about.user.unwrap_or_default(),
            mine_to_decide: self.mine,
            page_size,
            page_token: String::new(),
        }
    }
}

impl Inbox {
    pub(super) fn new(client: &Client, filter: Filter) -> Self {
        let question = filter.question(vec![ApprovalState::Pending.into()], PAGE_SIZE);
        Self { client: client.clone(), question }
    }

    /// The list as it is, oldest first.
    ///
    /// # Errors
    /// As the server says; nothing is repeated.
    pub(super) async fn read(&self) -> Result<Listed<Approval>, ErrorReport> {
        pages(LIST_MAX, |page_token| self.page(ListApprovalsRequest { page_token, ..self.question.clone() }))
            .await
    }

    /// One approval as it is; none where the caller doesn't see it.
    ///
    /// # Errors
    /// As the server says, but for `NOT_FOUND`.
    pub(super) async fn one(&self, id: String) -> Result<Option<Approval>, ErrorReport> {
        let request = GetApprovalRequest { approval_id: id };
        let answer = retry::repeat(&ONCE, || {
            let (mut review, request) = (self.client.review(), request.clone());
            async move { review.get_approval(request).await }
        })
        .await;
        match answer {
            Ok(answer) => Ok(answer.approval),
            Err(report) if report.code == tonic::Code::NotFound => Ok(None),
            Err(report) => Err(report),
        }
    }

    /// Whether an approval of this tool of this server ended before; nothing where that can't be told.
    pub(super) async fn is_known(&self, server: &str, tool: &str) -> Option<bool> {
        let ended = [
            ApprovalState::Approved,
            ApprovalState::Rejected,
            ApprovalState::Expired,
            ApprovalState::Cancelled,
        ];
        let request = ListApprovalsRequest {
            states: ended.map(i32::from).to_vec(),
            tool: tool.to_owned(),
            page_size: PAGE_SIZE,
            ..ListApprovalsRequest::default()
        };
        let (approvals, next) = self.page(request).await.ok()?;
        let is_known = approvals.iter().any(|approval| approval.server == server);
        (is_known || next.is_empty()).then_some(is_known)
    }

    async fn page(&self, request: ListApprovalsRequest) -> Result<(Vec<Approval>, String), ErrorReport> {
        let answer = retry::repeat(&ONCE, || {
            let (mut review, request) = (self.client.review(), request.clone());
            async move { review.list_approvals(request).await }
        })
        .await?;
        Ok((answer.approvals, answer.next_page_token))
    }
}

/// What happened to an approval, as `approvals watch` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// It was pending when the watch began.
    Pending,
    Opened,
    Voted,
    Joined,
    /// It changed in another way: its time was extended, for example.
    Changed,
    Approved,
    Rejected,
    Expired,
    Cancelled,
    /// It is pending still, or its end is hidden, but it isn't in the list any more.
    Left,
}

impl Happening {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Opened => "OPENED",
            Self::Voted => "VOTED",
            Self::Joined => "JOINED",
            Self::Changed => "CHANGED",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::Left => "LEFT",
        }
    }
}

/// The approvals as they were last listed.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<String, Approval>);

impl Known {
    /// Takes a new list: what is new or different in it, in its order.
    pub(super) fn take(&mut self, listed: &[Approval], new: Happening) -> Vec<(Happening, Approval)> {
        let mut happened = Vec::new();
        for approval in listed {
            let happening = match self.0.get(&approval.approval_id) {
                None => Some(new),
                Some(before) => difference(before, approval),
            };
            if let Some(happening) = happening {
                self.0.insert(approval.approval_id.clone(), approval.clone());
                happened.push((happening, approval.clone()));
            }
        }
        happened
    }

    /// The ids of what is known and not in the list, oldest first.
    pub(super) fn missing(&self, listed: &[Approval]) -> Vec<String> {
        let there: std::collections::BTreeSet<&str> =
            listed.iter().map(|approval| approval.approval_id.as_str()).collect();
        let mut missing: Vec<&Approval> =
            self.0.values().filter(|known| !there.contains(known.approval_id.as_str())).collect();
        missing.sort_by_key(|approval| {
            approval.create_time.as_ref().map(|time| (time.seconds, time.nanos)).unwrap_or_default()
        });
        missing.into_iter().map(|approval| approval.approval_id.clone()).collect()
    }

    /// Forgets an approval that isn't listed any more: what became of it, seeing it as it is.
    pub(super) fn forget(&mut self, id: &str, seen: Option<Approval>) -> Option<(Happening, Approval)> {
        let before = self.0.remove(id)?;
        let Some(seen) = seen else { return Some((Happening::Left, before)) };
        let happening = match seen.state() {
            ApprovalState::Approved => Happening::Approved,
            ApprovalState::Rejected => Happening::Rejected,
            ApprovalState::Expired => Happening::Expired,
            ApprovalState::Cancelled => Happening::Cancelled,
            ApprovalState::Pending | ApprovalState::Unspecified => Happening::Left,
        };
        Some((happening, seen))
    }
}

/// What distinguishes two states of one pending approval. A join leaves the etag as it is.
fn difference(before: &Approval, after: &Approval) -> Option<Happening> {
    if after.votes.len() > before.votes.len() {
        Some(Happening::Voted)
    } else if after.etag != before.etag {
        Some(Happening::Changed)
    } else if after.justifications != before.justifications || after.askers != before.askers {
        Some(Happening::Joined)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Vote;

    fn approval(id: &str) -> Approval {
        Approval {
            approval_id: id.to_owned(),
            state: ApprovalState::Pending.into(),
            etag: "1".to_owned(),
            ..Approval::default()
        }
    }

    fn names(happened: &[(Happening, Approval)]) -> Vec<(&'static str, &str)> {
        happened.iter().map(|(what, approval)| (what.name(), approval.approval_id.as_str())).collect()
    }

    #[test]
    fn each_change_is_told_once_by_its_name() {
        let mut known = Known::default();
        let (a, b) = (approval("a"), approval("b"));
        assert_eq!(
            names(&known.take(&[b.clone(), a.clone()], Happening::Pending)),
            [("PENDING", "b"), ("PENDING", "a")]
        );
        assert_eq!(known.take(&[b.clone(), a.clone()], Happening::Opened), []);
        let voted = Approval { votes: vec![Vote::default()], etag: "2".to_owned(), ..a.clone() };
        let joined = Approval { justifications: vec!["please".to_owned()], ..b.clone() };
        let list = [joined.clone(), voted.clone(), approval("c")];
        assert_eq!(
            names(&known.take(&list, Happening::Opened)),
            [("JOINED", "b"), ("VOTED", "a"), ("OPENED", "c")]
        );
        let changed = Approval { etag: "3".to_owned(), ..voted };
        assert_eq!(names(&known.take(&[joined, changed], Happening::Opened)), [("CHANGED", "a")]);
    }

    #[test]
    fn what_is_not_listed_any_more_ended_or_left() {
        let mut known = Known::default();
        let all = ["a", "b", "c", "d", "e", "f"].map(approval);
        known.take(&all, Happening::Pending);
        assert_eq!(known.missing(&all[..1]), ["b", "c", "d", "e", "f"]);
        let ended = |id: &str, state: ApprovalState| Some(Approval { state: state.into(), ..approval(id) });
        let mut told = |id: &str, seen| known.forget(id, seen).map(|(what, _)| what.name());
        assert_eq!(told("b", ended("b", ApprovalState::Approved)), Some("APPROVED"));
        assert_eq!(told("c", ended("c", ApprovalState::Expired)), Some("EXPIRED"));
        assert_eq!(told("d", ended("d", ApprovalState::Pending)), Some("LEFT"));
        assert_eq!(told("e", None), Some("LEFT"));
        assert_eq!(told("e", None), None);
        assert_eq!(known.missing(&all[..1]), ["f"]);
    }
}
