//! A lost admin credential: `callgate token recover`.

use super::*;

#[tokio::test]
async fn an_admin_who_lost_the_credential_gets_another_one_offline() {
    let service = stopped().await;
    let data = service.data();
    let before = secret(&data.join("admin_user.token"));
    fs::remove_file(data.join("admin_user.token")).unwrap();
    let recovered = on(&data, &["token", "recover"]);
    let told = assert_exit(&recovered, 0);
    let file = path_in(&recovered);
    assert_eq!(file, data.canonicalize().unwrap().join("admin_user.token"));
    assert_eq!(mode(&file), 0o600);
    let fresh = secret(&file);
    assert!(!told.contains(&fresh) && fresh != before, "the secret is in the file alone: {told}");
    let service = service.restart().await;
    let entries = service.entries().await;
    let made = entries.iter().rev().find(|entry| entry.kind() == AuditKind::CredentialCreated).unwrap();
    assert!(made.actor.is_empty(), "nobody called: {}", made.entry_json);
    for part in [r#""door":"offline""#, r#""user":"admin_user""#, r#""os_user":"#] {
        assert!(made.entry_json.contains(part), "{}", made.entry_json);
    }
    let log = fs::read(data.join("callgate.db")).unwrap();
    assert!(!log.windows(fresh.len()).any(|window| window == fresh.as_bytes()), "no secret is stored");
    let list = callgate::proto::v1::ListTokensRequest::default;
    assert!(
        service.client(&before).credentials().list_tokens(list()).await.is_ok(),
        "the lost one still counts"
    );
}

#[tokio::test]
async fn the_other_tokens_of_the_user_are_revoked_where_that_is_asked_for() {
    let service = stopped().await;
    let data = service.data();
    let old = secret(&data.join("admin_user.token"));
    let recovered = on(&data, &["token", "recover", "--user", "admin_user", "--revoke-others"]);
    let told = assert_exit(&recovered, 0);
    assert!(told.contains("1 other token revoked"), "{told}");
    let file = path_in(&recovered);
    assert_ne!(file.file_name().unwrap(), "admin_user.token", "what is there is never overwritten");
    assert_eq!(secret(&data.join("admin_user.token")), old);
    let service = service.restart().await;
    let list = callgate::proto::v1::ListTokensRequest::default;
    let refused = service.client(&old).credentials().list_tokens(list()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let admin = service.client(&secret(&file));
    let left = admin.credentials().list_tokens(list()).await.unwrap().into_inner().tokens;
    let users: Vec<&str> = left.iter().map(|token| token.user.as_str()).collect();
    assert_eq!(users, ["gate", "admin_user"], "the tokens of others stay");
}

#[tokio::test]
async fn nothing_is_recovered_while_a_server_runs() {
    let service = Service::start().await;
    let data = service.data();
    let before = service.entries().await.len();
    let told = assert_exit(&on(&data, &["token", "recover"]), 14);
    let me = std::process::id().to_string();
    for part in ["in use by process", &me, "stop every server", "fuser -v", "callgate.db.lock"] {
        assert!(told.contains(part), "`{part}`: {told}");
    }
    assert_eq!(service.entries().await.len(), before, "nothing was done");
    let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains(".token")).count(), 2);
}

#[tokio::test]
async fn a_user_whose_credential_would_help_nobody_gets_none() {
    let service = stopped().await;
    let data = service.data();
    for (arguments, parts) in [
        (["--user", "dev_user"], ["may not change the policy", "--user: `admin_user`"]),
        (["--user", "nobody"], ["is no user of the policy", "`admin_user`"]),
        (["--tenant", "acme"], ["no tenant `acme`", "`default`"]),
    ] {
        let told = assert_exit(&on(&data, &[&["token", "recover"], &arguments[..]].concat()), 1);
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
    assert_exit(&on(&data, &["token", "recover", "--user", "a\nb"]), 18);
    let empty = service.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let told = assert_exit(&on(&empty, &["token", "recover"]), 1);
    assert!(told.contains("no database") && told.contains("callgate serve"), "{told}");
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "nothing is made there");
}

#[tokio::test]
async fn a_disabled_admin_is_named_and_another_one_taken() {
    let document = crate::harness::with_users(&["root: { roles: [admin] }"]);
    let mut service = Service::with_policy(&document).await;
    let admin = service.admin();
    let line = document.lines().find(|line| line.trim_start().starts_with("admin_user:")).unwrap();
    let disabled = line.replacen('{', "{ enabled: false,", 1);
    assert_ne!(line, disabled);
    crate::harness::apply(&admin, &document.replace(line, &disabled)).await.unwrap();
    service.stop().await;
    let told = assert_exit(&on(&service.data(), &["token", "recover", "--user", "admin_user"]), 1);
    assert!(told.contains("is disabled in the policy") && told.contains("--user: `root`"), "{told}");
    let told = assert_exit(&on(&service.data(), &["token", "recover"]), 0);
    assert!(told.contains("of root") && told.contains("root.token"), "{told}");
}

#[tokio::test]
async fn what_is_asked_for_as_json_is_json() {
    let service = stopped().await;
    let output = on(&service.data(), &["token", "recover", "--output", "json"]);
    assert_exit(&output, 0);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer["user"].as_str(), answer["revoked"].as_u64()), (Some("admin_user"), Some(0)));
    assert!(Path::new(answer["token_file"].as_str().unwrap()).exists());
}
