//! Rights that are taken away under load: no ALLOW is acknowledged after a revocation was, on any server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use callgate::{
    client::Client,
    proto::v1::{
        AuditKind, AuthorizeToolRequest, ChangeDirectoryRequest, Decision, DirectoryEdit, UpdateUser,
        directory_edit::Edit,
    },
};
use tokio::task::JoinSet;

use super::{report, times};
use crate::harness::{Service, call, subject};

const CALLERS: u64 = 32;
/// How many calls begin and end after each revocation, before it is taken back.
const CALLS_WITHIN: u64 = 4;

async fn enable(admin: &Client, enabled: bool) -> u64 {
    let update = UpdateUser { user: "dev_user".into(), enabled: Some(enabled), ..Default::default() };
    let edits = vec![DirectoryEdit { edit: Some(Edit::UpdateUser(update)) }];
    let request = ChangeDirectoryRequest { edits, ..Default::default() };
    admin.policy().change_directory(request).await.unwrap().into_inner().version
}

/// What the callers and the one who revokes share. While `phase` is odd, the user is disabled, and that is
/// acknowledged.
#[derive(Default)]
struct Shared {
    phase: AtomicU64,
    over: AtomicBool,
    allowed: AtomicU64,
    denied: AtomicU64,
    /// Calls that began and ended while the user was disabled.
    within: AtomicU64,
}

async fn keep_calling(gate: Client, shared: Arc<Shared>) {
    while !shared.over.load(Ordering::SeqCst) {
        let request = AuthorizeToolRequest {
            subject: subject("dev_user"),
            call: call("list_files", "{}"),
            ..Default::default()
        };
        let before = shared.phase.load(Ordering::SeqCst);
        let answer = gate.gate().authorize_tool(request).await;
        let after = shared.phase.load(Ordering::SeqCst);
        let Ok(answer) = answer else { continue };
        let is_allowed = answer.into_inner().decision() == Decision::Allow;
        assert!(!(is_allowed && before == after && before % 2 == 1), "an ALLOW after a revocation");
        if before == after && before % 2 == 1 {
            shared.within.fetch_add(1, Ordering::SeqCst);
        }
        let counter = if is_allowed { &shared.allowed } else { &shared.denied };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_allowed_after_its_user_was_disabled_through_this_server_or_another() {
    let one = Service::with(|config| config.authorize.requests_per_second = 0).await;
    let two = Service::on(Arc::clone(&one.folder), one.clock.clone(), |config| {
        config.authorize.requests_per_second = 0;
    })
    .await;
    let shared = Arc::new(Shared::default());
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let gate = if number % 2 == 0 { one.gate() } else { two.gate() };
        callers.spawn(keep_calling(gate, Arc::clone(&shared)));
    }
    let admins = [one.admin(), two.admin()];
    // A hundredth where not everything is tried: each is two commits among the callers'.
    let revocations = times(times(10_000));
    for round in 0..revocations {
        let admin = &admins[round % 2];
        enable(admin, false).await;
        shared.phase.fetch_add(1, Ordering::SeqCst);
        // Until some calls have begun and ended while it is known to all that the user is disabled.
        let denied = shared.within.load(Ordering::SeqCst);
        while shared.within.load(Ordering::SeqCst) < denied + CALLS_WITHIN {
            tokio::task::yield_now().await;
        }
        shared.phase.fetch_add(1, Ordering::SeqCst);
        enable(admin, true).await;
    }
    shared.over.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let (allowed, denied) = (shared.allowed.load(Ordering::SeqCst), shared.denied.load(Ordering::SeqCst));
    assert!(allowed > 0 && denied > 0, "{allowed} allowed, {denied} denied");
    // The log has everything in the order in which it was committed: odd versions are those in which the user is
    // enabled.
    let mut in_force = 1;
    for entry in one.entries().await {
        match entry.kind() {
            AuditKind::PolicyChanged => in_force = entry.policy_version,
            AuditKind::ToolAllowed => {
                assert_eq!((entry.policy_version, in_force % 2), (in_force, 1), "{}", entry.sequence);
            }
            _ => {}
        }
    }
    assert_eq!(in_force, 1 + 2 * u64::try_from(revocations).unwrap());
    report(
        "revoked",
        &[
            ("revocations", revocations.to_string()),
            ("allowed", allowed.to_string()),
            ("denied", denied.to_string()),
        ],
    );
}
