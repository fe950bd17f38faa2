//! Whether the one who asked may still be told: asked again by everything that tells for longer than a moment.

use std::sync::Arc;

use super::Stop;
use crate::engine::{Caller, Engine, error::Error, rpc::Rpc};

/// When it was asked last.
#[derive(Debug)]
pub(crate) struct Still {
    epoch: u64,
}

impl Still {
    /// Begins with what the caller was admitted on.
    pub(crate) fn new(engine: &Engine) -> Self {
        Self { epoch: engine.live.epoch() }
    }

    /// Asks again when a policy or a credential may have changed, or the caller's own has expired. What turns out
    /// refused is judged, and recorded, on the write path.
    pub(crate) async fn ask(&mut self, engine: &Engine, caller: &Arc<Caller>, rpc: Rpc) -> Result<(), Stop> {
        let newest = engine.live.epoch();
        let is_live = caller.credential.is_live(engine.now());
        if std::mem::replace(&mut self.epoch, newest) == newest && is_live {
            return Ok(());
        }
        Box::pin(anew(engine, caller, rpc)).await
    }
}

async fn anew(engine: &Engine, caller: &Arc<Caller>, rpc: Rpc) -> Result<(), Stop> {
    let stored = engine.store.credential(caller.tenant(), caller.credential.id).await.map_err(Error::from)?;
    if stored.is_some_and(|credential| credential.is_live(engine.now())) {
        engine.admit(caller, rpc).await?;
        return Ok(());
    }
    // The write path finds the credential not live, and says so.
    engine.commit(caller, rpc, |_| (), |_, ()| Box::pin(async { Ok(()) })).await?;
    Ok(())
}
