//! Signed checkpoints: what the audit log was at one moment, as a note that others can verify.
//!
//! They are for whoever must trust the record without trusting who keeps it. The log alone shows that it fits
//! together, not that it is the one of yesterday: a checkpoint that was kept elsewhere shows that nothing of what it
//! covers was changed or left out since. Given on request, and made from time to time.
//!
//! * A checkpoint covers committed entries alone, so none has to be taken back.
//! * One that is made from time to time is stored and then logged, the whole note on one line, so that a copy lies
//!   where whoever writes to the database can't change it. Processes that share a database make one in all, none
//!   while the log doesn't grow, and no two closer than the interval.
//! * One on request is signed alike, and neither stored nor logged.
//!
//! Nothing is verified here, that is `domain::audit`'s, and nobody is given a copy: no other log countersigns. Who
//! has both the database and the key can sign another history.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};

use super::super::{
    Caller, Engine,
    error::{Error, Reason},
    keys::Keys,
    rpc::Rpc,
};
use crate::{
    domain::{
        audit::{Checkpoint, Frontier, NoteError, Origin, VerifierKey},
        hex,
    },
    store,
};

impl Engine {
    /// Signs the tree as it is; the note, and the key that verifies it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn checkpoint(&self, caller: &Arc<Caller>) -> Result<(String, String), Error> {
        self.admit(caller, Rpc::GetCheckpoint).await?;
        let tree = self.store.tree().await?;
        Ok((self.signed(&tree)?, self.verifier_key()?.to_string()))
    }

    /// Stores and logs a checkpoint, if the log has grown since the newest and that is at least `apart` old.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn keep_checkpoint(&self, apart: Duration) -> Result<(), Error> {
        let tree = self.store.tree().await?;
        let size = tree.size();
        // Another process's clock may be a little behind or ahead.
        let now = self.now();
        let since = now.minus(apart);
        let newest = self.store.newest_checkpoint().await?;
        if newest.is_some_and(|newest| newest.size >= size || (newest.time > since && newest.time <= now)) {
            return Ok(());
        }
        let note = self.signed(&tree)?;
        let stored = note.clone();
        let is_new = store::write(&*self.store, move |tx| {
            let note = stored.clone();
            Box::pin(async move { tx.insert_checkpoint(size, &note, since).await })
        })
        .await?;
        if is_new {
            // As text and not as a value to be shown: then every format keeps it on one line.
            tracing::info!(size, checkpoint = note.as_str(), "a checkpoint of the audit log");
        }
        Ok(())
    }

    fn signed(&self, tree: &Frontier) -> Result<String, Error> {
        let origin = self.verifier_key()?.origin().clone();
        let checkpoint = Checkpoint { origin, size: tree.size(), root: tree.root() };
        Ok(checkpoint.sign(self.keys.checkpoints()))
    }

    /// The key that verifies this log's checkpoints.
    pub(super) fn verifier_key(&self) -> Result<VerifierKey, Error> {
        verifier_key(&self.keys).map_err(|fault| {
            tracing::error!(cause = %fault, "the log's name is no origin");
            Error::new(Reason::Internal, "the server has a fault; its log has the cause")
        })
    }
}

/// The key that verifies the checkpoints of the log that has these keys. Its name tells logs apart.
///
/// # Errors
/// None for any key; a name that is none would be one.
pub fn verifier_key(keys: &Keys) -> Result<VerifierKey, NoteError> {
    let public = keys.checkpoints().verifying_key();
    let hash: [u8; 32] = Sha256::digest(public.as_bytes()).into();
    let short = hash.first_chunk::<8>().copied().unwrap_or_default();
    let origin = Origin::parse(&format!("callgate/{}", hex::encode(&short)))?;
    Ok(VerifierKey::new(origin, &public))
}
