//! First answers: the same request gets the same answer, for as long as answers are kept.
//!
//! Only successes are kept; a refusal is judged anew. With the same id and another body the request is refused.

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{
    Failure, Judged, Work,
    error::{Error, Reason},
    rpc::Rpc,
};
use crate::{
    domain::{approval::RequestKey, id::RequestId},
    store::{Answer, AnswerKey, StoreError},
};

/// Makes the key of a request: its id, and the hash of all that it says besides.
///
/// # Errors
/// `INTERNAL` when the request can't be written as JSON, which its type rules out.
pub(crate) fn request_key(id: Option<RequestId>, body: &impl Serialize) -> Result<Option<RequestKey>, Error> {
    let Some(id) = id else { return Ok(None) };
    let text = serde_json::to_vec(body).map_err(|fault| unwritable(&fault))?;
    Ok(Some(RequestKey { id, body: Sha256::digest(&text).into() }))
}

impl Work<'_> {
    /// The first answer to this request, where there is one.
    pub(crate) async fn replay<T: DeserializeOwned>(
        &mut self,
        rpc: Rpc,
        request: Option<RequestKey>,
        retention: std::time::Duration,
    ) -> Judged<Option<T>> {
        let Some(request) = request else { return Ok(None) };
        let key = self.answer_key(rpc, request);
        let since = self.tx.now().minus(retention);
        let Some(answer) = self.tx.answer(&key, since).await? else { return Ok(None) };
        if answer.body != request.body {
            return Err(Failure::Refused(reused()));
        }
        let value = serde_json::from_str(&answer.value).map_err(|fault| StoreError::Inconsistent {
            table: "answers",
            column: "value",
            row: format!("{}/{}", key.tenant, key.request_id),
            fault: fault.to_string(),
        })?;
        Ok(Some(value))
    }

    /// Keeps the first answer to this request.
    pub(crate) async fn keep(
        &mut self,
        rpc: Rpc,
        request: Option<RequestKey>,
        value: &impl Serialize,
    ) -> Judged<()> {
        let Some(request) = request else { return Ok(()) };
        let value = serde_json::to_string(value).map_err(|fault| unwritable(&fault))?;
        let key = self.answer_key(rpc, request);
        Ok(self.tx.insert_answer(&key, &Answer { body: request.body, value }).await?)
    }

    fn answer_key(&self, rpc: Rpc, request: RequestKey) -> AnswerKey {
        AnswerKey {
            tenant: self.tenant(),
            user: self.caller.user().clone(),
            rpc: rpc.as_str(),
            request_id: request.id,
        }
    }
}

/// The refusal of an id that came with another body before.
pub(crate) fn reused() -> Error {
    Error::new(
        Reason::RequestIdReused,
        "this request_id was used with another request; use a fresh one for each request",
    )
}

fn unwritable(fault: &serde_json::Error) -> Error {
    tracing::error!(cause = %fault, "a value can't be written as JSON");
    Error::new(Reason::Internal, "the server has a fault; its log has the cause")
}
