//! The directory, through gRPC: users, departments and memberships changed one by one, versions, comparisons.

use callgate::{
    client::Client,
    domain::policy::BUILTIN,
    proto::v1::{
        AddUser, ApplyPolicyRequest, AuditKind, ChangeDirectoryRequest, ChangeDirectoryResponse,
        ComparePoliciesRequest, ComparePoliciesResponse, Decision, DecisionReason, DepartmentPlace,
        DirectoryEdit, ExplainDecisionRequest, ExplainDecisionResponse, GetPolicyRequest,
        ListDepartmentsRequest, ListPolicyVersionsRequest, ListUsersRequest, Membership, UpdateUser, User,
        compare_policies_request::After, directory_edit::Edit, explain_decision_request::Policy as Against,
    },
};
use tonic::{Code, Status};

use crate::harness::{Service, apply, authorize, call, edited, refused, subject};

async fn change(admin: &Client, edits: &[Edit]) -> Result<ChangeDirectoryResponse, Status> {
    let edits = edits.iter().cloned().map(|edit| DirectoryEdit { edit: Some(edit) }).collect();
    let request = ChangeDirectoryRequest { edits, ..Default::default() };
    Ok(admin.policy().change_directory(request).await?.into_inner())
}

fn add(user: &str) -> Edit {
    Edit::AddUser(AddUser { user: user.into(), ..Default::default() })
}

fn enabled(user: &str, enabled: bool) -> Edit {
    Edit::UpdateUser(UpdateUser { user: user.into(), enabled: Some(enabled), ..Default::default() })
}

fn department(name: &str, parent: &str) -> Edit {
    Edit::AddDepartment(DepartmentPlace { department: name.into(), parent: parent.into() })
}

/// Of user, department and role, one is empty.
fn membership(user: &str, department: &str, role: &str) -> Membership {
    Membership { user: user.into(), department: department.into(), role: role.into() }
}

fn belongs(user: &str, department: &str, role: &str) -> Edit {
    Edit::AddMembership(membership(user, department, role))
}

fn belongs_not(user: &str, department: &str, role: &str) -> Edit {
    Edit::RemoveMembership(membership(user, department, role))
}

async fn decision(gate: &Client, user: &str) -> DecisionReason {
    authorize(gate, user, "read_file", "{}").await.reason()
}

async fn users(admin: &Client, request: ListUsersRequest) -> Vec<User> {
    admin.policy().list_users(request).await.unwrap().into_inner().users
}

async fn compared(admin: &Client, before_version: u64, after: Option<After>) -> ComparePoliciesResponse {
    let request = ComparePoliciesRequest { before_version, after };
    admin.policy().compare_policies(request).await.unwrap().into_inner()
}

async fn explained(admin: &Client, user: &str, policy: Option<Against>) -> ExplainDecisionResponse {
    let request = ExplainDecisionRequest { subject: subject(user), call: call("write_file", "{}"), policy };
    admin.policy().explain_decision(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn every_change_of_a_user_holds_for_the_very_next_call() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    assert_eq!(decision(&gate, "ann").await, DecisionReason::UnknownUser);
    let mut version = 1;
    for (edit, reason) in [
        (add("ann"), DecisionReason::PermissionMissing),
        (belongs("ann", "", "developer"), DecisionReason::PolicyAllows),
        (enabled("ann", false), DecisionReason::UserDisabled),
        (enabled("ann", true), DecisionReason::PolicyAllows),
        (belongs_not("ann", "", "developer"), DecisionReason::PermissionMissing),
        (Edit::RemoveUser("ann".into()), DecisionReason::UnknownUser),
    ] {
        version += 1;
        let answer = change(&admin, std::slice::from_ref(&edit)).await.unwrap();
        assert_eq!((answer.version, answer.changed), (version, true));
        assert_eq!(decision(&gate, "ann").await, reason, "{edit:?}");
    }
    let changes: Vec<_> = service
        .entries()
        .await
        .into_iter()
        .filter(|entry| entry.kind() == AuditKind::PolicyChanged)
        .map(|entry| (entry.policy_version, entry.entry_json))
        .collect();
    assert_eq!(changes.len(), 6);
    assert!(changes[2].1.contains("user `ann`: HUMAN, disabled"), "{}", changes[2].1);
}

#[tokio::test]
async fn roles_of_nested_departments_count_and_stop_counting_when_the_member_leaves() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    let made = [
        add("ann"),
        department("engineering", ""),
        department("platform", "engineering"),
        department("night", "platform"),
        belongs("ann", "night", ""),
        belongs("", "engineering", "developer"),
    ];
    assert_eq!(change(&admin, &made).await.unwrap().version, 2, "all of them are one version");
    assert_eq!(decision(&gate, "ann").await, DecisionReason::PolicyAllows);
    let listed = users(&admin, ListUsersRequest { role: "developer".into(), ..Default::default() }).await;
    let ann = listed.iter().find(|user| user.user == "ann").unwrap();
    assert_eq!((ann.roles[0].role.as_str(), ann.roles[0].department.as_str()), ("developer", "engineering"));
    change(&admin, &[belongs_not("ann", "night", "")]).await.unwrap();
    assert_eq!(decision(&gate, "ann").await, DecisionReason::PermissionMissing);
    change(&admin, &[belongs("ann", "night", "")]).await.unwrap();
    let moved = DepartmentPlace { department: "platform".into(), parent: String::new() };
    change(&admin, &[Edit::MoveDepartment(moved)]).await.unwrap();
    assert_eq!(decision(&gate, "ann").await, DecisionReason::PermissionMissing, "the department left");
    let departments =
        admin.policy().list_departments(ListDepartmentsRequest::default()).await.unwrap().into_inner();
    let told: Vec<_> = departments
        .departments
        .iter()
        .map(|found| (found.department.as_str(), found.parent.as_str(), found.member_count))
        .collect();
    assert_eq!(told, [("engineering", "", 0), ("night", "platform", 1), ("platform", "", 0)]);
}

#[tokio::test]
async fn a_deny_through_one_department_beats_every_allow_through_others() {
    let service = Service::with_policy(&edited(&[(
        "  gate:\n    permissions:",
        "  barred: { permissions: [{ effect: DENY, code: EXECUTE, resources: [tool.read_file] }] }\n  gate:\n    permissions:",
    )]))
    .await;
    let (gate, admin) = (service.gate(), service.admin());
    let made = [department("night", ""), belongs("", "night", "barred"), belongs("dev_user", "night", "")];
    assert_eq!(decision(&gate, "dev_user").await, DecisionReason::PolicyAllows);
    change(&admin, &made).await.unwrap();
    assert_eq!(decision(&gate, "dev_user").await, DecisionReason::PermissionDenied);
}

#[tokio::test]
async fn a_change_that_cannot_be_made_is_refused_whole_and_says_which() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    for (edits, field, text) in [
        (vec![add("ann"), belongs("ann", "", "king")], "edits[1]", "no role is called `king`"),
        (vec![add("ann"), belongs("ann", "nowhere", "")], "edits[1]", "no department is called `nowhere`"),
        (vec![enabled("ann", false)], "edits[0]", "no user is called `ann`"),
        (vec![belongs("dev_user", "", "")], "edits[0].add_membership", "exactly two"),
        (vec![add("")], "edits[0].add_user.user", "must not be empty"),
        (vec![], "edits", "must be 1 to 1000"),
        (
            vec![department("a", ""), department("b", "a"), department("a", "b")],
            "edits[2]",
            "is there already",
        ),
    ] {
        let status = change(&admin, &edits).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(text), "{text}: {}", status.message());
        assert_eq!(crate::harness::fields(&status), [field], "{}", status.message());
    }
    for edits in [
        vec![enabled("admin_user", false)],
        vec![Edit::RemoveUser("admin_user".into())],
        vec![belongs_not("admin_user", "", "admin")],
    ] {
        let status = change(&admin, &edits).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "POLICY_INVALID");
        assert!(status.message().contains("lock every administrator out"), "{}", status.message());
    }
    let nothing = ChangeDirectoryRequest { edits: vec![DirectoryEdit { edit: None }], ..Default::default() };
    let status = admin.policy().change_directory(nothing).await.unwrap_err();
    assert_eq!(crate::harness::fields(&status), ["edits[0]"]);
    assert_eq!(decision(&gate, "ann").await, DecisionReason::UnknownUser);
    let dev = service.user("dev_user").await;
    refused(&change(&dev, &[add("eve")]).await.unwrap_err(), Code::PermissionDenied, "RPC_NOT_PERMITTED");
    assert_eq!(admin.policy().get_policy(GetPolicyRequest::default()).await.unwrap().into_inner().version, 1);
}

#[tokio::test]
async fn a_repeated_change_is_one_version_and_a_stale_one_is_handed_back() {
    let service = Service::start().await;
    let admin = service.admin();
    let request = ChangeDirectoryRequest {
        edits: vec![DirectoryEdit { edit: Some(add("ann")) }],
        expected_version: 1,
        request_id: "6f1c1a0e-3b1e-4c55-8a53-555555555555".into(),
        ..Default::default()
    };
    for _ in 0..2 {
        let answer = admin.policy().change_directory(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.version, answer.changed), (2, true));
    }
    let other =
        ChangeDirectoryRequest { edits: vec![DirectoryEdit { edit: Some(add("bob")) }], ..request.clone() };
    let status = admin.policy().change_directory(other).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let stale = ChangeDirectoryRequest { request_id: String::new(), ..request };
    refused(
        &admin.policy().change_directory(stale).await.unwrap_err(),
        Code::Aborted,
        "STALE_POLICY_VERSION",
    );
    let again = change(&admin, &[add("ann")]).await.unwrap();
    assert_eq!((again.version, again.changed), (2, false), "who is there already is no change");
}

#[tokio::test]
async fn a_repeated_change_gets_its_first_answer_also_where_it_could_not_be_made_again() {
    let service = Service::start().await;
    let admin = service.admin();
    change(
        &admin,
        &[add("ann"), Edit::AddDepartment(DepartmentPlace { department: "d".into(), parent: String::new() })],
    )
    .await
    .unwrap();
    for edit in [Edit::RemoveUser("ann".into()), Edit::RemoveDepartment("d".into())] {
        let request = ChangeDirectoryRequest {
            edits: vec![DirectoryEdit { edit: Some(edit) }],
            request_id: callgate::client::request_id().unwrap(),
            ..Default::default()
        };
        let first = admin.policy().change_directory(request.clone()).await.unwrap().into_inner();
        let again = admin.policy().change_directory(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, first);
        let fresh = ChangeDirectoryRequest { request_id: String::new(), ..request };
        refused(
            &admin.policy().change_directory(fresh).await.unwrap_err(),
            Code::InvalidArgument,
            "POLICY_INVALID",
        );
    }
}

#[tokio::test]
async fn a_document_without_users_leaves_the_directory_and_one_with_users_replaces_it() {
    let service = Service::start().await;
    let (gate, admin) = (service.gate(), service.admin());
    change(&admin, &[add("ann"), belongs("ann", "", "developer")]).await.unwrap();
    let (head, people) = BUILTIN.split_once("users:\n").unwrap();
    let without = format!("{head}roles:\n{}", people.split_once("roles:\n").unwrap().1);
    assert_eq!(apply(&admin, &without).await.unwrap().version, 3);
    assert_eq!(decision(&gate, "ann").await, DecisionReason::PolicyAllows);
    assert_eq!(decision(&gate, "dev_user").await, DecisionReason::PolicyAllows);
    // A role that somebody holds can't go.
    let gone = without.replace("  developer:\n", "  coder:\n");
    let status = apply(&admin, &gone).await.unwrap_err();
    refused(&status, Code::InvalidArgument, "POLICY_INVALID");
    assert!(status.message().contains("2 users and 0 departments hold it"), "{}", status.message());
    assert_eq!(apply(&admin, BUILTIN).await.unwrap().version, 4);
    assert_eq!(decision(&gate, "ann").await, DecisionReason::UnknownUser);
    // The same document again puts back what single changes did since.
    change(&admin, &[enabled("dev_user", false)]).await.unwrap();
    let answer = apply(&admin, BUILTIN).await.unwrap();
    assert_eq!((answer.version, answer.changed), (6, true));
    assert_eq!(decision(&gate, "dev_user").await, DecisionReason::PolicyAllows);
}

#[tokio::test]
async fn past_versions_can_be_listed_read_compared_and_asked() {
    let service = Service::start().await;
    let admin = service.admin();
    change(&admin, &[enabled("dev_user", false)]).await.unwrap();
    let stricter = edited(&[
        ("threshold: HIGH", "threshold: MEDIUM"),
        ("sensitivities: [HIGH, CRITICAL]", "sensitivities: [MEDIUM, HIGH, CRITICAL]"),
    ]);
    apply(&admin, &stricter).await.unwrap();
    let page = |page_size, page_token: &str| {
        let request = ListPolicyVersionsRequest { page_size, page_token: page_token.into() };
        let mut policy = admin.policy();
        async move { policy.list_policy_versions(request).await.unwrap().into_inner() }
    };
    let first = page(2, "").await;
    let told: Vec<_> =
        first.versions.iter().map(|v| (v.version, v.document_version, v.directory_changes)).collect();
    assert_eq!(told, [(3, 3, 1), (2, 1, 1)]);
    assert_eq!(first.versions[0].changed_by, "admin_user");
    let rest = page(2, &first.next_page_token).await;
    assert_eq!(rest.versions.len(), 1);
    assert_eq!((rest.versions[0].version, rest.next_page_token.as_str()), (1, ""));
    let read = |version| {
        let mut policy = admin.policy();
        async move { policy.get_policy(GetPolicyRequest { version }).await }
    };
    assert_eq!(read(2).await.unwrap().into_inner().document, BUILTIN);
    assert_eq!(read(3).await.unwrap().into_inner().document, stricter);
    refused(&read(9).await.unwrap_err(), Code::NotFound, "NOT_FOUND");
    // By each version, as it was.
    for (version, reason) in [
        (1, DecisionReason::ApprovalRequired),
        (2, DecisionReason::UserDisabled),
        (3, DecisionReason::ApprovalRequired),
    ] {
        let answer = explained(&admin, "dev_user", Some(Against::PolicyVersion(version))).await;
        assert_eq!((answer.reason(), answer.policy_version), (reason, version));
    }
    let draft = edited(&[("dev_user: { roles: [developer] }", "dev_user: { roles: [guest] }")]);
    let answer = explained(&admin, "dev_user", Some(Against::DraftDocument(draft.clone()))).await;
    assert_eq!(answer.reason(), DecisionReason::PermissionMissing);
    let difference = compared(&admin, 1, Some(After::AfterVersion(2))).await;
    assert_eq!(difference.directory, ["user `dev_user`: HUMAN, disabled"]);
    assert!(difference.document.is_empty());
    assert_eq!(
        (difference.rights_count, difference.rights[0].users.as_slice()),
        (1, &["dev_user".to_owned()][..])
    );
    assert!(difference.rights[0].loses.contains(&"ALLOW EXECUTE tool.write_file".to_owned()));
    let difference = compared(&admin, 0, Some(After::AfterDocument(draft))).await;
    let line = difference.document.iter().find(|line| line.what == "threshold").unwrap();
    assert_eq!((line.before.as_str(), line.after.as_str()), ("MEDIUM", "HIGH"));
    assert!(difference.rights[0].loses.contains(&"ALLOW EXECUTE tool.execute_bash".to_owned()));
    let same = compared(&admin, 0, None).await;
    assert_eq!((same.document_count, same.directory_count, same.rights_count), (0, 0, 0));
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let service = Service::start().await;
    let admin = service.admin();
    let request = ChangeDirectoryRequest {
        edits: vec![DirectoryEdit { edit: Some(add("ann")) }],
        dry_run: true,
        ..Default::default()
    };
    let answer = admin.policy().change_directory(request).await.unwrap().into_inner();
    assert_eq!((answer.version, answer.changed), (1, true));
    let without = ApplyPolicyRequest { document: BUILTIN.into(), dry_run: true, ..Default::default() };
    assert!(!admin.policy().apply_policy(without).await.unwrap().into_inner().changed);
    assert!(users(&admin, ListUsersRequest { user: "ann".into(), ..Default::default() }).await.is_empty());
}

#[tokio::test]
async fn users_are_listed_in_pages_and_filtered() {
    let service = Service::start().await;
    let admin = service.admin();
    let edits: Vec<Edit> = (0..7).map(|number| add(&format!("user{number}"))).collect();
    change(&admin, &edits).await.unwrap();
    let (mut found, mut page_token) = (vec![], String::new());
    loop {
        let request =
            ListUsersRequest { page_size: 3, page_token, prefix: "user".into(), ..Default::default() };
        let page = admin.policy().list_users(request).await.unwrap().into_inner();
        assert!(page.users.len() <= 3);
        found.extend(page.users.into_iter().map(|user| user.user));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let other = ListUsersRequest { page_token: page_token.clone(), ..Default::default() };
        let status = admin.policy().list_users(other).await.unwrap_err();
        refused(&status, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    }
    assert_eq!(found, (0..7).map(|number| format!("user{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_user_disabled_through_one_server_is_denied_by_the_other_on_the_very_next_call() {
    let one = Service::start().await;
    let two = Service::on(std::sync::Arc::clone(&one.folder), one.clock.clone(), |_| ()).await;
    assert_eq!(decision(&two.gate(), "dev_user").await, DecisionReason::PolicyAllows);
    change(&one.admin(), &[enabled("dev_user", false)]).await.unwrap();
    assert_eq!(decision(&two.gate(), "dev_user").await, DecisionReason::UserDisabled);
    change(&two.admin(), &[enabled("dev_user", true)]).await.unwrap();
    assert_eq!(decision(&one.gate(), "dev_user").await, DecisionReason::PolicyAllows);
}

#[tokio::test]
async fn two_tenants_with_equal_names_never_meet() {
    let (service, admin, gate) = Service::with_other_tenant().await;
    assert_eq!(decision(&service.gate(), "dev_user").await, DecisionReason::PolicyAllows);
    change(&admin, &[enabled("dev_user", false)]).await.unwrap();
    assert_eq!(decision(&gate, "dev_user").await, DecisionReason::UserDisabled);
    assert_eq!(decision(&service.gate(), "dev_user").await, DecisionReason::PolicyAllows);
    change(&service.admin(), &[add("ann"), belongs("ann", "", "developer")]).await.unwrap();
    assert_eq!(decision(&gate, "ann").await, DecisionReason::UnknownUser);
    assert_eq!(authorize(&service.gate(), "ann", "read_file", "{}").await.decision(), Decision::Allow);
}
