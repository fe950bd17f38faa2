//! `callgate doctor`: each thing that can be wrong is broken on a real data directory, found, and mended by the
//! command that the finding gives.

use std::{collections::BTreeMap, os::unix::fs::chown};

use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use super::*;

/// What doctor said, by what it looked at.
struct Told {
    findings: Vec<Value>,
    exit: i32,
}

impl Told {
    #[track_caller]
    fn of(output: &Output) -> Self {
        let told = text(output);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}"));
        let findings = answer["findings"].as_array().unwrap().clone();
        Self { findings, exit: output.status.code().unwrap() }
    }

    #[track_caller]
    fn finding(&self, check: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("nothing about `{check}`: {:#?}", self.findings))
    }

    /// Asserts how something was taken, and that what was found says this.
    #[track_caller]
    fn assert(&self, check: &str, level: &str, found: &str) -> &Value {
        let finding = self.finding(check);
        let text = finding["found"].as_str().unwrap();
        assert!(finding["level"] == level && text.contains(found), "{finding:#}");
        assert_eq!(finding["fix"].is_string(), level != "OK", "what isn't right has a fix: {finding:#}");
        if level == "FAIL" {
            assert_eq!(self.exit, 19, "{finding:#}");
        }
        finding
    }

    /// Everything that isn't OK.
    fn faults(&self) -> Vec<&str> {
        let faults = self.findings.iter().filter(|finding| finding["level"] != "OK");
        faults.map(|finding| finding["check"].as_str().unwrap()).collect()
    }
}

/// Looks at a data directory; the address is one where nobody listens.
fn doctor(data: &Path) -> Told {
    Told::of(&on(data, &["doctor", "--json", "--address", "127.0.0.1:1", "--free-min", "1"]))
}

/// Runs the command that a finding gives, as an operator pastes it.
#[track_caller]
fn mend(finding: &Value, more: &str) {
    let command = format!("{} {more}", finding["command"].as_str().unwrap_or_else(|| panic!("{finding:#}")));
    let program = Path::new(env!("CARGO_BIN_EXE_callgate")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let ran = Command::new("bash").args(["-c", &command]).env("PATH", path).output().unwrap();
    assert!(ran.status.success(), "{command}: {}", text(&ran));
}

/// Runs statements on a database that nobody else has open.
async fn change(data: &Path, statements: &[&'static str]) {
    let options = SqliteConnectOptions::new().filename(data.join("callgate.db"));
    let mut connection = options.connect().await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

/// Every file of a folder, with what it holds and how it is kept; but for the memory that processes share while
/// they have the database open.
fn snapshot(data: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| !path.ends_with("callgate.db-shm"));
    let kept = |path: PathBuf| {
        let seen = (mode(&path), fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        (path, seen)
    };
    entries.map(kept).collect()
}

#[tokio::test]
async fn a_data_directory_without_faults_is_said_to_be_so_and_stays_as_it_is() {
    let service = stopped().await;
    let data = service.data();
    let before = snapshot(&data);
    let told = doctor(&data);
    assert_eq!(told.faults(), ["server"], "nobody listens: {:#?}", told.findings);
    for (check, found) in [
        ("data directory", "of user"),
        ("file system", "no network file system"),
        ("permissions", "for their owner alone"),
        ("key", "callgate.key"),
        ("lock", "no server runs on it here"),
        ("SQLite", "built in"),
        ("schema", "as this binary makes it"),
        ("integrity", "found nothing"),
        ("record", "callgate audit verify"),
        ("clock", "isn't ahead"),
        ("free space", "free, the mark is"),
        ("credential", "is of `admin_user` in the tenant `default`"),
    ] {
        told.assert(check, "OK", found);
    }
    assert!(snapshot(&data) == before, "it only looks");
    let deep = on(&data, &["doctor", "--json", "--deep", "--address", "127.0.0.1:1"]);
    Told::of(&deep).assert("integrity", "OK", "with indexes and references");
    assert!(snapshot(&data) == before, "also when it looks at everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_beside_a_running_server_and_never_shows_a_secret() {
    let service = Service::start().await;
    let data = service.data();
    let output = on(&data, &["doctor", "--json", "--address", &service.address, "--free-min", "1"]);
    let told = Told::of(&output);
    assert_eq!((told.faults(), told.exit), (vec![], 0), "{:#?}", told.findings);
    told.assert("server", "OK", "is ready, answers in");
    told.assert("lock", "OK", &format!("1 server runs on it: process {}", std::process::id()));
    told.assert("credential", "OK", "is of `admin_user`");
    let human = assert_exit(&on(&data, &["doctor", "--address", &service.address, "--free-min", "1"]), 0);
    assert!(human.contains("nothing to mend") && human.contains("OK    server"), "{human}");
    for name in ["admin_user.token", "gate.token"] {
        let secret = secret(&data.join(name));
        assert!(!text(&output).contains(&secret) && !human.contains(&secret), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_alone_is_enough() {
    let service = Service::start().await;
    let token = service.data().join("admin_user.token");
    let elsewhere = tempfile::tempdir().unwrap();
    let ask = |address: &str| {
        let arguments = ["doctor", "--json", "--address", address, "--token-file", token.to_str().unwrap()];
        let mut command = Command::new(env!("CARGO_BIN_EXE_callgate"));
        command.env_remove("CALLGATE_DATA_DIR").env_remove("CALLGATE_OUTPUT");
        Told::of(&command.args(arguments).current_dir(elsewhere.path()).output().unwrap())
    };
    let told = ask(&service.address);
    let checks: Vec<&str> = told.findings.iter().map(|of| of["check"].as_str().unwrap()).collect();
    assert_eq!((checks, told.exit), (vec!["server", "credential"], 0));
    told.assert("credential", "OK", "is accepted");
    let told = ask("https://localhost:1");
    told.assert("server", "FAIL", "TLS");
    ask("nowhere").assert("server", "FAIL", "no address");
    ask("127.0.0.1:1").assert("server", "FAIL", "nobody answers at `127.0.0.1:1`");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_with_the_way_to_make_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("my data");
    let told = doctor(&data);
    let finding = told.assert("data directory", "FAIL", "there is no");
    let command = finding["command"].as_str().unwrap();
    assert!(command.starts_with("callgate serve --data-dir '") && command.ends_with("my data'"), "{command}");
    assert!(!data.exists(), "it isn't made");
    fs::write(&data, "").unwrap();
    doctor(&data).assert("data directory", "FAIL", "is no folder");
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let told = doctor(&data);
    told.assert("database", "WARN", "yet");
    told.assert("key", "OK", "none yet");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is made in it");
}

#[tokio::test]
async fn what_others_may_read_or_write_is_found_and_mended() {
    let service = stopped().await;
    let data = service.data();
    let set = |name: &str, mode: u32| {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, open, level, found) in [
        ("", 0o770, "FAIL", "others may write to the folder"),
        ("", 0o755, "WARN", "others may look into the folder"),
        ("gate.token", 0o644, "FAIL", "open to other users: `gate.token`"),
        ("callgate.key", 0o640, "FAIL", "open to other users: `callgate.key`"),
        ("callgate.db", 0o660, "FAIL", "open to other users: `callgate.db`"),
    ] {
        set(name, open);
        mend(doctor(&data).assert("permissions", level, found), "");
        doctor(&data).assert("permissions", "OK", "for their owner alone");
    }
    set("admin_user.token", 0o644);
    let told = doctor(&data);
    mend(told.assert("credential", "FAIL", "open to other users"), "");
    doctor(&data).assert("credential", "OK", "admin_user");
}

#[tokio::test]
async fn a_file_of_another_user_is_found_and_mended() {
    let service = stopped().await;
    let data = service.data();
    if chown(data.join("gate.token"), Some(65_534), Some(65_534)).is_err() {
        eprintln!("SKIPPED a_file_of_another_user_is_found_and_mended: only root can give files away");
        return;
    }
    mend(doctor(&data).assert("owner", "FAIL", "`gate.token`"), "");
    assert!(!doctor(&data).faults().contains(&"owner"));
}

#[tokio::test]
async fn a_key_that_is_missing_or_spoilt_is_found() {
    let service = stopped().await;
    let key = service.data().join("callgate.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let told = doctor(&service.data());
    let finding = told.assert("key", "FAIL", "missing though there is a database");
    assert!(finding["command"].as_str().unwrap().starts_with("install -m 600 "), "{finding:#}");
    fs::write(&key, "no key").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    doctor(&service.data()).assert("key", "FAIL", "hex digits");
    fs::write(&key, kept).unwrap();
    doctor(&service.data()).assert("key", "OK", "callgate.key");
}

#[tokio::test]
async fn maintenance_under_way_is_told() {
    let service = stopped().await;
    let lock = fs::File::open(service.data().join("callgate.db.lock")).unwrap();
    lock.lock().unwrap();
    let me = std::process::id().to_string();
    doctor(&service.data()).assert("lock", "WARN", &format!("process {me} has the database alone"));
    lock.unlock().unwrap();
    doctor(&service.data()).assert("lock", "OK", "no server runs");
}

#[tokio::test]
async fn the_schema_of_another_binary_is_found() {
    let service = stopped().await;
    let data = service.data();
    change(
        &data,
        &["CREATE TEMP TABLE kept AS SELECT * FROM _sqlx_migrations", "DELETE FROM _sqlx_migrations"],
    )
    .await;
    doctor(&data).assert("schema", "WARN", "0; this binary makes");
    let service = stopped().await;
    let data = service.data();
    change(&data, &["UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1"]).await;
    doctor(&data).assert("schema", "FAIL", "migration 1 isn't the one of this binary");
    let service = stopped().await;
    let data = service.data();
    change(
        &data,
        &["INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time
           FROM _sqlx_migrations WHERE version = 1"],
    )
    .await;
    doctor(&data).assert("schema", "FAIL", "9999; this binary knows");
    change(&data, &["DELETE FROM _sqlx_migrations WHERE version = 9999"]).await;
    doctor(&data).assert("schema", "OK", "as this binary makes it");
}

#[tokio::test]
async fn a_damaged_database_is_found() {
    let service = stopped().await;
    let database = service.data().join("callgate.db");
    let whole = fs::read(&database).unwrap();
    let mut damaged = whole.clone();
    // Every page but the first few, on which the tables of the schema are.
    let pages = damaged.chunks_mut(4096).enumerate().filter(|(number, _)| number % 3 == 2);
    pages.for_each(|(_, page)| page[..200].fill(0xa5));
    fs::write(&database, &damaged).unwrap();
    let told = doctor(&service.data());
    let faults = told.faults();
    assert!(faults.contains(&"integrity") || faults.contains(&"database"), "{:#?}", told.findings);
    assert_eq!(told.exit, 19);
    fs::write(&database, "no database at all, but long enough to be looked at as one".repeat(100)).unwrap();
    doctor(&service.data()).assert("database", "FAIL", "can't be read");
    fs::write(&database, whole).unwrap();
    doctor(&service.data()).assert("integrity", "OK", "found nothing");
}

#[tokio::test]
async fn an_index_that_lost_a_row_is_found_when_all_is_checked() {
    let service = stopped().await;
    let data = service.data();
    change(
        &data,
        &[
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = replace(sql, '(tenant, user)', '(tenant, description)')
             WHERE name = 'credentials_user'",
        ],
    )
    .await;
    doctor(&data).assert("integrity", "OK", "found nothing");
    let deep = on(&data, &["doctor", "--json", "--deep", "--address", "127.0.0.1:1"]);
    Told::of(&deep).assert("integrity", "FAIL", "credentials_user");
}

#[tokio::test]
async fn a_log_that_does_not_fit_its_tree_is_found() {
    let service = stopped().await;
    let data = service.data();
    change(
        &data,
        &[
            "DROP TRIGGER audit_segments_are_kept",
            "DELETE FROM audit_segments WHERE first_sequence = (SELECT max(first_sequence) FROM audit_segments)",
        ],
    )
    .await;
    doctor(&data).assert("record", "FAIL", "the log ends at");
}

#[tokio::test]
async fn too_little_room_is_found() {
    let service = stopped().await;
    let data = service.data();
    let told = on(&data, &["doctor", "--json", "--address", "127.0.0.1:1", "--free-min", "1000000TiB"]);
    mend(Told::of(&told).assert("free space", "WARN", "below the mark of 1000000.0 TiB"), "");
    doctor(&data).assert("free space", "OK", "the mark is 1 bytes");
}

#[tokio::test]
async fn a_service_ahead_of_the_wall_clock_is_found_and_mended() {
    let ahead = ManualClock::new(SystemClock::new().wall().plus(Duration::from_hours(1)));
    let mut service = Service::on(Arc::new(tempfile::tempdir().unwrap()), ahead, |_| ()).await;
    service.stop().await;
    let data = service.data();
    let told = doctor(&data);
    mend(told.assert("clock", "FAIL", "ahead of the wall clock"), "--yes");
    doctor(&data).assert("clock", "OK", "isn't ahead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_accepted_is_found_and_replaced() {
    let service = Service::start().await;
    let (data, admin) = (service.data(), service.admin());
    let (id, other) = service.token("admin_user").await;
    let file = data.join("other.token");
    fs::write(&file, &other).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let ask = |address: &str| {
        let arguments = ["doctor", "--json", "--address", address, "--token-file", file.to_str().unwrap()];
        Told::of(&on(&data, &arguments))
    };
    ask(&service.address).assert("credential", "OK", "is of `admin_user`");
    let revoke = callgate::proto::v1::RevokeTokenRequest { credential_id: id, ..Default::default() };
    admin.credentials().revoke_token(revoke).await.unwrap();
    ask(&service.address).assert("credential", "FAIL", "and was revoked");
    fs::write(&file, "cg_none-of-them-0123456789-0123456789").unwrap();
    ask(&service.address).assert("credential", "FAIL", "is none of this database");
    let mut service = service;
    service.stop().await;
    let told = ask("127.0.0.1:1");
    mend(told.assert("credential", "FAIL", "is none of this database"), "--revoke-others");
    let found = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let made = found.into_iter().find(|path| {
        path.to_string_lossy().contains("admin_user.") && *path != data.join("admin_user.token")
    });
    fs::rename(made.unwrap(), &file).unwrap();
    ask("127.0.0.1:1").assert("credential", "OK", "is of `admin_user`");
    let told = doctor(&data);
    told.assert("credential", "FAIL", "and was revoked");
    fs::remove_file(data.join("admin_user.token")).unwrap();
    mend(doctor(&data).assert("credential", "FAIL", "can't be read"), "");
    doctor(&data).assert("credential", "OK", "is of `admin_user`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_over_or_soon_will_be_is_found() {
    let service = Service::start().await;
    // The database's time is that of its clock; the program's is the later of that and of the wall clock.
    let start = SystemClock::new().wall();
    service.clock.set_wall(start);
    let admin = service.admin();
    let make = async |seconds: u64| {
        let request = callgate::proto::v1::CreateTokenRequest {
            user: "admin_user".into(),
            expire_time: Some(prost_types::Timestamp {
                seconds: start.plus(Duration::from_secs(seconds)).micros() / 1_000_000,
                nanos: 0,
            }),
            ..Default::default()
        };
        admin.credentials().create_token(request).await.unwrap().into_inner().secret
    };
    let (soon, over) = (make(86_400).await, make(20).await);
    let file = service.data().join("other.token");
    let ask = |secret: &str| {
        fs::write(&file, secret).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let arguments =
            ["doctor", "--json", "--address", &service.address, "--token-file", file.to_str().unwrap()];
        Told::of(&on(&service.data(), &arguments))
    };
    let told = ask(&soon);
    let finding = told.assert("credential", "WARN", "until");
    assert!(finding["command"].as_str().unwrap().contains("token create --user=admin_user"), "{finding:#}");
    service.clock.advance(Duration::from_secs(40));
    authorize(&service.gate(), "dev_user", "list_files", "{}").await;
    ask(&over).assert("credential", "FAIL", "is over since");
}
