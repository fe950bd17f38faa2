//! Reading approvals and grants: by id, by short id, in pages.
//!
//! What a caller may not see isn't there: one message for absent and hidden. What is overdue is expired before
//! it is shown.

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Caller, Engine,
    error::{Error, Reason},
    rpc::Rpc,
    view::{self, ApprovalView, PREVIEW_BYTES_MAX},
};
use crate::{
    domain::{
        approval::{Approval, State, StateName},
        id::ApprovalId,
        name::Name,
        policy::Policy,
        render,
        time::Timestamp,
    },
    store::{ApprovalFilter, Cursor, Page},
};

/// How many approvals with one short id are looked at.
const SHORT_ID_MATCHES_MAX: u32 = 100;

/// How many approvals a page looks at, at most, for those that the caller may see.
const LIST_SCAN_MAX: usize = 5_000;

/// How much a page holds at most, in bytes, however many items were asked for; but always one item. Far enough
/// below the largest answer for what isn't counted.
pub(crate) const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How much of a justification an item of a list shows, in bytes.
const LISTED_JUSTIFICATION_BYTES_MAX: usize = 512;

/// What an item weighs besides the texts that people and agents wrote, in bytes.
const ITEM_BYTES: usize = 2 * 1024;

/// Names one approval, as people do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApprovalRef {
    /// By its id.
    Id(ApprovalId),
    /// By the first eight hex digits of its id.
    Short(String),
}

impl ApprovalRef {
    /// Reads a UUID, or exactly eight hex digits.
    ///
    /// # Errors
    /// `FIELD_INVALID`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if let Some(id) = ApprovalId::parse(text) {
            return Ok(Self::Id(id));
        }
        if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Short(text.to_ascii_lowercase()));
        }
        Err(Error::field("approval_id", "must be a UUID or its first eight hex digits"))
    }
}

/// Which approvals to list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Listing {
    /// In these states; empty means pending.
    pub states: Vec<&'static str>,
    /// Of this tool.
    pub tool: Option<Name>,
    /// Of this subject user.
    pub user: Option<Name>,
    /// Only those on which the caller may vote.
    pub mine_to_decide: bool,
}

/// A page as a request asks for it.
#[derive(Debug, Clone, Default)]
pub struct PageToken {
    /// How many at most; 0 means the default, more than the maximum means the maximum.
    pub size: i32,
    /// From the answer before; empty means the start.
    pub token: String,
}

/// A page that was asked for rightly.
pub(crate) struct Paging {
    pub(crate) limit: usize,
    pub(crate) after: Option<Cursor>,
    question: [u8; 8],
}

/// The bytes of a place in a list by time: time and id.
const TOKEN_BYTES: usize = 8 + 16;

impl Paging {
    /// The store's page, with one item more to see whether there is one.
    pub(crate) fn one_more(&self) -> Page {
        Page { after: self.after, limit: u32::try_from(self.limit + 1).unwrap_or(u32::MAX) }
    }

    /// Cuts off the one item more; the token of the next page, empty at the end.
    pub(crate) fn cut<T>(
        &self,
        mut items: Vec<T>,
        place: impl Fn(&T) -> (Timestamp, [u8; 16]),
    ) -> (Vec<T>, String) {
        if items.len() <= self.limit {
            return (items, String::new());
        }
        items.truncate(self.limit);
        let token = items.last().map(|item| self.token(place(item))).unwrap_or_default();
        (items, token)
    }

    pub(crate) fn token(&self, (time, id): (Timestamp, [u8; 16])) -> String {
        URL_SAFE_NO_PAD.encode([self.question.as_slice(), &time.micros().to_be_bytes(), &id].concat())
    }
}

/// A page of a list by name.
pub(crate) struct NamePaging {
    limit: usize,
    after: Option<String>,
    question: [u8; 8],
}

impl NamePaging {
    /// Cuts the page out of the whole; the token of the next page, empty at the end.
    pub(crate) fn cut<'a>(&self, names: BTreeSet<&'a Name>) -> (Vec<&'a Name>, String) {
        let follows = |name: &&Name| self.after.as_ref().is_none_or(|after| name.as_str() > after.as_str());
        let mut found: Vec<&Name> = names.into_iter().filter(follows).take(self.limit + 1).collect();
        if found.len() <= self.limit {
            return (found, String::new());
        }
        found.truncate(self.limit);
        let last = found.last().map(|name| name.as_bytes()).unwrap_or_default();
        let token = URL_SAFE_NO_PAD.encode([self.question.as_slice(), last].concat());
        (found, token)
    }
}

impl Engine {
    /// Reads what page of a list by name a request asks for. A token is good for the question it was given to.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size; `PAGE_TOKEN_INVALID`.
    pub(crate) fn page_of_names(
        &self,
        page: &PageToken,
        question: &impl Serialize,
    ) -> Result<NamePaging, Error> {
        let first = self.page(&PageToken { size: page.size, token: String::new() }, question)?;
        let after = if page.token.is_empty() { None } else { Some(name_after(&page.token, first.question)?) };
        Ok(NamePaging { limit: first.limit, after, question: first.question })
    }

    /// Reads what page a request asks for. A token is good for the question it was given to, and no other.
    ///
    /// # Errors
    /// `FIELD_INVALID` for a negative size; `PAGE_TOKEN_INVALID`.
    pub(crate) fn page(&self, page: &PageToken, question: &impl Serialize) -> Result<Paging, Error> {
        let size = u32::try_from(page.size)
            .map_err(|_| Error::field("page_size", "must not be negative; 0 means the default"))?;
        let size =
            if size == 0 { self.limits.page_size_default } else { size.min(self.limits.page_size_max) };
        let text = serde_json::to_vec(question).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(&text).into();
        let question = hash.first_chunk::<8>().copied().unwrap_or_default();
        let limit = usize::try_from(size).unwrap_or(1);
        let after = if page.token.is_empty() { None } else { Some(cursor(&page.token, question)?) };
        Ok(Paging { limit, after, question })
    }

    /// Finds which approval is meant, for an RPC that the caller may use. Visibility of a full id is judged
    /// where it is used.
    ///
    /// # Errors
    /// `RPC_NOT_PERMITTED`, `NOT_FOUND`, `ID_AMBIGUOUS`.
    pub(crate) async fn resolve(
        &self,
        caller: &Arc<Caller>,
        rpc: Rpc,
        approval: &ApprovalRef,
    ) -> Result<ApprovalId, Error> {
        let short = match approval {
            ApprovalRef::Id(id) => return Ok(*id),
            ApprovalRef::Short(short) => short,
        };
        let policy = self.admit(caller, rpc).await?;
        let found = self.store.approvals_by_short_id(caller.tenant(), short, SHORT_ID_MATCHES_MAX).await?;
        let seen: Vec<Approval> =
            found.into_iter().filter(|approval| view::is_visible(&policy, caller, approval)).collect();
        let pending: Vec<&Approval> =
            seen.iter().filter(|approval| approval.state == State::Pending).collect();
        let meant = if pending.is_empty() { seen.iter().collect() } else { pending };
        match meant.as_slice() {
            [] => Err(Error::not_found("approval")),
            [one] => Ok(one.id),
            several => {
                let ids: Vec<String> = several.iter().map(|approval| approval.id.to_string()).collect();
                let message = format!("`{short}` fits several approvals; use one of {}", ids.join(", "));
                Err(Error::new(Reason::IdAmbiguous, message))
            }
        }
    }

    /// Reads one approval.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ID_AMBIGUOUS`.
    pub async fn approval(
        &self,
        caller: &Arc<Caller>,
        approval: &ApprovalRef,
    ) -> Result<ApprovalView, Error> {
        let policy = self.admit(caller, Rpc::GetApproval).await?;
        let id = self.resolve(caller, Rpc::GetApproval, approval).await?;
        let approval = self.seen(&policy, caller, id).await?;
        self.view(caller, approval).await
    }

    /// Reads an approval that the caller may see, expired if it is overdue.
    pub(crate) async fn seen(
        &self,
        policy: &Policy,
        caller: &Caller,
        id: ApprovalId,
    ) -> Result<Approval, Error> {
        let read = async || {
            let found = self.store.approval(caller.tenant(), id).await?;
            let seen = found.filter(|approval| view::is_visible(policy, caller, approval));
            seen.ok_or_else(|| Error::not_found("approval"))
        };
        let approval = read().await?;
        if !approval.is_overdue(self.now()) {
            return Ok(approval);
        }
        self.expire_all(vec![(approval.tenant, id)]).await?;
        read().await
    }

    /// Lists the approvals that the caller may see, oldest first.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `PAGE_TOKEN_INVALID`.
    pub async fn approvals(
        &self,
        caller: &Arc<Caller>,
        listing: Listing,
        page: PageToken,
    ) -> Result<(Vec<ApprovalView>, String), Error> {
        let policy = self.admit(caller, Rpc::ListApprovals).await?;
        let paging = self.page(&page, &(caller.tenant(), &listing))?;
        let mut states: Vec<StateName> =
            listing.states.iter().filter_map(|word| StateName::parse(word)).collect();
        if states.is_empty() {
            states.push(StateName::Pending);
        }
        let filter = ApprovalFilter { states, tool: listing.tool, user: listing.user, open_grant_at: None };
        let user = caller.user();
        self.list(caller, &policy, &filter, paging, |approval| {
            !listing.mine_to_decide
                || (!approval.interested().contains(user)
                    && !approval.votes.iter().any(|vote| vote.user == *user)
                    && approval.requirement.stages.iter().any(|stage| policy.eligible(user, stage)))
        })
        .await
    }

    /// Lists the approved approvals whose grants the caller may see, oldest first.
    ///
    /// # Errors
    /// `FIELD_INVALID`, `PAGE_TOKEN_INVALID`.
    pub async fn grants(
        &self,
        caller: &Arc<Caller>,
        user: Option<Name>,
        closed: bool,
        page: PageToken,
    ) -> Result<(Vec<ApprovalView>, String), Error> {
        let policy = self.admit(caller, Rpc::ListGrants).await?;
        let paging = self.page(&page, &(caller.tenant(), "grants", &user, closed))?;
        let filter = ApprovalFilter {
            states: vec![StateName::Approved],
            tool: None,
            user,
            open_grant_at: (!closed).then(|| self.now()),
        };
        self.list(caller, &policy, &filter, paging, |_| true).await
    }

    async fn list(
        &self,
        caller: &Arc<Caller>,
        policy: &Policy,
        filter: &ApprovalFilter,
        paging: Paging,
        wanted: impl Fn(&Approval) -> bool,
    ) -> Result<(Vec<ApprovalView>, String), Error> {
        let (mut views, mut scanned, mut after) = (vec![], 0, paging.after);
        let mut bytes = 0;
        loop {
            let page = Page { after, limit: paging.one_more().limit };
            let found = self.current(caller.tenant(), filter, page).await?;
            let is_end = found.len() <= paging.limit;
            for approval in found {
                let next = || {
                    let place = after.map(|cursor| (cursor.create_time, cursor.id)).unwrap_or_default();
                    paging.token(place)
                };
                if views.len() == paging.limit || scanned == LIST_SCAN_MAX {
                    return Ok((views, next()));
                }
                scanned += 1;
                let place = Cursor { create_time: approval.create_time, id: *approval.id.as_bytes() };
                if view::is_visible(policy, caller, &approval) && wanted(&approval) {
                    let arguments = self.arguments(&approval, PREVIEW_BYTES_MAX).await?;
                    let view = self.view_with(policy, listed(approval), arguments);
                    let weight = weight(&view);
                    if !views.is_empty() && bytes + weight > PAGE_BYTES_MAX {
                        return Ok((views, next()));
                    }
                    bytes += weight;
                    views.push(view);
                }
                after = Some(place);
            }
            if is_end {
                return Ok((views, String::new()));
            }
        }
    }

    /// Reads a page of approvals, none of them overdue: what is, ends first, and then the page has others.
    async fn current(
        &self,
        tenant: &Name,
        filter: &ApprovalFilter,
        page: Page,
    ) -> Result<Vec<Approval>, Error> {
        loop {
            let found = self.store.approvals(tenant, filter, page).await?;
            let now = self.now();
            let overdue: Vec<_> = found
                .iter()
                .filter(|approval| approval.is_overdue(now))
                .map(|approval| (tenant.clone(), approval.id))
                .collect();
            if overdue.is_empty() {
                return Ok(found);
            }
            self.expire_all(overdue).await?;
        }
    }
}

/// An approval as an item of a list: with the beginnings of its justifications.
fn listed(mut approval: Approval) -> Approval {
    for justification in approval.asks.iter_mut().filter_map(|ask| ask.justification.as_mut()) {
        let kept = justification.floor_char_boundary(LISTED_JUSTIFICATION_BYTES_MAX);
        let cut_bytes = justification.len() - kept;
        if cut_bytes > 0 {
            justification.truncate(kept);
            // Writing to a string can't fail.
            let _ = write!(justification, "… (+{cut_bytes} bytes)");
        }
    }
    approval
}

/// About how long an item of a page is on the wire, in bytes: its texts are escaped there.
fn weight(view: &ApprovalView) -> usize {
    let approval = &view.approval;
    let justifications = approval.asks.iter().filter_map(|ask| ask.justification.as_deref());
    let reasons = approval.votes.iter().map(|vote| vote.reason.as_str());
    let end = match &approval.state {
        State::Rejected { reason, .. } | State::Cancelled { reason, .. } => Some(reason.as_str()),
        State::Pending | State::Approved { .. } | State::Expired { .. } => None,
    };
    let texts: usize = justifications.chain(reasons).chain(end).map(|text| render::escape(text).len()).sum();
    let named = approval.requirement.stages.iter().flat_map(|stage| {
        [&stage.roles, &stage.users, &stage.departments].into_iter().flatten().map(|name| name.len() + 4)
    });
    ITEM_BYTES + view.arguments.text.len() + texts + named.sum::<usize>()
}

fn cursor(token: &str, question: [u8; 8]) -> Result<Cursor, Error> {
    let bytes: [u8; TOKEN_BYTES] = place(token, question)?.try_into().map_err(|_| foreign_token())?;
    let (time, id) = bytes.split_first_chunk::<8>().ok_or_else(foreign_token)?;
    Ok(Cursor {
        create_time: Timestamp::from_micros(i64::from_be_bytes(*time)),
        id: id.try_into().map_err(|_| foreign_token())?,
    })
}

/// The name after which a page of a list by name begins.
fn name_after(token: &str, question: [u8; 8]) -> Result<String, Error> {
    String::from_utf8(place(token, question)?).map_err(|_| foreign_token())
}

/// The place that a token stands for, if it was given to this question.
fn place(token: &str, question: [u8; 8]) -> Result<Vec<u8>, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign_token())?;
    match bytes.split_first_chunk::<8>() {
        Some((asked, place)) if *asked == question => Ok(place.to_vec()),
        _ => Err(foreign_token()),
    }
}

/// The refusal of a token that was given to another question, or to nobody.
pub(crate) fn foreign_token() -> Error {
    Error::new(
        Reason::PageTokenInvalid,
        "this `page_token` was not given to this question; ask for the first page",
    )
}
