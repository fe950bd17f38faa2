//! Copies of the database: `callgate backup`, and how one is restored.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_running_server_is_restored_into_an_empty_folder() {
    let service = Service::start().await;
    let (_wait, before) = open(&service.gate(), "dev_user", "write_file", "{}").await;
    let to = service.folder.path().join("my backup.db");
    let told = assert_exit(&on(&service.data(), &["backup", "--to", to.to_str().unwrap()]), 0);
    assert!(told.contains("checked") && told.contains("callgate.key` is not in it"), "{told}");
    assert_eq!(mode(&to), 0o600);
    let (_wait, after) = open(&service.gate(), "dev_user", "write_file", r#"{"later":1}"#).await;
    let told = assert_exit(&on(&service.data(), &["backup", "--to", to.to_str().unwrap()]), 1);
    assert!(told.contains("nothing is overwritten"), "{told}");

    let restored = Arc::new(tempfile::tempdir().unwrap());
    let data = restored.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    fs::copy(&to, data.join("callgate.db")).unwrap();
    for name in ["callgate.key", "admin_user.token"] {
        fs::copy(service.data().join(name), data.join(name)).unwrap();
    }
    let healthy = on(&data, &["doctor", "--deep", "--free-min", "1", "--address", &service.address]);
    assert_exit(&healthy, 0);
    let again = Service::on(restored, service.clock.clone(), |_| ()).await;
    let ids: Vec<String> = again.approvals().await.into_iter().map(|of| of.approval_id).collect();
    assert_eq!(ids, [before.approval_id], "as it was at that moment");
    assert_eq!(service.approvals().await.len(), 2, "{}", after.approval_id);
}

#[tokio::test]
async fn what_can_not_be_copied_leaves_nothing_behind() {
    let service = stopped().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("x.db");
    let told = assert_exit(&on(folder.path(), &["backup", "--to", to.to_str().unwrap()]), 1);
    assert!(told.contains("no database"), "{told}");
    let database = service.data().join("callgate.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes
        .chunks_mut(4096)
        .enumerate()
        .filter(|(page, _)| page % 3 == 2)
        .for_each(|(_, page)| page[..200].fill(0xa5));
    fs::write(&database, bytes).unwrap();
    assert_exit(&on(&service.data(), &["backup", "--to", to.to_str().unwrap()]), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let told = assert_exit(&on(&service.data(), &["backup", "--to", "/nowhere/x.db"]), 1);
    assert!(told.contains("cannot write"), "{told}");
}

/// Makes all but the folder `$1` read-only, as a container's root is, in a namespace of its own; runs the rest.
const READ_ONLY: &str = r#"
set -e
rw=$1; shift
for folder in /tmp /var/tmp; do mount --bind $folder $folder; mount -o remount,bind,ro $folder; done
mount --bind "$rw" "$rw"; mount -o remount,bind,rw "$rw"
mount -o remount,bind,ro /
cd /
for folder in / /tmp /var/tmp; do if touch $folder/callgate-probe 2>/dev/null; then exit 99; fi; done
exec "$@"
"#;

#[tokio::test]
async fn a_backup_needs_no_folder_but_the_one_it_is_written_to() {
    let service = stopped().await;
    let to = service.folder.path().join("x.db");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", READ_ONLY, "sh"]).arg(service.folder.path());
    if !command.arg("true").output().is_ok_and(|tried| tried.status.success()) {
        return crate::faults::skip(
            "nothing can be mounted here (it takes root), so no read-only root is tried",
        );
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", READ_ONLY, "sh"]).arg(service.folder.path());
    command.arg(env!("CARGO_BIN_EXE_callgate")).arg("backup").arg("--to").arg(&to);
    let made = command.arg("--data-dir").arg(service.data()).env("TMPDIR", "/").output().unwrap();
    assert_exit(&made, 0);
    assert!(to.exists());
}
