//! What only SQLite can be asked: its files, its triggers, its faults.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use callgate::domain::approval::Grant;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;

pub fn path(database: &Database) -> PathBuf {
    let Database::Sqlite(folder) = database;
    folder.path().join("callgate.db")
}

/// A connection past all guards but those in the file itself.
pub async fn raw(database: &Database) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path(database)).busy_timeout(STUCK);
    SqliteConnection::connect_with(&options).await.unwrap()
}

pub async fn execute(database: &Database, sql: &'static str) -> Result<(), String> {
    let mut connection = raw(database).await;
    let done = sqlx::raw_sql(sql).execute(&mut connection).await;
    connection.close().await.unwrap();
    done.map(|_| ()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn hand_written_sql_does_not_get_past_what_never_changes() {
    let database = Database::sqlite();
    let opened = database.open().await;
    opened.tenant("acme").await;
    opened.append("acme").await.unwrap();
    opened.insert(&approval(2)).await.unwrap();
    let pending = approval(1);
    opened.insert(&pending).await.unwrap();
    let vote = ballot("ann", Verdict::Reject, 6);
    let (rejected, event) =
        callgate::domain::lifecycle::vote(pending.clone(), vote, None, |_| true, promise(1)).unwrap();
    opened.update(&pending, (rejected, Some(event))).await.unwrap();
    for (sql, fault) in [
        (
            "UPDATE approvals SET state = 'PENDING', decide_time = NULL WHERE state = 'REJECTED'",
            "final state",
        ),
        ("UPDATE approvals SET state = 'CANCELLED' WHERE state = 'REJECTED'", "final state"),
        ("UPDATE approvals SET reason = 'another' WHERE state = 'REJECTED'", "final state"),
        ("UPDATE approvals SET action_digest = zeroblob(32) WHERE state = 'PENDING'", "bound to"),
        ("UPDATE approvals SET expire_time = expire_time + 1 WHERE state = 'PENDING'", "bound to"),
        ("UPDATE approvals SET subject_user = 'eve' WHERE state = 'PENDING'", "bound to"),
        ("UPDATE approvals SET tenant = 'eve' WHERE state = 'PENDING'", "bound to"),
        ("UPDATE approvals SET state = 'DONE' WHERE state = 'PENDING'", "CHECK"),
        ("UPDATE votes SET verdict = 'APPROVE'", "votes never change"),
        ("DELETE FROM votes", "never taken back"),
        ("UPDATE audit_segments SET entries = x'00'", "never change"),
        ("DELETE FROM audit_segments", "never taken out"),
        (
            "INSERT INTO audit_checkpoints VALUES (1, 1, ''); UPDATE audit_checkpoints SET note = 'x'",
            "never change",
        ),
    ] {
        let refused = execute(&database, sql).await.unwrap_err();
        assert!(refused.contains(fault), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn a_part_that_contradicts_itself_is_told_with_its_table_and_column() {
    for (sql, place) in [
        ("DELETE FROM asks", "approvals.approval_id"),
        ("UPDATE asks SET user = ''", "asks.user"),
        ("UPDATE asks SET credential_id = x'00'", "asks.credential_id"),
        ("UPDATE grants SET grant_id = x'00'; UPDATE grant_uses SET grant_id = x'00'", "grants.grant_id"),
        ("UPDATE grants SET uses_max = -1", "grants.uses_max"),
        ("UPDATE grants SET revoke_time = 1", "grants.revoke_reason"),
        ("DELETE FROM grants", "approvals.state"),
        ("UPDATE grant_uses SET outcome = 'MAYBE'", "grant_uses.outcome"),
        ("UPDATE grant_uses SET body = zeroblob(32)", "grant_uses.body"),
        ("DROP TRIGGER votes_stay; UPDATE votes SET verdict = 'MAYBE'", "votes.verdict"),
        ("DROP TRIGGER votes_stay; UPDATE votes SET credential_id = x''", "votes.credential_id"),
    ] {
        let database = Database::sqlite();
        let opened = database.open().await;
        let tenant = opened.tenant("acme").await;
        let mut written = approval(1);
        written.votes = vec![ballot("ann", Verdict::Approve, 6)];
        let id = promise(1).id;
        let grant = Grant { id, expire_time: at(99), uses_max: 2, uses: vec![spend(7)], revocation: None };
        written.state = State::Approved { at: at(6), by: name("ann"), grant };
        opened.insert(&written).await.unwrap();
        let mut other = raw(&database).await;
        sqlx::raw_sql("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
            .execute(&mut other)
            .await
            .unwrap();
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let fault = opened.store.approval(&tenant, written.id).await.unwrap_err();
        let StoreError::Inconsistent { table, column, row, .. } = &fault else { panic!("{sql}: {fault}") };
        assert_eq!(format!("{table}.{column}"), place, "{sql}");
        let key = if *table == "grants" && *column == "grant_id" { "acme/00" } else { "acme/01010101" };
        assert!(row.starts_with(key), "{sql}: {row}");
    }
}

#[tokio::test]
async fn a_failed_commit_is_unknown_and_the_connection_replaced() {
    let database = Database::sqlite();
    let opened = database.open().await;
    opened.tenant("acme").await;
    opened.append("acme").await.unwrap();
    // A deferred constraint is only checked by COMMIT, which fails.
    execute(
        &database,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER fault AFTER INSERT ON audit_segments BEGIN INSERT INTO child VALUES (1); END;",
    )
    .await
    .unwrap();
    let unknown = opened.append("acme").await;
    assert!(matches!(unknown, Err(StoreError::CommitUnknown(_))), "{unknown:?}");
    opened.told(|committed| committed.everything).await;
    execute(&database, "DROP TRIGGER fault").await.unwrap();
    opened.append("acme").await.unwrap();
    opened.store.check().await.unwrap();
    let segments = opened.store.segments_from(0, 10).await.unwrap();
    let tree = opened.store.tree().await.unwrap();
    assert_eq!((tree.size(), super::audit_log::recomputed(&segments)), (2, tree));
}

#[tokio::test]
async fn a_write_that_breaks_is_unavailable_and_check_says_so_until_one_works() {
    let database = Database::sqlite();
    let opened = database.open().await;
    opened.append("acme").await.unwrap();
    execute(&database, "ALTER TABLE audit_segments RENAME TO away").await.unwrap();
    assert!(matches!(opened.append("acme").await, Err(StoreError::Unavailable(_))));
    opened.told(|committed| committed.everything).await;
    execute(&database, "ALTER TABLE away RENAME TO audit_segments").await.unwrap();
    opened.append("acme").await.unwrap();
    opened.store.check().await.unwrap();
    assert_eq!(opened.store.tree().await.unwrap().size(), 2);
}

#[tokio::test]
async fn another_process_holding_the_lock_too_long_is_unavailable_and_does_no_harm() {
    let database = Database::sqlite();
    let brief = Options {
        write_retry_timeout: Duration::from_millis(1),
        writer_busy_timeout: Duration::from_millis(1),
        ..options()
    };
    let opened = database.open_with(brief, ManualClock::new(at(0))).await;
    let mut other = raw(&database).await;
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    assert!(matches!(opened.append("acme").await, Err(StoreError::Unavailable(_))));
    assert!(opened.store.check().await.is_err(), "the last write failed");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    opened.store.check().await.unwrap();
    opened.append("acme").await.unwrap();
    assert_eq!(opened.store.tree().await.unwrap().size(), 1);
}

#[tokio::test]
async fn a_corrupt_row_is_named() {
    let database = Database::sqlite();
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    opened.insert(&approval(1)).await.unwrap();
    execute(&database, "DROP TRIGGER approvals_stay_bound; UPDATE approvals SET requirement = '[]'")
        .await
        .unwrap();
    let Err(StoreError::Inconsistent { table, column, row, .. }) =
        opened.store.approval(&tenant, approval(1).id).await
    else {
        panic!("read a corrupt row")
    };
    assert_eq!((table, column), ("approvals", "requirement"));
    assert_eq!(row, format!("acme/{}", "01".repeat(16)));
    let inside = write(&*opened.store, |transaction| {
        Box::pin(async move { transaction.approval(&name("acme"), approval(1).id).await })
    });
    assert!(matches!(inside.await, Err(StoreError::Inconsistent { .. })));
    opened.append("acme").await.unwrap();
}

#[tokio::test]
async fn an_overdue_approval_that_cannot_be_read_is_named_among_the_others() {
    let database = Database::sqlite();
    let opened = database.open().await;
    opened.tenant("acme").await;
    for number in 1..=2 {
        opened.insert(&approval(number)).await.unwrap();
    }
    execute(
        &database,
        "DROP TRIGGER approvals_stay_bound;
         UPDATE approvals SET requirement = '[]' WHERE approval_id = x'01010101010101010101010101010101'",
    )
    .await
    .unwrap();
    opened.clock.advance(Duration::from_secs(400));
    let read = write(&*opened.store, |transaction| {
        Box::pin(async move { transaction.overdue(&name("acme"), &[approval(1).id, approval(2).id]).await })
    });
    let mut read = read.await.unwrap();
    read.sort_by_key(|(id, _)| *id);
    let [(first, Err(StoreError::Inconsistent { .. })), (second, Ok(whole))] = read.as_slice() else {
        panic!("{read:?}")
    };
    assert_eq!((*first, *second, whole), (approval(1).id, approval(2).id, &approval(2)));
}

#[tokio::test]
async fn a_start_that_has_to_migrate_waits_for_the_server_that_runs() {
    let database = Database::sqlite();
    let one = database.open().await;
    // As the file of an older server: the newest migration is still to come.
    execute(&database, "DROP INDEX approvals_pending_list; DELETE FROM _sqlx_migrations WHERE version = 3")
        .await
        .unwrap();
    let two = database.open();
    let closing = async {
        one.append("acme").await.unwrap();
        one.store.close().await;
    };
    let (two, ()) = tokio::join!(two, closing);
    two.append("acme").await.unwrap();
    // Made again, or it couldn't be dropped.
    execute(&database, "DROP INDEX approvals_pending_list").await.unwrap();
}

#[tokio::test]
async fn a_tree_that_contradicts_itself_is_refused() {
    let database = Database::sqlite();
    database.open().await.store.close().await;
    execute(&database, "UPDATE state SET tree_size = 7").await.unwrap();
    let refused = database.try_open(options(), ManualClock::new(at(0))).await.err().unwrap();
    assert!(matches!(refused, StoreError::Inconsistent { table: "state", column: "tree_size", .. }));
}

#[tokio::test]
async fn an_orderly_end_leaves_everything_in_the_one_file() {
    let database = Database::sqlite();
    let opened = database.open().await;
    let log = path(&database).with_extension("db-wal");
    assert!(log.exists(), "while it runs, the newest is beside the database");
    opened.store.check().await.unwrap();
    opened.store.close().await;
    assert!(!log.exists(), "a copy of the database alone is whole");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let database = Database::sqlite();
    database.open().await.store.close().await;
    execute(&database, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 2").await.unwrap();
    let refused = database.try_open(options(), ManualClock::new(at(0))).await.err().unwrap();
    assert!(refused.to_string().contains("use a newer binary"), "{refused}");
}

#[tokio::test]
async fn a_migration_that_was_changed_is_refused() {
    let database = Database::sqlite();
    database.open().await.store.close().await;
    execute(&database, "UPDATE _sqlx_migrations SET checksum = x'00'").await.unwrap();
    assert!(database.try_open(options(), ManualClock::new(at(0))).await.is_err());
}

#[tokio::test]
async fn maintenance_waits_for_every_server_and_nobody_else_reads_the_files() {
    let database = Database::sqlite();
    let (one, two) = (database.open().await, database.open().await);
    let lock = path(&database).with_extension("db.lock");
    let file = fs::File::open(&lock).unwrap();
    assert!(file.try_lock().is_err());
    one.store.close().await;
    assert!(file.try_lock().is_err());
    two.store.close().await;
    assert!(file.try_lock().is_ok());
    for of in [lock, path(&database)] {
        assert_eq!(fs::metadata(of).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_path_that_is_none_is_unavailable() {
    let shutdown = Shutdown::new();
    for url in ["sqlite:/nonexistent/callgate.db", "mysql:x", "callgate.db"] {
        let clock = Arc::new(ManualClock::new(at(0)));
        let refused = store::open(url, options(), clock, &shutdown.tasks(), Arc::new(|_| ())).await;
        assert!(matches!(refused.err(), Some(StoreError::Unavailable(_))), "{url}");
    }
}

/// A file system of four MiB, where the machine lets a test mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &std::path::Path) -> Option<Self> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is left of a failed test goes with the machine's temporary files.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Needs root, to mount a small disk: elsewhere it says that it checked nothing, and in CI it fails.
#[tokio::test]
async fn a_full_disk_loses_nothing_and_writing_goes_on_once_there_is_room() {
    let database = Database::sqlite();
    let Some(_disk) = SmallDisk::mount(path(&database).parent().unwrap()) else {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs");
        eprintln!("SKIPPED: a tmpfs can't be mounted here (it takes root), so a full disk isn't tried");
        return;
    };
    let opened = database.open().await;
    let filler = path(&database).with_extension("filler");
    // What comes free has room for the whole write-ahead log: it is folded in first.
    fs::write(&filler, vec![0; 2560 << 10]).unwrap();
    let mut acknowledged = 0;
    let failed = loop {
        let appended = write(&*opened.store, |transaction| {
            let mut long = entry(&name("acme"));
            long.arguments = Some("x".repeat(60_000).into());
            transaction.append(long);
            Box::pin(async { Ok(()) })
        });
        match appended.await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Unavailable(_) | StoreError::CommitUnknown(_)), "{failed:?}");
    fs::remove_file(&filler).unwrap();
    opened.told(|committed| committed.everything).await;
    opened.append("acme").await.unwrap();
    opened.store.check().await.unwrap();
    let tree = opened.store.tree().await.unwrap();
    let segments = opened.store.segments_from(0, 1_000).await.unwrap();
    assert_eq!(super::audit_log::recomputed(&segments), tree);
    assert!(tree.size() > acknowledged, "{} of {acknowledged}", tree.size());
}
