//! The record as auditors have it: found, checked, and every kind of tampering noticed.

use std::{fs, path::Path, time::Duration};

use callgate::{
    client::Client,
    domain::audit::{Checkpoint, Frontier, SegmentBuilder, VerifierKey},
    proto::v1::{
        AuditEntry, AuditKind, AuditQueryRequest, GetCheckpointRequest, GetCheckpointResponse,
        VerifyAuditRequest, VerifyAuditResponse,
    },
    server::maintenance::verification::{KeptText, Verified, VerifyError, verify_audit},
};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tonic::{Code, Status};

use crate::harness::{Service, authorize, metadata, refused};

/// How long a test waits for something that should come at once; only a hang meets it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn raw(data: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(data.join("callgate.db")).busy_timeout(PATIENCE);
    SqliteConnection::connect_with(&options).await.unwrap()
}

async fn execute(data: &Path, sql: &'static str) {
    let mut connection = raw(data).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn checkpoint(admin: &Client) -> GetCheckpointResponse {
    admin.audit().get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner()
}

fn kept(note: &str) -> KeptText {
    KeptText { name: "kept".into(), text: note.into() }
}

async fn offline(data: &Path, texts: &[KeptText]) -> Result<Verified, VerifyError> {
    verify_audit(data, texts, None, |_, _| ()).await
}

async fn online(admin: &Client, checkpoints: Vec<String>) -> Result<VerifyAuditResponse, Status> {
    let mut stream = admin.audit().verify_audit(VerifyAuditRequest { checkpoints }).await?.into_inner();
    let mut last = VerifyAuditResponse::default();
    while let Some(message) = stream.message().await? {
        last = message;
    }
    Ok(last)
}

/// A data directory with a record of a dozen commits, whose server has ended; a checkpoint that was kept before.
async fn recorded() -> (Service, GetCheckpointResponse) {
    let mut service = Service::start().await;
    let gate = service.gate();
    for number in 0..6 {
        authorize(&gate, "dev_user", "list_files", &format!(r#"{{"n":{number}}}"#)).await;
    }
    let kept = checkpoint(&service.admin()).await;
    for number in 6..12 {
        authorize(&gate, "dev_user", "list_files", &format!(r#"{{"n":{number}}}"#)).await;
    }
    service.stop().await;
    (service, kept)
}

/// A copy of the database of a server that has ended, with what is in its write-ahead log.
fn copied(service: &Service, with_key: bool) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let files = ["callgate.db", "callgate.db-wal", "callgate.key"];
    for file in files.into_iter().filter(|file| with_key || *file != "callgate.key") {
        let from = service.data().join(file);
        if from.exists() {
            fs::copy(from, copy.path().join(file)).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn the_record_of_a_stopped_server_verifies_against_what_is_stored_and_what_was_kept() {
    let (service, checkpoint) = recorded().await;
    let mut told = vec![];
    let texts = [kept(&checkpoint.checkpoint), kept(&format!("log {:?}\n", checkpoint.checkpoint))];
    let key = Some(checkpoint.verifier_key.as_str());
    let verified =
        verify_audit(&service.data(), &texts, key, |checked, size| told.push((checked, size))).await.unwrap();
    assert!(verified.size > 12 && verified.stored_checkpoints >= 1, "{verified:?}");
    assert_eq!((verified.kept_checkpoints, verified.verifier_key), (1, checkpoint.verifier_key));
    assert_eq!(told, [], "nobody needs progress of a few entries");
}

#[tokio::test]
async fn a_running_server_stands_in_nobodys_way_and_nothing_is_written() {
    let service = Service::start().await;
    let gate = service.gate();
    authorize(&gate, "dev_user", "list_files", "{}").await;
    let checkpoint = checkpoint(&service.admin()).await;
    let before = offline(&service.data(), &[kept(&checkpoint.checkpoint)]).await.unwrap();
    authorize(&gate, "dev_user", "list_files", "{}").await;
    let after = offline(&service.data(), &[kept(&checkpoint.checkpoint)]).await.unwrap();
    assert_eq!(after.size, before.size + 1, "only what was asked meanwhile was recorded");
    let verified = online(&service.admin(), vec![checkpoint.checkpoint]).await.unwrap();
    assert_eq!(verified.root_hash, after.root_hash);
}

#[tokio::test]
async fn a_copy_verifies_with_the_key_that_was_kept_and_not_without() {
    let (service, checkpoint) = recorded().await;
    let copy = copied(&service, false);
    let without = offline(copy.path(), &[]).await.unwrap_err();
    assert!(without.to_string().contains("--key"), "{without}");
    let key = Some(checkpoint.verifier_key.as_str());
    assert!(verify_audit(copy.path(), &[], key, |_, _| ()).await.is_ok());
    let (_, other) = recorded().await;
    let key = Some(other.verifier_key.as_str());
    let broken = verify_audit(copy.path(), &[], key, |_, _| ()).await.unwrap_err();
    assert!(matches!(broken, VerifyError::Broken { .. }), "no stored checkpoint is signed with it: {broken}");
    let note = offline(&service.data(), &[kept(&other.checkpoint)]).await.unwrap_err();
    assert!(matches!(&note, VerifyError::Note { line: 5, .. }), "{note}");
    let empty = offline(&service.data(), &[kept("nothing\n")]).await.unwrap_err();
    assert!(matches!(empty, VerifyError::Empty(_)), "{empty}");
    let absent = offline(&copy.path().join("nowhere"), &[]).await.unwrap_err();
    assert!(matches!(absent, VerifyError::Absent(_)), "{absent}");
}

/// What a tamperer who can write to the file does to it, as far as SQL can; triggers are no hindrance.
const TAMPERINGS: [(&str, &str); 10] = [
    (
        "an entry is edited",
        "UPDATE audit_segments SET entries = CAST(replace(CAST(entries AS TEXT), 'list_files', 'list_fileS') AS BLOB)
         WHERE first_sequence = 7",
    ),
    ("an entry is dropped", "DELETE FROM audit_segments WHERE first_sequence = 7"),
    (
        "entries are dropped and the others moved up",
        "DELETE FROM audit_segments WHERE first_sequence = 7;
         UPDATE audit_segments SET first_sequence = first_sequence - 1 WHERE first_sequence > 7",
    ),
    (
        "two entries are swapped",
        "UPDATE audit_segments SET first_sequence = 1000 WHERE first_sequence = 7;
         UPDATE audit_segments SET first_sequence = 7 WHERE first_sequence = 8;
         UPDATE audit_segments SET first_sequence = 8 WHERE first_sequence = 1000",
    ),
    (
        "an entry is inserted",
        "INSERT INTO audit_segments SELECT (SELECT tree_size FROM state), count, entries, leaf_hashes
         FROM audit_segments WHERE first_sequence = 7",
    ),
    (
        "a stored hash is another",
        "UPDATE audit_segments SET leaf_hashes = zeroblob(32) WHERE first_sequence = 7",
    ),
    (
        "the last entries are cut off",
        "DELETE FROM audit_segments WHERE first_sequence > 9",
    ),
    (
        "a stored checkpoint says another size",
        "DROP TRIGGER audit_checkpoints_stay;
         UPDATE audit_checkpoints
         SET note = replace(note, char(10) || size || char(10), char(10) || (size + 1) || char(10)), size = size + 1",
    ),
    (
        "a stored checkpoint is none",
        "DROP TRIGGER audit_checkpoints_stay; UPDATE audit_checkpoints SET note = note || 'x'",
    ),
    ("the tree is none", "UPDATE state SET frontier = x'00'"),
];

#[tokio::test]
async fn every_tampering_with_the_file_is_found() {
    let (service, checkpoint) = recorded().await;
    for (what, sql) in TAMPERINGS {
        let copy = copied(&service, true);
        execute(copy.path(), "DROP TRIGGER audit_segments_stay; DROP TRIGGER audit_segments_are_kept").await;
        assert!(offline(copy.path(), &[]).await.is_ok(), "before {what}");
        execute(copy.path(), sql).await;
        let found = offline(copy.path(), &[kept(&checkpoint.checkpoint)]).await;
        assert!(matches!(found, Err(VerifyError::Broken { .. })), "{what}: {found:?}");
    }
}

/// Forges the whole log: new hashes, a new tree, and no checkpoint that contradicts it.
async fn rewrite(data: &Path, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let mut connection = raw(data).await;
    let rows: Vec<(i64, i64, Vec<u8>, Vec<u8>)> =
        sqlx::query_as("SELECT * FROM audit_segments ORDER BY first_sequence")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let mut entries: Vec<Vec<u8>> = vec![];
    for (_, _, bytes, _) in rows {
        let mut rest = bytes.as_slice();
        while let Some((length, others)) = rest.split_first_chunk::<2>() {
            let (entry, others) = others.split_at(usize::from(u16::from_le_bytes(*length)));
            entries.push(entry.to_vec());
            rest = others;
        }
    }
    change(&mut entries);
    let (mut tree, mut builder) = (Frontier::default(), SegmentBuilder::new(0));
    for entry in &entries {
        tree.append(builder.push(entry).unwrap());
    }
    let forged = builder.finish();
    sqlx::raw_sql(
        "DROP TRIGGER IF EXISTS audit_segments_stay; DROP TRIGGER IF EXISTS audit_segments_are_kept;
         DELETE FROM audit_segments; DELETE FROM audit_checkpoints",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("INSERT INTO audit_segments VALUES (0, ?1, ?2, ?3)")
        .bind(forged.count)
        .bind(forged.entries)
        .bind(forged.leaf_hashes)
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("UPDATE state SET tree_size = ?1, frontier = ?2")
        .bind(i64::try_from(tree.size()).unwrap())
        .bind(tree.to_bytes())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_log_forged_with_all_its_hashes_is_found_by_a_checkpoint_that_was_kept_and_by_nothing_else() {
    type Forge = fn(&mut Vec<Vec<u8>>);
    let forgeries: [Forge; 5] = [
        |entries| drop(entries.remove(3)),
        |entries| entries.swap(2, 4),
        |entries| entries.insert(3, entries[2].clone()),
        |entries| entries[3] = b"{}".to_vec(),
        |entries| entries.truncate(5),
    ];
    let (service, checkpoint) = recorded().await;
    for (number, forge) in forgeries.into_iter().enumerate() {
        let copy = copied(&service, true);
        rewrite(copy.path(), forge).await;
        assert!(offline(copy.path(), &[]).await.is_ok(), "{number}: only what was kept contradicts it");
        let found = offline(copy.path(), &[kept(&checkpoint.checkpoint)]).await;
        assert!(matches!(found, Err(VerifyError::Broken { .. })), "{number}: {found:?}");
    }
}

#[tokio::test]
async fn a_verification_by_the_server_compares_with_what_is_stored_too() {
    let service = Service::start().await;
    let stored = async {
        while notes(&service.data()).await.is_empty() {
            service.clock.advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("no checkpoint");
    execute(
        &service.data(),
        "DROP TRIGGER audit_checkpoints_stay; UPDATE audit_checkpoints SET note = note || 'x'",
    )
    .await;
    let status = online(&service.admin(), vec![]).await.unwrap_err();
    refused(&status, Code::DataLoss, "AUDIT_BROKEN");
    assert!(status.message().contains("not one of this log"), "{}", status.message());
    assert!(!metadata(&status, "first_bad_sequence").is_empty());
}

async fn notes(data: &Path) -> Vec<(i64, String)> {
    let mut connection = raw(data).await;
    sqlx::query_as("SELECT size, note FROM audit_checkpoints ORDER BY size")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_checkpoint_is_stored_each_minute_in_which_the_log_grew_and_at_the_end() {
    let mut service = Service::start().await;
    let data = service.data();
    let key = VerifierKey::parse(&checkpoint(&service.admin()).await.verifier_key).unwrap();
    let stored = async |count: usize| {
        let waiting = async {
            while notes(&data).await.len() < count {
                service.clock.advance(Duration::from_secs(1));
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("no checkpoint");
    };
    stored(1).await;
    authorize(&service.gate(), "dev_user", "list_files", "{}").await;
    stored(2).await;
    service.stop().await;
    let notes = notes(&data).await;
    let sizes: Vec<i64> = notes.iter().map(|(size, _)| *size).collect();
    assert!(sizes.is_sorted() && sizes.len() >= 3, "{sizes:?}");
    for (size, note) in &notes {
        assert_eq!(i64::try_from(Checkpoint::open(note, &key).unwrap().size).unwrap(), *size);
    }
    let verified = offline(&data, &[]).await.unwrap();
    assert_eq!(Some(&i64::try_from(verified.size).unwrap()), sizes.last(), "the last one has the end in it");
}

async fn entries(service: &Service, kind: AuditKind) -> Vec<AuditEntry> {
    service.entries().await.into_iter().filter(|entry| entry.kind() == kind).collect()
}

fn count(entry: &AuditEntry) -> u64 {
    let entry: serde_json::Value = serde_json::from_str(&entry.entry_json).unwrap();
    entry["count"].as_u64().unwrap_or(1)
}

#[tokio::test]
async fn refused_credentials_are_one_entry_and_a_sum_also_when_the_server_ends_first() {
    let mut service = Service::start().await;
    let nobody = service.client(&"0".repeat(64));
    for _ in 0..5 {
        nobody.audit().audit_query(AuditQueryRequest::default()).await.unwrap_err();
    }
    assert_eq!(entries(&service, AuditKind::CredentialRefused).await.len(), 1, "the first, at once");
    service.stop().await;
    let service = service.restart().await;
    let refused = entries(&service, AuditKind::CredentialRefused).await;
    assert_eq!(refused.iter().map(count).collect::<Vec<_>>(), [1, 4]);
    let kinds: Vec<AuditKind> = service.entries().await.iter().map(AuditEntry::kind).collect();
    let stopped = kinds.iter().position(|kind| *kind == AuditKind::ServerStopped).unwrap();
    let last = kinds.iter().rposition(|kind| *kind == AuditKind::CredentialRefused).unwrap();
    assert!(last < stopped && kinds.contains(&AuditKind::ServerStarted), "{kinds:?}");
}

#[tokio::test]
async fn a_query_goes_on_from_its_cursor_with_the_index_and_behind_it() {
    let service = Service::with(|config| config.query.audit_scan_entries_max = 50).await;
    execute(&service.data(), "UPDATE audit_index SET block_entries = 2").await;
    let gate = service.gate();
    for number in 0..30 {
        let tool = if number % 3 == 0 { "list_files" } else { "read_file" };
        authorize(&gate, "dev_user", tool, &format!(r#"{{"n":{number}}}"#)).await;
        service.clock.advance(Duration::from_secs(1));
    }
    let indexed = async {
        let mut connection = raw(&service.data()).await;
        loop {
            service.clock.advance(Duration::from_secs(1));
            let blocks = sqlx::query_scalar::<_, i64>("SELECT blocks FROM audit_index");
            if blocks.fetch_one(&mut connection).await.unwrap() >= 15 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, indexed).await.expect("the index doesn't follow");
    for oldest_first in [false, true] {
        let (mut found, mut page_token) = (vec![], String::new());
        loop {
            let request = AuditQueryRequest {
                tool: "list_files".into(),
                user: "dev_user".into(),
                page_size: 3,
                page_token,
                oldest_first,
                ..Default::default()
            };
            let page = service.admin().audit().audit_query(request).await.unwrap().into_inner();
            found.extend(page.entries);
            if page.next_page_token.is_empty() {
                break;
            }
            page_token = page.next_page_token;
        }
        assert_eq!(found.len(), 10);
        let sequences: Vec<u64> = found.iter().map(|entry| entry.sequence).collect();
        let is_in_order = |pair: &[u64]| if oldest_first { pair[0] < pair[1] } else { pair[0] > pair[1] };
        assert!(sequences.windows(2).all(is_in_order), "{sequences:?}");
    }
}
